"""Corrects messages of shipped clients that LSP's types refuse although their meaning is plain.

Changes a message in place, before it is decoded. Knows the parameters of text documents only. Pure.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types

UNKNOWN_VERSION = -(1 << 31)
"""In place of a version that the client did not send."""

LARGEST = (1 << 31) - 1
"""LSP's largest line and column; clients send larger ones for "the end"."""

_DEEPEST = 32
_INLINE = types.TEXT_DOCUMENT_INLINE_COMPLETION


def correct(message: dict[str, Any]) -> None:
    """Raises `ValueError` for a text, URI or id that is of another type: decoding would let it through, or make a
    string of it, such as "None"."""
    method, params = message.get("method"), message.get("params")
    if method == types.CANCEL_REQUEST and isinstance(params, dict) and not isinstance(params.get("id"), int | str):
        raise ValueError("the id is no number and no string")
    if not (isinstance(method, str) and method.startswith("textDocument/") and isinstance(params, dict)):
        return
    document = params.get("textDocument")
    if isinstance(document, dict) and not isinstance(document.get("uri"), str):
        raise ValueError("the URI is not a string")
    if method in (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE):
        if isinstance(document, dict) and document.get("version") is None:
            document["version"] = UNKNOWN_VERSION
        changes = params.get("contentChanges", [document])
        for change in changes if isinstance(changes, list) else ():
            if isinstance(change, dict) and not isinstance(change.get("text"), str):
                raise ValueError("the text is not a string")
    if method == _INLINE:
        context = params.setdefault("context", {}) or {}
        if isinstance(context, dict) and not context.get("triggerKind"):
            context["triggerKind"] = types.InlineCompletionTriggerKind.Automatic.value
            params["context"] = context
    _correct_places(params, _DEEPEST)


def _correct_places(value: Any, depth: int) -> None:
    """A range that is null is left out, one that is an array gets its names, and positions become possible."""
    if depth == 0:
        return
    if isinstance(value, list):
        for each in value:
            _correct_places(each, depth - 1)
    elif isinstance(value, dict):
        if "range" in value and value["range"] is None:
            del value["range"]
        elif isinstance(value.get("range"), list) and len(value["range"]) == 2:
            value["range"] = dict(zip(("start", "end"), value["range"], strict=True))
        for name in ("line", "character"):
            number = value.get(name)
            if isinstance(number, int | float) and number == number:
                value[name] = int(min(max(number, 0), LARGEST))
        for name, each in value.items():
            if name != "data":
                _correct_places(each, depth - 1)
