"""Python names that the code below a line uses and nothing defines: the line should.

Python's own parser and symbol table tell, so the code has to parse with a stand-in for the line. Reads one file. Pure.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import warnings
from collections.abc import Iterator, Sequence
from types import MappingProxyType

_LONGEST = 30_000  # characters of a file that is read whole, in 10 to 25 ms
_NEAR = 12  # lines below in which a name is used first
_ALWAYS = frozenset(dir(builtins)) | {"__file__", "__class__", "__path__", "__annotations__", "__builtins__"}

_EVALUATED = MappingProxyType(
    {
        ast.Assign: ("value", "targets"),
        ast.AnnAssign: ("annotation", "value", "target"),
        ast.NamedExpr: ("value", "target"),
        ast.For: ("iter", "target", "body", "orelse"),
        ast.AsyncFor: ("iter", "target", "body", "orelse"),
    }
)
"""The fields of a node in the order in which they are evaluated, where that is not their order."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def missing_names(before: str, line: str, after: str) -> list[str]:
    """The names that `line`, a stand-in between the code `before` and `after`, should define, in order of their use.

    The function or module around it uses them soon below the line, before anything defines them. Empty if the code does
    not parse, is too long, or imports names with `*`.
    """
    if len(before) + len(after) > _LONGEST:
        return []
    text = before + line + after
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's code
            tree = ast.parse(text)
            table = symtable.symtable(text, "", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return []
    number = before.count("\n") + 1
    scope = _scope(tree, number)
    unbound = _unbound(table) | (_read_first(scope) if isinstance(scope, Function) else set())
    uses: dict[str, int] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Name) and node.id in unbound:
            uses[node.id] = min(node.lineno, uses.get(node.id, node.lineno))
    soon = sorted((at, name) for name, at in uses.items() if number < at <= number + _NEAR)
    return [name for _, name in soon]


def _scope(tree: ast.Module, line: int) -> ast.Module | Function:
    """The innermost function around `line`, or the module."""
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    around = [node for node in functions if node.lineno < line <= (node.end_lineno or node.lineno)]
    return max(around, key=lambda node: node.lineno, default=tree)


def _unbound(module: symtable.SymbolTable) -> set[str]:
    """The names that some scope looks up in the module, and that are bound neither there nor by Python."""
    bound = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    bound |= {child.get_name() for child in module.get_children()} | _ALWAYS
    looked_up: set[str] = set()
    for table in _tables([module]):
        for symbol in table.get_symbols():
            if table is module:
                looked_up |= {symbol.get_name()} if symbol.is_referenced() else set()
            elif symbol.is_declared_global() and symbol.is_assigned():
                bound.add(symbol.get_name())
            elif symbol.is_global():
                looked_up.add(symbol.get_name())
    return looked_up - bound


def _tables(tables: Sequence[symtable.SymbolTable]) -> Iterator[symtable.SymbolTable]:
    for table in tables:
        yield table
        yield from _tables(table.get_children())


def _read_first(function: Function) -> set[str]:
    """The function's own variables that it reads before it writes them."""
    arguments = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
    declared = {
        name for node in ast.walk(function) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names
    }
    first: dict[str, bool] = {}
    written = set()
    for name, writes in (event for statement in function.body for event in _events(statement)):
        first.setdefault(name, writes)
        if writes:
            written.add(name)
    return {name for name in written if not first[name]} - arguments - declared


def _events(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """The names that `node` reads or writes in its function, in order, and whether it writes them."""
    match node:
        case ast.Name():
            yield node.id, not isinstance(node.ctx, ast.Load)
        case ast.ExceptHandler(name=str(name)):
            yield from _events(node.type) if node.type is not None else ()
            yield name, True
            for statement in node.body:
                yield from _events(statement)
        case ast.AugAssign(target=ast.Name(id=name)):
            yield name, False
            yield from _events(node.value)
            yield name, True
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name, True
        case ast.Lambda():
            pass
        case ast.Import() | ast.ImportFrom():
            yield from ((alias.asname or alias.name.partition(".")[0], True) for alias in node.names)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from _comprehended(node)
        case _:
            fields = _EVALUATED.get(type(node), node._fields)
            for value in (getattr(node, field, None) for field in fields):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from _events(child)
            bound = getattr(node, "name", None) or getattr(node, "rest", None)  # of patterns
            if isinstance(bound, str):
                yield bound, True


def _comprehended(node: _Comprehension) -> Iterator[tuple[str, bool]]:
    inside = [event for child in ast.iter_child_nodes(node) for event in _events(child)]
    own = {name for name, writes in inside if writes}
    yield from (event for event in inside if event[0] not in own)
