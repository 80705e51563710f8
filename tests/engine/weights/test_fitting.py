"""The best model for a machine depends on its memory, and on a CPU on its speed."""

from __future__ import annotations

import pytest
import torch

from dgls_engine.model.families import FILLS_CODE, LARGE, LICENCES, NOT_COMMERCIAL, family_of
from dgls_engine.weights import fitting
from dgls_engine.weights.fitting import best_fitting
from dgls_engine.weights.small import SMALL

DREAM, DCODER = FILLS_CODE


def on(device: str, free_gb: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgls_engine.device.pick_device", lambda: torch.device(device))
    monkeypatch.setattr("dgls_engine.device.device_name", lambda _: "a device")
    for module in ("device", "weights.precision"):
        monkeypatch.setattr(f"dgls_engine.{module}.free_memory", lambda _: int(free_gb * 1e9))
    monkeypatch.setattr("dgls_engine.weights.precision.shortage", lambda _: "few are free")
    monkeypatch.setattr("dgls_engine.weights.precision.device_name", lambda _: "a device")
    monkeypatch.setattr("dgls_engine.weights.precision.kernels.usable", lambda device: device.type == "cuda")
    monkeypatch.setattr("dgls_engine.weights.precision.has_fast_bfloat16", lambda: False)


@pytest.mark.parametrize(
    ("free_gb", "name", "precision"),
    [
        (80, LARGE.name, "bfloat16"),
        (22, LARGE.name, "int4"),
        (16.5, DREAM, "bfloat16"),
        (10, DREAM, "fp8"),
        (6, DREAM, "int4"),
        (4, DCODER, "bfloat16"),
    ],
)
def test_best_fitting_on_a_gpu_is_the_largest_for_its_memory(
    monkeypatch: pytest.MonkeyPatch, free_gb: float, name: str, precision: str
) -> None:
    on("cuda", free_gb, monkeypatch)
    best = best_fitting()
    assert best is not None
    assert (best.name, best.precision, best.licence) == (name, precision, LICENCES[name])
    assert best.needed <= best.free
    assert best.name not in NOT_COMMERCIAL


def test_best_fitting_on_a_gpu_without_room_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    on("cuda", 0.5, monkeypatch)
    assert best_fitting() is None


@pytest.mark.parametrize(("small_ms", "name"), [(None, None), (100, None), (40, DCODER)])
def test_best_fitting_on_a_cpu_depends_on_its_speed(
    monkeypatch: pytest.MonkeyPatch, small_ms: float | None, name: str | None
) -> None:
    on("cpu", 64, monkeypatch)
    monkeypatch.setattr(fitting, "known_speeds", lambda: {} if small_ms is None else {SMALL: small_ms})
    best = best_fitting()
    assert (best.name if best else None) == name


def test_fills_code_has_the_sizes_in_the_models_names() -> None:
    for name, billions in ((DREAM, 7.6), (DCODER, 0.49)):
        family = family_of(FILLS_CODE[name])
        assert family is not None
        assert family.size(FILLS_CODE[name]).values == pytest.approx(billions * 1e9, rel=0.01)
