"""Makes edits whose next one is in another file of the package, or in another cell of a notebook; and edits after which
the same words mean something else there.

The cells are a file's own statements: a definition each, or those between two definitions.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from bench.edits.source import Case, Cut, Part, Source, functions, plain, replaced

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def other_file(source: Source, order: random.Random) -> Iterator[Case]:
    """A function or class that its own file names once was renamed; a file that imports it has the old name."""
    for name, start in _defined(source, order):
        own, old = [(start, start + len(name))], order.choice(source.fresh)
        beside = ((path, source.files[path]) for path in source.beside)
        for path, (text, tree) in beside if len(_words(source.text, name)) == 1 else ():
            other = Source(path, text, tree, (), source.files, source.invented)
            cuts = _imported(other, source, name)
            if cuts and not _words(text, old):
                base, edited = _before_and_after(source.text, own, old, source.invented)
                part = Part(path, *_before_and_after(text, cuts, old, source.invented))
                yield Case("other file", source.path, base, edited, edited, others=(part,))
                break


def own_name(source: Source, order: random.Random) -> Iterator[Case]:
    """The old name of a renamed function or class is a name of another file's own."""
    for name, start in _defined(source, order):
        beside = order.sample(source.beside, len(source.beside)) if len(_words(source.text, name)) == 1 else []
        for path in beside:
            text, tree = source.files[path]
            olds = sorted(old for old in _stored(tree) if not _words(source.text, old))
            if olds and not _words(text, name):
                base = replaced(source.text, [(start, start + len(name))], order.choice(olds))
                yield Case("own name", source.path, base, source.text, source.text, others=(Part(path, text, text),))
                break


def cell(source: Source, order: random.Random) -> Iterator[Case]:
    """A top-level name that its own cell names once was renamed; other cells have the old name."""
    given = {node.arg for node in ast.walk(source.tree) if isinstance(node, ast.arg)}
    cells = _cells(source)
    for name, start in _defined(source, order):
        read = [source.span(node) for node in ast.walk(source.tree) if isinstance(node, ast.Name) and node.id == name]
        cuts, old = sorted([(start, start + len(name)), *read]), order.choice(source.fresh)
        if name in _stored(source.tree) | given or cuts != _words(source.text, name):
            continue
        number = next(at for at, (begin, end) in enumerate(cells) if begin <= start < end)
        parts = [[(a - begin, b - begin) for a, b in cuts if begin <= a < end] for begin, end in cells]
        if len(parts[number]) == 1 and len(cuts) > 1:
            texts = [source.text[begin:end].rstrip("\n") for begin, end in cells]
            told = [_before_and_after(text, own, old, source.invented) for text, own in zip(texts, parts, strict=True)]
            others = [Part(str(at), *pair) for at, pair in enumerate(told) if at != number]
            base, edited = told[number]
            yield Case("cell", source.path, base, edited, edited, others=tuple(others), cell=number)


def own_local(source: Source, order: random.Random) -> Iterator[Case]:
    """A parameter that its own function does not use was renamed; other cells have the word."""
    cells = _cells(source)
    for function in filter(plain, functions(source, order)):
        start = source.span(function)[0]
        number = next(at for at, (begin, end) in enumerate(cells) if begin <= start < end)
        texts = [source.text[begin:end].rstrip("\n") for begin, end in cells]
        for each in function.args.args:
            at = source.at(each.lineno, each.col_offset) - cells[number][0]
            own = _words(texts[number], each.arg) == [(at, at + len(each.arg))] and each.arg not in ("self", "cls")
            given = re.search(rf"\b{each.arg}\s*=", source.text)  # by name, in a call
            if own and not given and len(_words(source.text, each.arg)) > 1:
                edited = replaced(texts[number], [(at, at + len(each.arg))], order.choice(source.fresh))
                others = tuple(Part(str(one), text, text) for one, text in enumerate(texts) if one != number)
                yield Case("own local", source.path, texts[number], edited, edited, others=others, cell=number)


def _defined(source: Source, order: random.Random) -> Iterator[tuple[str, int]]:
    """The functions and classes of the file, and where each has its name."""
    found = [node for node in source.tree.body if isinstance(node, Definition) and len(node.name) > 2]
    for node in order.sample(found, len(found)):
        named = re.compile(rf"(?:def|class)\s+({node.name})\b").search(source.text, source.span(node)[0])
        if named is not None:
            yield node.name, named.start(1)


def _imported(other: Source, source: Source, name: str) -> list[Cut]:
    """Where `other` has the name, if it imports it from `source` under this name and means nothing else by it."""
    module = source.path.removesuffix(".py").removesuffix("/__init__").rpartition("/")[2]
    imports = [node for node in ast.walk(other.tree) if isinstance(node, ast.ImportFrom)]
    fitting = [each for node in imports if (node.module or "").split(".")[-1] == module for each in node.names]
    aliases = [each for each in fitting if each.name == name and each.asname is None]
    reads = [node for node in ast.walk(other.tree) if isinstance(node, ast.Name) and node.id == name]
    starts = [other.at(each.lineno, each.col_offset) for each in aliases]
    cuts = sorted([*((start, start + len(name)) for start in starts), *map(other.span, reads)])
    return cuts if aliases and reads and cuts == _words(other.text, name) else []


def _words(text: str, word: str) -> list[Cut]:
    return [match.span() for match in re.finditer(rf"\b{re.escape(word)}\b", text)]


def _stored(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _before_and_after(text: str, cuts: Sequence[Cut], old: str, invented: bool) -> tuple[str, str]:
    changed = replaced(text, cuts, old)
    return (text, changed) if invented else (changed, text)


def _cells(source: Source) -> list[Cut]:
    """Where each cell begins and ends."""
    starts = [0]
    simple = True
    for node in source.tree.body:
        compound = not isinstance(
            node, (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Import, ast.ImportFrom)
        )
        if compound or not simple:
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            starts.append(source.at(first, 0))
        simple = not compound
    bounds = [*dict.fromkeys(starts), len(source.text)]
    return [(begin, end) for begin, end in pairwise(bounds) if begin < end]
