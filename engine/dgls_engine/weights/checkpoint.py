"""Reads a model's folder without its weights: the config, and the header of each safetensors file.

Rejects a bad model before any memory is allocated: unknown architectures, remote code, pickled or quantised weights,
missing shards, truncated files. Imports no torch; may be used from any thread.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgls_engine.errors import BrokenCheckpoint, ModelNotFound, UnsupportedModel
from dgls_engine.model.families import FAMILIES, LARGE, family_of, refusal
from dgls_engine.model.family import Family
from dgls_engine.model_files import holds, read_json, regular_size, shown

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"

_FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_MAX_HEADER = 100 * 2**20
_MAX_DIMENSIONS, _MAX_LISTED = 8, 1000

_LARGEST = {
    "hidden_size": 2**17,
    "intermediate_size": 2**20,
    "moe_intermediate_size": 2**20,
    "num_hidden_layers": _MAX_LISTED,
    "num_attention_heads": 2**12,
    "num_key_value_heads": 2**12,
    "num_global_key_value_heads": 2**12,
    "head_dim": 2**14,
    "global_head_dim": 2**14,
    "num_experts": 2**14,
    "top_k_experts": 2**14,
    "vocab_size": 2**22,
    "max_position_embeddings": 2**30,
}
"""Sizes in a config, each some ten times that of the largest published model."""
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
    if not holds(folder / "config.json"):
        raise ModelNotFound(f"{folder} holds no model (it has no config.json); `dgls models` lists the models here")
    config = read_json(folder / "config.json")
    family = require_family(config, folder)
    tensors: dict[str, StoredTensor] = {}
    indexed = _weight_files(folder)
    adapters = [folder / name for name in family.adapter_files if holds(folder / name)]
    for file in [*sorted(set(indexed.values()) or _unindexed_files(folder)), *adapters]:
        for stored, tensor in read_header(file).items():
            if (name := family.slot_name(stored)) in tensors:
                raise BrokenCheckpoint(
                    f"{stored} is in {tensors[name].file.name} and in {file.name} of {folder}; fetch the model again"
                )
            tensors[name] = tensor
    found = {name: tensors.get(family.slot_name(name)) for name in indexed}
    missing = sorted(name for name, tensor in found.items() if tensor is None or tensor.file != indexed[name])
    if missing:
        raise BrokenCheckpoint(
            f"{listed(missing)} in {folder / INDEX_FILE}, but not in the files it names; fetch the model again"
        )
    return Checkpoint(folder, family, config, tensors)


def require_family(config: Mapping[str, Any], folder: Path) -> Family:
    """The family of a config. Raises `UnsupportedModel` if there is none, if the weights are quantised, or if the model
    needs remote code, and `BrokenCheckpoint` for sizes that no model has."""
    if (reason := refusal(config)) is not None:
        raise UnsupportedModel(f"the model in {folder} is a {reason}; take another model (docs/families.md)")
    family = family_of(config)
    if "auto_map" in config and (family is None or not family.replaces_code(config)):
        raise UnsupportedModel(
            f"the model in {folder} needs its own code (auto_map), which dgls never runs; take another model"
        )
    if family is None:
        named = config.get("architectures")
        kinds = named if isinstance(named, list) and named else [f"model type {config.get('model_type')!r}"]
        known = [name for known_family in FAMILIES for name in known_family.architectures]
        raise UnsupportedModel(
            f"the model in {folder} is a {shown(', '.join(map(str, kinds)))}; only {_either(known)} can infill, "
            f"such as {LARGE.name}"
        )
    if config.get("quantization_config"):
        raise UnsupportedModel(
            f"the weights in {folder} are quantised, which is not supported; take the bf16 checkpoint"
        )
    _require_sizes(config, {**_LARGEST, **family.largest}, folder / "config.json")
    return family


def _require_sizes(config: Mapping[str, Any], largest: Mapping[str, int], file: Path) -> None:
    """Raise `BrokenCheckpoint` for sizes in a config, or in a part of it, that no model has: to build a million layers
    takes minutes."""
    for part in (config, *(value for value in config.values() if isinstance(value, Mapping))):
        for name, value in part.items():
            most = largest.get(name)
            if most is not None and value is not None and not (type(value) is int and 0 <= value <= most):
                raise BrokenCheckpoint(
                    f"{name} in {file} is {shown(value)}, but must be a whole number from 0 to {most}; fetch the model "
                    "again"
                )
            if isinstance(value, list) and len(value) > _MAX_LISTED:
                raise BrokenCheckpoint(
                    f"{name} in {file} lists {len(value)} values, at most {_MAX_LISTED} are possible; fetch the model "
                    "again"
                )


def read_header(file: Path) -> dict[str, StoredTensor]:
    """The tensors in a safetensors file (https://github.com/huggingface/safetensors#format): eight bytes with the
    header's length, the header in JSON, the values. Raises `BrokenCheckpoint` if the file is truncated or damaged."""
    size = regular_size(file)
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _MAX_HEADER):
                raise ValueError("its header is truncated")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        ends = [_end_of(entry) for entry in header.values()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error) as error:
        raise BrokenCheckpoint(f"{file} is not a complete safetensors file ({error}); fetch the model again") from None
    if size != 8 + length + max(ends, default=0):
        raise BrokenCheckpoint(
            f"{file} has {size} bytes instead of {8 + length + max(ends, default=0)}; fetch the model again"
        )
    unknown = {entry["dtype"] for entry in header.values()} - set(_FLOAT_BYTES)
    if unknown:
        raise UnsupportedModel(
            f"{file} holds {shown(', '.join(sorted(unknown)))} tensors; quantised weights are not supported, take bf16"
        )
    tensors: dict[str, StoredTensor] = {}
    reached = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = entry["data_offsets"]
        tensors[name] = tensor = StoredTensor(file, tuple(entry["shape"]), entry["dtype"], 8 + length + start)
        if end - start != tensor.bytes:
            raise BrokenCheckpoint(
                f"{file}: {name} has {end - start} bytes, but its shape needs {tensor.bytes}; fetch the model again"
            )
        if start != reached:
            raise BrokenCheckpoint(f"{file}: {name} overlaps another tensor, or follows a gap; fetch the model again")
        reached = end
    return tensors


def listed(names: list[str], limit: int = 3) -> str:
    """The first `limit` names and the number of all names, for an error message."""
    rest = len(names) - limit
    return ", ".join(map(shown, names[:limit])) + (f" and {rest} more ({len(names)} in all)" if rest > 0 else "")


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
    if not holds(folder / INDEX_FILE):
        return {}
    weight_map = read_json(folder / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BrokenCheckpoint(f"{folder / INDEX_FILE} has no weight_map; fetch the model again")
    for file in weight_map.values():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise BrokenCheckpoint(
                f"{folder / INDEX_FILE} names {file!r}, which is no safetensors file beside it; fetch the model again"
            )
    missing = sorted({file for file in weight_map.values() if not holds(folder / file)})
    if missing:
        raise BrokenCheckpoint(f"{folder} lacks {listed(missing)}; fetch the model again")
    return {name: folder / file for name, file in weight_map.items()}


def _unindexed_files(folder: Path) -> list[Path]:
    if holds(folder / SINGLE_FILE):
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
