"""A load reads the experts that an earlier load packed, unless the entry is damaged, unfinished or out of date."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from dgls_engine.model.diffusion_gemma import experts
from dgls_engine.model.packing import unpack
from dgls_engine.weights import expert_cache as quantised
from dgls_engine.weights import loader
from dgls_engine.weights import packed_layers as kept
from dgls_engine.weights import streaming as filling
from dgls_engine.weights.expert_cache import Entry, entries, entry_of, fingerprint
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import chat_checkpoint
from tests.engine.full_disk import largest_file

EXPERTS = "experts."


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_checkpoint(tmp_path_factory.mktemp("source"))


@pytest.fixture
def source(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "model"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that keeps even a small model's experts."""
    monkeypatch.setattr(quantised, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setattr(kept, "WORTH_KEEPING", 0)
    return quantised.cache_folder()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tensors that were read from the checkpoint."""
    names: list[str] = []
    genuine = loader._read
    monkeypatch.setattr(loader, "_read", lambda name, *rest: names.append(name) or genuine(name, *rest))
    return names


@torch.no_grad()
def logits(loaded: LoadedModel) -> Tensor:
    prompt, canvas = torch.arange(5, 45)[None], torch.arange(60, 108)[None]
    result: Tensor = loaded.model(input_ids=prompt, decoder_input_ids=canvas).logits
    return result


def only() -> Entry:
    (entry,) = entries()
    return entry


@pytest.mark.parametrize("dtype", ["int4", "fp8"])
def test_load_second_time_reads_packed_experts(source: Path, read: list[str], dtype: str) -> None:
    first = load(source, "cpu", dtype)
    assert any(EXPERTS in name for name in read)
    read.clear()
    second = load(source, "cpu", dtype)
    assert read
    assert not any(EXPERTS in name for name in read)
    assert torch.equal(logits(first), logits(second))
    assert first.info.weight_bytes == second.info.weight_bytes
    assert only().bytes > 0
    assert (only().source, only().packing, only().orphaned) == (source, dtype, False)


def test_load_packed_logits_close_to_float32(source: Path) -> None:
    exact, eight, four = (logits(load(source, "cpu", dtype)) for dtype in ("float32", "fp8", "int4"))
    spread = exact.std()
    assert (eight - exact).norm() < (four - exact).norm() < spread * exact.numel() ** 0.5


def test_load_packed_shares_experts_between_encoder_and_decoder(source: Path) -> None:
    model = load(source, "cpu", "int4").model.model
    theirs = experts.installed(model.encoder.language_model.layers[1].experts)
    ours = experts.installed(model.decoder.layers[1].experts)
    assert theirs is not None
    assert ours is not None
    assert theirs[0].values is ours[0].values


def test_load_two_packings_keeps_two_entries(source: Path) -> None:
    load(source, "cpu", "int4")
    load(source, "cpu", "fp8")
    assert sorted(entry.packing for entry in entries()) == ["fp8", "int4"]


def test_load_small_model_keeps_no_entry(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "WORTH_KEEPING", 10**8)
    load(source, "cpu", "int4")
    assert not entries()


def test_load_plain_weights_keeps_no_entry(source: Path) -> None:
    load(source, "cpu", "bfloat16")
    assert not entries()


def touch(source: Path) -> None:
    os.utime(source / "model.safetensors", ns=(1, 1))


def test_load_changed_source_replaces_entry(source: Path, read: list[str]) -> None:
    load(source, "cpu", "int4")
    before = only()
    touch(source)
    assert before.orphaned
    read.clear()
    load(source, "cpu", "int4")
    assert any(EXPERTS in name for name in read)
    assert only().folder != before.folder


def test_load_source_edited_with_same_size_and_time_packs_again(source: Path, read: list[str]) -> None:
    """For example after unpacking an archive that gives all files the same time."""
    load(source, "cpu", "int4")
    file = source / "model.safetensors"
    before, weights = file.stat(), bytearray(file.read_bytes())
    weights[len(weights) // 2 :] = bytes(byte ^ 1 for byte in weights[len(weights) // 2 :])
    file.write_bytes(weights)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    load(source, "cpu", "int4")
    assert any(EXPERTS in name for name in read)


def test_entry_of_new_version_has_another_folder(source: Path) -> None:
    files = [source / "model.safetensors"]
    assert entry_of(source, files, "int4", 1).folder != entry_of(source, files, "int4", 2).folder


def test_fingerprint_hub_blob_is_its_name(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"anything")
    (tmp_path / "model.safetensors").symlink_to(blob)
    assert fingerprint(tmp_path / "model.safetensors") == "ab" * 32


def test_entry_source_removed_is_orphaned(source: Path) -> None:
    load(source, "cpu", "int4")
    shutil.rmtree(source)
    assert only().orphaned
    only().remove()
    assert not entries()


def cut(folder: Path) -> None:
    (folder / "001.safetensors").write_bytes((folder / "001.safetensors").read_bytes()[:-5])


def blot(folder: Path) -> None:
    data = (folder / "001.safetensors").read_bytes()
    (folder / "001.safetensors").write_bytes(data[:-20] + bytes(20))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a file cut": cut,
    "a file blotted": blot,
    "a file lost": lambda folder: (folder / "000.safetensors").unlink(),
    "the manifest lost": lambda folder: (folder / "manifest.json").unlink(),
    "the manifest garbled": lambda folder: (folder / "manifest.json").write_text('["x"]'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_load_damaged_entry_packs_again(
    source: Path, read: list[str], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    whole = logits(load(source, "cpu", "int4"))
    DAMAGES[damage](only().folder)
    read.clear()
    assert torch.equal(logits(load(source, "cpu", "int4")), whole)
    assert any(EXPERTS in name for name in read)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "will be packed again" in message
    read.clear()
    load(source, "cpu", "int4")
    assert not any(EXPERTS in name for name in read)


def test_load_layer_damaged_during_read_packs_the_rest(
    source: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = logits(load(source, "cpu", "int4"))
    cut(only().folder)
    read.clear()
    with monkeypatch.context() as patched:
        patched.setattr(kept, "whole", lambda *_: True)
        assert torch.equal(logits(load(source, "cpu", "int4")), whole)
    assert len(caplog.records) == 1
    assert not any(f"layers.0.{EXPERTS}" in name for name in read)
    assert any(f"layers.1.{EXPERTS}" in name for name in read)
    assert not entries()


def test_load_interrupted_leaves_no_files(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, calls = filling.pack, []

    def interrupted(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) > 3:
            assert [path.name for path in cache.iterdir()] == [path.name for path in cache.glob("*.partial")] != []
            raise KeyboardInterrupt
        return genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(filling, "pack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(source, "cpu", "int4")
    assert not list(cache.iterdir())


def test_load_after_crash_removes_abandoned_entries(source: Path, cache: Path) -> None:
    gone, others, stale = (
        cache / f"model-int4-00.{number}.{part}.partial"
        for number, part in ((999_999_999, "0a"), (os.getppid(), "0b"), (os.getppid(), "0c"))
    )
    for folder in (gone, others, stale):
        folder.mkdir(parents=True)
    os.utime(stale, (1, 1))
    assert not entries()
    load(source, "cpu", "int4")
    assert [folder.exists() for folder in (gone, others, stale)] == [False, True, False]


def test_load_after_crash_of_same_process_number_writes_entry(source: Path, cache: Path) -> None:
    """In a container, the first process always has the same number."""
    load(source, "cpu", "int4")
    made = only().folder
    shutil.move(made, made.with_name(f"{made.name}.{os.getpid()}.partial"))
    load(source, "cpu", "int4")
    assert made in [entry.folder for entry in entries()]


def test_load_full_disk_warns_and_keeps_no_entry(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quantised.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    assert load(source, "cpu", "int4").info.dtype == "int4"
    assert not entries()
    (message,) = [record.getMessage() for record in caplog.records]
    assert "too little room" in message
    assert "\n" not in message


def test_load_disk_fills_during_write_warns_and_keeps_no_entry(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    genuine = kept.save_file

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        if path.name.startswith("001"):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        genuine(tensors, path)

    monkeypatch.setattr(kept, "save_file", full)
    assert load(source, "cpu", "int4").info.dtype == "int4"
    assert not list(cache.iterdir())
    (message,) = [record.getMessage() for record in caplog.records]
    assert "No space left" in message


@pytest.mark.parametrize("room", [0, 2000])
def test_load_disk_takes_no_whole_file_warns_and_keeps_no_entry(
    room: int, source: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with largest_file(room):
        assert load(source, "cpu", "int4").info.dtype == "int4"
    assert not list(cache.iterdir())
    (message,) = [record.getMessage() for record in caplog.records]
    assert "are not kept" in message


def test_load_cache_not_writable_still_loads(source: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert load(source, "cpu", "int4").info.dtype == "int4"
    assert len(caplog.records) == 1


def test_load_cache_not_readable_warns_and_loads(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    genuine = os.stat

    def refusing(path: object, *rest: object, **named: object) -> object:
        if "experts/model-int4-" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return genuine(path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", refusing)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: refusing("experts/model-int4-"))
    assert load(source, "cpu", "int4").info.dtype == "int4"
    (message,) = [record.getMessage() for record in caplog.records]
    assert "Permission denied" in message


def test_load_two_writers_keep_one_entry(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process finishes while this one packs."""
    load(source, "cpu", "int4")
    made = only().folder
    aside = shutil.move(made, cache.parent / "aside")
    genuine = filling.pack

    def overtaken(*arguments: object) -> object:
        if not made.exists():
            shutil.copytree(aside, made)
        return genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(filling, "pack", overtaken)
    load(source, "cpu", "int4")
    assert only().folder == made
    assert [path.name for path in cache.iterdir()] == [made.name]


def test_manifest_lists_source_files_and_layers(source: Path) -> None:
    load(source, "cpu", "int4")
    manifest = json.loads((only().folder / "manifest.json").read_text())
    assert manifest["files"] == {str(source / "model.safetensors"): fingerprint(source / "model.safetensors")}
    assert sorted(manifest["layers"]) == ["000.safetensors", "001.safetensors", "002.safetensors"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", ["int4", "fp8"])
def test_load_on_gpu_packs_like_cpu(source: Path, dtype: str) -> None:
    def weights(loaded: LoadedModel) -> Tensor:
        packed = experts.installed(loaded.model.model.decoder.layers[1].experts)
        assert packed is not None
        return torch.cat([unpack(projection, torch.float32).flatten() for projection in packed]).cpu()

    packed, again = load(source, "cuda", dtype), load(source, "cuda", dtype)
    assert all(tensor.is_cuda for tensor in [*packed.model.parameters(), *packed.model.buffers()])
    assert torch.equal(weights(packed), weights(again))
    shutil.rmtree(only().folder)
    exact = weights(load(source, "cpu", dtype))
    assert (weights(packed) - exact).norm() < 0.01 * exact.norm()  # a tie may be rounded either way
