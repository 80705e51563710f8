"""Definitions from other files as snippets: those that the edited file imports, and those in the editor's open files.

Both read only the text outside the region, so typing inside the region does not change the prompt. Python only. Runs
on the reading thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from dgls.code.languages import language_of
from dgls.context.files import Files, Texts
from dgls.context.outline import Import, Outline, outline
from dgls_engine.types import Snippet

MOST_CHARACTERS = 8000
"""Limit of all imported snippets together; no prompt has room for more."""
_MOST_IMPORTED_FILES, _MOST_OPEN_FILES = 32, 16
_DEEPEST = 4  # chained re-exports that are followed
_SCANNED = 100_000  # characters on either side of the region
_IMPORTS = re.compile(r"^[ \t]*+(from .*)?import .*$", re.MULTILINE)

Definition = tuple[Path, str]
"""The defining file, and the definition's text."""


def imported(files: Files, path: Path, above: str, below: str, texts: Texts) -> tuple[Snippet, ...]:
    """The definitions behind the imports of the file at `path`, whose text outside the region is `above` and `below`.

    Imports whose names the text uses come first, then the others, each in file order.
    """
    above, below = above[:_SCANNED], below[:_SCANNED]
    imports = (*outline(above).imports, *outline(below).imports)
    outside = above + "\n" + below
    uses = set(re.findall(r"\w+", _IMPORTS.sub("", outside)))
    imports = tuple(sorted(dict.fromkeys(imports), key=lambda one: one.bound.split(".")[0] not in uses))
    search = _Search(files, texts, outside)
    definitions: dict[Definition, None] = {}
    for one in imports:
        definitions.update(dict.fromkeys(search.behind(one, path, _DEEPEST)))
        if sum(len(text) for _, text in definitions) > MOST_CHARACTERS:
            break
    groups = groupby(definitions, key=lambda one: one[0])
    return tuple(Snippet(files.shown(at), "".join(text for _, text in group)) for at, group in groups if at != path)


def opened(files: Files, above: str, below: str, texts: Texts, known: str) -> Iterator[Snippet]:
    """The definitions in open files of names that the text outside the region uses, imported or not.

    One snippet a file, in the order in which the user opened them, without definitions that are part of `known`.
    `texts` does not hold the edited file.
    """
    words = set(re.findall(r"\w+", above[-_SCANNED:])) | set(re.findall(r"\w+", below[:_SCANNED]))
    for path, document in list(texts.items())[:_MOST_OPEN_FILES]:
        if language_of(document.language, document.uri).id != "python":
            continue
        outlined = files.outline(path, texts)
        definitions = outlined.definitions.items() if outlined is not None else ()
        shown = "".join(text for name, text in definitions if name in words and text not in known)
        if shown:
            yield Snippet(files.shown(path), shown)


class _Search:
    """One search for definitions; `read` counts the files that it has read."""

    def __init__(self, files: Files, texts: Texts, outside: str) -> None:
        self._files, self._texts, self._outside = files, texts, outside
        self.read = 0

    def behind(self, wanted: Import, importer: Path, depth: int) -> Iterator[Definition]:
        for place in self._files.resolve(wanted, importer):
            if wanted.name is None:
                definitions = list(self._used(place, wanted.bound))
            else:
                definitions = list(self._named(place, wanted.name, depth))
                if not definitions and place.name == "__init__.py":
                    definitions = [
                        *self._used(place.with_name(wanted.name + ".py"), wanted.bound),
                        *self._used(place.with_name(wanted.name) / "__init__.py", wanted.bound),
                    ]
            if definitions:
                yield from definitions
                return

    def _named(self, place: Path, name: str, depth: int) -> Iterator[Definition]:
        """The definition of `name` in the module at `place`, followed through re-exports."""
        seen = self._open(place)
        if seen is None or depth == 0:
            return
        if name in seen.definitions:
            yield place, seen.definitions[name]
            return
        for one in seen.imports:
            if one.bound == name or (one.name == "*" and not name.startswith("_")):
                through = Import(one.module, one.level, name, name) if one.name == "*" else one
                definitions = list(self.behind(through, place, depth - 1))
                if definitions:
                    yield from definitions
                    return

    def _open(self, place: Path) -> Outline | None:
        seen = self._files.outline(place, self._texts) if self.read < _MOST_IMPORTED_FILES else None
        self.read += seen is not None
        return seen

    def _used(self, place: Path, bound: str) -> Iterator[Definition]:
        """The members of the module at `place` that the text uses, in file order, re-exports last."""
        used = dict.fromkeys(re.findall(rf"\b{re.escape(bound)}\.(\w+)", self._outside))
        seen = self._open(place)
        if seen is None:
            return
        yield from ((place, text) for name, text in seen.definitions.items() if name in used)
        for name in used:
            if name not in seen.definitions:
                yield from self._named(place, name, 2)
