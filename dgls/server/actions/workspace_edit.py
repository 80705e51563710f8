"""A proposal as an LSP `WorkspaceEdit`, in the form that the client supports. Pure."""

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
class Proposal:
    """The checked, minimal result of `task` on `document`.

    `breaks`: the document parses without the edit, but not with it. `large`: the user should confirm the edit.
    """

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


def workspace_edit(proposal: Proposal, client: Client) -> types.WorkspaceEdit:
    """One edit for all replacements, so that one undo reverts them. Line breaks are the document's own."""
    document = proposal.document
    places = [(range_of(document, each.span, client.encoding), each.text) for each in proposal.replacements]
    if not client.versions_edits:
        return types.WorkspaceEdit(changes={document.uri: [types.TextEdit(place, text) for place, text in places]})
    edits: list[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit]
    annotations = None
    if client.annotates_edits:
        description = BROKEN if proposal.breaks else None
        annotations = {proposal.label: types.ChangeAnnotation(proposal.label, proposal.large, description)}
        edits = [types.AnnotatedTextEdit(proposal.label, place, text) for place, text in places]
    else:
        edits = [types.TextEdit(place, text) for place, text in places]
    versioned = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
    edit = types.TextDocumentEdit(versioned, edits)
    return types.WorkspaceEdit(document_changes=[edit], change_annotations=annotations)


def warning_of(proposal: Proposal, client: Client) -> str | None:
    """The warning to show beside the edit: clients show an annotation only if it asks for confirmation."""
    annotated = client.versions_edits and client.annotates_edits and proposal.large
    return f"{proposal.label}: {BROKEN}" if proposal.breaks and not annotated else None
