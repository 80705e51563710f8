"""A run in legs, on machines that keep no files: parcels carry it from one to the next."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from dgls_engine.engine import Engine
from dgls_engine.peer import Peer, is_peer
from dgls_training import corpus, parcel
from dgls_training.commands import export, leg, unpack
from dgls_training.corpus import Source
from dgls_training.run_folder import last_record

TEXT = "".join(f"def add_{i}(left, right):\n    return left + right * {i}\n\n" for i in range(40))
TINY = {"hidden": 32, "layers": 2, "vocabulary": 320, "prompt": 48, "canvas": 64, "hole": 32, "batch": 2, "workers": 0}
one_step = partial(leg, leg_minutes=0.0, device="cpu", threads=1, package_megabytes=8, **TINY)


def machine(folder: Path) -> Path:
    """A fresh machine's run folder, whose corpus is gathered."""
    run = folder / "large"
    run.mkdir(parents=True)
    for name in ("training", "held_out"):
        corpus.save([Source("made-up", "MIT", "made_up.py", TEXT)], run / f"{name}.jsonl")
    corpus.packages(run)
    return run


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_leg_on_fresh_machines_continues_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = machine(tmp_path / "first"), machine(tmp_path / "second")
    one_step(minutes=100, out=tmp_path / "1", back=None, run=first)
    one_step(minutes=100, out=tmp_path / "2", back=tmp_path / "1", run=second)
    assert steps(second) == [1, 2]
    assert last_record(second)["tokens"] > last_record(first)["tokens"]
    assert "call `leg` again" in capsys.readouterr().out

    third, home = machine(tmp_path / "third"), tmp_path / "home"
    one_step(minutes=1e-6, out=tmp_path / "3", back=tmp_path / "2", run=third)
    assert "large-peer: done" in capsys.readouterr().out, "the denoiser's minutes were spent, so the peer had its turn"
    assert not (tmp_path / "3" / "large").exists()
    unpack(tmp_path / "2" / "large", home / "large")
    unpack(tmp_path / "3" / "large-peer", home / "large-peer")
    for name, open_model in (("large", Engine.open), ("large-peer", Peer.open)):
        export(home / name, home / "models" / name)
        assert is_peer(home / "models" / name) is (open_model == Peer.open)
        training = json.loads((home / "models" / name / "training.json").read_text())
        assert training["packages"] == ["made-up"]
        assert training["tokens"] == last_record(home / name)["tokens"]
        with open_model(home / "models" / name, "cpu") as model:
            assert (model.profile.max_prompt_tokens, model.profile.canvas_tokens) == (48, 64)


def test_parcel_splits_into_small_pieces_and_restores_weights(tmp_path: Path) -> None:
    run, again = machine(tmp_path), tmp_path / "again"
    one_step(minutes=100, out=tmp_path / "out", back=None, run=run)
    pieces = parcel.pack(run, tmp_path / "parcel", piece_bytes=50_000)
    assert len(pieces) > 1
    assert all(piece.stat().st_size <= 50_000 for piece in pieces)
    parcel.unpack(tmp_path / "parcel", again)
    old, new = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (run, again))
    assert new["progress"] == old["progress"]
    for name, weights in old["model"].items():
        assert torch.equal(new["model"][name], weights.to(torch.bfloat16)), name
    assert (again / "checkpoint.pt").stat().st_size < 2.2 * sum(p.numel() for p in _apart(old["model"])) + 200_000
    assert (again / "log.jsonl").read_bytes() == (run / "log.jsonl").read_bytes()
    assert not parcel.unpack(tmp_path / "nothing", tmp_path / "none")


def _apart(weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Each tensor once."""
    return list({tensor.data_ptr(): tensor for tensor in weights.values()}.values())
