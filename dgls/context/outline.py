"""The definitions and imports of a Python file.

A definition becomes its signature, its docstring's first line and, for a class, its public members. Values are left
out, and so are strings in a signature except in types: a constant or default may be a password. Pure; broken text
gives the definitions that parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tree_sitter import Node

from dgls.code.languages import language_of
from dgls.code.parsing import parsed

LONGEST = 1500
"""Characters of one definition; further members of a class are left out."""
_LONGEST_HEAD, _LONGEST_DOC = 400, 100
_DEEPEST = 64  # nested statements, and nested expressions in a head; what lies deeper is left out

_NESTED = frozenset(
    ["if_statement", "else_clause", "elif_clause", "try_statement", "except_clause", "finally_clause", "block", "ERROR"]
)
_SHOWN_DUNDERS = frozenset(["__init__", "__call__"])


@dataclass(frozen=True, slots=True)
class Import:
    """Binds `name` of `module` (with `level` leading dots) to `bound`; without a name, binds the module."""

    module: str
    level: int
    name: str | None
    bound: str


@dataclass(frozen=True, slots=True)
class Outline:
    """A module's imports and definitions in file order; `definitions` maps names to the texts to show."""

    imports: tuple[Import, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)


def outline(text: str) -> Outline:
    tree = parsed(language_of("python"), text.encode("utf-8", "replace"))
    if tree is None:
        return Outline()
    imports: list[Import] = []
    definitions: dict[str, str] = {}
    for statement in _statements(tree.root_node.named_children):
        imports += _imports(statement)
        for name, lines in _definition(statement, ""):
            definitions[name] = _shortened(lines)
    return Outline(tuple(filter(_is_named, imports)), definitions)


def _statements(nodes: Iterable[Node], depth: int = 0) -> Iterator[Node]:
    """The module-level statements, including those inside `if` and `try`."""
    for node in nodes:
        if node.type not in _NESTED:
            yield node
        elif depth < _DEEPEST:
            yield from _statements(node.named_children, depth + 1)


def _imports(node: Node) -> Iterator[Import]:
    if node.type == "import_statement":
        for named in node.children_by_field_name("name"):
            module, alias = _aliased(named)
            yield Import(module, 0, None, alias)
    elif node.type == "import_from_statement" and (source := node.child_by_field_name("module_name")) is not None:
        dotted = _text(source).replace(" ", "")
        module = dotted.lstrip(".")
        level = len(dotted) - len(module)
        if any(child.type == "wildcard_import" for child in node.named_children):
            yield Import(module, level, "*", "*")
        for named in node.children_by_field_name("name"):
            name, alias = _aliased(named)
            yield Import(module, level, name, alias)


def _is_named(one: Import) -> bool:
    """Whether all names are identifiers: a half-typed name may be anything, and names become parts of a path."""
    module = filter(None, one.module.split("."))
    names = [*module, *one.bound.split("."), one.name or "module"] if one.name != "*" else module
    return all(name.isidentifier() for name in names)


def _aliased(named: Node) -> tuple[str, str]:
    if named.type == "aliased_import":
        return _field(named, "name"), _field(named, "alias")
    return _text(named), _text(named)


def _definition(node: Node, indent: str) -> Iterator[tuple[str, list[str]]]:
    """The name that a statement defines, if any, and the lines to show."""
    if node.type == "decorated_definition":
        inner = node.child_by_field_name("definition")
        yield from _definition(inner, indent) if inner is not None else ()
    elif node.type == "function_definition":
        yield _field(node, "name"), [indent + _head(node), *_doc(node, indent)]
    elif node.type == "class_definition":
        yield _field(node, "name"), [indent + _head(node), *_doc(node, indent), *_members(node, indent + "    ")]
    elif node.type == "expression_statement" and node.named_children[:1]:
        assigned = node.named_children[0]
        left = assigned.child_by_field_name("left")
        if assigned.type == "assignment" and left is not None and left.type == "identifier":
            kind = _field(assigned, "type")
            yield _text(left), [f"{indent}{_text(left)}: {_one_line(kind)}" if kind else f"{indent}{_text(left)} = ..."]


def _members(node: Node, indent: str) -> Iterator[str]:
    body = node.child_by_field_name("body")
    for statement in body.named_children if body is not None else ():
        for name, lines in _definition(statement, indent):
            if not name.startswith("_") or name in _SHOWN_DUNDERS:
                yield lines[0]


def _head(node: Node) -> str:
    body = node.child_by_field_name("body")
    source = node.text or b""
    end = body.start_byte if body is not None else node.end_byte
    parts, at = [], node.start_byte
    for literal in _strings(node.children, end):
        parts += [source[at - node.start_byte : literal.start_byte - node.start_byte], b"..."]
        at = literal.end_byte
    head = b"".join([*parts, source[at - node.start_byte : end - node.start_byte]])
    return _one_line(re.sub(r"#[^\n]*\n", "\n", head.decode("utf-8", "replace")))


def _strings(nodes: Iterable[Node], end: int, depth: int = 0) -> Iterator[Node]:
    """The strings before the byte `end`, except those inside types. What lies too deep counts as a string."""
    for node in nodes:
        if node.start_byte >= end or node.type == "type":
            continue
        if node.type in ("string", "concatenated_string") or depth == _DEEPEST:
            yield node
        else:
            yield from _strings(node.children, end, depth + 1)


def _doc(node: Node, indent: str) -> Iterator[str]:
    body = node.child_by_field_name("body")
    first = body.named_children[0] if body is not None and body.named_children else None
    if first is not None and first.type == "expression_statement" and first.named_children[:1]:
        literal = first.named_children[0]
        content = next((child for child in literal.children if child.type == "string_content"), None)
        if literal.type == "string" and content is not None and (lines := _text(content).strip().splitlines()):
            yield f'{indent}    """{lines[0].strip()[:_LONGEST_DOC]}"""'


def _shortened(lines: Iterable[str]) -> str:
    shown = ""
    for line in lines:
        if len(shown) + len(line) > LONGEST:
            break
        shown += line + "\n"
    return shown


def _one_line(text: str) -> str:
    return re.sub(r"([(\[{]) | (?=[)\]}])", r"\1", " ".join(text.split()))[:_LONGEST_HEAD]


def _field(node: Node, name: str) -> str:
    child = node.child_by_field_name(name)
    return "" if child is None else _text(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
