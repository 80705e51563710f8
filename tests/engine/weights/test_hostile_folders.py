"""Model folders whose files are no files, claim too much or nest too deeply: each gives a clear error at once."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dgls_engine.errors import EngineError
from dgls_engine.weights.files import read_files
from tests.engine.checkpoints import raw_checkpoint

DEEP = "[" * 100_000 + "]" * 100_000


def fifo(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def large(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, 3 << 30)


def holding(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def header(text: bytes, length: int | None = None) -> Callable[[Path], None]:
    head = struct.pack("<Q", len(text) if length is None else length)

    def change(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(head + text)

    return change


def many_layers(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"num_hidden_layers": 10**6, "layer_types": ["full_attention"] * 10**6}
    (folder / "config.json").write_text(json.dumps(config))


def shaped(shape: list[int]) -> Callable[[Path], None]:
    return header(json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode())


CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo tokenizer": (fifo("tokenizer.json"), "no regular file"),
    "fifo config": (fifo("config.json"), "config.json"),
    "fifo weights": (fifo("model.safetensors"), "model.safetensors"),
    "large config": (large("config.json"), "at most"),
    "large tokenizer": (large("tokenizer.json"), "at most"),
    "deep config": (holding("config.json", DEEP), "too deeply"),
    "deep tokenizer": (holding("tokenizer.json", DEEP), "too deeply"),
    "deep header": (header(b'{"a":' * 5000 + b"1" + b"}" * 5000), "recursion"),
    "long header": (header(b"{}", 2**60), "truncated"),
    "many layers": (many_layers, "layers"),
    "many dimensions": (shaped([1] * 100_000), "valid dtype or shape"),
    "huge dimension": (shaped([2**60, 0]), "valid dtype or shape"),
}


@pytest.mark.parametrize(("change", "message"), CASES.values(), ids=CASES)
def test_read_files_hostile_folder_raises_a_clear_error(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    change(raw_checkpoint(tmp_path))
    with pytest.raises(EngineError, match=message) as raised:
        read_files(tmp_path)
    assert "\n" not in str(raised.value)
