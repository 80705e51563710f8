"""notebookDocument/didOpen, didChange, didClose: keep the cells of notebooks and their order up to date.

The text of a cell is a document of the session like any other. A notebook with a change that cannot be followed (an
index or a cell that it does not have) counts as closed until it is opened again. A listed cell without a text is left
out. Plain functions, so that edits apply in order.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from dgls.server.documents import edit, lose, open_document
from dgls.server.session import Cell, Session

logger = logging.getLogger(__name__)

SYNC = types.NotebookDocumentSyncOptions(
    [types.NotebookDocumentFilterWithNotebook("jupyter-notebook", [types.NotebookCellLanguage("*")])]
)
"""What the server announces: the cells of Jupyter notebooks, in any language."""


def register(server: LanguageServer, session: Session) -> None:
    @server.feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenNotebookDocumentParams) -> None:
        notebook = params.notebook_document
        session.close_notebook(notebook.uri)  # a client may open a notebook twice
        session.set_cells(notebook.uri, _cells(notebook.cells))
        _open(session, notebook.uri, params.cell_text_documents)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeNotebookDocumentParams) -> None:
        uri, cells = params.notebook_document.uri, params.change.cells
        if uri not in session.notebooks:
            logger.warning("A change to %s, which is not open or out of step, is ignored", uri)
            return
        if cells is None:  # only metadata
            return
        try:
            if cells.structure is not None:
                _restructure(session, uri, cells.structure)
            for content in cells.text_content or ():
                if content.document.uri not in {cell.uri for cell in session.notebooks[uri]}:
                    raise ValueError(f"there is no cell {content.document.uri}")
                edit(server, session, content.document, content.changes)
        except ValueError as error:
            logger.error("A change to %s can't be applied: %s", uri, error)
            lose(server, session, uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseNotebookDocumentParams) -> None:
        session.close_notebook(params.notebook_document.uri)


def _restructure(session: Session, uri: str, structure: types.NotebookDocumentCellChangeStructure) -> None:
    array, cells = structure.array, session.notebooks[uri]
    end = array.start + array.delete_count
    if not 0 <= array.start <= end <= len(cells):
        raise ValueError(f"there are {len(cells)} cells, so none from {array.start} to {end}")
    for closed in structure.did_close or ():
        if closed.uri in {cell.uri for cell in cells}:
            session.forget(closed.uri)
    session.set_cells(uri, (*cells[: array.start], *_cells(array.cells or ()), *cells[end:]))
    _open(session, uri, structure.did_open or ())


def _open(session: Session, uri: str, items: Sequence[types.TextDocumentItem]) -> None:
    """Open the texts that belong to cells of the notebook."""
    listed = {cell.uri for cell in session.notebooks[uri]}
    for item in items:
        if item.uri in listed:
            open_document(session, item)
        else:
            logger.warning("The text of %s, which is no cell of %s, is ignored", item.uri, uri)


def _cells(cells: Sequence[types.NotebookCell]) -> tuple[Cell, ...]:
    return tuple(Cell(cell.document, cell.kind is types.NotebookCellKind.Code) for cell in cells)
