"""What the file at hand imports from the workspace: the definitions behind its imports, as snippets.

Chosen by the text outside the region alone, so that typing inside it leaves the prompt as it is: the names used out
there first, then the others, each in the order of the imports. Only Python's imports are resolved. Belongs to the
reading thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from dgls.context.files import Files, Texts
from dgls.context.outline import Import, Outline, outline
from dgls_engine.types import Snippet

MOST_CHARACTERS = 8000
"""Of all snippets; more than any prompt's part for them."""
_MOST_FILES = 32
_DEEPEST = 4  # re-exports that are followed
_SCANNED = 100_000  # characters on either side of the region

Found = tuple[Path, str]
"""The file that defines something, and the definition."""


def imported(files: Files, path: Path, above: str, below: str, texts: Texts) -> tuple[Snippet, ...]:
    """Of the file at `path`, whose text outside the region is `above` and `below`."""
    above, below = above[:_SCANNED], below[:_SCANNED]
    imports = (*outline(above).imports, *outline(below).imports)
    outside = above + "\n" + below
    uses = set(re.findall(r"\w+", re.sub(r"(?m)^\s*(from .*)?import .*$", "", outside)))
    imports = tuple(sorted(dict.fromkeys(imports), key=lambda one: one.bound.split(".")[0] not in uses))
    search = _Search(files, texts, outside)
    found: dict[Found, None] = {}
    for one in imports:
        found.update(dict.fromkeys(search.behind(one, path, _DEEPEST)))
        if sum(len(text) for _, text in found) > MOST_CHARACTERS:
            break
    groups = groupby(found, key=lambda one: one[0])
    return tuple(Snippet(files.shown(at), "".join(text for _, text in group)) for at, group in groups if at != path)


class _Search:
    """One look for definitions; `read` counts the files that were opened for it."""

    def __init__(self, files: Files, texts: Texts, outside: str) -> None:
        self._files, self._texts, self._outside = files, texts, outside
        self.read = 0

    def behind(self, wanted: Import, importer: Path, depth: int) -> Iterator[Found]:
        for place in self._files.resolve(wanted, importer):
            if wanted.name is None:
                found = list(self._used(place, wanted.bound))
            else:
                found = list(self._named(place, wanted.name, depth))
                if not found and place.name == "__init__.py":
                    found = [
                        *self._used(place.with_name(wanted.name + ".py"), wanted.bound),
                        *self._used(place.with_name(wanted.name) / "__init__.py", wanted.bound),
                    ]
            if found:
                yield from found
                return

    def _named(self, place: Path, name: str, depth: int) -> Iterator[Found]:
        """What `name` is in the module at `place`, through its own imports if need be."""
        seen = self._open(place)
        if seen is None or depth == 0:
            return
        if name in seen.definitions:
            yield place, seen.definitions[name]
            return
        for one in seen.imports:
            if one.bound == name or (one.name == "*" and not name.startswith("_")):
                through = Import(one.module, one.level, name, name) if one.name == "*" else one
                found = list(self.behind(through, place, depth - 1))
                if found:
                    yield from found
                    return

    def _open(self, place: Path) -> Outline | None:
        seen = self._files.outline(place, self._texts) if self.read < _MOST_FILES else None
        self.read += seen is not None
        return seen

    def _used(self, place: Path, bound: str) -> Iterator[Found]:
        """What is used of the module at `place`, in its own order, its re-exports last."""
        used = dict.fromkeys(re.findall(rf"\b{re.escape(bound)}\.(\w+)", self._outside))
        seen = self._open(place)
        if seen is None:
            return
        yield from ((place, text) for name, text in seen.definitions.items() if name in used)
        for name in used:
            if name not in seen.definitions:
                yield from self._named(place, name, 2)
