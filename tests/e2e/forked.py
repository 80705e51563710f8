"""Servers with a scripted engine that start in a tenth of the time, forked from a process that imported what they need.

Where processes cannot be forked (Windows), each is started as `serving` starts it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from tests.e2e import fake_server
from tests.e2e.wire import Message, Server, Wire, driving, environment, fake_command, serving

FORKS = "forkserver" in multiprocessing.get_all_start_methods()


@asynccontextmanager
async def scripted(script: Message, wire: type[Wire] = Wire) -> AsyncIterator[Server]:
    """A server whose engine runs the script (`fake_server.Script`)."""
    if not FORKS:
        async with serving(fake_command(script), wire=wire) as server:
            yield server
        return
    async with driving(await Forked.start(script), wire) as server:
        yield server


class Forked:
    """As `asyncio.subprocess.Process`, as far as tests need it."""

    def __init__(self, process: BaseProcess, stdin: asyncio.StreamWriter, *outputs: asyncio.StreamReader) -> None:
        self._process, self.stdin = process, stdin
        self.stdout, self.stderr = outputs

    @classmethod
    async def start(cls, script: Message) -> Forked:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        (theirs, ours), *outputs = (context.Pipe(duplex=False) for _ in range(3))
        standard = (theirs, *(writer for _, writer in outputs))
        process = context.Process(target=_serve, args=(script, environment(), *standard), daemon=True)
        process.start()
        for each in standard:
            each.close()
        return cls(process, await _written(ours), *[await _read(reader) for reader, _ in outputs])

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> int | None:
        await asyncio.to_thread(self._process.join)
        return self.returncode


async def _read(pipe: Connection) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, _file(pipe, "rb"))
    return reader


async def _written(pipe: Connection) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, _file(pipe, "wb"))
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _file(pipe: Connection, mode: str) -> Any:
    """The pipe's descriptor has an owner of its own, which closes it."""
    with pipe:
        return os.fdopen(os.dup(pipe.fileno()), mode, buffering=0)


def _serve(script: Message, variables: dict[str, str], *standard: Connection) -> None:
    """Runs in the forked process."""
    for descriptor, pipe in enumerate(standard):
        os.dup2(pipe.fileno(), descriptor)
        pipe.close()
    os.environ.clear()
    os.environ.update(variables)
    sys.exit(fake_server.main(fake_server.Script(**script)))
