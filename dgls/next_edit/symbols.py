"""Which identifiers of a tree are the same symbol's: names, attributes, definitions, and the scopes around them.

Node types differ between grammars, but their names and fields are alike, so one set of rules serves all of them. Where
a rule does not know a grammar, it finds nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tree_sitter import Node

from dgls.code.document import Span
from dgls.code.syntax import Syntax

Role = Literal["name", "attribute", "key"]

SELF = frozenset({"self", "cls", "this", "$this", "super()"})
_ACCESS = frozenset(
    {
        "attribute",
        "member_expression",
        "selector_expression",
        "field_expression",
        "field_access",
        "member_access_expression",
    }
)
_KEYS = frozenset({"keyword_argument", "pair", "keyed_element", "field_initializer"})
_PASSED = re.compile(
    r"pattern|target|expression_list|variable_name|dotted_name|declarator|parenthesized|splat|typed_|default_"
    r"|^identifier$"
)
_DEFINES = re.compile(
    r"assignment|declar|definition|for_|for$|named_expression|as_pattern|let_|spec|_item|binding|clause|import|arrow_"
    r"|variable_list"
)
_NOT_DEFINING = re.compile(r"augmented|compound_assignment|pair$|keyword|operator_assignment")
_TARGET_FIELDS = frozenset({"left", "name", "pattern", "alias", "declarator", "parameter", "variable"})
_IMPORT = re.compile(r"^import_(\w+_)?(statement|declaration)$")
_IMPORTS = frozenset({"import_clause", "namespace_import"})
_SMALL_SCOPES = frozenset(
    {"lambda", "list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"}
)
_CLAUSES = frozenset({"catch_clause", "except_clause"})
"""What a clause names ends with it; what its body names does not."""

_IDENTIFIER = re.compile(r"^(?!shorthand).*identifier$|^(variable_)?name$")
_PARAMETERS = re.compile(r"parameter")
_CLASS = re.compile(r"^(class|impl|interface|trait|struct|enum)(_(?!body|heritage)|$)|class_(definition|declaration)$")


@dataclass(frozen=True, slots=True)
class Symbol:
    """An identifier in a text: where it stands, what it is, and the code in front of its dot, if it is an attribute."""

    node: Node
    span: Span
    role: Role
    of: str = ""


def symbol_at(syntax: Syntax, offset: int) -> Symbol | None:
    """The identifier that begins at an offset; None if something else does, such as a part of a string."""
    byte = syntax.byte(offset)
    leaf = syntax.tree.root_node.descendant_for_byte_range(byte, byte + 1)
    if leaf is None or leaf.start_byte != byte or not _IDENTIFIER.search(leaf.type):
        return None
    if leaf.child_count:
        return None
    span = Span(offset, syntax.offset(leaf.end_byte))
    parent = leaf.parent
    if parent is None:
        return Symbol(leaf, span, "name")
    first = parent.children[0]
    if parent.type in _ACCESS and first.start_byte != leaf.start_byte:
        return Symbol(leaf, span, "attribute", syntax.code(first))
    if parent.type in _KEYS and first.start_byte == leaf.start_byte:
        return Symbol(leaf, span, "key")
    return Symbol(leaf, span, "name")


def symbols(syntax: Syntax, name: str, within: Span) -> Iterator[Symbol]:
    """All identifiers with this name in a span of the text, in order."""
    text = syntax.text[within.start - syntax.start : within.end - syntax.start]
    for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
        if (symbol := symbol_at(syntax, within.start + match.start())) is not None:
            yield symbol


def defines(symbol: Symbol) -> bool:
    """Whether the name is given a meaning here: a parameter, the target of an assignment, the name of a function."""
    node, parent = symbol.node, symbol.node.parent
    if symbol.role == "attribute" and parent is not None:
        node, parent = parent, parent.parent
    while parent is not None:
        field = field_of(parent, node)
        if symbol.role == "name" and parent.type in _IMPORTS:
            return True
        if parent.type == "dotted_name" and len(parent.children) > 1:
            return False  # a part of a path
        if symbol.role == "name" and _PARAMETERS.search(parent.type):
            return field not in ("type", "value", "return_type")
        if field in _TARGET_FIELDS and _DEFINES.search(parent.type) and not _NOT_DEFINING.search(parent.type):
            return True
        if not _PASSED.search(parent.type) or field in ("value", "type", "right"):
            return False
        node, parent = parent, parent.parent
    return False


def import_around(symbol: Symbol) -> Node | None:
    """The import that the identifier stands in. Other files do not get its name from here."""
    return next((each for each in above(symbol.node) if _IMPORT.search(each.type)), None)


def function_around(syntax: Syntax, symbol: Symbol) -> Node | None:
    """The function in which a name is local, if it is one's; not the function whose own name it is."""
    functions = syntax.language.functions | syntax.language.closures | _SMALL_SCOPES
    own = symbol.node.parent if symbol.node.parent is not None and names(symbol.node.parent, symbol.node) else None
    for node in above(symbol.node):
        if node.type in functions and node != own:
            return node
        if node.type in _CLAUSES and symbol.node.end_byte <= node.children[-1].start_byte:
            return node
    return None


def class_around(node: Node) -> Node | None:
    return next((each for each in above(node) if _CLASS.search(each.type)), None)


def is_member(syntax: Syntax, symbol: Symbol) -> bool:
    """Whether the body of a class defines a field or method here, by its plain name."""
    around = class_around(symbol.node)
    if symbol.role != "name" or around is None or names(around, symbol.node) or not defines(symbol):
        return False
    function = function_around(syntax, symbol)
    return function is None or span_of(syntax, around).start > span_of(syntax, function).start


def names(definition: Node, node: Node) -> bool:
    """Whether the node is the name of this function or class."""
    name = definition.child_by_field_name("name")
    return name is not None and name.start_byte == node.start_byte and name.end_byte == node.end_byte


def above(node: Node) -> Iterator[Node]:
    """The nodes around a node, innermost first."""
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def span_of(syntax: Syntax, node: Node) -> Span:
    return Span(syntax.offset(node.start_byte), syntax.offset(node.end_byte))


def rebinding(syntax: Syntax, found: Sequence[Symbol], scope: Node | None) -> list[Span]:
    """The functions inside of `scope` that have a variable of their own with the name of these symbols."""
    spans = []
    for symbol in found:
        if symbol.role == "name" and defines(symbol):
            around = function_around(syntax, symbol)
            if around is not None and around != scope:
                spans.append(span_of(syntax, around))
    return spans


def is_out_of_scope(syntax: Syntax, within: Span) -> bool:
    """Whether the code in a span uses a name that only functions around other code define. A name that the file does
    not define at all may be the language's own."""
    whole = Span(syntax.start, syntax.start + len(syntax.text))
    for match in re.finditer(r"[^\W\d]\w*", syntax.text[within.start - syntax.start : within.end - syntax.start]):
        used = symbol_at(syntax, within.start + match.start())
        if used is None or used.role != "name":
            continue
        found = [each for each in symbols(syntax, match[0], whole) if each.role == "name" and defines(each)]
        scopes = [function_around(syntax, each) for each in found if not inside(each.span, [within])]
        seen = [scope is None or inside(within, [span_of(syntax, scope)]) for scope in scopes]
        if seen and len(seen) == len(found) and not any(seen):
            return True
    return False


def inside(span: Span, others: Sequence[Span]) -> bool:
    return any(other.start <= span.start and span.end <= other.end for other in others)


def field_of(parent: Node, node: Node) -> str | None:
    for index, child in enumerate(parent.children):
        if child == node:
            return parent.field_name_for_child(index)
    return None
