"""Find the stubs in a document, and the place for their code.

The hole replaces a stub's placeholders. Its signature, its docstring and comments that describe the code stay.
`stub_at` is for a place that the user points at; it accepts more than `stubs_in`, which searches a file and skips
bodies that may be empty on purpose. Uses the syntax tree, or lines and indentation if there is no grammar
(`dgls.change.stubs.bare`). Pure; runs on any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from tree_sitter import Node, Query, QueryCursor

from dgls.change.stubs.bare import bare_stub_at, bare_stubs_in
from dgls.change.stubs.body import Body, body_of
from dgls.change.stubs.hints import hints_at_stubs
from dgls.change.stubs.layout import Stub as Stub
from dgls.change.stubs.layout import below_comment, laid_out
from dgls.change.stubs.placeholders import declares_only, is_comment, says_todo
from dgls.code.document import Document
from dgls.code.indentation import indentation, line_above, width
from dgls.code.languages import Language, language_of
from dgls.code.parsing import grammar_of
from dgls.code.syntax import Syntax, parse_all

_SHORT = 15_000  # characters, about 400 lines: two milliseconds to parse
_ABSTRACT = re.compile(r"@(?:[\w.]+\.)?(?:overload|abstract\w*|singledispatch\w*|group|callback)\b")
_ABSTRACT_BASES = re.compile(r"\b(?:Protocol|ABC|ABCMeta|Interface)\b")
_INTERFACES = frozenset({"interface_declaration", "trait_item"})
_CONSTRUCTS = re.compile(r"\b(?:__init__|__new__|constructor|initialize|__construct)\b")
_CONSTRUCTORS = frozenset({"constructor_declaration", "compact_constructor_declaration", "destructor_declaration"})
_ARGUMENTS = re.compile(r"\(\s*(?:(?:self|cls|void)\b\s*,?)?\s*([^)]*)\)(\s*(?:noexcept\s*)?:\s*\w)?")
_WHATEVER = re.compile(r"\*{1,2}\w+(?:\s*:\s*\w+)?\s*,?")  # drops all arguments on purpose
_DERIVES = re.compile(r"class\s+\w+([^\r\n{]*)")
_FOR_OTHERS = re.compile(
    r"\b(?:sub-?class|child class|overrid|must (?:be )?(?:implement|define|provide))", re.IGNORECASE
)
_STORED = re.compile(r"\b(?:private|public|protected|readonly)\b")
_EMPTY_BY_NAME = re.compile(r"\b_*(?:no_?op|nop|do_?nothing|ignore|dummy)\w*\s*\(", re.IGNORECASE)


def stub_at(document: Document, offset: int, syntax: Syntax | None) -> Stub | None:
    """The innermost stub around `offset`, on its signature, in its docstring or in its body.

    Not only functions count, but everything with a body, and also a comment that says TODO on the line at `offset`: the
    hole is below it. `syntax` is the tree around `offset`, or None.
    """
    language = language_of(document.language, document.uri)
    if declares_only(document.uri):
        return None
    offset = min(max(0, offset), len(document.text))
    if language.kind != "code":
        return None
    if syntax is None:
        return bare_stub_at(document, language, offset) or _below_todo(document, language, offset, None)
    for body in _around(document, offset, syntax):
        return _stub(document, language, body, offset)
    broken = bare_stub_at(document, language, offset) if syntax.tree.root_node.has_error else None
    return broken or _below_todo(document, language, offset, syntax)


def stubs_in(document: Document, syntax: Syntax | None = None) -> tuple[Stub, ...]:
    """The stubs of the whole document in text order, without bodies that may be empty on purpose.

    Parses the document unless `syntax` covers all of it: about 100 ms for 10,000 lines, up to 300 ms if all are stubs.
    """
    language = language_of(document.language, document.uri)
    if declares_only(document.uri) or language.kind != "code":
        return ()
    if syntax is None or syntax.text != document.text:
        syntax = parse_all(document)
    if syntax is None:
        return tuple(bare_stubs_in(document, language))
    stubs: list[Stub] = []
    bases = _bases(syntax)
    for owner in _functions(syntax):
        body = body_of(document, syntax, owner)
        if body is not None and _lacks_code(owner, body, syntax, bases):
            stub = _stub(document, language, body)
            if not stubs or stubs[-1].span.end <= stub.span.start:
                stubs.append(stub)
    return tuple(stubs)


def may_hold_stubs(document: Document, syntax: Syntax | None = None) -> bool:
    """Whether `stubs_in` would find any: exact for short documents, a guess of a few milliseconds for long ones."""
    return hints_at_stubs(document) and (len(document.text) > _SHORT or bool(stubs_in(document, syntax)))


def _stub(document: Document, language: Language, body: Body, offset: int | None = None) -> Stub:
    if body.expression:
        return Stub(body.start, body.gone[0], "", "", None)
    return laid_out(document, language, body.inside, offset)


def _functions(syntax: Syntax) -> list[Node]:
    """In text order."""
    captured = QueryCursor(_query(syntax.language)).captures(syntax.tree.root_node)
    return sorted(captured.get("function", []), key=lambda node: node.start_byte)


@cache
def _query(language: Language) -> Query:
    grammar = grammar_of(language)
    assert grammar is not None, "a language with a tree has a grammar"
    return Query(
        grammar, "[" + " ".join(f"({node})" for node in sorted(language.functions | language.closures)) + "] @function"
    )


def _lacks_code(owner: Node, body: Body, syntax: Syntax, bases: frozenset[str]) -> bool:
    """Whether code seems to be missing. A body that does nothing may be meant so.

    Abstract functions are no stubs, and neither are those that do nothing or refuse in a class that is among the
    `bases` of others: subclasses implement them. An empty constructor is a stub only if it takes arguments that it
    neither stores nor passes on; one without arguments overrides another one.
    """
    around = syntax.lineage(owner)[1:]
    if _is_abstract(owner, around, syntax):
        return False
    if body.todo:
        return True
    parent = _class_of(around)
    name = None if parent is None else parent.child_by_field_name("name")
    if (name is not None and syntax.code(name) in bases) or _FOR_OTHERS.search(_placeholders(syntax, body)):
        return False
    if body.refuses:
        return True
    if owner.type in syntax.language.closures or body.explained:
        return False
    if _is_constructor(owner, body.header) and not _drops_arguments(body.header):
        return False
    return _EMPTY_BY_NAME.search(body.header) is None


def _placeholders(syntax: Syntax, body: Body) -> str:
    """The text from the first placeholder to the last."""
    if not body.gone:
        return ""
    start, end = body.gone[0].start - syntax.start, body.gone[-1].end - syntax.start
    return syntax.text[start:end]


def _is_abstract(owner: Node, around: Sequence[Node], syntax: Syntax) -> bool:
    if around and around[0].type == "decorated_definition":
        decorators = syntax.source[around[0].start_byte : owner.start_byte].decode("utf-8", "surrogatepass")
        if _ABSTRACT.search(decorators):
            return True
    for parent in around:
        condition = parent.child_by_field_name("condition")
        if condition is not None and syntax.code(condition).endswith("TYPE_CHECKING"):
            return True
    owning_class = _class_of(around)
    if owning_class is None:
        return False
    bases = owning_class.child_by_field_name("superclasses")
    return owning_class.type in _INTERFACES or (
        bases is not None and _ABSTRACT_BASES.search(syntax.code(bases)) is not None
    )


def _class_of(around: Sequence[Node]) -> Node | None:
    """The class, interface or trait that a function is a method of, with the nodes `around` it."""
    node = next((node for node in around if node.child_by_field_name("name") is not None), None)
    return node if node is not None and ("class" in node.type or node.type in _INTERFACES) else None


def _bases(syntax: Syntax) -> frozenset[str]:
    """The names of all base classes in the text: every word after the class's name on its line."""
    return frozenset(word for line in _DERIVES.finditer(syntax.text) for word in re.findall(r"\w+", line[1]))


def _is_constructor(owner: Node, header: str) -> bool:
    unnamed = owner.type == "function_definition" and owner.child_by_field_name("declarator") is not None
    in_cpp = unnamed and owner.child_by_field_name("type") is None  # a constructor, or a destructor
    return in_cpp or owner.type in _CONSTRUCTORS or _CONSTRUCTS.search(header) is not None


def _drops_arguments(header: str) -> bool:
    match = _ARGUMENTS.search(header)
    if match is None or match[2] or _STORED.search(match[1]):
        return False
    return bool(_WHATEVER.sub("", match[1]).strip())


def _around(document: Document, offset: int, syntax: Syntax) -> Iterator[Body]:
    """The bodies without code at `offset` or on its line, innermost first.

    Where indentation ends a body, it includes blank lines below a lone head, and lines and comments as deep as a body.
    """
    line = document.line_at(offset)
    text, start = document.line_text(line), document.line_start(line)
    places = [offset]
    if text.strip():
        places += [min(offset + 1, start + len(text)), start + len(indentation(text)) + 1, start + len(text.rstrip())]
    outside = syntax.language.offside and (not text.strip() or is_comment(text))
    if outside:
        above = line_above(document, line)
        while above is not None and is_comment(document.line_text(above)):
            above = line_above(document, above)
        places += [] if above is None else [document.line_start(above) + len(document.line_text(above).rstrip())]
    for place in places:
        for owner in _owners(syntax, place):
            body = body_of(document, syntax, owner)
            if body is None:
                continue
            indent = indentation(document.line_text(document.line_at(body.start)))
            if not outside or (not text.strip() and not body.gone) or width(indentation(text)) > width(indent):
                yield body


def _owners(syntax: Syntax, offset: int) -> Iterator[Node]:
    """The nodes around `offset` that have a body, functions or not."""
    functions = syntax.language.functions | syntax.language.closures
    for node, parent in pairwise((*syntax.around(offset), None)):
        assert node is not None, "only the root has no parent"
        if node.type == "decorated_definition":
            node = node.child_by_field_name("definition") or node
        braced = node.type in syntax.language.bodies and node.children[:1] and node.children[0].type == "{"
        if braced and parent is not None and parent.type in functions:
            continue  # the function itself comes next
        indented = syntax.language.offside and any(child.type == "block" for child in node.children)
        if braced or indented or node.type in functions:
            yield node


def _below_todo(document: Document, language: Language, offset: int, syntax: Syntax | None) -> Stub | None:
    """The hole below the comment at `offset`, if the comment says TODO and no code shares its lines."""
    first = last = document.line_at(offset)
    if syntax is not None:
        node = syntax.leaf(document.line_start(first) + len(document.line_text(first).rstrip()))
        if node.type not in language.comments:
            return None
        start = syntax.offset(node.start_byte)
        first, last = document.line_at(start), document.line_at(start + len(syntax.code(node).rstrip()))
    comment = document.text[document.line_start(first) : document.line_end(last)]
    if not is_comment(comment) or not says_todo(comment):
        return None
    indent = indentation(comment)
    while last + 1 < document.line_count and _goes_on(indent, document.line_text(last + 1)):
        last += 1
    return below_comment(document, last, indent)


def _goes_on(indent: str, text: str) -> bool:
    return indentation(text) == indent and is_comment(text) and not says_todo(text)
