"""A project's own modules and the user's Python settings stay out of the server."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.e2e.wire import Wire

CONSOLE_SCRIPT = "import sys; from dgls.__main__ import main; sys.exit(main())"
STARTS = {
    "console script": ["-P", "-c", CONSOLE_SCRIPT, "serve"],
    "module": ["-m", "dgls", "serve"],
    "as VS Code starts it": ["-E", "-P", "-m", "dgls", "serve"],
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
async def test_serve_in_a_hostile_folder_answers(start: list[str], tmp_path: Path) -> None:
    for name in ("engine", "dgls_engine", "torch", "argparse", "asyncio", "lsprotocol"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the project was imported')\n", encoding="utf-8")
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, *start),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ".", "PYTHONOPTIMIZE": "2"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    wire = Wire(server.stdout, server.stdin.write)
    try:
        reply = await wire.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        assert reply["serverInfo"]["name"] == "dgls"
        await wire.request("shutdown", None)
        wire.notify("exit")
        assert await asyncio.wait_for(server.wait(), 20) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
