"""`python -m tests.stress.soak [--keys N] [--seed S]`: 100,000 keys, against a real server with the embedded model.

Types into 50 files in 10 languages over stdio (`tests.stress.typist`), in four rounds through all of them. The last
round has the keys of the first, so that their latencies can be compared. The server must have our text all the time and
answer each request, memory and latency must stay what they are, and when all files are closed nothing may be kept. The
last line is JSON; exits with 1 if something did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psutil

from tests.e2e.wire import REPO, Server, serving
from tests.stress.peeking_server import PEEK
from tests.stress.sources import Source, sources
from tests.stress.typist import Tally, TimedWire, Typist

ROUNDS = 4
COMMAND = [sys.executable, "-P", str(REPO / "tests" / "stress" / "peeking_server.py")]
MOST_GROWTH = 2.0
"""Percent by which the memory may differ in the last half."""
MOST_SLOWER = 20.0
"""Percent by which the last quarter may be slower than the first."""
_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class Held:
    """What the process holds while no file is open."""

    threads: int
    descriptors: int
    kept: int
    tasks: int


@dataclass(slots=True)
class Soak:
    """One run. `memory`: (keys so far, bytes) after each visit of a file."""

    keys: int
    seed: int
    files: Sequence[Source] = field(default_factory=sources)
    tally: Tally = field(default_factory=Tally)
    memory: list[tuple[int, int]] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    exit_code: int | None = None

    async def run(self) -> None:
        async with serving(COMMAND, wire=TimedWire) as server:
            wire = server.wire
            assert isinstance(wire, TimedWire)
            await wire.initialize()
            await wire.status("ready")
            typist = Typist(wire)
            # What is started or imported on demand is there then.
            await typist.visit(self.files[0], 20, Random(self.seed))
            await typist.close_all()
            self.held.append(await _held(server))
            self.tally = typist.tally = Tally()
            await self._type(typist, psutil.Process(server.process.pid))
            self.held.append(await _held(server))
            await wire.request("shutdown")
            wire.notify("exit")
            self.exit_code = await server.exit_code(10)
            logged = server.stderr.decode().splitlines()
        self.complaints = [line for line in logged if "busy for" not in line]

    async def _type(self, typist: Typist, process: psutil.Process) -> None:
        each, begun = max(1, self.keys // (ROUNDS * len(self.files))), time.monotonic()
        for number in range(ROUNDS):
            for source in self.files:
                goal = typist.tally.keys + each
                random = Random(f"{self.seed} {number % (ROUNDS - 1)} {source.name}")
                while typist.tally.keys < goal:
                    await typist.visit(source, goal - typist.tally.keys, random)
                self.memory.append((typist.tally.keys, process.memory_info().rss))
            line = f"round {number + 1}: {typist.tally.keys} keys, {time.monotonic() - begun:.0f} s"
            print(f"{line}, {self.memory[-1][1] >> 20} MB, {len(typist.tally.unequal)} unequal", flush=True)
        await typist.close_all()

    def failures(self) -> list[str]:
        """What did not hold, whatever the machine is busy with."""
        tally, (start, end) = self.tally, self.held
        wrong = [f"text unequal: {place}" for place in tally.unequal]
        wrong += [f"error in an answer: {kind}" for kind in tally.errors if not kind.endswith(_CANCELLED)]
        wrong += [f"in the server's log: {line}" for line in self.complaints[:5]]
        if (unanswered := self.unanswered) != 0:
            wrong.append(f"{unanswered} requests unanswered")
        if end.kept or end.tasks > start.tasks or (end.threads, end.descriptors) > (start.threads, start.descriptors):
            wrong.append(f"held at the start {start}, at the end {end}")
        if self.exit_code != 0:
            wrong.append(f"exit code {self.exit_code}")
        return wrong

    def drifts(self) -> list[str]:
        """What did not stay as it was. It says something of a long run alone."""
        growth, slower = self.growth, self.slower
        wrong = [f"the memory of the last half differs by {growth:.1f} %"] if growth > MOST_GROWTH else []
        return wrong + ([f"the last quarter is slower by {slower:.0f} %"] if slower > MOST_SLOWER else [])

    @property
    def unanswered(self) -> int:
        tally = self.tally
        return tally.requests.total() - tally.answers.total() - tally.errors.total()

    @property
    def growth(self) -> float:
        last = [held for keys, held in self.memory if keys > self.memory[-1][0] / 2]
        return 100 * (max(last) / min(last) - 1)

    @property
    def slower(self) -> float:
        first, *_, last = self.slowest()
        return 100 * (last / first - 1)

    def slowest(self) -> list[float]:
        """The 99th percentile of the latency in each round, in ms. A machine that others use is slow at times, so each
        round is cut in blocks, and a round's figure is that of its quietest quarter of blocks."""
        end = self.memory[-1][0]
        return [
            _quiet([wait for keys, wait in self.tally.waits if end * number < ROUNDS * keys <= end * (number + 1)])
            for number in range(ROUNDS)
        ]

    def figures(self) -> dict[str, Any]:
        tally = self.tally
        return {
            "keys": tally.keys,
            "files": len(self.files),
            "languages": len({source.language for source in self.files}),
            "compared": tally.compared,
            "requests": dict(tally.requests),
            "answered": tally.answers.total(),
            "errors": dict(tally.errors),
            "unanswered": self.unanswered,
            "waited": len(tally.waits),
            "p50_ms": round(1000 * statistics.median(wait for _, wait in tally.waits), 1),
            "p99_ms": [round(each, 1) for each in self.slowest()],
            "slower_percent": round(self.slower, 1),
            "memory_mb": [held >> 20 for _, held in self.memory[:: len(self.files) // 2]],
            "memory_growth_percent": round(self.growth, 2),
            "held": [[each.threads, each.descriptors, each.kept, each.tasks] for each in self.held],
        }


_CANCELLED = "-32800"


def _quiet(waits: Sequence[float]) -> float:
    size = max(1, len(waits) // _BLOCKS)
    blocks = [sorted(waits[start : start + size]) for start in range(0, len(waits) - size + 1, size)]
    slowest = sorted(block[int(0.99 * len(block))] for block in blocks)
    return 1000 * slowest[len(slowest) // 4]


async def _held(server: Server) -> Held:
    told = await server.wire.request(PEEK, {"uri": None})
    process = psutil.Process(server.process.pid)
    return Held(process.num_threads(), process.num_fds(), told["kept"], told["tasks"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun, soak = time.monotonic(), Soak(options.keys, options.seed)
    asyncio.run(soak.run())
    failures = soak.failures() + soak.drifts()
    print(json.dumps({**soak.figures(), "seconds": round(time.monotonic() - begun), "failures": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
