"""`dgls calibrate` with an engine that is right half as often as it says: what it prints, stores and resets."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dgls_engine
from dgls.evaluation.cases.case import Case
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Fill, Infill, InfillRequest, Piece, Pinned, Step, Timings
from dgls_engine.weights import accept_log
from dgls_engine.weights.accept_log import AcceptLog, Outcome
from dgls_engine.weights.profiles import read_profile
from dgls_engine.weights.saved_calibration import own_calibration
from tests.cli.conftest import Run
from tests.engine.checkpoints import raw_checkpoint


class HalfRight:
    """An engine that fills `name17 = ` with `value17`, or with another text."""

    interrupted_at = -1

    def __init__(self, folder: Path) -> None:
        self.profile: Profile = read_profile(folder)
        self.info = ModelInfo("half right", 1, 4, "cpu", "cpu", "float32", 0.0, self.profile)

    def __enter__(self) -> HalfRight:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        before = request.segments[0]
        assert isinstance(before, Pinned)
        number = int(re.findall(r"\d+", before.text)[-1])
        if number == HalfRight.interrupted_at:
            raise KeyboardInterrupt
        rng = random.Random(number)
        confidence = rng.random()
        text = f"value{number}" if rng.random() < confidence / 2 else "other"
        fill = Fill(text, (Piece(text, confidence),), self.profile.calibration.confidence(confidence), confidence)
        yield Infill((fill,), 1, "stable", Timings(0.0, 1.0), 0, 0, 9, 9)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = raw_checkpoint(tmp_path / "model", canvas_length=96)
    opener = type("Opener", (), {"open": staticmethod(lambda model, dtype, threads: HalfRight(Path(model)))})
    monkeypatch.setattr(dgls_engine, "Engine", opener, raising=False)
    monkeypatch.setattr("dgls_engine.weights.saved_calibration.calibration_folder", lambda: tmp_path / "configuration")
    monkeypatch.setattr("dgls.cli.calibrate.cut", cut)
    monkeypatch.setattr("dgls.cli.calibrate.trained_on", lambda folder: frozenset())
    monkeypatch.setattr(HalfRight, "interrupted_at", -1)
    return folder


def cut(folder: Path, seed: int, count: int, kinds: object, **_: object) -> list[Case]:
    """At most as many holes as the folder's name says."""
    return [
        Case(f"{n}", "single-line", f"file{n % 9}.py", "python", f"name{n} = ", f"value{n}", "\n", f"package{n % 7}")
        for n in range(min(count, int(folder.name)))
    ]


def test_calibrate_source_stores_and_reset_removes(run: Run, model: Path) -> None:
    outcome = run("calibrate", "--source", "400", "--model", model, "--holes", 400, "--json")
    assert outcome.code == 0, outcome.err
    figures = json.loads(outcome.out)
    calibration = own_calibration(model)
    assert calibration is not None
    assert figures["calibration"] == json.loads(json.dumps(calibration.as_json()))
    assert figures["n"] == 400
    assert figures["before"]["calibration_error"] is None
    assert figures["after"]["calibration_error"] < 0.1
    assert Path(figures["stored"]).is_file()
    assert figures["stored"] in outcome.err
    assert calibration.confidence(0.95) == pytest.approx(0.475, abs=0.2)
    assert "--reset" in outcome.err
    assert Path(figures["stored"]).name in run("calibrate", "--reset", "--model", model).out
    assert own_calibration(model) is None
    assert "no calibration of your own" in run("calibrate", "--reset", "--model", model).out


def test_calibrate_prints_table_before_and_after(run: Run, model: Path) -> None:
    out = run("calibrate", "--source", "300", "--model", model, "--dry-run").out
    for words in ("300 holes", "expected calibration error", "shown automatically", "of these, exact", "were shown"):
        assert words in out
    assert re.search(r"expected calibration error\W+- ", out), "the model was not calibrated before"


def test_calibrate_dry_run_stores_nothing(run: Run, model: Path) -> None:
    outcome = run("calibrate", "--source", "150", "--model", model, "--dry-run", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["stored"] is None
    assert "Nothing was stored" in outcome.err
    assert own_calibration(model) is None


def test_calibrate_ship_writes_into_model_folder(run: Run, model: Path) -> None:
    before = read_profile(model)
    outcome = run("calibrate", "--source", "300", "--model", model, "--ship", "--show", "0.5")
    assert outcome.code == 0
    assert own_calibration(model) is None
    assert read_profile(model).calibration.points
    assert read_profile(model).canvas_tokens == before.canvas_tokens
    assert read_profile(model).calibration.show_above <= 0.25


def test_calibrate_too_few_holes_exits_2_with_advice(run: Run, model: Path) -> None:
    outcome = run("calibrate", "--source", "60", "--model", model)
    assert outcome.code == 2
    message = outcome.err.splitlines()[-1]
    assert "60 holes" in message
    assert "needs 100" in message
    assert own_calibration(model) is None


def test_calibrate_ctrl_c_stores_nothing(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HalfRight, "interrupted_at", 130)
    outcome = run("calibrate", "--source", "200", "--model", model)
    assert outcome.code == 130
    assert "nothing was stored" in outcome.err
    assert own_calibration(model) is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--source", "a", "--reset"],
        ["--source", "a", "--holes", "99"],
        ["--source", "a", "--show", "2"],
        ["--source", "a", "--show", "nan"],
        ["--source", "a", "--dry-run", "--ship"],
    ],
)
def test_calibrate_invalid_arguments_exit_2_in_one_line(run: Run, arguments: list[str]) -> None:
    outcome = run("calibrate", *arguments)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


@pytest.fixture
def log(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AcceptLog:
    monkeypatch.setattr(accept_log, "log_folder", lambda: tmp_path / "accepted")
    return AcceptLog(model)


def test_calibrate_from_log_claims_what_was_taken(run: Run, model: Path, log: AcceptLog) -> None:
    rng = random.Random(0)
    for time in range(400):
        probability = rng.uniform(0.5, 1)
        log.append(Outcome(time, "python", 1, probability, rng.random() < probability / 2))
    outcome = run("calibrate", "--from-log", "--model", model, "--json")
    assert outcome.code == 0, outcome.err
    figures = json.loads(outcome.out)
    calibration = own_calibration(model)
    assert calibration is not None
    assert figures["n"] == 400
    assert figures["calibration"] == json.loads(json.dumps(calibration.as_json()))
    assert figures["shown_taken"] >= figures["taken"]
    assert calibration.confidence(0.9) == pytest.approx(0.45, abs=0.1)


def test_calibrate_from_log_keeps_the_curve_below_what_was_shown(run: Run, model: Path, log: AcceptLog) -> None:
    run("calibrate", "--source", "400", "--model", model, "--holes", 400)
    before = own_calibration(model)
    assert before is not None
    for time in range(100):
        log.append(Outcome(time, "python", 1, 0.8 + time / 1000, True))
    run("calibrate", "--from-log", "--model", model)
    after = own_calibration(model)
    assert after is not None
    assert after.confidence(0.3) == before.confidence(0.3)
    assert after.confidence(0.85) == pytest.approx(1.0, abs=0.05)
    assert (after.keep_above, after.length_bias) == (before.keep_above, before.length_bias)


def test_calibrate_from_a_short_log_names_the_setting(run: Run, model: Path, log: AcceptLog) -> None:
    log.append(Outcome(0, "python", 1, 0.5, True))
    outcome = run("calibrate", "--from-log", "--model", model)
    assert outcome.code == 2
    assert "holds 1 of the 100 suggestions" in outcome.err
    assert "dgls.inlineCompletion.acceptLog" in outcome.err
    assert own_calibration(model) is None
