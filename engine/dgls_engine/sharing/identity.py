"""Tells apart what must not be shared: everything that makes a model's answers differ.

Reads names, sizes and times of a model's files, no content. Imports no torch; any thread, blocks for the disk.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dgls_engine.weights.auto import resolved
from dgls_engine.weights.hub import locate

_WIRE = 2
"""The version of what `wire` says. Raise it with each change: processes with different versions must not meet."""

_SMALL = 1_000_000_000
"""Bytes of weights. Every machine that runs one such model has room for a few."""

_VISIBLE = ("CUDA_VISIBLE_DEVICES", "PYTORCH_MPS_HIGH_WATERMARK_RATIO")
"""Variables that change what a device's name means."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`name` is what people call the model, `folder` has its files. Processes with equal digests share it."""

    name: str
    folder: Path
    digest: str
    weight_bytes: int

    @property
    def small(self) -> bool:
        """Whether every window can load a copy of its own. Two processes must decide this alike, so it depends on the
        files alone."""
        return self.weight_bytes < _SMALL


def identity_of(model: str, *settings: object) -> Identity:
    """`settings` are the others that an open model depends on. Raises the errors of `locate`."""
    name = resolved(model)
    folder = locate(name).resolve()
    files = sorted((file.name, status.st_size, status.st_mtime_ns) for file, status in _files(folder))
    said = [_WIRE, _version(), _user(), str(folder), files, *map(str, settings), *map(os.environ.get, _VISIBLE)]
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:20]
    weights = sum(size for file, size, _ in files if file.endswith((".safetensors", ".gguf")))
    return Identity(name, folder, digest, weights)


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    return [(file, file.stat()) for file in folder.iterdir() if file.is_file()]


def _version() -> str:
    try:
        return version("dgls")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
