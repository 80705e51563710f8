"""What a load packed the next one reads; what is damaged, half-written or out of date is made again or not seen."""

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

EXPERTS = "experts."


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_checkpoint(tmp_path_factory.mktemp("source"))


@pytest.fixture
def source(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "model"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in which even a small model's experts are kept."""
    monkeypatch.setattr(quantised, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setattr(kept, "WORTH_KEEPING", 0)
    return quantised.cache_folder()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is read of the checkpoint."""
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
def test_the_second_load_reads_what_the_first_one_packed(source: Path, read: list[str], dtype: str) -> None:
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


def test_what_is_packed_is_near_what_was_not(source: Path) -> None:
    exact, eight, four = (logits(load(source, "cpu", dtype)) for dtype in ("float32", "fp8", "int4"))
    spread = exact.std()
    assert (eight - exact).norm() < (four - exact).norm() < spread * exact.numel() ** 0.5


def test_encoder_and_decoder_share_what_is_packed(source: Path) -> None:
    model = load(source, "cpu", "int4").model.model
    theirs = experts.installed(model.encoder.language_model.layers[1].experts)
    ours = experts.installed(model.decoder.layers[1].experts)
    assert theirs is not None
    assert ours is not None
    assert theirs[0].values is ours[0].values


def test_each_packing_has_its_own(source: Path) -> None:
    load(source, "cpu", "int4")
    load(source, "cpu", "fp8")
    assert sorted(entry.packing for entry in entries()) == ["fp8", "int4"]


def test_a_small_model_is_not_worth_it(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "WORTH_KEEPING", 10**8)
    load(source, "cpu", "int4")
    assert not entries()


def test_plain_weights_leave_nothing(source: Path) -> None:
    load(source, "cpu", "bfloat16")
    assert not entries()


def touch(source: Path) -> None:
    os.utime(source / "model.safetensors", ns=(1, 1))


def test_another_version_of_the_source_takes_the_place_of_the_first(source: Path, read: list[str]) -> None:
    load(source, "cpu", "int4")
    before = only()
    touch(source)
    assert before.orphaned
    read.clear()
    load(source, "cpu", "int4")
    assert any(EXPERTS in name for name in read)
    assert only().folder != before.folder


def test_an_edit_that_leaves_size_and_time_as_they_were_is_seen(source: Path, read: list[str]) -> None:
    """Such as an archive that gives all its files one time."""
    load(source, "cpu", "int4")
    file = source / "model.safetensors"
    before, weights = file.stat(), bytearray(file.read_bytes())
    weights[len(weights) // 2 :] = bytes(byte ^ 1 for byte in weights[len(weights) // 2 :])
    file.write_bytes(weights)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    load(source, "cpu", "int4")
    assert any(EXPERTS in name for name in read)


def test_another_way_of_packing_is_another_entry(source: Path) -> None:
    files = [source / "model.safetensors"]
    assert entry_of(source, files, "int4", 1).folder != entry_of(source, files, "int4", 2).folder


def test_the_hubs_files_are_known_by_their_names(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"anything")
    (tmp_path / "model.safetensors").symlink_to(blob)
    assert fingerprint(tmp_path / "model.safetensors") == "ab" * 32


def test_a_source_that_is_gone_leaves_an_orphan(source: Path) -> None:
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
def test_what_is_damaged_is_made_again(
    source: Path, read: list[str], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    whole = logits(load(source, "cpu", "int4"))
    DAMAGES[damage](only().folder)
    read.clear()
    assert torch.equal(logits(load(source, "cpu", "int4")), whole)
    assert any(EXPERTS in name for name in read)
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "are made again" in told
    read.clear()
    load(source, "cpu", "int4")
    assert not any(EXPERTS in name for name in read)


def test_what_breaks_while_it_is_read_is_packed(
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


def test_a_load_that_is_cut_off_leaves_nothing(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_a_crash_left_is_neither_seen_nor_kept(source: Path, cache: Path) -> None:
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


def test_what_a_crash_left_under_the_number_of_this_process_is_not_in_the_way(source: Path, cache: Path) -> None:
    """In a container the first process has the same number every time."""
    load(source, "cpu", "int4")
    made = only().folder
    shutil.move(made, made.with_name(f"{made.name}.{os.getpid()}.partial"))
    load(source, "cpu", "int4")
    assert made in [entry.folder for entry in entries()]


def test_no_room_is_told_in_one_line_and_gone_without(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quantised.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    assert load(source, "cpu", "int4").info.dtype == "int4"
    assert not entries()
    (told,) = [record.getMessage() for record in caplog.records]
    assert "too little room" in told
    assert "\n" not in told


def test_a_disk_that_fills_up_on_the_way_likewise(
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
    (told,) = [record.getMessage() for record in caplog.records]
    assert "No space left" in told


def test_where_nothing_can_be_written_the_model_still_loads(
    source: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert load(source, "cpu", "int4").info.dtype == "int4"
    assert len(caplog.records) == 1


def test_a_cache_that_is_not_ours_to_look_into_is_gone_without(
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
    (told,) = [record.getMessage() for record in caplog.records]
    assert "Permission denied" in told


def test_of_two_that_write_at_once_one_is_kept(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process is done while this one packs."""
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


def test_the_manifest_says_what_it_was_made_from(source: Path) -> None:
    load(source, "cpu", "int4")
    told = json.loads((only().folder / "manifest.json").read_text())
    assert told["files"] == {str(source / "model.safetensors"): fingerprint(source / "model.safetensors")}
    assert sorted(told["layers"]) == ["000.safetensors", "001.safetensors", "002.safetensors"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", ["int4", "fp8"])
def test_a_gpu_packs_and_keeps_what_a_cpu_does(source: Path, dtype: str) -> None:
    def weights(loaded: LoadedModel) -> Tensor:
        packed = experts.installed(loaded.model.model.decoder.layers[1].experts)
        assert packed is not None
        return torch.cat([unpack(own, torch.float32).flatten() for own in packed]).cpu()

    packed, again = load(source, "cuda", dtype), load(source, "cuda", dtype)
    assert all(tensor.is_cuda for tensor in [*packed.model.parameters(), *packed.model.buffers()])
    assert torch.equal(weights(packed), weights(again))
    shutil.rmtree(only().folder)
    exact = weights(load(source, "cpu", dtype))
    assert (weights(packed) - exact).norm() < 0.01 * exact.norm()  # a tie may be rounded either way
