"""One of several lines with the same pattern was changed: the others, with the same tokens replaced.

Lines are alike if they are near, indented equally, and differ in a few tokens; or if they annotate the same name with
the same type. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgls.code.document import Span
from dgls.code.syntax import Syntax
from dgls.next_edit.edit import Edit
from dgls.next_edit.place import Place
from dgls.next_edit.symbols import symbol_at

NEAR = 4
"""Lines above and below that may be of one pattern with the changed line."""

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"[^\W\d]\w*")


def siblings(edit: Edit, syntax: Syntax) -> Iterator[Place]:
    """The lines near the changed one that have its old tokens in the same place."""
    if "\n" in edit.lines_before or "\n" in edit.lines_after:
        return
    was = list(_TOKEN.finditer(edit.lines_before))
    now = list(_TOKEN.finditer(edit.lines_after))
    first, last_was, last_now = _differing([each[0] for each in was], [each[0] for each in now])
    if first == last_was or not any(_WORD.fullmatch(each[0]) for each in was):
        return
    document = edit.after
    changed = document.line_at(edit.new.start)
    new = edit.lines_after[now[first].start() : now[last_now - 1].end()] if last_now > first else ""
    old = [each[0] for each in was[first:last_was]]
    shape = [_kind(each[0]) for each in was]
    indent = len(edit.lines_before) - len(edit.lines_before.lstrip())
    for step in (1, -1):
        for line in range(changed + step, changed + step * (NEAR + 1), step):
            if not 0 <= line < document.line_count:
                break
            text = document.line_text(line)
            tokens = list(_TOKEN.finditer(text))
            if len(text) - len(text.lstrip()) != indent or [_kind(each[0]) for each in tokens] != shape:
                break  # the pattern ends here
            if [each[0] for each in tokens[first:last_was]] != old:
                continue
            start = document.line_start(line)
            span = Span(start + tokens[first].start(), start + tokens[last_was - 1].end())
            if not any(symbol_at(syntax, start + token.start()) for token in tokens[first:last_was]):
                return  # numbers and words in strings mostly differ on purpose
            yield Place(document, span, new, "pattern")


def equal_annotations(edit: Edit, syntax: Syntax) -> Iterator[Place]:
    """The places that give the same name the type that was changed."""
    found = _annotation(edit, syntax)
    if found is None:
        return
    name, old, new = found
    for match in re.finditer(rf"(?<!\w){re.escape(name)}(\s*:\s*){re.escape(old)}(?![\w.\[|])", syntax.text):
        at = syntax.start + match.start()
        if symbol_at(syntax, at) is not None:
            span = Span(at + match.end(1) - match.start(), at + match.end() - match.start())
            yield Place(edit.after, span, new, "pattern")


def _annotation(edit: Edit, syntax: Syntax) -> tuple[str, str, str] | None:
    """The name whose annotation was changed, with the old and the new type."""
    node = syntax.tree.root_node.descendant_for_byte_range(syntax.byte(edit.new.start), syntax.byte(edit.new.end))
    while node is not None and node.parent is not None:
        parent = node.parent
        typed = parent.child_by_field_name("type")
        if typed is not None and typed == node:
            start, end = syntax.offset(node.start_byte), syntax.offset(node.end_byte)
            new = syntax.code(node)
            old = edit.before.text[start : end - len(edit.new_text) + len(edit.old_text)]
            name = _WORD.match(syntax.code(parent).lstrip())
            return (name[0], old.strip().lstrip(":").strip(), new.lstrip(":").strip()) if name and old.strip() else None
        node = parent
    return None


def _differing(was: list[str], now: list[str]) -> tuple[int, int, int]:
    """Where the tokens differ: the first, and the ends in both lists."""
    first = 0
    while first < min(len(was), len(now)) and was[first] == now[first]:
        first += 1
    tail = 0
    while tail < min(len(was), len(now)) - first and was[-1 - tail] == now[-1 - tail]:
        tail += 1
    return first, len(was) - tail, len(now) - tail


def _kind(token: str) -> str:
    """What a token has in common with those in the same place of other lines."""
    if _WORD.fullmatch(token):
        return "word"
    return "number" if token[0].isdigit() else token
