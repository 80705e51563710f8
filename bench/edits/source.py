"""What cases of next edits are made of: a real file, its tree, and the edits that lead to its text or away from it."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from dgls.evaluation.cases.held_out import HELD_OUT

LONGEST = 40_000
"""Characters of a file: a person's file, not a table."""


Cut = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """Another document, and where the edit leads in it."""

    path: str
    now: str
    final: str


@dataclass(frozen=True, slots=True)
class Case:
    """`base` became `edited`. `final` is where the edit leads; the same as `edited` if it asks for nothing. `earlier`
    is the text before another edit, which led to `base`. `followed`: where `base` is as it is because of this edit.
    `others` are the other open files, or, if this is the `cell` with that number, the other cells of the notebook."""

    kind: str
    path: str
    base: str
    edited: str
    final: str
    earlier: str | None = None
    followed: tuple[Cut, ...] = ()
    others: tuple[Part, ...] = ()
    cell: int | None = None

    @property
    def wanted(self) -> bool:
        return self.edited != self.final or any(each.now != each.final for each in self.others)


@dataclass(frozen=True, slots=True)
class Source:
    """One of the `files`, its tree, and names that do not occur in it, to stand for older names; if `invented`, for
    newer ones."""

    path: str
    text: str
    tree: ast.Module
    fresh: Sequence[str]
    files: Mapping[str, tuple[str, ast.Module]]
    invented: bool

    @property
    def beside(self) -> list[str]:
        """The paths of the package's other files."""
        package = self.path.partition("/")[0]
        return [path for path in self.files if path.partition("/")[0] == package and path != self.path]

    def at(self, line: int, column: int) -> int:
        """The offset of a place of the tree, whose columns count UTF-8 bytes."""
        lines = self.text.split("\n")
        before = lines[line - 1].encode()[:column].decode()
        return sum(len(each) + 1 for each in lines[: line - 1]) + len(before)

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self.at(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return start, self.at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


Maker = Callable[[Source, random.Random], Iterator[Case]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(order: random.Random, invented: bool) -> Iterator[Source]:
    texts: dict[str, tuple[str, ast.Module]] = {}
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        for file in package.files or () if name in HELD_OUT else ():
            if file.suffix != ".py" or "test" in str(file):
                continue
            path = Path(str(package.locate_file(file)))
            text = path.read_text(encoding="utf-8")
            if 500 < len(text) <= LONGEST and "\r" not in text and "\t" not in text:
                texts[str(file)] = text, ast.parse(text)
    names = sorted({node.id for _, tree in texts.values() for node in ast.walk(tree) if isinstance(node, ast.Name)})
    usual = [name for name in names if 3 <= len(name) <= 16 and name.islower()]
    for shown, (text, tree) in sorted(texts.items()):
        words = set(re.findall(r"\w+", text))
        fresh = [name for name in order.sample(usual, 60) if name not in words]
        yield Source(shown, text, tree, fresh, texts, invented)


def moved(cut: Cut, cuts: Sequence[Cut], new: str) -> Cut:
    """Where a part of a text is after `cuts` in front of it were replaced."""
    by = sum(len(new) - (end - start) for start, end in cuts if end <= cut[0])
    return cut[0] + by, cut[1] + by


def replaced(text: str, cuts: Sequence[Cut], new: str) -> str:
    for start, end in sorted(cuts, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def led(kind: str, source: Source, cuts: Sequence[Cut], first: int, old: str) -> Case | None:
    """All `cuts` were `old` before; the edit makes the cut number `first` as it is. The other way round, if the source
    is `invented`."""
    lines = {source.text.count("\n", 0, start) for start, _ in cuts}
    if len(lines) == 1:
        return None
    changed, edited = replaced(source.text, cuts, old), edited_at(source, cuts, [first], old)
    base, final = (source.text, changed) if source.invented else (changed, source.text)
    return Case(kind, source.path, base, edited, final)


def edited_at(source: Source, cuts: Sequence[Cut], done: Sequence[int], old: str) -> str:
    """The text after the edit of the cuts with the numbers `done`."""
    olds = [cut for number, cut in enumerate(cuts) if (number in done) == source.invented]
    return replaced(source.text, olds, old)


def led_again(case: Case, source: Source, cuts: Sequence[Cut], first: int, old: str) -> Case | None:
    """The case, if the user makes the same change in a second place, and there is a third."""
    second = next(number for number in range(len(cuts)) if number != first)
    lines = {source.text.count("\n", 0, start) for start, _ in cuts}
    if len(cuts) < 3 or len(lines) < len(cuts):
        return None
    edited = edited_at(source, cuts, [first, second], old)
    return Case(f"{case.kind} again", case.path, case.edited, edited, case.final, case.base)


def alone(kind: str, source: Source, cut: Cut, new: str) -> Case:
    edited = replaced(source.text, [cut], new)
    return Case(kind, source.path, source.text, edited, edited)


def alone_from(kind: str, source: Source, cut: Cut, old: str) -> Case:
    return Case(kind, source.path, replaced(source.text, [cut], old), source.text, source.text)


def functions(source: Source, order: random.Random) -> list[Function]:
    found = [node for node in ast.walk(source.tree) if isinstance(node, Function)]
    return order.sample(found, len(found))


def plain(function: Function) -> bool:
    """Whether no scope inside of the function could have a variable of the same name."""
    inner = (
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.Lambda,
        ast.ListComp,
        ast.GeneratorExp,
        ast.DictComp,
        ast.SetComp,
    )
    shared = (ast.Global, ast.Nonlocal, ast.ClassDef, ast.JoinedStr)
    return not any(isinstance(node, (*inner, *shared)) for node in ast.walk(function) if node is not function)


def uses(source: Source, function: Function, name: str) -> list[Cut]:
    return sorted(source.span(node) for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name)


_TOKEN = re.compile(r"\w+|[^\w\s]")


def alike(source: Source, order: random.Random) -> Iterator[tuple[list[int], list[list[re.Match[str]]]]]:
    """Three lines of one shape: the offset of each, and their tokens."""
    lines = source.text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for number in order.sample(range(max(0, len(lines) - 2)), max(0, len(lines) - 2)):
        three = lines[number : number + 3]
        tokens = [list(_TOKEN.finditer(line)) for line in three]
        shapes = {tuple(kind_of(each[0]) for each in own) for own in tokens}
        indents = {len(line) - len(line.lstrip()) for line in three}
        alike = len(shapes) == 1 and len(indents) == 1 and len(tokens[0]) > 4 and len(set(three)) == 3
        code = '"""' not in "".join(three) and not three[0].lstrip().startswith(("#", "from", "import"))
        if alike and code:
            yield starts[number : number + 3], tokens


def kind_of(token: str) -> str:
    return "word" if token[0].isalpha() or token[0] == "_" else "number" if token.isdigit() else token


def said(source: Source, function: Function, name: str) -> list[Cut]:
    """Where the function's docstring has the word."""
    first = function.body[0]
    if ast.get_docstring(function) is None:
        return []
    start, end = source.span(first)
    return [match.span() for match in re.compile(rf"\b{name}\b").finditer(source.text, start, end)]
