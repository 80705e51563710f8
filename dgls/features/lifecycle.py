"""initialize, folders, shutdown: who the client is. No model is touched here: `initialized` opens it."""

from __future__ import annotations

from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.lsp.server import LanguageServer

from dgls.session import Client, Session
from dgls.settings import own_options

CLOSE_SECONDS = 0.2
"""How long `shutdown` waits for the engine thread: a running step ends sooner, a load can't be stopped anyway."""


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        session.client = _client(params)
        session.configure("initialization", own_options(params.initialization_options))

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        removed = {folder.uri for folder in params.event.removed}
        added = [folder.uri for folder in params.event.added]
        session.move((*(uri for uri in session.client.folders if uri not in removed), *added))

    @server.feature(types.SHUTDOWN)
    def shutdown(params: None) -> None:
        session.close(CLOSE_SECONDS)


def _client(params: types.InitializeParams) -> Client:
    window, workspace = params.capabilities.window, params.capabilities.workspace
    folders = [folder.uri for folder in params.workspace_folders or []] or [params.root_uri or ""]
    encoding = ServerCapabilitiesBuilder.choose_position_encoding(params.capabilities)
    return Client(
        encoding=types.PositionEncodingKind(encoding).value,
        configuration=bool(workspace and workspace.configuration),
        progress=bool(window and window.work_done_progress),
        folders=tuple(uri for uri in folders if uri),
    )
