"""Holes that use names from other files: they measure what related files in the prompt are worth.

Python only. An import counts if its module's file lies under the root and defines the name itself, so that the file
contains the definition. Reads the imported files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random

from tree_sitter import Node

from dgls.code.document import Span
from dgls.context.exclusion import Exclusion
from dgls.context.files import Files
from dgls.context.outline import outline
from dgls.evaluation.cases.holes import LONGEST_LINE, Code, edges

_KEPT = 256


class ImportedNames:
    """The names that files under `root` import from each other."""

    def __init__(self, root: Path) -> None:
        self._files = Files(Exclusion([root.as_uri()]))
        self._defined = lru_cache(maxsize=_KEPT)(_defined)

    def cutter(self, path: Path) -> Callable[[Code, Random], Span | None]:
        return lambda code, rng: self._cut(code, rng, path)

    def _cut(self, code: Code, rng: Random, path: Path) -> Span | None:
        """A line that uses such a name or, half of the time, its rest from the edge of a word before the name."""
        uses = self._uses(code, path) if code.language.id == "python" else []
        if not uses:
            return None
        line, use = rng.choice(uses)
        starts = list(edges(code, line, use)) if rng.random() < 0.5 else []
        return Span(rng.choice(starts) if starts else line.start, line.end)

    def _uses(self, code: Code, path: Path) -> list[tuple[Span, int]]:
        """The lines that use a name from another file, with the offset of the use."""
        names = self.names(code, path)
        uses = []
        waiting = [code.root] if names else []
        while waiting:
            node = waiting.pop()
            if node.type in ("import_from_statement", "import_statement", "future_import_statement"):
                continue
            waiting += [child for child in node.named_children if not _is_argument_or_attribute(child, node)]
            line = code.lines.get(node.start_point.row)
            if line is None or line.end - line.start > LONGEST_LINE:
                continue
            if node.type == "identifier" and (node.text or b"").decode() in names:
                uses.append((line, code.offset(node.start_point.row, node.start_point.column)))
        return sorted(uses, key=lambda use: use[1])

    def names(self, code: Code, path: Path) -> frozenset[str]:
        """The local names of what the file imports from other files."""
        bound = set()
        for wanted in outline(code.document.text).imports:
            for place in self._files.resolve(wanted, path) if wanted.name else ():
                if place != path and place.is_file():
                    if wanted.name in self._defined(place):
                        bound.add(wanted.bound)
                    break
        return frozenset(bound)


def _defined(path: Path) -> frozenset[str]:
    try:
        return frozenset(outline(path.read_text(encoding="utf-8")).definitions)
    except (OSError, ValueError):
        return frozenset()


def _is_argument_or_attribute(node: Node, parent: Node) -> bool:
    """Whether the identifier is a keyword argument's or an attribute's name, which only happens to be equal."""
    if parent.type == "keyword_argument":
        return parent.child_by_field_name("name") == node
    return parent.type == "attribute" and parent.child_by_field_name("attribute") == node
