"""initialize, workspace folders, shutdown: reads what the client can do. `initialized` opens the model, not this."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil
from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.lsp.server import LanguageServer

from dgls.server.capabilities import Client
from dgls.server.session import Session
from dgls.server.settings import SECTION, own_options

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 0.2
"""How long `shutdown` waits for the engine thread. A running step ends sooner; a load can't be stopped."""

WATCH_SECONDS = 5.0
"""How often the server looks whether its client's process is there."""

MENU_ONLY = frozenset({"Eglot", "helix"})
"""Names of clients without inline completion. Others show it without declaring it, such as Emacs' lsp-mode."""

MODAL = frozenset({"Neovim", "helix", "emacs", "Eglot"})
"""Names of clients that show the choices of a message as a prompt, and no code until it is answered."""

_TAG = types.CodeActionTag.LlmGenerated


def register(server: LanguageServer, session: Session, on_client: Callable[[], None], ended: asyncio.Event) -> None:
    """`on_client` is called when the client's capabilities are known, before the server announces its own. `ended` is
    set when the client's process ends: its pipes may stay open in a child of it."""

    watching: list[asyncio.Task[None]] = []

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        if params.process_id is not None and (process := _process(params.process_id)) is not None:
            watching.append(asyncio.create_task(_watch(process, ended)))
        session.client = _client(params)
        session.configure("initialization", own_options(params.initialization_options))
        on_client()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        removed = {folder.uri for folder in params.event.removed}
        kept = [uri for uri in session.client.folders if uri not in removed]
        session.set_folders(tuple(dict.fromkeys([*kept, *(folder.uri for folder in params.event.added)])))

    @server.feature(types.SHUTDOWN)
    def shutdown(params: None) -> None:
        session.close(CLOSE_SECONDS)


def _process(client: int) -> psutil.Process | None:
    """The client's process, if it can be seen: from inside a container it can't."""
    try:
        return psutil.Process(client)
    except (psutil.Error, ValueError, OverflowError):
        return None


async def _watch(process: psutil.Process, ended: asyncio.Event) -> None:
    """Set `ended` when the process has ended."""
    with suppress(psutil.Error):  # it ended between the two questions
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(WATCH_SECONDS)
    logger.error("The editor's process %d has ended, so the server ends", process.pid)
    ended.set()


def _client(params: types.InitializeParams) -> Client:
    capabilities = params.capabilities
    window, workspace, text = capabilities.window, capabilities.workspace, capabilities.text_document
    folders = [folder.uri for folder in params.workspace_folders or []] or [params.root_uri or ""]
    encoding = ServerCapabilitiesBuilder.choose_position_encoding(capabilities)
    action = (text and text.code_action) or types.CodeActionClientCapabilities()
    edit = (workspace and workspace.workspace_edit) or types.WorkspaceEditClientCapabilities()
    resolved = action.resolve_support.properties if action.resolve_support else ()
    return Client(
        encoding=types.PositionEncodingKind(encoding).value,
        menu_only=_name(params) in MENU_ONLY and (text is None or text.inline_completion is None),
        registers_completion=bool(text and text.completion and text.completion.dynamic_registration),
        offers_choices=_name(params) not in MODAL and bool(window and window.show_message),
        configuration=bool(workspace and workspace.configuration),
        progress=bool(window and window.work_done_progress),
        drafts=_wants("draft", capabilities.experimental),
        suggested=_wants("suggested", capabilities.experimental),
        actions=action.code_action_literal_support is not None,
        resolves_actions=bool(action.data_support) and "edit" in resolved,
        tags_actions=action.tag_support is not None and _TAG in action.tag_support.value_set,
        applies_edits=bool(workspace and workspace.apply_edit),
        versions_edits=bool(edit.document_changes),
        annotates_edits=edit.change_annotation_support is not None,
        folders=tuple(uri for uri in folders if uri),
    )


def _name(params: types.InitializeParams) -> str:
    return params.client_info.name if params.client_info else ""


def _wants(notification: str, experimental: object) -> bool:
    """`experimental` is free-form; ours is `{"dgls": {"draft": true}}`."""
    section = experimental.get(SECTION) if isinstance(experimental, Mapping) else None
    return isinstance(section, Mapping) and section.get(notification) is True
