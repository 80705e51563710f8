"""A cache of packed experts on disk: a model that was packed once loads in seconds.

    entry_of(source, files, packing, version) -> Entry       # the folder, whether or not it exists
    whole(entry, names)                                      # whether the entry exists and is undamaged
    with Writing(entry, bytes) as writing: ...               # the entry exists after the block

An entry is a folder in the user's cache: a safetensors file for each layer, and a manifest. Its name ends in a hash of
the experts' source files and of the packing, so a new version of either gets a new entry. A writer renames the folder
to this name after it has written all files; the next write removes what a crash left. Sizes and samples of the files
reveal damage, without reading all 12 GB.

Folders and files only: imports no torch, any thread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

import psutil
from platformdirs import user_cache_path

from dgls_engine.errors import EngineError
from dgls_engine.weights.saved_calibration import label, sample

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"

_BLOB = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r".*\.(\d+)\.[0-9a-f]+\.partial")
_STALE = 3600.0
"""Seconds without a new file after which an unfinished entry is removed, even if a process with its writer's number
runs: containers reuse process numbers. To pack a layer takes a minute or two."""

_SPARE = 2**30
"""Bytes that a write leaves free on the disk."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The packed experts of the model in `source`. `files`: path -> fingerprint of their source files."""

    folder: Path
    source: Path
    packing: str
    files: Mapping[str, str]

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir()) if self.folder.is_dir() else 0

    @property
    def orphaned(self) -> bool:
        """Whether a source file is gone or has changed."""
        return any(_fingerprint_or_none(Path(path)) != recorded for path, recorded in self.files.items())

    def remove(self) -> None:
        """Remove the entry. Raises `EngineError` if that is not possible."""
        try:
            shutil.rmtree(self.folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EngineError(f"{self.folder} cannot be removed ({error.strerror}); remove it by hand") from None


def cache_folder() -> Path:
    return user_cache_path("dgls", appauthor=False) / "experts"


def entry_of(source: Path, files: Sequence[Path], packing: str, version: int) -> Entry:
    """The entry for the experts in `files` of the model in `source`, whether or not it exists."""
    fingerprints = {str(file.absolute()): fingerprint(file) for file in sorted(files)}
    identity = json.dumps([version, packing, sorted(fingerprints.values())])
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Entry(cache_folder() / f"{label(source)}-{packing}-{key}", source.absolute(), packing, fingerprints)


def fingerprint(file: Path) -> str:
    """A hash of the file's contents. The hub's cache names a file by its sha256. For any other file this is a hash of
    its modification time, its header and samples of its contents: a time alone is not enough, because copies and
    archives often keep the time of another file."""
    real = file.resolve()
    if _BLOB.fullmatch(real.name):
        return real.name
    digest = hashlib.sha256(f"{real.stat().st_mtime_ns} ".encode())
    with real.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        digest.update(stream.read(min(length, 2**24)))
    sample(real, digest)
    return digest.hexdigest()


def entries() -> list[Entry]:
    """All entries on disk, damaged ones included."""
    try:
        folders = sorted(
            path for path in cache_folder().iterdir() if path.is_dir() and not _PARTIAL.fullmatch(path.name)
        )
    except OSError:
        return []
    return [_described(folder) for folder in folders]


def sweep() -> bool:
    """Remove the unfinished entries of interrupted loads. Returns whether there were any."""
    abandoned = [path for path in cache_folder().glob("*.partial") if _abandoned(path)]
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True)
    return bool(abandoned)


def whole(entry: Entry, names: Sequence[str]) -> bool:
    """Whether the entry exists with exactly these files, undamaged. Removes a damaged entry and logs a warning."""
    try:
        if not entry.folder.is_dir():
            return False
    except OSError:  # not readable; then the write fails too, and `Writing` logs that
        return False
    try:
        files = _manifest(entry.folder)["layers"]
        damaged = sorted(set(names) ^ set(files)) or [
            name for name in names if _sum(entry.folder / name) != files[name]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        damaged = [str(error)]
    if damaged:
        discard(entry, damaged[0])
    return not damaged


def discard(entry: Entry, why: str) -> None:
    """Remove a damaged entry and log a warning."""
    logger.warning("The packed experts in %s are damaged (%s); they will be packed again", entry.folder, why)
    shutil.rmtree(entry.folder, ignore_errors=True)


class Writing:
    """A context manager that writes an entry: for each file get `path(name)`, write the file, call `written(name)`.

    The entry appears at the end of the block, or not at all. If the disk has no room for `needed` bytes, or a write
    fails, one warning says so and `path` returns None from then on.
    """

    def __init__(self, entry: Entry, needed: int) -> None:
        self._entry, self._needed = entry, needed
        self._folder = entry.folder.with_name(f"{entry.folder.name}.{os.getpid()}.{token_hex(4)}.partial")
        self._sums: dict[str, str] = {}
        self._open = False

    def __enter__(self) -> Self:
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
            sweep()
            free = shutil.disk_usage(cache_folder()).free
            if free < self._needed + _SPARE:
                sizes = f"{self._needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
                self.give_up(f"too little room, {sizes}")
            else:
                self._folder.mkdir()
                self._open = True
        except OSError as error:
            self.give_up(str(error))
        return self

    def path(self, name: str) -> Path | None:
        return self._folder / name if self._open else None

    def written(self, name: str) -> None:
        """Flush the file to the disk, so that a power cut leaves no entry with empty files."""
        with (self._folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
        self._sums[name] = _sum(self._folder / name)

    def give_up(self, why: str) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._open = False
        logger.warning(
            "The packed experts are not kept in %s (%s); the model works, but each load packs it again",
            cache_folder(),
            why.splitlines()[0],
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        try:
            if error is None:
                self._commit()
        except OSError as failed:
            self.give_up(str(failed))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _commit(self) -> None:
        entry = self._entry
        manifest = {
            "source": str(entry.source),
            "packing": entry.packing,
            "files": dict(entry.files),
            "layers": self._sums,
        }
        (self._folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        try:
            self._folder.rename(entry.folder)
        except OSError:
            if not entry.folder.is_dir():  # otherwise another process was faster
                raise
        for other in entries():
            if (other.source, other.packing) == (entry.source, entry.packing) and other.folder != entry.folder:
                shutil.rmtree(other.folder, ignore_errors=True)


def _described(folder: Path) -> Entry:
    """The entry in `folder`, from its manifest; without a manifest an entry that counts as orphaned."""
    try:
        manifest = _manifest(folder)
        return Entry(folder, Path(manifest["source"]), str(manifest["packing"]), dict(manifest["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(folder, Path(), "", {"": ""})


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict):
        raise ValueError(f"{MANIFEST} holds no object")
    return manifest


def _fingerprint_or_none(file: Path) -> str | None:
    try:
        return fingerprint(file)
    except OSError:
        return None


def _sum(file: Path) -> str:
    digest = hashlib.sha256()
    sample(file, digest)
    return digest.hexdigest()


def _abandoned(path: Path) -> bool:
    match = _PARTIAL.fullmatch(path.name)
    try:
        return match is not None and (
            not psutil.pid_exists(int(match[1])) or time.time() - path.stat().st_mtime > _STALE
        )
    except OSError:  # another process removed it
        return False
