"""`doctor` and `models`, and what all commands share."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import dgls.cli.doctor
import dgls.cli.models
from dgls import cli
from dgls.cli.arguments import build_parser
from dgls_engine.calibration import Calibration
from dgls_engine.model.diffusion_gemma.skeleton import described
from dgls_engine.weights.expert_cache import Writing, entry_of
from dgls_engine.weights.fitting import Fitting
from dgls_engine.weights.hub import Installed, PullPlan
from dgls_engine.weights.hub_client import RemoteFile
from dgls_engine.weights.saved_calibration import save
from tests.cli.conftest import Run
from tests.engine.checkpoints import raw_checkpoint, without_numbers

PLAN = PullPlan("some/model", (RemoteFile("a.safetensors", 3_000_000_000, False),), Path("/cache"), 10**12)


def test_help_names_every_command(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    for command in ("serve", "infill", "fill", "rewrite", "demo", "calibrate", "doctor", "models"):
        assert command in outcome.out


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["serve", "--tcp", "70000"], ["infill"], ["fill"], ["models", "push"]]
)
def test_run_usage_error_exits_2_in_one_line(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "--help" in outcome.err


def test_run_ascii_terminal_replaces_other_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()

    def show(_: object) -> int:
        print("caf\xe9")
        return 0

    monkeypatch.setattr(cli, "_dispatch", show)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert cli.run(["doctor"]) == 0
    assert written.getvalue() == b"caf?\n"


def test_run_ctrl_c_exits_130_silently(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupt)
    outcome = run("doctor")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")


def test_run_closed_pipe_prints_no_traceback() -> None:
    program = "import sys; from dgls import cli; sys.stdout.close(); sys.stdout = open(1, 'w'); cli.main(['doctor'])"
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{program}" | head -c 1'], capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize("text", ["short", "long" * 10_000])
def test_run_full_disk_exits_2_in_one_line(text: str) -> None:
    program = f"from dgls import cli; cli._dispatch = lambda _: print({text!r}) or 0; cli.main(['doctor'])"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "the output cannot be written: " in done.stderr


def test_doctor_problems_have_advice(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fake = tmp_path / "nvim"
    fake.write_text("#!/bin/sh\necho NVIM v0.9.1\n".replace("#!/bin/sh", f"#!{shutil.which('sh', path='/bin')}"))
    fake.chmod(0o755)
    outcome = run("doctor")
    assert "Neovim 0.9" in outcome.out
    assert "update Neovim" in outcome.out
    assert "torch: " in outcome.out
    assert "grammars: " in outcome.out


def leave(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("device", "weights.precision"):
        monkeypatch.setattr(f"dgls_engine.{module}.free_memory", lambda device: free)


def test_doctor_too_large_model_says_so(run: Run, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr(dgls.cli.doctor, "installed", lambda: [Installed("some/model", model, 10, 5, None)])
    whole = run("doctor").out.split("model: some/model")[1].split("model: ")[0]
    assert re.search(r"float32: weights .* \(experts .*, attention .*, dense .*, embedding .*\) \+ a prompt of", whole)
    assert "fits" in whole
    leave(1_000_000, monkeypatch)
    short = run("doctor").out.split("model: some/model")[1].split("model: ")[0]
    assert "too much for the 1.0 MB that are free" in short
    assert re.search(r"the model needs .* in float32 on CPU.*, 1\.0 MB are free; close other programs", short)


def test_doctor_large_model_lists_precisions_that_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(32_000_000_000, monkeypatch)
    report = run("doctor").out.split("is not in the local cache")[1]
    assert re.search(r"bfloat16: weights 50\.5 GB \(.*too much for the 32\.0 GB", report)
    assert re.search(r"fp8: weights 27\.7 GB \(.*: fits", report)
    assert re.search(r"int4: weights 17\.3 GB \(experts 12\.5 GB, .*: fits", report)


def test_doctor_without_gpu_names_precision_that_fits(run: Run, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    """On a CPU `auto` takes bfloat16."""
    monkeypatch.setattr("dgls_engine.weights.precision._TINY", 0)
    monkeypatch.setattr("dgls_engine.weights.precision._SMALL", 0)
    needed = described(json.loads((model / "config.json").read_text())).footprint("fp8", 2, 64, fused=False).total
    monkeypatch.setattr(dgls.cli.doctor, "installed", lambda: [Installed("some/model", model, 10, 5, None)])
    leave(needed, monkeypatch)
    assert "`dgls.dtype` (or `--dtype`) fp8 fits" in run("doctor").out


def test_doctor_missing_model_exits_1(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dgls_engine.weights.hub.embedded_folder", lambda: tmp_path / "gone")
    outcome = run("doctor")
    assert outcome.code == 1
    assert "reinstall dgls" in outcome.out


def test_doctor_fills_a_hole_and_says_what_it_took(run: Run, model: Path) -> None:
    outcome = run("doctor", "--model", model, "--threads", 1)
    assert outcome.code == 0
    assert f"model: {model}, canvas of 96 tokens: chosen by `--model`" in outcome.out
    assert re.search(r"^ok fill: return '.*': \d+ ms and \d+ steps after \d+\.\d s to load$", outcome.out, re.M)


def test_doctor_weights_without_numbers_exits_1_with_advice(run: Run, tmp_path: Path) -> None:
    outcome = run("doctor", "--model", without_numbers(raw_checkpoint(tmp_path)))
    assert outcome.code == 1
    assert f"!! fill: {tmp_path} cannot fill a hole\n   the model computes values that are no numbers" in outcome.out


def test_doctor_file_other_than_pulled_exits_1_with_its_name(run: Run, tmp_path: Path) -> None:
    folder = raw_checkpoint(tmp_path)
    (folder / "digests.json").write_text(json.dumps({"model.safetensors": "0" * 64}))
    outcome = run("doctor", "--model", folder)
    assert outcome.code == 1
    assert f"{folder / 'model.safetensors'} differs from what was pulled; fetch the model again" in outcome.out


def test_doctor_libraries_that_do_not_fit_exits_1_with_the_reason(
    run: Run, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    def incompatible(*_: object) -> None:
        raise TypeError("update() got an unexpected keyword argument 'kwargs'")

    monkeypatch.setattr("dgls_engine.engine.Engine.infill", incompatible)
    outcome = run("doctor", "--model", model)
    assert outcome.code == 1
    assert "cannot fill a hole (TypeError: update() got an unexpected keyword argument 'kwargs')" in outcome.out
    assert "update dgls" in outcome.out


@pytest.mark.parametrize(
    "words",
    [
        ["infill", "a.py:1:1"],
        ["fill", "a.py"],
        ["rewrite", "a.py:1"],
        ["demo"],
        ["doctor"],
        ["eval", "--fixtures"],
        ["calibrate", "--source", "src"],
    ],
    ids=lambda words: str(words[0]),
)
def test_command_that_runs_the_model_takes_threads(words: list[str]) -> None:
    assert build_parser().parse_args([*words, "--threads", "3"]).threads == 3
    assert build_parser().parse_args(words).threads is None


def test_doctor_names_calibration_in_use(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path
) -> None:
    monkeypatch.setattr("dgls_engine.weights.hub.embedded_folder", lambda: model)
    monkeypatch.setattr("dgls_engine.weights.saved_calibration.calibration_folder", lambda: tmp_path)
    assert "confidence: not calibrated" in run("doctor").out
    save(Calibration(show_above=0.125), model)
    assert "confidence: calibrated on your own code" in (out := run("doctor").out)
    assert "need a confidence of 0.125" in out


def test_models_lists_installed_and_available(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Installed("some/model", Path("/cache/some"), 5_000_000, 0, "weights are missing")
    monkeypatch.setattr(dgls.cli.models, "installed", lambda: [broken])
    outcome = run("models")
    assert "5.0 MB" in outcome.out
    assert "cannot be used: weights are missing" in outcome.out
    assert "google/diffusiongemma-26B-A4B-it" in outcome.out
    assert "51.6 GB to download; runs on one device, in bfloat16 with 52 GB, fp8 with 29 GB, int4 with 1" in outcome.out


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Packed experts of two models; the second model is gone."""
    monkeypatch.setattr("dgls_engine.weights.expert_cache.user_cache_path", lambda *_, **__: tmp_path / "cache")
    folders = []
    for name in ("here", "gone"):
        source = tmp_path / name / "model.safetensors"
        source.parent.mkdir()
        source.write_bytes(bytes(100))
        entry = entry_of(source.parent, [source], "int4", 1)
        with Writing(entry, 0) as writing:
            path = writing.path("000.safetensors")
            assert path is not None
            path.write_bytes(bytes(3_000_000))
            writing.written(path.name)
        folders.append(entry.folder)
    shutil.rmtree(tmp_path / "gone")
    return folders


def test_models_lists_packed_experts(run: Run, packed: list[Path], tmp_path: Path) -> None:
    lines = run("models").out.splitlines()
    here, gone = (
        next(line for line in lines if f"packed weights: int4 of {tmp_path / name}," in line)
        for name in ("here", "gone")
    )
    assert "3.0 MB" in here
    assert "clean" not in here
    assert "`dgls models clean` removes it" in gone


def test_models_clean_removes_orphans(run: Run, packed: list[Path]) -> None:
    assert run("models", "clean").code == 0
    assert [folder.exists() for folder in packed] == [True, False]
    assert run("models", "clean", "--all").code == 0
    assert [folder.exists() for folder in packed] == [False, False]
    assert "packed" not in run("models").out


def test_models_clean_removes_partial_folders(run: Run, packed: list[Path]) -> None:
    left = packed[0].with_name("model-int4-00.999999999.0a.partial")
    left.mkdir()
    assert "interrupted" in run("models", "clean").out
    assert not left.exists()
    assert "interrupted" not in run("models", "clean").out


@pytest.mark.parametrize(("typed", "fetched"), [("y", True), ("n", False), ("", False)])
def test_models_pull_asks_before_fetching(run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, fetched: bool) -> None:
    def pull(name: str, confirm: object, on_progress: object) -> Path | None:
        assert callable(confirm)
        assert callable(on_progress)
        if not confirm(PLAN):
            return None
        on_progress(3_000_000_000, 3_000_000_000)
        return Path("/cache/some")

    monkeypatch.setattr(dgls.cli.models, "pull", pull)
    monkeypatch.setattr("builtins.input", lambda *_: typed)
    outcome = run("models", "pull", "some/model")
    assert "3.0 GB to fetch" in outcome.out
    assert outcome.code == (0 if fetched else 1)
    assert ("/cache/some;" in outcome.out) == fetched


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("Dream-org/DreamOn-v0-7B", "Licence: Apache-2.0.\n"),
        ("Salesforce/CoDA-v0-Instruct", "Licence: CC-BY-NC-4.0; no commercial use.\n"),
        ("apple/DiffuCoder-7B-cpGRPO", "Its licence is not known here"),
    ],
)
def test_models_pull_says_the_licence_before_it_asks(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, terms: str
) -> None:
    monkeypatch.setattr(dgls.cli.models, "pull", lambda _, confirm, __: confirm(replace(PLAN, name=name)) or None)
    monkeypatch.setattr("builtins.input", lambda *_: "n")
    assert terms in run("models", "pull", name).out


BEST = Fitting("some/model", "int4", 5_700_000_000, 6_000_000_000, 15_200_000_000, "MIT", "a GPU")


@pytest.mark.parametrize("command", ["models", "doctor"])
def test_best_model_for_this_machine_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(dgls.cli.models, "best_fitting", lambda: BEST)
    said = run(command).out
    assert "best for this machine: some/model in int4, 5.7 GB of the 6.0 GB that are free on a GPU; 15.2 GB" in said
    assert "MIT, commercial use allowed" in said
    assert "`dgls models pull some/model` fetches it" in said
    monkeypatch.setattr(dgls.cli.models, "best_fitting", lambda: None)
    assert "best for this machine: small: no larger model" in run(command).out


def test_models_pull_without_terminal_fetches_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> str:
        raise EOFError

    monkeypatch.setattr(dgls.cli.models, "pull", lambda name, confirm, on_progress: confirm(PLAN))
    monkeypatch.setattr("builtins.input", nobody)
    outcome = run("models", "pull", "some/model")
    assert outcome.code == 2
    assert "consent" in outcome.err
