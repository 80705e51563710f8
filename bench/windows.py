"""Whether windows that share a model lose requests or load it twice, whatever ends, and what sharing costs.

    PYTHONPATH=. python bench/windows.py [--requests 10000] [--timed 1000] [--seed 1]

Three real processes share a scripted model (tests/sharing/window.py). While they ask, random ones are killed, closed,
or stopped for a while, and started again. Then two processes ask in turns, the holder of the model and a guest; the
time of the engine itself is taken off. At last, a real model shows what holder and guest have in memory. Linux, macOS.

The last line is JSON: `copies` is the most models that were in memory at once; `lost` counts requests of windows that
lived and got no fill of their own, or none at all; `refused` are answers of a window whose holder was stopped for
longer than it waits; `overhead_p99_ms` is the 99th percentile of a guest's requests less that of the holder's own, and
`overhead_cpu_ms` the CPU's time for one, in both processes, in the same way. On a busy machine most of the former is
the time until a process gets a core: `echo_p99_ms` is that of a bare echo between two processes, in turns with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import psutil

from tests.sharing.windows import Folder, Window, windows

AT_ONCE = 4
"""Requests of a window that wait at the same time."""
LONG = 60.0
"""Seconds after which a request counts as lost."""
SILENCE = 1.0
BYTES = 7600
"""Of a timed request."""
MOST_SECONDS = 1.0
"""Between two troubles."""


@dataclass
class Tally:
    answered: int = 0
    refused: int = 0
    lost: int = 0
    kills: int = 0
    closes: int = 0
    stops: int = 0


class Trial:
    """Three windows that ask all the time, and what befalls them."""

    def __init__(self, folder: Folder, requests: int, seed: int) -> None:
        self._folder, self._requests, self._chance = folder, requests, random.Random(seed)
        self._windows: list[Window] = []
        self._holder = 0
        self.tally = Tally()

    async def run(self) -> Tally:
        self._windows = [await Window.start(self._folder.path) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._ask(place)) for place in range(3) for _ in range(AT_ONCE)]
            troubling = group.create_task(self._trouble())
            await asyncio.wait(asking)
            troubling.cancel()
        for window in self._windows:
            await window.kill()
        return self.tally

    async def _ask(self, place: int) -> None:
        tally = self.tally
        while tally.answered < self._requests:
            window = self._windows[place]
            try:
                answer = await asyncio.wait_for(window.send(), LONG)
            except TimeoutError:
                tally.lost += 1
                print("lost: no answer", flush=True)
                continue
            if answer.get("error") == "HolderSilent":
                tally.refused += 1
                await asyncio.sleep(0.1)
            elif answer.get("error") == "ended" or window.closed:  # with its editor
                await asyncio.sleep(0.1)
            elif answer.get("text", "").startswith(f"request {answer['ask']} by "):
                tally.answered += 1
                self._holder = int(answer["text"].split()[-1])
                if tally.answered % 1000 == 0:
                    print(tally, f"loads={self._folder.loads}", flush=True)
            else:
                tally.lost += 1
                print(f"lost: {answer}", flush=True)

    async def _trouble(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.0, MOST_SECONDS))
            kind = self._chance.random()
            holder = next((window for window in self._windows if window.pid == self._holder), None)
            window = (
                holder if holder is not None and self._chance.random() < 0.5 else self._chance.choice(self._windows)
            )
            place = self._windows.index(window)
            if kind < 0.3:
                self.tally.stops += 1
                window.signal(signal.SIGSTOP)
                await asyncio.sleep(self._chance.choice((0.3, 3 * SILENCE)))
                window.signal(signal.SIGCONT)
                continue
            if kind < 0.8:
                self.tally.kills += 1
            else:
                self.tally.closes += 1
                await window.end(wait=False)
                await asyncio.sleep(self._chance.uniform(0.0, 0.3))
            self._windows[place] = await Window.start(self._folder.path)  # so that others find it alive, too
            await window.kill()


@dataclass
class Cost:
    """Milliseconds of each request besides those of the engine, and seconds of both processes' CPU in all."""

    times: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @property
    def percentiles(self) -> tuple[float, float]:
        hundredths = quantiles(self.times, n=100)
        return hundredths[49], hundredths[98]

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu / len(self.times)


async def costs(folder: Folder, requests: int) -> tuple[Cost, Cost, Cost]:
    """Of requests of the holder's own window, of a guest's, and of a bare echo, ten of each in turns."""
    async with windows(folder, 2) as both:
        own, shared, bare = Cost(), Cost(), Cost()
        with echo() as ms_of_echo:
            for _ in range(requests // 10):
                for window, cost in zip(both, (own, shared), strict=True):
                    before = [(await each.state())["cpu"] for each in both]
                    cost.times += [(await window.ask())["ms"] for _ in range(10)]
                    cost.cpu += sum([(await each.state())["cpu"] for each in both]) - sum(before)
                for _ in range(10):
                    await asyncio.sleep(0.05)
                    bare.times.append(ms_of_echo())
    return own, shared, bare


@contextmanager
def echo() -> Iterator[Callable[[], float]]:
    """Milliseconds in which a process that does nothing else sends back as many bytes as a request has."""
    here, there = socket.socketpair()
    program = f"import socket; s = socket.socket(fileno={there.fileno()})\nwhile m := s.recv(65536): s.sendall(m)"
    process = subprocess.Popen([sys.executable, "-c", program], pass_fds=[there.fileno()])
    there.close()

    def once() -> float:
        started, left = time.perf_counter(), BYTES
        here.sendall(b"." * BYTES)
        while left:
            left -= len(here.recv(left))
        return (time.perf_counter() - started) * 1000

    once()
    try:
        yield once
    finally:
        here.close()
        process.wait()


async def memory(folder: Folder) -> tuple[float, float]:
    """MB of a process that holds the embedded model, and of its guest."""
    holder = await Window.start(folder.path)
    await holder.send()  # imports torch, which may take long
    guest = await Window.start(folder.path)
    await guest.send()
    assert not (await guest.state())["torch"]
    sizes = [psutil.Process(window.pid).memory_info().rss / 1e6 for window in (holder, guest)]
    for window in (holder, guest):
        await window.kill()
    return sizes[0], sizes[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--timed", type=int, default=1000, help="requests of each window that are timed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:

        def folder(name: str, **script: object) -> Folder:
            path = Path(root, name)
            path.mkdir()
            return Folder(path, {"silence": SILENCE, **script})

        began = time.monotonic()
        tried = folder("trial", steps=2, step_ms=1.0, load_ms=100.0)
        tally = asyncio.run(Trial(tried, options.requests, options.seed).run())
        seconds, loads, copies = time.monotonic() - began, tried.loads, 1 + (tried.second_copies > 0)
        print(f"{tally.answered} requests in {seconds:.0f} s over {tally}, {loads} loads")
        # Steps as long as those of a large model on a fast GPU, of a line.
        own, shared, bare = asyncio.run(
            costs(folder("timed", steps=8, step_ms=6.0, tokens=16, lines=60), options.timed)
        )
        held, used = asyncio.run(memory(folder("memory", real=True)))
    direct, through = own.percentiles, shared.percentiles
    print(f"bare echo: p50 {bare.percentiles[0]:.2f} ms, p99 {bare.percentiles[1]:.2f} ms")
    for name, (half, most), size in (("holder", direct, held), ("guest", through, used)):
        print(f"{name}: besides the engine p50 {half:.2f} ms, p99 {most:.2f} ms; {size:.0f} MB of memory")
    result = {
        "copies": copies,
        "lost": tally.lost,
        "overhead_p99_ms": round(through[1] - direct[1], 2),
        "overhead_p50_ms": round(through[0] - direct[0], 2),
        "echo_p99_ms": round(bare.percentiles[1], 2),
        "overhead_cpu_ms": round(shared.cpu_ms - own.cpu_ms, 2),
        "requests": tally.answered,
        "refused": tally.refused,
        "kills": tally.kills + tally.closes,
        "stops": tally.stops,
        "loads": loads,
        "holder_mb": round(held),
        "guest_mb": round(used),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
