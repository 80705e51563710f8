"""HumanEval-Infilling files: the cases read from them, and the errors for other files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.errors import UnusableSource
from dgls.evaluation.cases.case import Case, Program
from dgls.evaluation.cases.dataset import read_dataset
from dgls.evaluation.running.sandbox import ProgramLimits, run_program

HEAD = "def total(numbers):\n"
PROBLEM = {
    "task_id": "SingleLineInfilling/HumanEval/0/L0",
    "entry_point": "total",
    "prompt": HEAD,
    "suffix": "    return found\n",
    "canonical_solution": "    found = sum(numbers)\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n",
}


def problem(**changes: Any) -> str:
    return json.dumps(PROBLEM | changes)


def written(folder: Path, *lines: str, name: str = "holes.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def only(path: Path) -> Case:
    (case,) = read_dataset(path)
    return case


def test_read_dataset_whole_line_answer_leaves_blank_line(tmp_path: Path) -> None:
    case = only(written(tmp_path, problem()))
    assert (case.prefix, case.answer, case.suffix) == (HEAD, "    found = sum(numbers)", "\n    return found\n")
    assert (case.id, case.kind, case.language, case.root) == (PROBLEM["task_id"], "single-line", "python", None)
    assert case.program == Program(PROBLEM["test"], "total")


@pytest.mark.parametrize(
    ("prompt", "answer", "suffix", "kind"),
    [
        (HEAD, "    found = 0\n    found += 1\n", "    return found\n", "multi-line"),
        (HEAD, "    return sum(numbers)", "", "single-line"),
        (HEAD, "    return sum(numbers)\n", "", "single-line"),
        ("", HEAD, "    return 1\n", "single-line"),
        (HEAD + "    return s", "um(num", "bers)\n", "random-span"),
        (HEAD + "    fou", "nd = sum(numbers)\n", "    return found\n", "random-span"),
        (HEAD + "    fou", "nd = 0\n    found = su", "m(numbers)\n    return found\n", "random-span"),
    ],
)
def test_read_dataset_derives_kind_from_hole(prompt: str, answer: str, suffix: str, kind: str, tmp_path: Path) -> None:
    case = only(written(tmp_path, problem(prompt=prompt, canonical_solution=answer, suffix=suffix)))
    assert case.kind == kind
    assert case.prefix + case.answer + case.suffix == prompt + answer + suffix
    assert kind == "random-span" or not case.answer.endswith("\n")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3))
def test_read_dataset_case_parts_join_to_the_source(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    prompt, answer, suffix = parts
    path = written(tmp_path_factory.mktemp("d"), problem(prompt=prompt, canonical_solution=answer, suffix=suffix))
    case = only(path)
    assert (case.prefix + case.answer + case.suffix).encode() == "".join(parts).encode()


def test_read_dataset_gzip_equals_plain(tmp_path: Path) -> None:
    plain = written(tmp_path, problem(), problem(task_id="second", extra=[1]), "")
    packed = tmp_path / "holes.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_dataset(plain)) == 2
    assert read_dataset(plain) == read_dataset(packed) == read_dataset(marked)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: this is not JSON"),
        ("[" * 100_000, "line 2: this is not JSON"),
        ("[1]", "line 2: this is no JSON object"),
        (json.dumps({key: value for key, value in PROBLEM.items() if key != "suffix"}), "line 2: 'suffix' is missing"),
        (problem(test=None), "line 2: 'test' is no string"),
        (problem(prompt="\ud800"), "line 2: 'prompt' is no string of Unicode text"),
        (problem(entry_point="a b"), "line 2: 'entry_point' names no Python function: 'a b'"),
        (problem(), "line 2: the task_id 'SingleLineInfilling/HumanEval/0/L0' is in line 1 already"),
    ],
)
def test_read_dataset_bad_line_raises_with_line_number(line: str, says: str, tmp_path: Path) -> None:
    path = written(tmp_path, problem(), line)
    with pytest.raises(UnusableSource) as caught:
        read_dataset(path)
    assert f"{path}, {says}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (gzip.compress(b"x" * 10_000, mtime=0)[:-20], "damaged or not complete; fetch it again"),
        (gzip.compress(b"x" * 10_000, mtime=0)[:5], "damaged or not complete; fetch it again"),
        (b"\x1f\x8b" + b"\x07" * 50, "damaged or not complete; fetch it again"),
    ],
)
def test_read_dataset_malformed_file_raises(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "holes.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(UnusableSource, match=says) as caught:
        read_dataset(path)
    assert str(path) in str(caught.value)


def test_read_dataset_absent_file_or_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(UnusableSource, match="no such file"):
        read_dataset(tmp_path / "absent.jsonl")
    with pytest.raises(UnusableSource, match="is a folder"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("fill", "passes"),
    [
        ("    found = sum(numbers)", True),
        ("    found = 0", False),
        ("", False),
        ("    import sys; sys.exit(0)", False),
    ],
)
def test_program_tests_pass_only_with_right_fill(fill: str, passes: bool, tmp_path: Path) -> None:
    case = only(written(tmp_path, problem()))
    assert case.program is not None
    assert run_program(case.prefix + fill + case.suffix, case.program.tests, ProgramLimits()).passed is passes
