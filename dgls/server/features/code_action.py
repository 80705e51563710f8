"""textDocument/codeAction and codeAction/resolve: what can be filled, rewritten or fixed at a place.

Editors request the list on nearly every move of the cursor, so listing only reads the text. The work starts when the
user chooses an action. Clients that resolve get the edit then. Others get a command (`dgls.act`) that applies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.change.offer import Diagnosed, Offer, offers
from dgls.change.task import Action
from dgls.code.document import Document, Span
from dgls.server.actions.parameters import ActionRequest, new_request, request_from_data
from dgls.server.actions.perform import perform, report_errors, warn
from dgls.server.actions.workspace_edit import workspace_edit
from dgls.server.next_edit.rendering import action_of
from dgls.server.positions import position_of
from dgls.server.session import Session

FILL_ALL = "source.fillAll.dgls"
_REWRITE = types.CodeActionKind.RefactorRewrite.value
_QUICKFIX = types.CodeActionKind.QuickFix.value
_KINDS = {Action.FILL_ALL: FILL_ALL, Action.FIX: _QUICKFIX}
"""All other actions are `refactor.rewrite`."""
COMMAND = "dgls.act"


def register(server: LanguageServer, session: Session) -> None:
    options = types.CodeActionOptions(sorted({kind_of(action) for action in Action}), resolve_provider=True)

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    def code_action(params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
        document = session.documents.get(params.text_document.uri)
        client = session.client
        if document is None or not (client.resolves_actions or client.applies_edits):
            return []
        only = params.context.only or None  # some editor scripts send an empty list
        offered = _offered(session, document, params)
        at_stub = any(offer.task.action is Action.FILL for offer in offered)
        fixes = only is None or any(_includes(requested, _QUICKFIX) for requested in only)
        next_edits = _next_edit(session, document) if fixes else []
        kinds = [(offer, _kind(offer, at_stub, only)) for offer in offered]
        return [
            *next_edits,
            *(
                _render(session, document, offer, kind, params.context.diagnostics)
                for offer, kind in kinds
                if only is None or any(_includes(requested, kind) for requested in only)
            ),
        ]

    @server.feature(types.CODE_ACTION_RESOLVE)
    async def resolve(action: types.CodeAction) -> types.CodeAction:
        request = request_from_data(action.data)
        proposals = await report_errors(server, perform(server, session, [request]))
        if proposals:
            action.edit = workspace_edit(proposals[0], session.client)
            warn(server, session, proposals[0])
        else:
            action.data = None  # Eglot resolves an action with data and no edit again and again
        return action


def _next_edit(session: Session, document: Document) -> list[types.CodeAction]:
    """The next edit, if it is known already: the menu waits for no model."""
    edited = session.edited
    if edited is None or edited.proposal is None or not session.client.actions or not edited.concerns(document.uri):
        return []
    place = edited.proposal.place
    now = session.documents.get(place.document.uri)
    return [action_of(session, edited.proposal)] if now is not None and now.text == place.document.text else []


def kind_of(action: Action) -> str:
    return _KINDS.get(action, _REWRITE)


def _offered(session: Session, document: Document, params: types.CodeActionParams) -> list[Offer]:
    info = session.host.info
    span = _span(session, document, params.range)
    diagnosed = [Diagnosed(_span(session, document, each.range), each.message) for each in params.context.diagnostics]
    instructions = info is not None and info.profile.takes_instructions
    pins = info is None or info.pins
    syntax = session.syntax(document, span.start)
    fruitless = session.fruitless(document)
    made = offers(document, span, syntax, diagnosed, instructions, pins)
    return [offer for offer in made if offer.task not in fruitless]


def _kind(offer: Offer, at_stub: bool, only: Sequence[types.CodeActionKind | str] | None) -> str:
    """Light bulbs hide `source` actions unless the editor requests them, so at a stub "fill all" is a rewrite."""
    if offer.task.action is Action.FILL_ALL and at_stub and not any(_includes(kind, FILL_ALL) for kind in only or ()):
        return _REWRITE
    return kind_of(offer.task.action)


def _includes(requested: types.CodeActionKind | str, kind: str) -> bool:
    """Kinds form a tree: `refactor` includes `refactor.rewrite`, and the empty kind includes all."""
    name = requested.value if isinstance(requested, types.CodeActionKind) else requested
    return not name or kind == name or kind.startswith(name + ".")


def _render(
    session: Session, document: Document, offer: Offer, kind: str, diagnostics: Iterable[types.Diagnostic]
) -> types.CodeAction | types.Command:
    client = session.client
    opening = session.memory(document.uri).opening
    data = ActionRequest(new_request(), document.uri, document.version, offer.task, opening).data()
    command = types.Command(offer.title, COMMAND, arguments=[data])
    if not client.actions:
        return command
    fixed = None
    if offer.task.action is Action.FIX:
        fixed = [each for each in diagnostics if _span(session, document, each.range) == offer.task.span]
    action = types.CodeAction(offer.title, kind=kind, diagnostics=fixed or None)
    if client.resolves_actions:
        action.data = data
    else:
        action.command = command
    if client.tags_actions:
        action.tags = [types.CodeActionTag.LlmGenerated]
    return action


def _span(session: Session, document: Document, place: types.Range) -> Span:
    start, end = (document.offset(position_of(each), session.client.encoding) for each in (place.start, place.end))
    return Span(min(start, end), max(start, end))
