"""A calibration's laws, and how a user's own one is kept."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls_engine.calibration import Calibration
from dgls_engine.engine import Engine
from dgls_engine.model_files import read_json
from dgls_engine.profile import INFILL_FILE
from dgls_engine.weights.profiles import read_profile
from dgls_engine.weights.saved_calibration import fingerprint, own_calibration, path_of, remove, save, ship
from tests.engine.checkpoints import raw_checkpoint

OWN = Calibration(((0.1, 0.0), (0.6, 0.25), (0.9, 0.5)), show_above=0.3, keep_above=0.7, length_bias=-0.5)
SHARES = st.floats(0, 1)


@pytest.fixture(autouse=True)
def configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "configuration" / "calibration"
    monkeypatch.setattr("dgls_engine.weights.saved_calibration.calibration_folder", lambda: folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return raw_checkpoint(tmp_path / "model")


@pytest.mark.parametrize(
    ("raw", "share"), [(0.0, 0.0), (0.1, 0.0), (0.35, 0.125), (0.6, 0.25), (0.75, 0.375), (0.9, 0.5), (1.0, 0.5)]
)
def test_confidence_is_linear_between_the_points_and_flat_outside(raw: float, share: float) -> None:
    assert OWN.confidence(raw) == pytest.approx(share)


def test_confidence_without_points_is_absent() -> None:
    assert Calibration().confidence(0.37) is None


@given(
    st.lists(SHARES, unique=True, min_size=1, max_size=20), st.lists(SHARES, min_size=20, max_size=20), SHARES, SHARES
)
def test_confidence_never_falls_with_probability(
    raws: list[float], shares: list[float], one: float, other: float
) -> None:
    calibration = Calibration(tuple(zip(sorted(raws), sorted(shares), strict=False)))
    low, high = (calibration.confidence(raw) for raw in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert 0.0 <= low <= high + 1e-12
    assert high <= 1.0 + 1e-12


def test_calibration_saved_as_json_reads_back_equal() -> None:
    assert Calibration.from_json(json.loads(json.dumps(OWN.as_json()))) == OWN
    assert Calibration.from_json({}) == Calibration()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "must be an object"),
        ({"show": 1}, "must be an object with some of points, show_above"),
        ({"points": 3}, "pairs of numbers"),
        ({"points": [[0.1]]}, "pairs of numbers"),
        ({"points": [[0.1, "x"]]}, "pairs of numbers"),
        ({"points": [[0.2, 0.1], [0.1, 0.2]]}, "points must be in ascending order"),
        ({"points": [[0.1, 0.2], [0.2, 0.1]]}, "points must be in ascending order"),
        ({"points": [[0.1, 0.2], [0.1, 0.3]]}, "points must be in ascending order"),
        ({"show_above": "all"}, "show_above must be a number, not 'all'"),
        ({"show_above": True}, "show_above must be a number"),
        ({"keep_above": 1.5}, "between 0 and 1"),
        ({"show_above": float("nan")}, "between 0 and 1"),
        ({"length_bias": float("inf")}, "from -100.0 to 100.0"),
    ],
)
def test_calibration_from_invalid_values_raises(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Calibration.from_json(value)


def test_saved_calibration_overrides_shipped_until_removed(model: Path) -> None:
    def in_use() -> Calibration:
        with Engine.open(model, "cpu") as engine:
            assert engine.info.profile == engine.profile
            return engine.profile.calibration

    shipped = Calibration(show_above=0.9)
    assert ship(shipped, model) == model / INFILL_FILE
    assert in_use() == shipped
    path = save(OWN, model)
    assert in_use() == own_calibration(model) == OWN
    assert remove(model) == path
    assert remove(model) is None
    assert in_use() == shipped


def test_shipped_calibration_keeps_other_profile_fields(model: Path) -> None:
    before = read_json(model / INFILL_FILE)
    ship(OWN, model)
    assert read_json(model / INFILL_FILE) == before | {"calibration": json.loads(json.dumps(OWN.as_json()))}
    assert read_profile(model).calibration == OWN


def test_saved_calibration_of_other_weights_or_settings_is_not_used(model: Path) -> None:
    save(OWN, model)
    infill = read_json(model / INFILL_FILE)
    (model / INFILL_FILE).write_text(json.dumps(infill | {"max_steps": 7}))
    assert own_calibration(model) is None
    (model / INFILL_FILE).write_text(json.dumps(infill))
    assert own_calibration(model) == OWN
    weights = next(model.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(content)
    assert own_calibration(model) is None


def test_saved_calibration_applies_to_copied_model(model: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in model.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())
    assert fingerprint(elsewhere) == fingerprint(model)


def test_saved_calibration_of_hub_model_has_its_name(tmp_path: Path, configuration: Path) -> None:
    snapshot = tmp_path / "models--google--some" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    assert path_of(snapshot).parent == configuration
    assert path_of(snapshot).name.startswith("google--some-")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"show_above": 2}', b"\xff\xfe"])
def test_saved_calibration_broken_file_is_reported_and_ignored(
    model: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    save(OWN, model).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert own_calibration(model) is None
    (record,) = caplog.records
    assert "the model's shipped calibration is used" in record.getMessage()
    assert "--reset" in record.getMessage()
