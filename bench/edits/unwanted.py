"""Makes edits that ask for nothing: they change one place of the code, or complete a change."""

from __future__ import annotations

import ast
import dataclasses
import random
import re
from collections.abc import Iterator, Mapping

from bench.edits.elsewhere import own_local, own_name
from bench.edits.source import (
    Case,
    Cut,
    Maker,
    Source,
    alike,
    alone,
    alone_from,
    functions,
    kind_of,
    moved,
    plain,
    replaced,
    said,
    uses,
)
from bench.edits.wanted import local


def literal(source: Source, order: random.Random) -> Iterator[Case]:
    found = [
        node for node in ast.walk(source.tree) if isinstance(node, ast.Constant) and type(node.value) in (int, str)
    ]
    for node in order.sample(found, len(found)):
        start, end = source.span(node)
        shown = source.text[start:end]
        if type(node.value) is int and shown.isdigit():
            yield alone("literal", source, (start, end), str(int(shown) + order.randrange(1, 9)))
        elif shown[:1] in "\"'" and shown[1:2] not in "\"'" and "\n" not in shown and len(shown) > 4:
            yield alone("literal", source, (start + 1, end - 1), order.choice(source.fresh))


def use(source: Source, order: random.Random) -> Iterator[Case]:
    """Another variable is used in one place."""
    found = [node for node in ast.walk(source.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    for node in order.sample(found, len(found)):
        other = order.choice(found).id
        if other != node.id:
            yield alone("use", source, source.span(node), other)


def operator(source: Source, order: random.Random) -> Iterator[Case]:
    swapped = {" == ": " != ", " + ": " - ", " < ": " <= ", " and ": " or ", " is None": " is not None", " > ": " >= "}
    found = [(match, new) for old, new in swapped.items() for match in re.finditer(re.escape(old), source.text)]
    for match, new in order.sample(found, len(found)):
        yield alone("operator", source, match.span(), new)


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
    for case in local(dataclasses.replace(source, invented=False), order):
        cut = next(at for at, (one, other) in enumerate(zip(case.edited, case.final, strict=False)) if one != other)
        word = re.match(r"\w+", case.final[_word_start(case.final, cut) :])
        assert word is not None
        old = re.match(r"\w+", case.edited[_word_start(case.edited, cut) :])
        assert old is not None
        start = _word_start(case.final, cut)
        yield alone_from("completed", source, (start, start + len(word[0])), old[0])


def _word_start(text: str, at: int) -> int:
    while at > 0 and (text[at - 1].isalnum() or text[at - 1] == "_"):
        at -= 1
    return at


def other_scope(source: Source, order: random.Random) -> Iterator[Case]:
    """A parameter or variable that its own function does not use; other functions have the same name."""
    for function in filter(plain, functions(source, order)):
        body = source.span(function)
        for each in function.args.args:
            elsewhere = source.text[: body[0]] + source.text[body[1] :]
            if each.arg in ("self", "cls") or uses(source, function, each.arg):
                continue
            if len(re.findall(rf"\b{each.arg}\b", elsewhere)) >= 2 and not re.search(rf"\b{each.arg}\s*=", source.text):
                start = source.at(each.lineno, each.col_offset)
                yield alone("other scope", source, (start, start + len(each.arg)), order.choice(source.fresh))


def unlike(source: Source, order: random.Random) -> Iterator[Case]:
    """One of three lines of one shape gets another word where they differ, and where no other line has the old one."""
    for starts, tokens in alike(source, order):
        apart = [at for at, each in enumerate(tokens[0]) if len({own[at][0] for own in tokens}) == 3]
        words = [at for at in apart if kind_of(tokens[0][at][0]) in ("word", "number")]
        if words:
            at, line = order.choice(words), order.randrange(3)
            token = tokens[line][at]
            if len(re.findall(rf"\b{token[0]}\b", source.text)) > 1:
                continue  # the new word would be a rename
            new = order.choice(source.fresh) if kind_of(token[0]) == "word" else str(order.randrange(2, 90))
            start = starts[line] + token.start()
            yield alone("unlike", source, (start, start + len(token[0])), new)


def one_alike(source: Source, order: random.Random) -> Iterator[Case]:
    """The one of three lines of one shape in which a word differs was like the others."""
    for starts, tokens in alike(source, order):
        for at in range(len(tokens[0])):
            words = [own[at][0] for own in tokens]
            odd = next((number for number in range(3) if words.count(words[number]) == 1), None)
            if odd is not None and len(set(words)) == 2 and all(kind_of(word) == "word" for word in words):
                token, old = tokens[odd][at], words[odd - 1]
                start = starts[odd] + token.start()
                yield alone_from("one alike", source, (start, start + len(token[0])), old)


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
                yield alone_from("one type", source, cut, order.choice(others))


def plain_word(source: Source, order: random.Random) -> Iterator[Case]:
    """The last place of a renamed parameter whose name is a plain word in its docstring."""
    for function in filter(plain, functions(source, order)):
        for each in function.args.args:
            cuts = said(source, function, each.arg)
            if each.arg not in ("self", "cls") and cuts and all(_is_plain(source.text[: cut[0]]) for cut in cuts):
                start, new = source.at(each.lineno, each.col_offset), order.choice(source.fresh)
                used = uses(source, function, each.arg)
                base, edited = (
                    replaced(source.text, cuts, new) for cuts in (used, [(start, start + len(each.arg)), *used])
                )
                firsts = (moved((at, at), used, new)[0] for at, _ in used)
                followed = tuple((at, at + len(new)) for at in firsts)
                yield Case("plain word", source.path, base, edited, edited, followed=followed)


def _is_plain(before: str) -> bool:
    """Whether a word of a sentence stands behind this."""
    return re.search(r"[a-z,] $", before) is not None and not before.endswith(":param ")


UNWANTED: Mapping[str, Maker] = {
    "literal": literal,
    "use": use,
    "operator": operator,
    "new line": new_line,
    "completed": completed,
    "other scope": other_scope,
    "unlike": unlike,
    "one alike": one_alike,
    "one type": one_type,
    "plain word": plain_word,
    "own name": own_name,
    "own local": own_local,
}
