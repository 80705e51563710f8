"""The identifiers of a file that mean a function or class of another file, which the file imports by its name.

Paths are not resolved: the last word of the imported module has to be in the other file's path, so that `shapes.py` and
`shapes/__init__.py` are meant by `.shapes`, and `json` is not. Where the file gives the name another meaning, only the
import is sure. Pure.
"""

from __future__ import annotations

import re

from tree_sitter import Node

from dgls.code.document import Span
from dgls.code.syntax import Syntax
from dgls.next_edit.symbols import (
    Symbol,
    above,
    defines,
    field_of,
    function_around,
    import_around,
    inside,
    is_member,
    rebinding,
    symbols,
)

_MODULES = ("module_name", "source")
"""The fields of an import with the module. Java's names it in front of the name, so that any will do."""
_ENDING = re.compile(r"\.[cm]?[jt]sx?\b")
_NO_NAME = frozenset({"module_name", "alias", "scope"})
"""Fields of an import whose identifiers are not the name of what is imported."""


def imported(syntax: Syntax, name: str, home: str, now: str | None = None) -> list[Symbol]:
    """The imports of `name` from the file with the URI `home`, and all plain uses, in order. Empty if it imports
    neither the name nor `now`, its new one."""
    found = _plain(syntax, name)
    imports = [each for each in found if _is_import(syntax, each, home)]
    renamed = [each for each in _plain(syntax, now) if _is_import(syntax, each, home)] if now is not None else []
    if all(_has_alias(each) for each in imports + renamed) or any(_redefines(syntax, each) for each in found):
        return imports
    own = rebinding(syntax, [each for each in found if import_around(each) is None], None)
    uses = [each for each in found if import_around(each) is None and not is_member(syntax, each)]
    return sorted(imports + [each for each in uses if not inside(each.span, own)], key=lambda each: each.span.start)


def _plain(syntax: Syntax, name: str) -> list[Symbol]:
    whole = Span(syntax.start, syntax.start + len(syntax.text))
    return [each for each in symbols(syntax, name, whole) if each.role == "name"]


def _is_import(syntax: Syntax, symbol: Symbol, home: str) -> bool:
    """Whether an import names this as what it imports: no module, no part of its path, and no alias."""
    if (statement := import_around(symbol)) is None or not _means(syntax, statement, home):
        return False
    node = symbol.node
    for parent in above(symbol.node):
        if field_of(parent, node) in _NO_NAME or parent.type == "namespace_import":
            return False
        if parent == statement:  # Python's `import a.b` names modules
            return not (parent.type == "import_statement" and node.type == "dotted_name")
        node = parent
    return False


def _means(syntax: Syntax, statement: Node, home: str) -> bool:
    """Whether the module of this import may be the file with the URI `home`."""
    module = next(filter(None, map(statement.child_by_field_name, _MODULES)), None)
    words = re.findall(r"\w+", _ENDING.sub("", syntax.code(module))) if module is not None else []
    return not words or words[-1] in re.findall(r"\w+", home)


def _has_alias(symbol: Symbol) -> bool:
    nodes = [symbol.node.parent, symbol.node.parent.parent if symbol.node.parent is not None else None]
    return any(each is not None and each.child_by_field_name("alias") is not None for each in nodes)


def _redefines(syntax: Syntax, symbol: Symbol) -> bool:
    """Whether the file itself gives the name a meaning, outside of functions."""
    if import_around(symbol) is not None or not defines(symbol):
        return False
    return function_around(syntax, symbol) is None and not is_member(syntax, symbol)
