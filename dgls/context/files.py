"""Outlines of the workspace's other files, read from the editor if open there, else from the disk; cached.

Reads only regular files inside a workspace folder that are neither excluded nor large; links are resolved first. Runs
on the reading thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dgls.code.document import Document
from dgls.context.exclusion import Exclusion, path_of
from dgls.context.outline import Import, Outline, outline
from dgls.context.reading import read_start

LARGEST = 200_000
"""Bytes; a longer file is generated, and takes tens of milliseconds to parse."""
_KEPT = 512

Texts = Mapping[Path, Document]
"""The open documents by their resolved paths."""


@dataclass(slots=True)
class Files:
    exclusion: Exclusion
    _outlines: dict[Path, tuple[object, Outline]] = field(default_factory=dict)

    def texts(self, opened: Mapping[str, Document]) -> Texts:
        """The open documents that are not excluded, by resolved path."""
        texts = {}
        for uri, document in opened.items():
            path = path_of(uri)
            if path is not None and self.exclusion.of_uri(uri, opened=True) is None:
                texts[Path(os.path.realpath(path))] = document
        return texts

    def outline(self, path: Path, texts: Texts) -> Outline | None:
        """The file's outline, or None if it is absent, excluded or large."""
        try:
            real = Path(os.path.realpath(path))
            document = texts.get(real)
            if document is None and not real.is_file():
                return None
            if not self._inside(real) or self.exclusion.of_path(path, opened=document is not None) is not None:
                return None
            if document is not None:
                return self._kept(real, (document.version, hash(document.text)), document.text[:LARGEST])
            status = real.stat()
            if status.st_size > LARGEST:
                return None
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._outlines.get(real)
            if known is not None and known[0] == stamp:
                return known[1]
            return self._kept(real, stamp, read_start(real, LARGEST))
        except (OSError, ValueError):
            return None

    def shown(self, path: Path) -> str:
        """The path as the model sees it: relative to the workspace folder."""
        inside = (folder for folder in self.exclusion.folders if folder in path.parents)
        return next((path.relative_to(folder).as_posix() for folder in inside), path.name)

    def resolve(self, wanted: Import, importer: Path) -> Iterator[Path]:
        """Candidate files of an import's module, the likeliest first; they may not exist."""
        parts = [part for part in wanted.module.split(".") if part]
        roots = [importer.parents[wanted.level - 1]] if 0 < wanted.level <= len(importer.parents) else []
        for root in roots if wanted.level else self._roots(importer):
            place = root.joinpath(*parts)
            if parts:
                yield place.with_name(place.name + ".py")
            yield place / "__init__.py"

    def _roots(self, importer: Path) -> Iterator[Path]:
        """Where absolute imports start: above the importer's outermost package, and at the workspace folders."""
        top = importer.parent
        while self._inside(top.parent) and (top / "__init__.py").is_file():
            top = top.parent
        places = (place for folder in self.exclusion.folders for place in (folder, folder / "src"))
        yield from dict.fromkeys((top, *places))

    def _inside(self, path: Path) -> bool:
        return any(path == folder or folder in path.parents for folder in self.exclusion.folders)

    def _kept(self, path: Path, stamp: object, text: str) -> Outline:
        known = self._outlines.get(path)
        if known is None or known[0] != stamp:
            if len(self._outlines) >= _KEPT:
                self._outlines.clear()
            known = self._outlines[path] = stamp, outline(text)
        return known[1]
