"""A project's own modules and the user's Python settings stay out of the server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dgls.__main__ import VARIABLES
from tests.e2e.wire import PATIENCE, REPO, Wire

SCRIPT = "import sys; from dgls.__main__ import main; sys.exit(main())"
PIP_SCRIPT = f"import re; {SCRIPT}"
CLEARED = dict.fromkeys(VARIABLES, "")
STARTS = {
    "console script": ["-P", "-c", SCRIPT, "serve"],
    "module": ["-m", "dgls", "serve"],
    "as VS Code starts it": ["-E", "-P", "-m", "dgls", "serve"],
}
LATE = ("engine", "dgls_engine", "torch", "argparse", "asyncio", "lsprotocol")
EARLY = ("enum", "typing", "re", "subprocess")
"""Modules that Python, or a program that pip installed, imports before dgls runs."""
REPORT = """
import json, os, sys
found = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
print(json.dumps({"optimize": sys.flags.optimize, "safe_path": sys.flags.safe_path, "path": sys.path, "found": found}))
"""


def plant(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.py").write_text("raise SystemExit('the project was imported')\n", encoding="utf-8")


@asynccontextmanager
async def started(start: list[str], folder: Path, **variables: str) -> AsyncIterator[Wire]:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, *start),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ".", "PYTHONOPTIMIZE": "2", **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    wire = Wire(server.stdout, server.stdin.write)
    try:
        yield wire
        await wire.request("shutdown")
        wire.notify("exit")
        assert await asyncio.wait_for(server.wait(), PATIENCE) == 0
    finally:
        wire.close()
        if server.returncode is None:
            server.kill()
            await server.wait()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
async def test_serve_in_a_hostile_folder_answers(start: list[str], tmp_path: Path) -> None:
    plant(tmp_path, *LATE, *EARLY)
    async with started(start, tmp_path) as wire:
        assert (await wire.initialize())["serverInfo"]["name"] == "dgls"


async def test_serve_by_pips_script_with_variables_that_editors_clear_answers(tmp_path: Path) -> None:
    plant(tmp_path, *LATE, *EARLY)
    async with started(["-P", "-c", PIP_SCRIPT, "serve"], tmp_path, **CLEARED) as wire:
        assert (await wire.initialize())["serverInfo"]["name"] == "dgls"


async def test_serve_with_a_checkout_on_pythonpath_keeps_the_hostile_folder_out(tmp_path: Path) -> None:
    plant(tmp_path, *LATE, *EARLY)
    path = os.pathsep.join([str(REPO), "."])
    async with started(["-P", "-c", SCRIPT, "serve"], tmp_path, PYTHONPATH=path) as wire:
        assert (await wire.initialize())["serverInfo"]["name"] == "dgls"


async def test_serve_in_a_hostile_folder_starts_programs_without_the_users_python_settings(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    program = f"import sys; sys.stdout = open({str(report)!r}, 'w')\n{REPORT}"
    async with started(STARTS["module"], tmp_path) as wire:
        command = [sys.executable, "-c", program]
        wire.settings = {"engine": {"url": "http://127.0.0.1:1", "apiKeyCommand": command}}
        await wire.initialize()
        await wire.status("failed")
    seen = json.loads(report.read_text())
    assert seen["optimize"] == 0
    assert not {"PYTHONPATH", "PYTHONOPTIMIZE"} & seen["found"].keys()


@pytest.mark.parametrize("start", [["-m", "dgls"], ["-P", "-c", SCRIPT]], ids=["module", "console script"])
def test_main_with_its_own_folder_on_pythonpath_keeps_that_alone(start: list[str], tmp_path: Path) -> None:
    checkout, project = tmp_path / "checkout", tmp_path / "project"
    (checkout / "dgls").mkdir(parents=True)
    project.mkdir()
    (checkout / "dgls" / "__init__.py").touch()
    (checkout / "dgls" / "__main__.py").write_bytes((REPO / "dgls" / "__main__.py").read_bytes())
    (checkout / "dgls" / "cli.py").write_text(f"def main():\n{REPORT}".replace("\n", "\n    "))
    path = os.pathsep.join([str(project), ".", "../checkout"])
    variables = {**os.environ, "PYTHONPATH": path, "PYTHONOPTIMIZE": "2"}
    ended = subprocess.run(
        [sys.executable, *start], cwd=project, env=variables, capture_output=True, text=True, check=True
    )
    seen = json.loads(ended.stdout)
    assert (seen["optimize"], seen["safe_path"]) == (0, True)
    assert seen["found"]["PYTHONPATH"] == str(checkout)
    assert "PYTHONOPTIMIZE" not in seen["found"]
    assert str(project) not in seen["path"]


@pytest.mark.parametrize("file", ["nvim/lsp/dgls.lua", "vscode/src/environment.ts"])
def test_editors_clear_all_variables_that_dgls_clears(file: str) -> None:
    text = (REPO / "editors" / file).read_text(encoding="utf-8")
    assert [name for name in VARIABLES if name not in text] == []
