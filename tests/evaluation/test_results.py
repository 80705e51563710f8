"""What is kept comes back, whatever cut it off; results of another run are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dgls.evaluation.running.results import Results, UnusableResults, default_path, fingerprint_of_cases
from tests.evaluation.made_up import HEADER, case, outcome

KEPT = [outcome("a"), outcome("b", rejected="empty", text="", parses=None, finish=None, piece_confidences=())]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "new" / "results.jsonl"
    with Results(found, HEADER) as results:
        for each in KEPT:
            results.add(each)
    return found


def test_outcomes_come_back_as_they_were(path: Path) -> None:
    with Results(path, HEADER) as results:
        assert list(results.outcomes.values()) == KEPT
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_is_dropped(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with Results(path, HEADER) as results:
        assert list(results.outcomes) == ["a"]
        results.add(KEPT[1])
    with Results(path, HEADER) as results:
        assert list(results.outcomes.values()) == KEPT


def test_a_file_whose_header_was_cut_off_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UnusableResults, match="no results file"):
        Results(path, HEADER)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 1}, "seed"), ({"policy": "oracle"}, "policy"), ({"profile": {}, "weights": "x"}, "profile, weights")],
)
def test_results_of_another_run_are_refused(path: Path, changes: dict[str, object], named: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UnusableResults, match=rf"differs in {named}\)"):
        Results(path, replace(HEADER, **changes))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b"{}\n", b"\xff\xfe\n", b"no break"])
def test_another_file_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UnusableResults, match="no results file"):
        Results(path, HEADER)
    assert path.read_bytes() == content


def test_an_outcome_with_other_fields_is_refused(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, json.dumps({"id": "c"})]) + "\n", encoding="utf-8")
    with pytest.raises(UnusableResults, match="no results file"):
        Results(path, HEADER)


def test_a_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnusableResults, match="cannot be used"):
        Results(tmp_path, HEADER)


def test_each_header_has_a_file_of_its_own() -> None:
    assert default_path(HEADER) == default_path(replace(HEADER))
    assert default_path(HEADER) != default_path(replace(HEADER, seed=1))


def test_the_cases_fingerprint_knows_text_and_order_but_not_the_folder() -> None:
    two = [case("a"), case("b")]
    prints = [two, two[::-1], two[:1], [case("a"), case("b", suffix="\n")]]
    assert len({fingerprint_of_cases(each) for each in prints}) == 4
    assert fingerprint_of_cases(two) == fingerprint_of_cases([replace(each, root="/elsewhere") for each in two])
