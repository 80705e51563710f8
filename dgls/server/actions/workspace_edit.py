"""A change as LSP says it: a `WorkspaceEdit` in the shape that the client takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from dgls.change.passage import Replacement
from dgls.change.task import Action, Task
from dgls.code.document import Document
from dgls.server.capabilities import Client
from dgls.server.positions import range_of

BROKEN = "The result does not parse, though the file did."


@dataclass(frozen=True, slots=True)
class Change:
    """Checked, and small: what `task` makes of `document`. It `breaks` what parsed; `large` asks for a second look."""

    task: Task
    document: Document
    replacements: tuple[Replacement, ...]
    confidence: float | None
    breaks: bool
    large: bool

    @property
    def label(self) -> str:
        return label_of(self.task.action)


def label_of(action: Action) -> str:
    """The name of the edit in the editor's undo list and of its progress, such as "dgls: fill all"."""
    return f"dgls: {action.replace('-', ' ')}"


def workspace_edit(change: Change, client: Client) -> types.WorkspaceEdit:
    """All in one, so that one undo takes it back; line breaks are the document's own."""
    document = change.document
    places = [(range_of(document, each.span, client.encoding), each.text) for each in change.replacements]
    if not client.versions_edits:
        return types.WorkspaceEdit(changes={document.uri: [types.TextEdit(place, text) for place, text in places]})
    edits: list[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit]
    annotations = None
    if client.annotates_edits:
        said = BROKEN if change.breaks else None
        annotations = {change.label: types.ChangeAnnotation(change.label, change.large, said)}
        edits = [types.AnnotatedTextEdit(change.label, place, text) for place, text in places]
    else:
        edits = [types.TextEdit(place, text) for place, text in places]
    versioned = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
    edit = types.TextDocumentEdit(versioned, edits)
    return types.WorkspaceEdit(document_changes=[edit], change_annotations=annotations)


def warning_of(change: Change, client: Client) -> str | None:
    """What must be said beside the edit, because nobody sees an annotation that asks for nothing."""
    shown = client.versions_edits and client.annotates_edits and change.large
    return f"{change.label}: {BROKEN}" if change.breaks and not shown else None
