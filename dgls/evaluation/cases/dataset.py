"""HumanEval-Infilling files as cases: `.jsonl` or `.jsonl.gz`, one problem a line.

Reads the published keys (task_id, entry_point, prompt, suffix, canonical_solution, test) and ignores others. One bad
line rejects the whole file; the error names the line. Reads one file; runs on any thread.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from dgls.errors import UnusableSource
from dgls.evaluation.cases.case import Case, Kind, Program

_KEYS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
_GZIP = b"\x1f\x8b"
_FORMAT = f"a HumanEval-Infilling file has a JSON object a line, with the keys {', '.join(_KEYS)}"


def read_dataset(path: Path) -> list[Case]:
    """All cases in file order. Raises `UnusableSource` with the line and its error."""
    cases: list[Case] = []
    first_at: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        case = _case(line, f"{path}, line {number}")
        if case.id in first_at:
            raise UnusableSource(
                f"{path}, line {number}: the task_id {case.id!r} is in line {first_at[case.id]} already; "
                "give each problem another one"
            )
        first_at[case.id] = number
        cases.append(case)
    if not cases:
        raise UnusableSource(f"{path} is empty; {_FORMAT}")
    return cases


def _lines(path: Path) -> Iterator[str]:
    """The lines of the file. Its first bytes, not its name, tell whether it is gzip."""
    number = 0
    try:
        with path.open("rb") as start:
            packed = start.read(len(_GZIP)) == _GZIP
        with (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - the errors below name it
                yield line
    except FileNotFoundError:
        raise UnusableSource(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise UnusableSource(
            f"{path} is a folder; name a .jsonl or .jsonl.gz file, or cut holes into its files"
        ) from None
    except UnicodeDecodeError:
        raise UnusableSource(f"{path}, after line {number}: this is not UTF-8 text; {_FORMAT}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UnusableSource(
            f"{path}, after line {number}: the compressed file is damaged or not complete; fetch it again"
        ) from None
    except OSError as error:
        raise UnusableSource(f"{path} cannot be read: {error.strerror or error}") from None


def _case(line: str, place: str) -> Case:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnusableSource(f"{place}: this is not JSON ({error}); {_FORMAT}") from None
    if not isinstance(record, dict):
        raise UnusableSource(f"{place}: this is no JSON object; {_FORMAT}")
    for key in _KEYS:
        if key not in record:
            raise UnusableSource(f"{place}: {key!r} is missing; {_FORMAT}")
        if not _is_text(record[key]):
            raise UnusableSource(f"{place}: {key!r} is no string of Unicode text; {_FORMAT}")
    if not record["entry_point"].isidentifier():
        raise UnusableSource(f"{place}: 'entry_point' names no Python function: {record['entry_point']!r}; correct it")
    prefix, answer, suffix = record["prompt"], record["canonical_solution"], record["suffix"]
    if _starts_line(prefix) and answer.endswith("\n"):
        # Whole lines: in an editor the cursor is on a blank line that already has its line break.
        answer, suffix = answer[:-1], "\n" + suffix
    return Case(
        id=record["task_id"],
        kind=_kind(prefix, answer, suffix),
        path=f"{record['entry_point']}.py",
        language="python",
        prefix=prefix,
        answer=answer,
        suffix=suffix,
        package="HumanEval",
        program=Program(record["test"], record["entry_point"]),
    )


def _is_text(value: object) -> bool:
    """Whether `value` is a string that encodes to UTF-8: JSON can contain half a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(prefix: str, answer: str, suffix: str) -> Kind:
    """The kind, derived from the hole and not from the file's name: whole lines, or some characters."""
    whole = _starts_line(prefix) and (not suffix or suffix.startswith("\n"))
    if not whole:
        return "random-span"
    return "multi-line" if "\n" in answer else "single-line"


def _starts_line(prefix: str) -> bool:
    return not prefix or prefix.endswith("\n")
