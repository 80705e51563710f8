"""A definition was renamed: the other occurrences of the old name that are the same symbol's.

It is a rename if the first definition of a name got a name that was not there before. A local name is looked for in its
function, a field or method in its class, the name of a function or class in its file. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from dgls.code.cursor import is_text
from dgls.code.document import Document, Span
from dgls.code.syntax import Syntax
from dgls.next_edit.edit import Edit
from dgls.next_edit.imported import imported
from dgls.next_edit.place import Place, by_line, word_spans
from dgls.next_edit.symbols import (
    SELF,
    Symbol,
    class_around,
    defines,
    function_around,
    import_around,
    inside,
    is_member,
    rebinding,
    span_of,
    symbol_at,
    symbols,
)

_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Rename:
    """`old` became `new`. `scope`: where the name means this symbol; None: in the whole file. `public`: other files may
    use it, too."""

    old: str
    new: str
    symbol: Symbol
    scope: Node | None
    attribute: bool
    public: bool


def rename_of(edit: Edit, before: Syntax, syntax: Syntax) -> Rename | None:
    """The rename that an edit is; None if it is none. `before` and `syntax` are of the texts before and after it."""
    replaced = edit.replaced()
    if len({(old, new) for old, new, _ in replaced}) != 1:
        return None
    old, new, _ = replaced[0]
    if not (_NAME.fullmatch(old) and _NAME.fullmatch(new)) or {old, new} & syntax.language.literals:
        return None
    for _, _, offset in replaced:
        symbol = symbol_at(syntax, offset)
        if symbol is not None and defines(symbol) and (rename := _rename(syntax, symbol, old, new)) is not None:
            return None if _known(edit, before, syntax, rename) else rename
    return None


def _known(edit: Edit, before: Syntax, syntax: Syntax, rename: Rename) -> bool:
    """Whether the new name meant something in the scope already. Then two symbols became one, or another is meant."""
    within = _within(syntax, rename.scope)
    grown = (edit.new.end - edit.new.start) - (edit.old.end - edit.old.start)
    earlier = symbols(before, rename.new, Span(within.start, max(within.start, within.end - grown)))
    role = "attribute" if rename.attribute else "name"
    followed = [part.span for part in edit.followed if part.uri == edit.before.uri]
    own = [each for each in earlier if not any(_overlap(each.span, part) for part in followed)]
    return any(each.role == role and (role == "name" or each.of in SELF) for each in own)


def _rename(syntax: Syntax, symbol: Symbol, old: str, new: str) -> Rename | None:
    if symbol.role == "attribute" and symbol.of not in SELF:
        return None
    function = function_around(syntax, symbol)
    member = symbol.role == "attribute" or is_member(syntax, symbol)
    scope = class_around(symbol.node) if member else function
    own = function is None and not member and import_around(symbol) is None
    rename = Rename(old, new, symbol, scope, member, public=own)
    within = _within(syntax, scope)
    if any(each.span.start < symbol.span.start and defines(each) for each in _same(syntax, rename, within)):
        return None
    return rename


def occurrences(rename: Rename, document: Document, syntax: Syntax) -> Iterator[Place]:
    """One place for each line with occurrences of the old name."""
    found = list(_same(syntax, rename, _within(syntax, rename.scope)))
    yield from by_line(document, [each.span for each in found], rename.new, "rename")


def occurrences_elsewhere(rename: Rename, home: str, document: Document, syntax: Syntax) -> Iterator[Place]:
    """The same in another file than `home`, if it imports the name, or the new one because that was put right."""
    spans = [each.span for each in imported(syntax, rename.old, home, rename.new)]
    yield from by_line(document, spans, rename.new, "rename")


def mentions(rename: Rename, document: Document, syntax: Syntax) -> Iterator[Place]:
    """The same of comments and docstrings within the symbol's scope, where the name may be a plain word, too."""
    found = word_spans(document, rename.old, _within(syntax, rename.scope))
    said = [each for each in found if any(is_text(node, syntax.language) for node in syntax.around(each.start + 1))]
    yield from by_line(document, said, rename.new, "mention")


def _same(syntax: Syntax, rename: Rename, within: Span) -> list[Symbol]:
    """The identifiers that are still called as the renamed symbol was."""
    found = list(symbols(syntax, rename.old, within))
    if rename.attribute:
        owner = rename.scope.child_by_field_name("name") if rename.scope is not None else None
        owners = SELF | ({syntax.code(owner)} if owner is not None else set())
        return [each for each in found if each.role == "attribute" and each.of in owners]
    own = rebinding(syntax, found, rename.scope)
    plain = [each for each in found if each.role == "name" and not is_member(syntax, each)]
    return [each for each in plain if not inside(each.span, own)]


def _within(syntax: Syntax, scope: Node | None) -> Span:
    return span_of(syntax, scope) if scope is not None else Span(syntax.start, syntax.start + len(syntax.text))


def _overlap(one: Span, other: Span) -> bool:
    return one.start <= other.end and other.start <= one.end
