"""Packed experts on disk, so that a model that was packed once loads in seconds.

    entry_of(source, files, packing, version) -> Entry       # where they lie, or would
    whole(entry, names)                                      # whether they do, undamaged
    with Writing(entry, bytes) as writing: ...               # they appear at the end

An entry is a folder in the user's cache: one safetensors file a layer, and a manifest. Its name ends in a key of the
files that the experts came from and of how they were packed, so another version of either is another entry. It appears
under that name only when all of it is written; what a crash leaves is not seen by anybody and swept up by the next
write. Damage is noticed by the files' sizes and by samples of their contents, not by reading all of 12 GB.

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
"""Seconds without a new file after which an unfinished entry is left over, whatever runs under its number by now: in
containers, numbers of processes come again. A layer is packed in a minute or two."""

_SPARE = 2**30
"""Bytes that we leave free on a disk."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The packed experts of the model in `source`. `files`: path -> fingerprint of what they were made from."""

    folder: Path
    source: Path
    packing: str
    files: Mapping[str, str]

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir()) if self.folder.is_dir() else 0

    @property
    def orphaned(self) -> bool:
        """Whether what it was made from is gone, or another file now."""
        return any(_fingerprint_or_none(Path(path)) != own for path, own in self.files.items())

    def remove(self) -> None:
        """Raises `EngineError` if that is not allowed."""
        try:
            shutil.rmtree(self.folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EngineError(f"{self.folder} cannot be removed ({error.strerror}); remove it by hand") from None


def cache_folder() -> Path:
    return user_cache_path("dgls", appauthor=False) / "experts"


def entry_of(source: Path, files: Sequence[Path], packing: str, version: int) -> Entry:
    """Where the experts in `files` of the model in `source` lie once packed, whether or not they are."""
    fingerprints = {str(file.absolute()): fingerprint(file) for file in sorted(files)}
    told = json.dumps([version, packing, sorted(fingerprints.values())])
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    return Entry(cache_folder() / f"{label(source)}-{packing}-{key}", source.absolute(), packing, fingerprints)


def fingerprint(file: Path) -> str:
    """The hub's cache names a file by its sha256; of any other we take its header, when it was written, and samples of
    its contents, since copies and archives are often given the time of another file."""
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
    """All that are on disk, whole or not."""
    try:
        folders = sorted(
            path for path in cache_folder().iterdir() if path.is_dir() and not _PARTIAL.fullmatch(path.name)
        )
    except OSError:
        return []
    return [_described(folder) for folder in folders]


def sweep() -> bool:
    """Remove what loads that were cut off have left. Whether there was anything."""
    left = [path for path in cache_folder().glob("*.partial") if _left_over(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return bool(left)


def whole(entry: Entry, names: Sequence[str]) -> bool:
    """Whether the entry is there with all these files as they were written. What is damaged is removed, and told."""
    try:
        if not entry.folder.is_dir():
            return False
    except OSError:  # a folder that is not ours to look into: that it can't be written to, either, is told then
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
    """Remove what turned out to be damaged; a warning tells of it."""
    logger.warning("The packed experts in %s are damaged (%s); they are made again", entry.folder, why)
    shutil.rmtree(entry.folder, ignore_errors=True)


class Writing:
    """A context in which an entry's files are written: `path(name)`, write it, `written(name)`. At its end they become
    the entry, all or nothing. Where there is no room for `needed` bytes, or no way to write, one warning says so, and
    `path` is None from then on."""

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
                told = f"{self._needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
                self.give_up(f"too little room, {told}")
            else:
                self._folder.mkdir()
                self._open = True
        except OSError as error:
            self.give_up(str(error))
        return self

    def path(self, name: str) -> Path | None:
        return self._folder / name if self._open else None

    def written(self, name: str) -> None:
        """Makes sure that the file is on the disk, so that no power cut leaves an entry of empty files."""
        with (self._folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
        self._sums[name] = _sum(self._folder / name)

    def give_up(self, why: str) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._open = False
        logger.warning(
            "The packed experts are not kept in %s (%s); the model works, but is packed again when it loads",
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
        own = self._entry
        told = {"source": str(own.source), "packing": own.packing, "files": dict(own.files), "layers": self._sums}
        (self._folder / MANIFEST).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        try:
            self._folder.rename(own.folder)
        except OSError:
            if not own.folder.is_dir():  # else another process was faster
                raise
        for other in entries():
            if (other.source, other.packing) == (own.source, own.packing) and other.folder != own.folder:
                shutil.rmtree(other.folder, ignore_errors=True)


def _described(folder: Path) -> Entry:
    """What its manifest says; an entry without one belongs to nothing."""
    try:
        told = _manifest(folder)
        return Entry(folder, Path(told["source"]), str(told["packing"]), dict(told["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(folder, Path(), "", {"": ""})


def _manifest(folder: Path) -> dict[str, Any]:
    told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(told, dict):
        raise ValueError(f"{MANIFEST} holds no object")
    return told


def _fingerprint_or_none(file: Path) -> str | None:
    try:
        return fingerprint(file)
    except OSError:
        return None


def _sum(file: Path) -> str:
    digest = hashlib.sha256()
    sample(file, digest)
    return digest.hexdigest()


def _left_over(path: Path) -> bool:
    found = _PARTIAL.fullmatch(path.name)
    try:
        return found is not None and (
            not psutil.pid_exists(int(found[1])) or time.time() - path.stat().st_mtime > _STALE
        )
    except OSError:  # gone meanwhile
        return False
