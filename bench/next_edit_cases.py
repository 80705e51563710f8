"""Makes edits of which the next one is known, from real code: the code as its authors wrote it is where they lead.

A name, an argument, a type or a token is replaced everywhere in the code; the edit puts it right in one place, and the
other places are what a next edit should find. Edits that ask for nothing change one place of the code, or complete a
change. Python's own parser finds the places, not the planner that is measured.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from dgls.evaluation.cases.held_out import HELD_OUT

LONGEST = 40_000
"""Characters of a file: a person's file, not a table."""

WANTED = ("local", "parameter", "field", "argument", "type", "parallel", "type again", "parallel again")
UNWANTED = ("literal", "use", "operator", "new line", "completed", "other scope", "unlike", "one alike", "one type")


@dataclass(frozen=True, slots=True)
class Case:
    """`base` became `edited`. `final` is where the edit leads; the same as `edited` if it asks for nothing. `earlier`
    is the text before another edit, which led to `base`."""

    kind: str
    path: str
    base: str
    edited: str
    final: str
    earlier: str | None = None

    @property
    def wanted(self) -> bool:
        return self.edited != self.final


@dataclass(frozen=True, slots=True)
class Source:
    """A file, its tree, and names that do not occur in it, to stand for older names; if `invented`, for newer ones."""

    path: str
    text: str
    tree: ast.Module
    fresh: Sequence[str]
    invented: bool

    def at(self, line: int, column: int) -> int:
        """The offset of a place of the tree, whose columns count UTF-8 bytes."""
        lines = self.text.split("\n")
        before = lines[line - 1].encode()[:column].decode()
        return sum(len(each) + 1 for each in lines[: line - 1]) + len(before)

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self.at(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return start, self.at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


Cut = tuple[int, int]
Maker = Callable[[Source, random.Random], Iterator[Case]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def cases(count: int, wanted: bool, seed: int, invented: bool = False) -> list[Case]:
    """`count` cases, of all kinds alike, of other files where possible. `invented`: the authors' code is where wanted
    edits begin, and they lead to names from other files."""
    order = random.Random(seed)
    found = list(sources(order, invented))
    kinds = WANTED if wanted else UNWANTED
    pools = {kind: _pool(MAKERS[kind], found, -(-count // len(kinds)), order) for kind in kinds}
    each = [case for round in range(count) for pool in pools.values() for case in pool[round : round + 1]]
    return each[:count]


def _pool(maker: Maker, found: list[Source], count: int, order: random.Random) -> list[Case]:
    made: list[Case] = []
    files = order.sample(found, len(found))
    for _ in range(4):
        for source in files:
            if len(made) >= count:
                return made
            if (case := next(maker(source, order), None)) is not None and case not in made and _parses(case):
                made.append(case)
    return made


def _parses(case: Case) -> bool:
    try:
        for text in (case.base, case.edited, case.final):
            ast.parse(text)
    except SyntaxError:
        return False
    return case.base != case.edited and case.edited.count("\n") == case.final.count("\n")


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
        yield Source(shown, text, tree, fresh, invented)


def replaced(text: str, cuts: Sequence[Cut], new: str) -> str:
    for start, end in sorted(cuts, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _led(kind: str, source: Source, cuts: Sequence[Cut], first: int, old: str) -> Case | None:
    """All `cuts` were `old` before; the edit makes the cut number `first` as it is. The other way round, if the source
    is `invented`."""
    lines = {source.text.count("\n", 0, start) for start, _ in cuts}
    if len(lines) == 1:
        return None
    changed, edited = replaced(source.text, cuts, old), _edited(source, cuts, [first], old)
    base, final = (source.text, changed) if source.invented else (changed, source.text)
    return Case(kind, source.path, base, edited, final)


def _edited(source: Source, cuts: Sequence[Cut], done: Sequence[int], old: str) -> str:
    """The text after the edit of the cuts with the numbers `done`."""
    olds = [cut for number, cut in enumerate(cuts) if (number in done) == source.invented]
    return replaced(source.text, olds, old)


def _again(case: Case, source: Source, cuts: Sequence[Cut], first: int, old: str) -> Case | None:
    """The case, if the user makes the same change in a second place, and there is a third."""
    second = next(number for number in range(len(cuts)) if number != first)
    lines = {source.text.count("\n", 0, start) for start, _ in cuts}
    if len(cuts) < 3 or len(lines) < len(cuts):
        return None
    edited = _edited(source, cuts, [first, second], old)
    return Case(f"{case.kind} again", case.path, case.edited, edited, case.final, case.base)


def _functions(source: Source, order: random.Random) -> list[Function]:
    found = [node for node in ast.walk(source.tree) if isinstance(node, Function)]
    return order.sample(found, len(found))


def _plain(function: Function) -> bool:
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


def _uses(source: Source, function: Function, name: str) -> list[Cut]:
    return sorted(source.span(node) for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name)


def local(source: Source, order: random.Random) -> Iterator[Case]:
    for function in filter(_plain, _functions(source, order)):
        given = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}
        stored = [each for each in ast.walk(function) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
        for name in dict.fromkeys(each.id for each in stored if each.id not in given and len(each.id) > 1):
            cuts = _uses(source, function, name)
            starts = [source.span(each)[0] for each in stored if each.id == name]
            if cuts[0][0] == min(starts) and (case := _led("local", source, cuts, 0, order.choice(source.fresh))):
                yield case


def parameter(source: Source, order: random.Random) -> Iterator[Case]:
    for function in filter(_plain, _functions(source, order)):
        for each in function.args.args:
            if each.arg in ("self", "cls") or re.search(rf"\b{each.arg}=", source.text):
                continue
            start = source.at(each.lineno, each.col_offset)
            cuts = [(start, start + len(each.arg)), *_uses(source, function, each.arg)]
            if len(cuts) > 1 and (case := _led("parameter", source, cuts, 0, order.choice(source.fresh))):
                yield case


def field(source: Source, order: random.Random) -> Iterator[Case]:
    owners = [node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    for owner in order.sample(owners, len(owners)):
        own = [node for node in ast.walk(owner) if isinstance(node, ast.Attribute) and _is_self(node)]
        for name in dict.fromkeys(node.attr for node in own if isinstance(node.ctx, ast.Store)):
            ends = sorted(source.span(node)[1] for node in own if node.attr == name)
            first = next(node for node in own if node.attr == name and isinstance(node.ctx, ast.Store))
            elsewhere = len(re.findall(rf"\b{name}\b", source.text)) != len(ends)
            if source.span(first)[1] != ends[0] or elsewhere:
                continue
            cuts = [(end - len(name), end) for end in ends]
            if case := _led("field", source, cuts, 0, "_" * name.startswith("_") + order.choice(source.fresh)):
                yield case


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def argument(source: Source, order: random.Random) -> Iterator[Case]:
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    for function in _functions(source, order):
        listed = function.args
        if listed.vararg or listed.kwonlyargs or listed.defaults or len(listed.args) < 2 or function.decorator_list:
            continue
        method = listed.args[0].arg == "self"
        needed = len(listed.args) - method
        fitting = [call for call in calls if _called(call, function.name, method)]
        if needed < 1 or not fitting or any(call.keywords or len(call.args) != needed for call in fitting):
            continue
        if any(isinstance(each, ast.Starred) for call in fitting for each in call.args):
            continue
        last, before = listed.args[-1], listed.args[-2]
        parameter_cut = (source.span(before)[1], source.span(last)[1])
        cuts = [parameter_cut]
        for call in fitting:
            start = source.span(call.args[-2])[1] if len(call.args) > 1 else source.span(call.args[-1])[0]
            cuts.append((start, source.span(call.args[-1])[1]))
        if any("\n" in source.text[start:end] for start, end in cuts):
            continue
        if case := _led("argument", source, cuts, 0, ""):
            yield case


def _called(call: ast.Call, name: str, method: bool) -> bool:
    if method:
        return isinstance(call.func, ast.Attribute) and call.func.attr == name and _is_self(call.func)
    return isinstance(call.func, ast.Name) and call.func.id == name


def type_(source: Source, order: random.Random, again: bool = False) -> Iterator[Case]:
    typed = [node for node in ast.walk(source.tree) if isinstance(node, ast.arg) and node.annotation is not None]
    groups: dict[tuple[str, str], list[ast.arg]] = {}
    for node in typed:
        if isinstance(node.annotation, ast.Name):
            groups.setdefault((node.arg, node.annotation.id), []).append(node)
    others = sorted({key[1] for key in groups})
    for (_, kind), nodes in order.sample(sorted(groups.items(), key=lambda each: each[0]), len(groups)):
        cuts = sorted(source.span(node.annotation) for node in nodes if node.annotation is not None)
        old = order.choice([other for other in (*others, "str", "bytes", "int") if other != kind])
        case = _led("type", source, cuts, 0, old)
        case = _again(case, source, cuts, 0, old) if case is not None and again else case
        if case is not None:
            yield case


_TOKEN = re.compile(r"\w+|[^\w\s]")


def _alike(source: Source, order: random.Random) -> Iterator[tuple[list[int], list[list[re.Match[str]]]]]:
    """Three lines of one shape: the offset of each, and their tokens."""
    lines = source.text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for number in order.sample(range(max(0, len(lines) - 2)), max(0, len(lines) - 2)):
        three = lines[number : number + 3]
        tokens = [list(_TOKEN.finditer(line)) for line in three]
        shapes = {tuple(_kind(each[0]) for each in own) for own in tokens}
        indents = {len(line) - len(line.lstrip()) for line in three}
        alike = len(shapes) == 1 and len(indents) == 1 and len(tokens[0]) > 4 and len(set(three)) == 3
        code = '"""' not in "".join(three) and not three[0].lstrip().startswith(("#", "from", "import"))
        if alike and code:
            yield starts[number : number + 3], tokens


def _kind(token: str) -> str:
    return "word" if token[0].isalpha() or token[0] == "_" else "number" if token.isdigit() else token


def parallel(source: Source, order: random.Random, again: bool = False) -> Iterator[Case]:
    for starts, tokens in _alike(source, order):
        shared = [
            at
            for at, each in enumerate(tokens[0])
            if len({own[at][0] for own in tokens}) == 1 and re.fullmatch(r"[A-Za-z_]\w{2,}", each[0])
            if each[0] not in ("self", "def", "return", "None", "True", "False", "for", "and", "not", "class", "with")
        ]
        if shared:
            at = order.choice(shared)
            cuts = [(start + own[at].start(), start + own[at].end()) for start, own in zip(starts, tokens, strict=True)]
            first, old = order.randrange(3), order.choice(source.fresh)
            case = _led("parallel", source, cuts, first, old)
            case = _again(case, source, cuts, first, old) if case is not None and again else case
            if case is not None:
                yield case


def unlike(source: Source, order: random.Random) -> Iterator[Case]:
    """One of three lines of one shape gets another word where they differ, and where no other line has the old one."""
    for starts, tokens in _alike(source, order):
        apart = [at for at, each in enumerate(tokens[0]) if len({own[at][0] for own in tokens}) == 3]
        words = [at for at in apart if _kind(tokens[0][at][0]) in ("word", "number")]
        if words:
            at, line = order.choice(words), order.randrange(3)
            token = tokens[line][at]
            if len(re.findall(rf"\b{token[0]}\b", source.text)) > 1:
                continue  # the new word would be a rename
            new = order.choice(source.fresh) if _kind(token[0]) == "word" else str(order.randrange(2, 90))
            start = starts[line] + token.start()
            yield _alone("unlike", source, (start, start + len(token[0])), new)


def one_alike(source: Source, order: random.Random) -> Iterator[Case]:
    """The one of three lines of one shape in which a word differs was like the others."""
    for starts, tokens in _alike(source, order):
        for at in range(len(tokens[0])):
            words = [own[at][0] for own in tokens]
            odd = next((number for number in range(3) if words.count(words[number]) == 1), None)
            if odd is not None and len(set(words)) == 2 and all(_kind(word) == "word" for word in words):
                token, old = tokens[odd][at], words[odd - 1]
                start = starts[odd] + token.start()
                yield _alone_from("one alike", source, (start, start + len(token[0])), old)


def one_type(source: Source, order: random.Random) -> Iterator[Case]:
    """A parameter whose name has another type elsewhere in the file had that type."""
    typed = [node for node in ast.walk(source.tree) if isinstance(node, ast.arg)]
    groups: dict[str, list[tuple[str, Cut]]] = {}
    for node in typed:
        if isinstance(node.annotation, ast.Name):
            groups.setdefault(node.arg, []).append((node.annotation.id, source.span(node.annotation)))
    for _, group in order.sample(sorted(groups.items()), len(groups)):
        for kind, cut in group:
            others = [other for other, _ in group if other != kind]
            if others:
                yield _alone_from("one type", source, cut, order.choice(others))


def literal(source: Source, order: random.Random) -> Iterator[Case]:
    found = [
        node for node in ast.walk(source.tree) if isinstance(node, ast.Constant) and type(node.value) in (int, str)
    ]
    for node in order.sample(found, len(found)):
        start, end = source.span(node)
        shown = source.text[start:end]
        if type(node.value) is int and shown.isdigit():
            yield _alone("literal", source, (start, end), str(int(shown) + order.randrange(1, 9)))
        elif shown[:1] in "\"'" and shown[1:2] not in "\"'" and "\n" not in shown and len(shown) > 4:
            yield _alone("literal", source, (start + 1, end - 1), order.choice(source.fresh))


def use(source: Source, order: random.Random) -> Iterator[Case]:
    """Another variable is used in one place."""
    found = [node for node in ast.walk(source.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    for node in order.sample(found, len(found)):
        other = order.choice(found).id
        if other != node.id:
            yield _alone("use", source, source.span(node), other)


def operator(source: Source, order: random.Random) -> Iterator[Case]:
    swapped = {" == ": " != ", " + ": " - ", " < ": " <= ", " and ": " or ", " is None": " is not None", " > ": " >= "}
    found = [(match, new) for old, new in swapped.items() for match in re.finditer(re.escape(old), source.text)]
    for match, new in order.sample(found, len(found)):
        yield _alone("operator", source, match.span(), new)


def new_line(source: Source, order: random.Random) -> Iterator[Case]:
    lines = source.text.split("\n")
    simple = [
        node.lineno - 1
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign)) and node.lineno == node.end_lineno
    ]
    for number in order.sample(simple, len(simple)):
        base = "\n".join(lines[:number] + lines[number + 1 :])
        yield Case("new line", source.path, base, source.text, source.text)


def completed(source: Source, order: random.Random) -> Iterator[Case]:
    """The last use of an old name is put right."""
    for case in local(replace(source, invented=False), order):
        cut = next(at for at, (one, other) in enumerate(zip(case.edited, case.final, strict=False)) if one != other)
        word = re.match(r"\w+", case.final[_word_start(case.final, cut) :])
        assert word is not None
        old = re.match(r"\w+", case.edited[_word_start(case.edited, cut) :])
        assert old is not None
        start = _word_start(case.final, cut)
        yield _alone_from("completed", source, (start, start + len(word[0])), old[0])


def _word_start(text: str, at: int) -> int:
    while at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_"):
        at -= 1
    return at


def other_scope(source: Source, order: random.Random) -> Iterator[Case]:
    """A parameter or variable that its own function does not use; other functions have the same name."""
    for function in filter(_plain, _functions(source, order)):
        body = source.span(function)
        for each in function.args.args:
            elsewhere = source.text[: body[0]] + source.text[body[1] :]
            if each.arg in ("self", "cls") or _uses(source, function, each.arg):
                continue
            if len(re.findall(rf"\b{each.arg}\b", elsewhere)) >= 2 and not re.search(rf"\b{each.arg}\s*=", source.text):
                start = source.at(each.lineno, each.col_offset)
                yield _alone("other scope", source, (start, start + len(each.arg)), order.choice(source.fresh))


def _alone(kind: str, source: Source, cut: Cut, new: str) -> Case:
    edited = replaced(source.text, [cut], new)
    return Case(kind, source.path, source.text, edited, edited)


def _alone_from(kind: str, source: Source, cut: Cut, old: str) -> Case:
    return Case(kind, source.path, replaced(source.text, [cut], old), source.text, source.text)


MAKERS: dict[str, Maker] = {
    "local": local,
    "parameter": parameter,
    "field": field,
    "argument": argument,
    "type": type_,
    "parallel": parallel,
    "type again": partial(type_, again=True),
    "parallel again": partial(parallel, again=True),
    "literal": literal,
    "use": use,
    "operator": operator,
    "new line": new_line,
    "completed": completed,
    "other scope": other_scope,
    "unlike": unlike,
    "one alike": one_alike,
    "one type": one_type,
}
