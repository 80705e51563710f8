"""The log of taken suggestions: bounded, owner-only, one file a model, and readable after a crash."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from dgls_engine.weights import accept_log
from dgls_engine.weights.accept_log import AcceptLog, Outcome
from tests.engine.checkpoints import raw_checkpoint


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AcceptLog:
    monkeypatch.setattr(accept_log, "log_folder", lambda: tmp_path / "accepted")
    return AcceptLog(raw_checkpoint(tmp_path / "model"))


def outcome(time: int) -> Outcome:
    return Outcome(time, "python", 1, 0.25, time % 2 == 0)


def test_log_of_two_models_is_kept_apart(log: AcceptLog, tmp_path: Path) -> None:
    other = AcceptLog(raw_checkpoint(tmp_path / "other", canvas_length=64))
    log.append(outcome(1))
    other.append(outcome(2))
    assert (log.outcomes(), other.outcomes()) == ([outcome(1)], [outcome(2)])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_log_is_readable_by_its_owner_alone(log: AcceptLog) -> None:
    log.append(outcome(1))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (log.path.parent, log.path)]
    assert modes == [0o700, 0o600]


def test_log_that_is_full_forgets_the_oldest(log: AcceptLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept_log, "_FULL", 500)
    for time in range(100):
        log.append(outcome(time))
    kept = [each.time for each in log.outcomes()]
    assert kept == list(range(100 - len(kept), 100))
    assert 5 < len(kept) < 20


@pytest.mark.parametrize(
    "line",
    [
        '{"time": 1, "langu',
        "[]",
        "17",
        "[" * 10_000,
        '{"time": 1, "language": "python", "lines": 1, "probability": 2, "taken": true}',
        '{"time": 1, "language": "python", "lines": 1, "probability": NaN, "taken": true}',
        '{"time": 1, "language": "python", "lines": 1, "probability": "1", "taken": true}',
        '{"time": 1, "language": "python", "lines": 1, "probability": 0.5, "taken": 1}',
        '{"time": 1, "language": "python", "lines": 1, "probability": 0.5, "taken": true, "more": 1}',
        "\udcff",
    ],
)
def test_outcomes_with_a_broken_line_skips_it(log: AcceptLog, line: str) -> None:
    log.append(outcome(1))
    with log.path.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(line + "\n")
    log.append(outcome(2))
    assert log.outcomes() == [outcome(1), outcome(2)]


def test_outcomes_without_a_log_are_none(log: AcceptLog) -> None:
    assert log.outcomes() == []
