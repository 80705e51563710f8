"""Stored outcomes come back after any interruption; results of another run raise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dgls.evaluation.running.results import Results, UnusableResults, default_path, fingerprint_of_cases
from tests.evaluation.made_up import HEADER, case, outcome

KEPT = [outcome("a"), outcome("b", rejected="empty", text="", parses=None, finish=None, piece_probabilities=())]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "new" / "results.jsonl"
    with Results(file, HEADER) as results:
        for each in KEPT:
            results.add(each)
    return file


def test_results_reopened_returns_equal_outcomes(path: Path) -> None:
    with Results(path, HEADER) as results:
        assert list(results.outcomes.values()) == KEPT
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_results_truncated_line_is_dropped(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with Results(path, HEADER) as results:
        assert list(results.outcomes) == ["a"]
        results.add(KEPT[1])
    with Results(path, HEADER) as results:
        assert list(results.outcomes.values()) == KEPT


def test_results_truncated_header_raises(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UnusableResults, match="no results file"):
        Results(path, HEADER)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 1}, "seed"), ({"policy": "oracle"}, "policy"), ({"profile": {}, "weights": "x"}, "profile, weights")],
)
def test_results_other_header_raises(path: Path, changes: dict[str, object], named: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UnusableResults, match=rf"differs in {named}\)"):
        Results(path, replace(HEADER, **changes))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b"{}\n", b"\xff\xfe\n", b"no break"])
def test_results_unrelated_file_raises_and_keeps_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UnusableResults, match="no results file"):
        Results(path, HEADER)
    assert path.read_bytes() == content


def test_results_outcome_with_unknown_fields_raises(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, json.dumps({"id": "c"})]) + "\n", encoding="utf-8")
    with pytest.raises(UnusableResults, match="no results file"):
        Results(path, HEADER)


def test_results_folder_raises_one_line_message(tmp_path: Path) -> None:
    with pytest.raises(UnusableResults, match="cannot be used"):
        Results(tmp_path, HEADER)


def test_default_path_differs_by_header() -> None:
    assert default_path(HEADER) == default_path(replace(HEADER))
    assert default_path(HEADER) != default_path(replace(HEADER, seed=1))


def test_fingerprint_of_cases_depends_on_text_and_order_not_root() -> None:
    two = [case("a"), case("b")]
    prints = [two, two[::-1], two[:1], [case("a"), case("b", suffix="\n")]]
    assert len({fingerprint_of_cases(each) for each in prints}) == 4
    assert fingerprint_of_cases(two) == fingerprint_of_cases([replace(each, root="/elsewhere") for each in two])
