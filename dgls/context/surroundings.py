"""The workspace around the edited file: which files are excluded, and which snippets the model sees.

The session uses only this module of the package. Reads files; runs on the reading thread, so it needs no locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from dgls.code.document import Document
from dgls.code.languages import language_of
from dgls.context.exclusion import Excluded, Exclusion, path_of
from dgls.context.files import Files
from dgls.context.snippets import imported, opened
from dgls_engine.types import Snippet

Source = Literal["imports", "open files"]
FRESH_SECONDS = 2.0
"""Seconds for which snippets stay cached while the editor's documents do not change."""


@dataclass
class Surroundings:
    """`folders` are the workspace folders' URIs, `globs` are the user's exclusions."""

    folders: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _last: tuple[object, float, tuple[Snippet, ...]] = field(default=((), 0.0, ()), repr=False)

    def excluded(self, uri: str) -> Excluded | None:
        """Why an open file gets no automatic suggestions, or None if it may get them."""
        return self._files.exclusion.of_uri(uri, opened=True)

    def snippets(
        self, document: Document, above: str, below: str, documents: Mapping[str, Document], sources: frozenset[Source]
    ) -> tuple[Snippet, ...]:
        """Definitions from other files for a region of `document`, chosen by the text outside it alone.

        `documents` are the editor's open documents. Empty for a file that is not local Python.
        """
        path = path_of(document.uri)
        if path is None or language_of(document.language, document.uri).id != "python":
            return ()
        others = {uri: other for uri, other in documents.items() if uri != document.uri}
        key = (path, above, below, sources, [(uri, other.version, id(other)) for uri, other in others.items()])
        last, until, snippets = self._last
        if key != last or self.clock() >= until:
            texts = self._files.texts(others)
            snippets = imported(self._files, path, above, below, texts) if "imports" in sources else ()
            if "open files" in sources:
                known = "".join(snippet.text for snippet in snippets)
                snippets += tuple(opened(self._files, above, below, texts, known))
            self._last = key, self.clock() + FRESH_SECONDS, snippets
        return snippets

    @cached_property
    def _files(self) -> Files:
        """Created on first use, as resolving the folders reads the disk."""
        return Files(Exclusion(self.folders, self.globs))
