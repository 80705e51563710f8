"""A proposed place as the protocol's objects, and as a code action. Pure."""

from __future__ import annotations

from typing import Any

from lsprotocol import types

from dgls.next_edit.place import Place
from dgls.server.next_edit.edited import Proposal
from dgls.server.positions import range_of
from dgls.server.session import Session

_LONGEST = 60
"""Characters of a line in a title."""


def shown(session: Session, place: Place) -> dict[str, Any]:
    """The fields of a place in `dgls/nextEdit` and `dgls/nextEditPlaces`."""
    document = session.documents.get(place.document.uri, place.document)
    return {
        "uri": document.uri,
        "version": document.version,
        "range": range_of(place.document, place.span, session.client.encoding),
        "newText": place.text,
        "kind": place.kind,
    }


def for_copilots_client(session: Session, proposal: Proposal, command: str) -> dict[str, Any]:
    """The same in the form of Copilot's language server."""
    fields = shown(session, proposal.place)
    return {
        "textDocument": {"uri": fields["uri"], "version": fields["version"]},
        "range": fields["range"],
        "text": fields["newText"],
        "command": {"title": "Next edit accepted", "command": command, "arguments": [proposal.id]},
    }


def action_of(session: Session, proposal: Proposal) -> types.CodeAction:
    place, client = proposal.place, session.client
    document = session.documents.get(place.document.uri, place.document)
    line = place.new_line.strip()
    title = (
        f"Apply the next edit in line {place.line + 1}: {line if len(line) <= _LONGEST else line[:_LONGEST] + '...'}"
    )
    edit = types.TextEdit(range_of(place.document, place.span, client.encoding), place.text)
    if client.versions_edits:
        versioned = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
        whole = types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(versioned, [edit])])
    else:
        whole = types.WorkspaceEdit(changes={document.uri: [edit]})
    action = types.CodeAction(title, kind=types.CodeActionKind.QuickFix.value, edit=whole)
    if client.tags_actions:
        action.tags = [types.CodeActionTag.LlmGenerated]
    return action
