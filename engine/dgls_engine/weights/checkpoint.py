"""Reads a model's folder without its weights: the config, and the header of each safetensors file.

Rejects a bad model before any memory is allocated: unknown architectures, remote code, pickled or quantised weights,
missing shards, truncated files. Imports no torch; may be used from any thread.
"""

from __future__ import annotations

import json
import math
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgls_engine.errors import BrokenCheckpoint, ModelNotFound, UnsupportedModel
from dgls_engine.model.families import FAMILIES, LARGE, family_of
from dgls_engine.model.family import Family
from dgls_engine.profile import read_json

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"

_FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_MAX_HEADER = 100 * 2**20
_MAX_DIMENSIONS, _MAX_LAYERS = 8, 1000
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor's file, and its shape and dtype from the file's header. Its values begin at the byte `start`, in row
    order and little-endian."""

    file: Path
    shape: tuple[int, ...]
    dtype: str
    start: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * _FLOAT_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with a model of a known family. All its files are present and complete."""

    folder: Path
    family: Family
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    @property
    def elements(self) -> int:
        """The number of stored values; tied weights are stored once."""
        return sum(tensor.elements for tensor in self.tensors.values())


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the folder's config and tensor headers.

    Raises `ModelNotFound` if the folder holds no model, `UnsupportedModel` or `BrokenCheckpoint`.
    """
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"{folder} holds no model (it has no config.json); `dgls models` lists the models here")
    config = read_json(folder / "config.json")
    family = require_family(config, folder)
    if _layers(config) > _MAX_LAYERS:
        raise BrokenCheckpoint(
            f"{folder / 'config.json'} has more than {_MAX_LAYERS} layers, as no model has; fetch the model again"
        )
    tensors: dict[str, StoredTensor] = {}
    indexed = _weight_files(folder)
    adapters = [folder / name for name in family.adapter_files if (folder / name).is_file()]
    for file in [*sorted(set(indexed.values()) or _unindexed_files(folder)), *adapters]:
        for name, tensor in read_header(file).items():
            if name in tensors:
                raise BrokenCheckpoint(
                    f"{name} is both in {tensors[name].file.name} and in {file.name} of {folder}; fetch the model again"
                )
            tensors[name] = tensor
    missing = sorted(name for name, file in indexed.items() if name not in tensors or tensors[name].file != file)
    if missing:
        raise BrokenCheckpoint(
            f"{listed(missing)} in {folder / INDEX_FILE}, but not in the files it names; fetch the model again"
        )
    return Checkpoint(folder, family, config, tensors)


def _layers(config: Mapping[str, Any]) -> int:
    """The largest number of layers that a config or a part of it names or lists. Building a million takes minutes."""
    parts = [config, *(part for part in config.values() if isinstance(part, Mapping))]
    named = [number for part in parts if isinstance(number := part.get("num_hidden_layers"), int)]
    listed = [len(value) for part in parts for value in part.values() if isinstance(value, list)]
    return max([*named, *listed], default=0)


def require_family(config: Mapping[str, Any], folder: Path) -> Family:
    """The family of a config. Raises `UnsupportedModel` if there is none, if the weights are quantised, or if the model
    needs remote code."""
    if "auto_map" in config:
        raise UnsupportedModel(
            f"the model in {folder} needs its own code (auto_map), which dgls never runs; take another model"
        )
    family = family_of(config)
    if family is None:
        architectures = config.get("architectures") or [f"model type {config.get('model_type')!r}"]
        known = [name for known_family in FAMILIES for name in known_family.architectures]
        raise UnsupportedModel(
            f"the model in {folder} is a {', '.join(map(str, architectures))}; only {_either(known)} can infill, "
            f"such as {LARGE.name}"
        )
    if config.get("quantization_config"):
        raise UnsupportedModel(
            f"the weights in {folder} are quantised, which is not supported; take the bf16 checkpoint"
        )
    return family


def read_header(file: Path) -> dict[str, StoredTensor]:
    """The tensors in a safetensors file (https://github.com/huggingface/safetensors#format): eight bytes with the
    header's length, the header in JSON, the values. Raises `BrokenCheckpoint` if the file is truncated or damaged."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a FIFO would wait for a writer
            raise ValueError("it is no regular file")
        size = status.st_size
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _MAX_HEADER):
                raise ValueError("its header is truncated")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        ends = [_end_of(entry) for entry in header.values()]
    except FileNotFoundError:
        raise BrokenCheckpoint(f"{file} is missing; fetch the model again") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error) as error:
        raise BrokenCheckpoint(f"{file} is not a complete safetensors file ({error}); fetch the model again") from None
    if size != 8 + length + max(ends, default=0):
        raise BrokenCheckpoint(
            f"{file} has {size} bytes instead of {8 + length + max(ends, default=0)}; fetch the model again"
        )
    unknown = {entry["dtype"] for entry in header.values()} - set(_FLOAT_BYTES)
    if unknown:
        raise UnsupportedModel(
            f"{file} holds {', '.join(sorted(unknown))} tensors; quantised weights are not supported, take bf16"
        )
    tensors: dict[str, StoredTensor] = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        tensors[name] = tensor = StoredTensor(file, tuple(entry["shape"]), entry["dtype"], 8 + length + start)
        if end - start != tensor.bytes:
            raise BrokenCheckpoint(
                f"{file}: {name} has {end - start} bytes, but its shape needs {tensor.bytes}; fetch the model again"
            )
    return tensors


def listed(names: list[str], limit: int = 3) -> str:
    """The first `limit` names and the number of all names, for an error message."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more ({len(names)} in all)" if rest > 0 else "")


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _end_of(entry: dict[str, Any]) -> int:
    start, end = entry["data_offsets"]
    if not (isinstance(entry["dtype"], str) and _is_shape(entry["shape"])):
        raise ValueError("a tensor has no valid dtype or shape")
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end):
        raise ValueError("a tensor has impossible offsets")
    return int(end)


def _is_shape(shape: object) -> bool:
    """Whether a shape is one that a model can have: the product of a long shape takes long."""
    return (
        isinstance(shape, list)
        and len(shape) <= _MAX_DIMENSIONS
        and all(isinstance(size, int) and 0 <= size < 2**48 for size in shape)
    )


def _weight_files(folder: Path) -> dict[str, Path]:
    """Tensor name -> file, from the index file; empty if there is no index file. Rejects files outside the folder."""
    if not (folder / INDEX_FILE).is_file():
        return {}
    weight_map = read_json(folder / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BrokenCheckpoint(f"{folder / INDEX_FILE} has no weight_map; fetch the model again")
    for file in weight_map.values():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise BrokenCheckpoint(
                f"{folder / INDEX_FILE} names {file!r}, which is no safetensors file beside it; fetch the model again"
            )
    missing = sorted({file for file in weight_map.values() if not (folder / file).is_file()})
    if missing:
        raise BrokenCheckpoint(f"{folder} lacks {listed(missing)}; fetch the model again")
    return {name: folder / file for name, file in weight_map.items()}


def _unindexed_files(folder: Path) -> list[Path]:
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    if any(folder.glob("*.safetensors")):
        raise BrokenCheckpoint(
            f"{folder} has safetensors files, but neither {SINGLE_FILE} nor {INDEX_FILE}; fetch the model again"
        )
    if any(True for pattern in _PICKLED for _ in folder.glob(pattern)):
        raise UnsupportedModel(
            f"the weights in {folder} are pickled, which can run code; take a checkpoint with safetensors files"
        )
    raise BrokenCheckpoint(f"{folder} holds no weights ({SINGLE_FILE}); fetch the model again")
