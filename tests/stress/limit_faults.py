"""Faults of the machine: too little memory, too few descriptors, homes that are none, and a shared cache."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from dgls_engine.weights.expert_cache import entries
from tests.e2e.wire import Server, completion, serving
from tests.engine.checkpoints import chat_checkpoint
from tests.stress.expectation import (
    INLINE,
    PATIENCE,
    SERVE,
    TEXT,
    URI,
    NotHeld,
    PatientWire,
    answers,
    expect,
    last_line,
    leaves,
    limited,
    started,
)


async def little_memory() -> str:
    """The server serves, or tells why it can't, or ends with a word; it answers each request that it reads."""
    seen = [f"{kilobytes // 1000} MB: {await _under(f'-v {kilobytes}')}" for kilobytes in MEMORIES]
    return "; ".join(seen)


async def few_descriptors() -> str:
    """The same."""
    return "; ".join([f"{count}: {await _under(f'-n {count}')}" for count in (64, 24, 16, 12)])


async def odd_homes() -> str:
    """The server serves without a place for its files."""
    seen = []
    homes = ({"HOME": "/nonexistent"}, {"HOME": "/dev/null"}, dict.fromkeys(PLACES, "/proc"), {"HOME": ""})
    for home in homes:
        unset = [f"--unset={name}" for name in PLACES]
        command = ["env", *unset, *(f"{name}={value}" for name, value in home.items() if value), *SERVE]
        async with started(command) as server:
            await answers(server)
            await leaves(server)
        seen.append(" ".join(f"{name}={value}" for name, value in home.items()))
    return ", ".join(seen)


async def two_servers_with_one_cache() -> str:
    """Both serve, one entry of packed experts stays, and no unfinished one."""
    with tempfile.TemporaryDirectory() as folder:
        model = chat_checkpoint(Path(folder) / "model", sharpness=60.0)
        servers = [asyncio.create_task(_packing(model)) for _ in range(2)]
        await asyncio.gather(*servers)
        kept = [each for each in entries() if each.source == model]
        partial = list(kept[0].folder.parent.glob("*.partial")) if kept else []
        expect(len(kept) == 1 and not partial, f"{len(kept)} entries, {len(partial)} unfinished")
        kept[0].remove()
    return "one entry"


MEMORIES = (300_000, 600_000, 900_000, 1_300_000, 2_000_000, 4_000_000)
PLACES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


async def _under(limit: str) -> str:
    async with serving(limited(limit), wire=PatientWire) as server:
        wire, end = server.wire, asyncio.create_task(server.process.wait())
        serving_on = asyncio.create_task(_serve_or_tell(server))
        await asyncio.wait({end, serving_on}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if serving_on.done() or (end.done() and end.result() == 0):
            return await serving_on
        serving_on.cancel()
        if not end.done():
            raise NotHeld(f"under {limit}: no answer within {PATIENCE:.0f} s; {wire.statuses()[-1:]}")
        await asyncio.wait_for(server._draining, PATIENCE)
        expect(end.result() != 0 and bool(last_line(server)), f"under {limit}: exit code {end.result()} without a word")
        return f"ended, {last_line(server)[:80]!r}"


async def _serve_or_tell(server: Server) -> str:
    wire = server.wire
    await wire.initialize()
    await wire.until(lambda: wire.statuses()[-1:] in (["ready"], ["failed"]))
    wire.open(URI, TEXT)
    reply = await wire.reply(wire.ask(INLINE, completion(URI, 2, 4, kind=1)))
    if "error" in reply:
        return f"answers with an error, {reply['error']['message'][:80]!r}"
    told = [message["params"] for message in wire.heard if message["method"] == "dgls/status"][-1]
    if told["state"] == "failed":
        expect(bool(told["message"]), "failed without a reason")
        return f"failed, {told['message'][:80]!r}"
    await leaves(server)
    return f"serves, {len(reply['result']['items'])} items"


async def _packing(model: Path) -> None:
    """A server that packs a model's experts, even though the model is small."""
    program = (
        "from dgls_engine.weights import packed_layers; packed_layers.WORTH_KEEPING = 0;"
        "from dgls.server.lsp_server import serve; serve()"
    )
    async with serving([sys.executable, "-P", "-c", program], wire=PatientWire) as server:
        await server.wire.initialize({"initializationOptions": {"model": str(model), "dtype": "int4", "device": "cpu"}})
        await server.wire.status("ready")
        server.wire.open(URI, TEXT)
        await answers(server)
        await leaves(server)


ALL = (little_memory, few_descriptors, odd_homes, two_servers_with_one_cache)
