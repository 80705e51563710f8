"""Corrects messages of shipped clients that LSP's types refuse although their meaning is plain.

Changes a message in place, before it is decoded. Knows the parameters of text documents and notebooks only. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsprotocol import types

UNKNOWN_VERSION = -(1 << 31)
"""In place of a version that the client did not send."""

LARGEST = (1 << 31) - 1
"""LSP's largest line and column; clients send larger ones for "the end"."""

_CORRECTED = ("textDocument/", "notebookDocument/")
_DEEPEST = 32
_INLINE = types.TEXT_DOCUMENT_INLINE_COMPLETION


def correct(message: dict[str, Any]) -> None:
    """Raises `ValueError` for a text, URI or id that is of another type: decoding would let it through, or make a
    string of it, such as "None"."""
    method, params = message.get("method"), message.get("params")
    if method == types.CANCEL_REQUEST and isinstance(params, dict) and not isinstance(params.get("id"), int | str):
        raise ValueError("the id is no number and no string")
    if not (isinstance(method, str) and method.startswith(_CORRECTED) and isinstance(params, dict)):
        return
    for document in (params.get("textDocument"), params.get("notebookDocument")):
        if isinstance(document, dict) and not isinstance(document.get("uri"), str):
            raise ValueError("the URI is not a string")
    if method in (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE):
        document = params.get("textDocument")
        _correct_text(document, params.get("contentChanges", [document]))
    elif method in (types.NOTEBOOK_DOCUMENT_DID_OPEN, types.NOTEBOOK_DOCUMENT_DID_CHANGE):
        _correct_notebook(params)
    if method == _INLINE:
        context = params.setdefault("context", {}) or {}
        if isinstance(context, dict) and not context.get("triggerKind"):
            context["triggerKind"] = types.InlineCompletionTriggerKind.Automatic.value
            params["context"] = context
    _correct_places(params, _DEEPEST)


def _correct_notebook(params: dict[str, Any]) -> None:
    notebook, cells = params.get("notebookDocument"), _within(params, "change", "cells")
    if isinstance(notebook, dict) and notebook.get("version") is None:
        notebook["version"] = UNKNOWN_VERSION
    listed = (
        *_objects(_within(notebook, "cells")),
        *_objects(_within(cells, "data")),
        *_objects(_within(cells, "structure", "array", "cells")),
    )
    if not all(isinstance(cell.get("document"), str) for cell in listed):
        raise ValueError("the URI of a cell is not a string")
    opened = _objects(params.get("cellTextDocuments")), _objects(_within(cells, "structure", "didOpen"))
    texts: list[tuple[Any, Any]] = [(document, [document]) for documents in opened for document in documents]
    texts += [(each.get("document"), each.get("changes")) for each in _objects(_within(cells, "textContent"))]
    for document, changes in texts:
        if isinstance(document, dict) and not isinstance(document.get("uri"), str):
            raise ValueError("the URI of a cell is not a string")
        _correct_text(document, changes)


def _correct_text(document: Any, changes: Any) -> None:
    if isinstance(document, dict) and document.get("version") is None:
        document["version"] = UNKNOWN_VERSION
    if not all(isinstance(change.get("text"), str) for change in _objects(changes)):
        raise ValueError("the text is not a string")


def _within(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


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
