"""The real server plus one request, `test/peek`, that tells what it holds. Not part of the wheel."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from typing import Any

from dgls.server import lsp_server

PEEK = "test/peek"


def main() -> None:
    build = lsp_server.build

    def peeked(*arguments: Any) -> lsp_server.Server:
        server = build(*arguments)
        server.feature(PEEK)(lambda params: _told(server, params["uri"]))
        return server

    lsp_server.build = peeked
    lsp_server.serve()


def _told(server: lsp_server.Server, uri: str | None) -> dict[str, Any]:
    """`text` is the hash of the document's text (`digest`). `kept` counts what is held of documents and requests."""
    session, protocol = server.session, server.conversation
    document = session.documents.get(uri) if uri is not None else None
    if document is None:
        gc.collect()
    held = (session.documents, session.out_of_step, session._memories, session._in_flight, protocol._request_futures)
    return {
        "text": digest(document.text) if document is not None else None,
        "kept": sum(map(len, held)),
        "tasks": len(asyncio.all_tasks()),
    }


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


if __name__ == "__main__":
    main()
