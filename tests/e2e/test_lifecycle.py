"""From process start to exit, over real pipes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dgls.change.task import STRENGTHS
from tests.e2e.wire import PATIENCE, Wire, completion, fake_command, frame, serving

URI = "file:///project/a.py"


async def test_initialize_is_answered_before_torch_is_imported(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-P",
        "-X",
        "importtime",
        "-c",
        "from dgls.server.lsp_server import serve; raise SystemExit(serve())",
    ]
    async with serving(command) as server:
        result = await server.wire.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        assert result["capabilities"]["inlineCompletionProvider"] is not None
        assert result["capabilities"]["textDocumentSync"]["change"] == 2
        assert result["serverInfo"]["name"] == "dgls"
        await server.wire.request("shutdown")
        server.wire.notify("exit")
        await server.exit_code(PATIENCE)
        imported = server.stderr.decode()
        assert "pygls" in imported
        assert not [line for line in imported.splitlines() if line.endswith((" torch", " transformers", " numpy"))]


async def test_initialize_announces_the_strengths_of_refining() -> None:
    async with serving(fake_command({})) as server:
        result = await server.wire.initialize()
        strengths = result["capabilities"]["experimental"]["dgls"]["strengths"]
        assert [(each["name"], each["strength"]) for each in strengths] == list(STRENGTHS.items())


async def test_initialized_loads_the_model_in_the_background_and_sends_the_status(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serving(fake_command({"gate": str(gate)})) as server:
        wire = server.wire
        await wire.initialize()
        await wire.status("loading")
        assert not [message for message in wire.heard if message["method"] == "dgls/status" and "id" in message]
        await wire.until(lambda: any(message["method"] == "$/progress" for message in wire.heard))
        gate.touch()
        await wire.status("ready")
        await wire.until(lambda: len([m for m in wire.heard if m["method"] == "$/progress"]) == 2)
        told = [m["params"] for m in wire.heard if m["method"] == "dgls/status"][-1]
        assert told == {
            **{"state": "ready", "model": "fake embedded", "device": "cpu", "message": "", "percent": None},
            **{"memory": 4, "instructions": False, "health": "", "holder": ""},
        }
        kinds = [m["params"]["value"]["kind"] for m in wire.heard if m["method"] == "$/progress"]
        assert kinds == ["begin", "end"]


async def test_load_sends_its_percentage_in_the_status_and_the_progress(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with serving(fake_command({"gate": str(gate), "loads": [10, 10, 40]})) as server:
        wire = server.wire
        await wire.initialize()

        def told(method: str) -> list[Any]:
            return [message["params"] for message in wire.heard if message["method"] == method]

        await wire.until(lambda: [each["percent"] for each in told("dgls/status")][-1:] == [40])
        await wire.until(lambda: [each["value"].get("percentage") for each in told("$/progress")][-1:] == [40])
        gate.touch()
        await wire.status("ready")
        assert told("dgls/status")[-1]["percent"] is None


async def test_server_before_initialized_sends_no_status() -> None:
    async with serving(fake_command({})) as server:
        await server.wire.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        await asyncio.sleep(0.2)
        assert server.wire.heard == []


async def test_load_for_a_client_without_progress_sends_none(tmp_path: Path) -> None:
    async with serving(fake_command({})) as server:
        await server.wire.initialize({"capabilities": {}})
        await server.wire.status("ready")
        assert {message["method"] for message in server.wire.heard} == {"dgls/status"}


async def test_load_that_fails_shows_advice() -> None:
    async with serving(fake_command({"fails": "No model x: run `dgls models pull x`."})) as server:
        await server.wire.initialize()
        await server.wire.status("failed")
        status = [message["params"] for message in server.wire.heard if message["method"] == "dgls/status"][-1]
        assert status["message"] == "No model x: run `dgls models pull x`."


@pytest.mark.parametrize("busy", [False, True])
async def test_shutdown_and_exit_wait_for_nothing_and_are_clean(busy: bool, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with serving(fake_command({"steps": 1000, "step_ms": 100, "journal": str(journal)})) as server:
        wire = server.wire
        await wire.initialize()
        await wire.status("ready")
        if busy:
            for name in "abcdefghijkl":
                wire.open(f"file:///{name}.py", "x = \n")
                wire.ask("textDocument/inlineCompletion", completion(f"file:///{name}.py", 0, 4))
            await wire.status("working")
        assert await wire.request("shutdown") is None
        wire.notify("exit")
        assert await server.exit_code(PATIENCE) == 0
        assert server.stderr == b""
        assert '"closed"' in journal.read_text()


async def test_answer_after_shutdown_is_ignored() -> None:
    async with serving(fake_command({})) as server:
        wire = server.wire
        await wire.initialize()
        await wire.request("shutdown")
        wire.send({"id": "late", "result": None})
        wire.notify("exit")
        assert await server.exit_code(PATIENCE) == 0
        assert server.stderr == b""


async def test_exit_during_a_load_does_not_wait(tmp_path: Path) -> None:
    async with serving(fake_command({"gate": str(tmp_path / "never")})) as server:
        await server.wire.initialize()
        await server.wire.status("loading")
        await server.wire.request("shutdown")
        server.wire.notify("exit")
        assert await server.exit_code(PATIENCE) == 0


async def test_exit_without_shutdown_returns_1() -> None:
    async with serving(fake_command({})) as server:
        await server.wire.initialize()
        server.wire.notify("exit")
        assert await server.exit_code(PATIENCE) == 1


async def test_end_of_stdin_ends_the_process(tmp_path: Path) -> None:
    async with serving(fake_command({"gate": str(tmp_path / "never")})) as server:
        await server.wire.initialize()
        await server.wire.status("loading")
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert await server.exit_code(PATIENCE) == 1


async def test_client_that_stops_reading_ends_the_process() -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(*fake_command({}), stdin=asyncio.subprocess.PIPE, stdout=writing)
    os.close(writing)
    os.close(reading)
    assert process.stdin is not None
    process.stdin.write(frame({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}))
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 1


async def test_serve_in_a_folder_with_packages_named_like_ours_ignores_them(tmp_path: Path) -> None:
    for name in ("dgls", "dgls_engine", "pygls", "lsprotocol", "torch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the workspace was imported: {name}')\n")
    async with serving([sys.executable, "-P", "-m", "dgls", "serve"], cwd=tmp_path) as server:
        params = {"rootUri": tmp_path.as_uri(), "capabilities": {}, "processId": None}
        assert (await server.wire.request("initialize", params))["serverInfo"]["name"] == "dgls"
        server.wire.notify("initialized", {})
        await server.wire.until(lambda: server.wire.statuses()[-1:] in (["ready"], ["failed"]))
        assert "the workspace was imported" not in str(server.wire.heard)
        assert b"the workspace was imported" not in server.stderr


async def test_client_that_ends_while_its_pipes_stay_open_ends_the_server() -> None:
    async with serving(fake_command({})) as server:
        editor = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
        await server.wire.initialize({"processId": editor.pid})
        await server.wire.status("ready")
        assert server.process.returncode is None
        editor.kill()
        await editor.wait()
        assert await server.exit_code(PATIENCE) == 1
        assert b"has ended" in server.stderr


async def test_client_whose_process_cannot_be_seen_is_served() -> None:
    for process in (2**31 - 1, 2**40, -1):
        async with serving(fake_command({})) as server:
            await server.wire.initialize({"processId": process})
            await server.wire.status("ready")
            await asyncio.sleep(0.3)
            await server.wire.request("shutdown")


async def test_client_that_does_not_read_the_log_is_served() -> None:
    reading, writing = os.pipe()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*fake_command({}), stdin=pipe, stdout=pipe, stderr=writing)
    os.close(writing)
    assert process.stdin is not None
    assert process.stdout is not None
    wire = Wire(process.stdout, process.stdin.write)
    await wire.initialize()
    for number in range(3000):  # each is logged, and a pipe holds 64 kB
        wire.send({"id": f"{number}", "method": "x" * 100})
    await wire.reply("2999")
    await wire.request("shutdown")
    wire.notify("exit")
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    wire.close()
    os.close(reading)


async def test_log_of_a_long_message_is_short() -> None:
    async with serving(fake_command({})) as server:
        await server.wire.initialize()
        server.wire.send({"id": "x" * 100_000, "method": "x/y"})
        await server.wire.request("shutdown")
        server.wire.notify("exit")
        assert await server.exit_code(PATIENCE) == 0
        assert b"x/y" in server.stderr
        assert len(server.stderr) < 10_000


async def test_client_that_does_not_read_is_served_no_more_when_stdin_ends() -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(*fake_command({}), stdin=asyncio.subprocess.PIPE, stdout=writing)
    os.close(writing)
    assert process.stdin is not None
    unknown = frame({"jsonrpc": "2.0", "id": 1, "method": "x" * 1000})
    process.stdin.write(unknown * 500)  # each is answered, and a pipe holds 64 kB
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 1
    os.close(reading)
