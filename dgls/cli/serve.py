"""`dgls serve`: run the language server until its client leaves."""

from __future__ import annotations

from argparse import Namespace

from dgls.server.lsp_server import serve


def run(options: Namespace) -> int:
    return serve(options.tcp)
