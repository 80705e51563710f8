"""`bench/gpu.py --small` runs on a CPU, and compares its figures with their aims."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from bench import gpu_phases
from bench.full_size import config, write_folder
from bench.gpu import AIMS, main, summary
from bench.gpu_phases import PHASES, Setup
from bench.rivals import as_published
from dgls_engine.model.diffusion_gemma.memory import PUBLISHED
from dgls_engine.model.diffusion_gemma.norms import fuse_all
from dgls_engine.model.diffusion_gemma.skeleton import described
from dgls_engine.weights.random_weights import random_model
from tests.engine.checkpoints import masked_checkpoint
from tests.engine.published import published_checkpoint


def test_config_full_size_is_published() -> None:
    assert described(config(small=False)) == PUBLISHED


def test_gpu_small_phases_end_in_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each phase is a process of its own."""
    command = ["bench/gpu.py", "--small", "--device", "cpu", "--rounds", "1", "--only", "copy"]
    monkeypatch.setattr(sys, "argv", command)
    assert main() == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["phases"]["copy"]["copy_gb_s"] > 0
    assert result["small"]
    assert result["device"].startswith("CPU")
    assert result["ratio_to_generate"] is result["keystroke_p50_ms"] is None, "these phases did not run"


@pytest.mark.filterwarnings("ignore")  # transformers warns callers of `generate`
def test_phases_small_on_cpu_return_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_phases, "STEPS", 2)
    setup = Setup(write_folder(tmp_path / "model", small=True), "cpu", small=True, rounds=1)
    assert PHASES["throughput"](setup, "int4")["tokens_a_second"] > 0
    figures = PHASES["generate"](setup, "float32")
    assert min(figures["ours_ms"], figures["dynamic"]["ms"]) > 0


@pytest.mark.parametrize("kind", ["llama", "dream-coder"])
def test_phases_on_a_masked_model_return_figures(tmp_path: Path, kind: str) -> None:
    """In both layouts, with prompts and holes that fit its canvas."""
    folder = masked_checkpoint(tmp_path) if kind == "llama" else published_checkpoint(tmp_path, kind)
    setup = Setup(folder, "cpu", small=True, rounds=1, weights=True)
    assert PHASES["throughput"](setup, "int8")["tokens_a_second"] > 0
    assert PHASES["memory"](setup, "float32")["prompt"] == 512


def test_as_published_restores_transformers_norms() -> None:
    model = random_model(config(small=True), torch.device("cpu"), "float32")
    kinds = [type(module) for module in model.modules()]
    fuse_all(model)
    assert [type(module) for module in model.modules()] != kinds
    assert [type(module) for module in as_published(model).modules()] == kinds


def test_gpu_full_size_on_cpu_exits_with_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench/gpu.py", "--device", "cpu"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--small runs on a CPU" in capsys.readouterr().err


def test_summary_computes_ratios_of_phases() -> None:
    usual = {"ms_a_step": 20.0}
    phases = {
        "copy": {"copy_gb_s": 3000.0},
        "steps:bfloat16": {
            "weight_bytes": 45_000_000_000,
            "keystroke_ms_a_step": 20.0,
            "steps": {"512/16": {"ms_a_step": 18.0}, "4096/32": usual, "4096/224": {"ms_a_step": 40.0}},
        },
        "steps:int4": {"failed": "out of memory"},
        "generate": {"ours_ms": 240.0, "dynamic": {"ms": 960.0}, "static": {"failed": "no such thing"}},
        "sibling": {"dynamic": {"ms_32": 480.0, "ms_longest": 3000.0}, "static": {"ms_32": 120.0, "ms_longest": 900.0}},
        "throughput:bfloat16": {"ms": 300.0, "tokens_a_second": 750.0},
    }
    figures = summary(phases)
    assert figures["step_over_floor_bf16"] == pytest.approx(20.0 / 15.0, abs=0.01), "without the long hole"
    assert figures["step_over_floor_int4"] is None
    assert figures["generate_over_ours_bf16"] == 4.0
    assert figures["sibling_over_ours_at_224"] == 3.0, "its better cache"
    assert figures["sibling_over_ours_at_32"] == 0.5
    assert set(AIMS) <= set(figures)
