"""The signature of a function got a parameter, lost one, or has one renamed: its calls.

A new parameter with a default asks for nothing. What a new argument is called is not known, so a model fills it; a
variable with the parameter's name is the first guess. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from dgls.code.document import Document, Span
from dgls.code.syntax import Syntax
from dgls.next_edit.edit import Edit
from dgls.next_edit.imported import imported
from dgls.next_edit.place import Place
from dgls.next_edit.symbols import SELF, Symbol, above, class_around, names, span_of, symbols

_RECEIVERS = frozenset({"self", "cls", "this"})
_STARS = re.compile(r"splat|variadic|rest|separator|keyword_separator")
_CALL = re.compile(r"call|invocation|^new_expression$")
_CONSTRUCTORS = frozenset({"__init__", "constructor"})


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    default: bool
    star: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """A function and its parameters, without the receiver. `name` is what it is called by: of a constructor, that of
    its class. `owner`: the class whose method it is. `public`: other files may import it."""

    name: str
    owner: Node | None
    public: bool
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a signature. At `index` a parameter was added or removed, or it was renamed: `old` and `new` are
    its names, None where it is not there. `count` parameters were there before."""

    signature: Signature
    index: int
    old: str | None
    new: str | None
    count: int


def signature_change(edit: Edit, before: Syntax, after: Syntax) -> Change | None:
    now = _signature(after, edit.new)
    was = _signature(before, edit.old)
    if now is None or was is None or now.name != was.name:
        return None
    old, new = [each.name for each in was.parameters], [each.name for each in now.parameters]
    differ = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), None)
    index = min(len(old), len(new)) if differ is None else differ
    count = len(old)
    if len(new) == count + 1 and new[:index] + new[index + 1 :] == old:
        added = now.parameters[index]
        stars = any(each.star for each in now.parameters[: index + 1])
        return None if added.default or stars else Change(now, index, None, added.name, count)
    if len(new) == count - 1 and old[:index] + old[index + 1 :] == new:
        gone = any(each.star for each in was.parameters[: index + 1])
        return None if gone else Change(now, index, old[index], None, count)
    if len(new) == count and old[index + 1 :] == new[index + 1 :] and differ is not None:
        return Change(now, index, old[index], new[index], count)
    return None


def calls(change: Change, document: Document, syntax: Syntax) -> Iterator[Place]:
    """The calls that do not fit the signature yet, one place each."""
    name, owner = change.signature.name, change.signature.owner
    for symbol in symbols(syntax, name, Span(syntax.start, syntax.start + len(syntax.text))):
        own = symbol.role == "attribute" and symbol.of in SELF and class_around(symbol.node) == owner
        if own if owner is not None else symbol.role == "name":
            yield from _fitted(change, document, syntax, symbol)


def calls_elsewhere(change: Change, home: str, document: Document, syntax: Syntax) -> Iterator[Place]:
    """The same in another file than `home`, if it imports the function or class."""
    for symbol in imported(syntax, change.signature.name, home):
        yield from _fitted(change, document, syntax, symbol)


def _fitted(change: Change, document: Document, syntax: Syntax, symbol: Symbol) -> Iterator[Place]:
    if (arguments := _arguments(symbol)) is None:
        return
    given = [each for each in arguments.named_children if "comment" not in each.type]
    if any(_STARS.search(each.type) for each in given):
        return
    keywords = {syntax.code(each.children[0]): each for each in given if each.type == "keyword_argument"}
    places = [each for each in given if each.type != "keyword_argument"]
    if change.old is not None and change.new is not None:
        if change.old in keywords and change.new not in keywords:
            yield _place(document, span_of(syntax, keywords[change.old].children[0]), change.new)
    elif change.new is not None:
        if len(given) <= change.count and change.new not in keywords and len(places) >= change.index:
            at, known = change.index, _known(syntax, symbol, change.new)
            if at < len(places):
                start = syntax.offset(places[at].start_byte)
                yield _place(document, Span(start, start), f"{known or change.new}, ", "" if known else change.new)
            else:
                start = syntax.offset(places[-1].end_byte) if places else syntax.offset(arguments.start_byte) + 1
                comma = ", " if places else ""
                behind = ", " if keywords and not places else ""
                text = f"{comma}{known or change.new}{behind}"
                yield _place(document, Span(start, start), text, "" if known else change.new)
    elif change.old is not None and len(given) == change.count and change.index < len(places):
        yield _place(document, _with_comma(document, syntax, places, change.index), "")


def _place(document: Document, span: Span, text: str, opened: str = "") -> Place:
    return Place(document, span, text, "call", opened)


def _with_comma(document: Document, syntax: Syntax, places: list[Node], index: int) -> Span:
    span = span_of(syntax, places[index])
    if index + 1 < len(places):
        return Span(span.start, syntax.offset(places[index + 1].start_byte))
    if index:
        return Span(syntax.offset(places[index - 1].end_byte), span.end)
    return span


def _known(syntax: Syntax, call: Symbol, name: str) -> str:
    """A variable with the parameter's name that the calling function knows, or a field of this name; else empty."""
    around = [each for each in above(call.node) if each.type in syntax.language.functions]
    if not around:
        return ""
    scope = span_of(syntax, around[-1])
    if any(each.role == "name" for each in symbols(syntax, name, Span(scope.start, call.span.start))):
        return name
    owner = class_around(call.node)
    if owner is not None:
        for each in symbols(syntax, name, span_of(syntax, owner)):
            if each.role == "attribute" and each.of in SELF:
                return f"{each.of}.{name}"
    return ""


def _arguments(symbol: Symbol) -> Node | None:
    """The arguments of the call of this function; None if it is only named."""
    node = symbol.node
    if symbol.role == "attribute" and node.parent is not None:
        node = node.parent
    call = node.parent
    if call is None or not _CALL.search(call.type) or call.named_children[0] != node:
        return None
    listed = call.child_by_field_name("arguments")
    return listed or next((each for each in call.children if "argument" in each.type), None)


def _signature(syntax: Syntax, span: Span) -> Signature | None:
    """The signature around a span."""
    start, end = syntax.byte(span.start), syntax.byte(span.end)
    node = syntax.tree.root_node.descendant_for_byte_range(start, end)
    inside = False
    for each in [node, *above(node)] if node is not None else []:
        inside = inside or (each.type.endswith("parameters") or each.type == "parameter_list")
        name = each.child_by_field_name("name")
        if each.type in syntax.language.functions and name is not None:
            if not inside or names(each, node if node is not None else each):
                return None
            listed = each.child_by_field_name("parameters")
            if listed is None:
                return None
            found = [_parameter(syntax, one) for one in listed.named_children if "comment" not in one.type]
            first = 1 if found and found[0].name in _RECEIVERS else 0
            return _named(syntax, each, syntax.code(name), tuple(found[first:]))
    return None


def _named(syntax: Syntax, function: Node, name: str, parameters: tuple[Parameter, ...]) -> Signature:
    around = class_around(function)
    named = around.child_by_field_name("name") if around is not None and name in _CONSTRUCTORS else None
    owner, definition = (around, function) if named is None else (None, around or function)
    functions = syntax.language.functions | syntax.language.closures
    public = owner is None and not any(each.type in functions for each in above(definition))
    return Signature(name if named is None else syntax.code(named), owner, public, parameters)


def _parameter(syntax: Syntax, node: Node) -> Parameter:
    name = re.search(r"[^\W\d]\w*", syntax.code(node))
    default = "default" in node.type or node.child_by_field_name("value") is not None
    return Parameter(name[0] if name else "", default, _STARS.search(syntax_types(node)) is not None)


def syntax_types(node: Node) -> str:
    """The node's type and that of its first child, where some grammars say that it is variadic."""
    return f"{node.type} {node.children[0].type}" if node.children else node.type
