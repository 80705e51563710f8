"""Makes edits whose next one is known: something is replaced everywhere, and put right in one place.

The code as its authors wrote it is where they lead. Python's own parser finds the places, not the planner that is
measured.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from bench.edits.elsewhere import cell, other_file
from bench.edits.source import Case, Maker, Source, alike, functions, led, led_again, moved, plain, said, uses


def local(source: Source, order: random.Random) -> Iterator[Case]:
    for function in filter(plain, functions(source, order)):
        given = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}
        stored = [each for each in ast.walk(function) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
        for name in dict.fromkeys(each.id for each in stored if each.id not in given and len(each.id) > 1):
            cuts = uses(source, function, name)
            starts = [source.span(each)[0] for each in stored if each.id == name]
            if cuts[0][0] == min(starts) and (case := led("local", source, cuts, 0, order.choice(source.fresh))):
                yield case


def parameter(source: Source, order: random.Random) -> Iterator[Case]:
    for function in filter(plain, functions(source, order)):
        for each in function.args.args:
            if each.arg in ("self", "cls") or re.search(rf"\b{each.arg}=", source.text):
                continue
            start = source.at(each.lineno, each.col_offset)
            cuts = [(start, start + len(each.arg)), *uses(source, function, each.arg)]
            if len(cuts) > 1 and (case := led("parameter", source, cuts, 0, order.choice(source.fresh))):
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
            if case := led("field", source, cuts, 0, "_" * name.startswith("_") + order.choice(source.fresh)):
                yield case


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def argument(source: Source, order: random.Random) -> Iterator[Case]:
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    for function in functions(source, order):
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
        if case := led("argument", source, cuts, 0, ""):
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
        case = led("type", source, cuts, 0, old)
        case = led_again(case, source, cuts, 0, old) if case is not None and again else case
        if case is not None:
            yield case


def parallel(source: Source, order: random.Random, again: bool = False) -> Iterator[Case]:
    for starts, tokens in alike(source, order):
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
            case = led("parallel", source, cuts, first, old)
            case = led_again(case, source, cuts, first, old) if case is not None and again else case
            if case is not None:
                yield case


def documented(source: Source, order: random.Random) -> Iterator[Case]:
    """A parameter that was renamed everywhere but in the docstring, which names it as a parameter."""
    for function in filter(plain, functions(source, order)) if not source.invented else ():
        for each in function.args.args:
            start = source.at(each.lineno, each.col_offset)
            cuts = said(source, function, each.arg)
            if cuts and all(_NAMED.search(source.text[: cut[0]]) for cut in cuts):
                cuts.insert(0, (start, start + len(each.arg)))
                old = order.choice(source.fresh)
                followed = tuple(moved(use, cuts, old) for use in uses(source, function, each.arg))
                if case := led("documented", source, cuts, 0, old):
                    yield replace(case, followed=followed)


_NAMED = re.compile(r"(:param( \w+)? |`|\*)$")
"""What stands in front of a parameter's name."""


WANTED: Mapping[str, Maker] = {
    "local": local,
    "parameter": parameter,
    "field": field,
    "argument": argument,
    "type": type_,
    "parallel": parallel,
    "type again": partial(type_, again=True),
    "parallel again": partial(parallel, again=True),
    "documented": documented,
    "other file": other_file,
    "cell": cell,
}
