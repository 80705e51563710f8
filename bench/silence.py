"""Measures how often the server shows a suggestion where one is wanted, and stays quiet where none is wanted.

    python bench/silence.py [--held-out 300] [--seed 0]

Runs the cases in `fixtures/silence` with the author's answer in place of the model's, so the figures measure the rules
and not a model. `--held-out N` also plans at N random places of each kind in the held-out packages: at the end of a
line that was cut, and at the end of a whole line in a complete file. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import random
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.context.exclusion import Excluded, Exclusion
from dgls.evaluation.cases.held_out import HELD_OUT
from dgls.suggest.plan import Budget, Quiet, plan
from dgls.suggest.suggestion import Rejection, suggest

CASES = Path(__file__).parents[1] / "fixtures" / "silence"


@dataclass(frozen=True, slots=True)
class Case:
    """See fixtures/silence/README.md. `infill` is the text in place of the model's: the author's, if one is wanted."""

    name: str
    document: Document
    offset: int
    wanted: bool
    infill: str | None
    deleted: bool
    known_miss: str | None


def read_cases(folder: Path = CASES) -> Iterator[Case]:
    for path in sorted(folder.glob("*.toml")):
        for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
            left, right = case["text"].split("<CURSOR>")
            uri = f"file:///project/{case.get('path', 'untitled')}"
            yield Case(
                name=f"{path.stem}: {case['name']}",
                document=Document(uri, 1, path.stem, left + right),
                offset=len(left),
                wanted=not case.get("quiet", False),
                infill=case.get("answer", case.get("infill")),
                deleted=case.get("deleted", False),
                known_miss=case.get("known_miss"),
            )


def shown(case: Case) -> str | Quiet | Rejection | Excluded:
    """The text that is shown, or the reason why there is none."""
    excluded = Exclusion().of_uri(case.document.uri, opened=True)
    if excluded is not None:
        return excluded
    syntax = parse(case.document, case.offset)
    region = plan(case.document, case.offset, Budget(), syntax, deleted=case.deleted)
    if isinstance(region, Quiet):
        return region
    if case.infill is None:
        return "whatever the model says"
    suggestion = suggest(case.document, region, case.infill, 1.0, syntax)
    return suggestion if isinstance(suggestion, Rejection) else suggestion.new_text


def is_right(case: Case) -> bool:
    text_or_reason = shown(case)
    if isinstance(text_or_reason, (Quiet, Rejection, Excluded)):
        return not case.wanted
    return case.wanted and text_or_reason == case.infill


def share(right: Sequence[bool]) -> float:
    return round(sum(right) / len(right), 4) if right else 0.0


def held_out_places(count: int, seed: int) -> tuple[float, float]:
    """The share of `count` cut lines that get a suggestion, and the share of `count` whole lines that stay quiet."""
    texts, chance = held_out_texts(), random.Random(seed)
    cut: list[bool] = []
    whole: list[bool] = []
    while len(cut) < count:
        text = chance.choice(texts)
        document = Document("file:///source.py", 1, "python", text)
        line = chance.randrange(document.line_count)
        start, end = document.line_start(line), document.line_end(line)
        indent = len(text[start:end]) - len(text[start:end].lstrip())
        if end - start - indent < 2 or in_literal(document, start + indent) or in_literal(document, end):
            continue
        at = chance.randrange(start + indent + 1, end)
        if in_literal(document, at):
            continue
        shorter = Document(document.uri, 1, "python", text[:at] + text[end:])
        cut.append(not isinstance(plan(shorter, at, Budget(), parse(shorter, at)), Quiet))
        whole.append(isinstance(plan(document, end, Budget(), parse(document, end)), Quiet))
    return share(cut), share(whole)


def held_out_texts() -> list[str]:
    """The texts of the held-out packages' Python files, as far as the packages are installed."""
    paths: list[Path] = []
    for distribution in importlib.metadata.distributions():
        if re.sub(r"[-_.]+", "-", distribution.name).lower() in HELD_OUT:
            paths += [Path(str(file.locate())) for file in distribution.files or () if file.suffix == ".py"]
    return [path.read_text(encoding="utf-8") for path in sorted(paths) if path.stat().st_size >= 400]


def in_literal(document: Document, offset: int) -> bool:
    """Whether `offset` is in a comment or string. The planner is always quiet there, so such places are skipped: they
    would only improve the figures."""
    return plan(document, offset, Budget(), parse(document, offset)) in (Quiet.COMMENT, Quiet.STRING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cases = list(read_cases())
    for case in cases:
        if not is_right(case):
            wanted = f"wanted: {case.infill!r}" if case.wanted else "wanted: none"
            print(f"{case.name}\n    {wanted}\n    shown:  {shown(case)!r}")
    figures: dict[str, float | int] = {
        "quiet_rate": share([is_right(case) for case in cases if not case.wanted]),
        "show_rate": share([is_right(case) for case in cases if case.wanted]),
        "quiet_cases": sum(not case.wanted for case in cases),
        "show_cases": sum(case.wanted for case in cases),
    }
    if arguments.held_out:
        figures["cut_lines_shown"], figures["whole_lines_quiet"] = held_out_places(arguments.held_out, arguments.seed)
        figures["held_out_places"] = arguments.held_out
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
