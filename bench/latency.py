"""Measures the time from a keystroke to the suggestion, over LSP, as an editor waits for it.

    python bench/latency.py [--model M]

The client types a function into a file letter by letter. Each letter is a didChange and an automatic inline completion;
the next letter comes after the answer. The figures: the time with the model, in files that it reads for the first time
(cold) and while typing goes on, the time of the server alone in a file of 10,000 lines (with an engine that answers at
once), the time to list code actions there, the number of prompt tokens that the encoder computes for each keystroke,
the times until `initialize` is answered and the model is loaded, and the server's memory. The last line is JSON. This
file also starts the server, in its own process, as `dgls serve` does, with an engine that writes a journal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import psutil

from dgls.server.lsp_server import open_engine as open_as_served
from dgls.server.lsp_server import serve
from dgls.server.settings import Settings
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.types import CancelToken, Fill, Infill, InfillRequest, Loading, Score, ScoreRequest, Step, Timings
from dgls_engine.worker import EngineLike

URI = "file:///bench/ledger.py"
INSTANT = "none"
"""The model name of the engine that answers at once."""
PROFILE = Profile("raw", "pad", 128, max_prompt_tokens=128, before_tokens=44, after_tokens=32)

TYPED = """\
def summary(entries, currency):
    totals = {}
    for entry in entries:
        if entry.currency != currency:
            continue
        totals[entry.account] = totals.get(entry.account, 0) + entry.amount
    return sorted(totals.items())
"""

FUNCTION = '''\
def balance_{n}(entries, account):
    """The balance of an account after {n} entries."""
    total = 0
    for entry in entries[:{n}]:
        if entry.account == account:
            total += entry.amount
    return total


'''


_COLD_FILES = 20


class JournalEngine:
    """Wraps an engine and writes a line to the journal for each finished request."""

    def __init__(self, engine: EngineLike, journal: Path) -> None:
        self._engine, self._journal = engine, journal

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    def warm(self) -> Iterator[None]:
        return self._engine.warm()

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        started = time.perf_counter()
        for event in self._engine.infill(request, cancel):
            if isinstance(event, Infill):
                entry = {
                    "ms": (time.perf_counter() - started) * 1000,
                    "prompt_tokens": event.prompt_tokens,
                    "prefilled_tokens": event.prefilled_tokens,
                    "steps": event.steps,
                    "finish": event.finish,
                }
                with self._journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
            yield event

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> Sequence[Score]:
        return self._engine.scores(request, cancel)

    def count(self, text: str) -> int:
        return self._engine.count(text)

    def close(self) -> None:
        self._engine.close()


class InstantEngine:
    """Answers at once. Each text differs, so the server's cache never answers."""

    def __init__(self) -> None:
        self.info = ModelInfo(INSTANT, 0, 0, "cpu", "no device", "float32", 0.0, PROFILE)
        self._count = 0

    def warm(self) -> Iterator[None]:
        yield from ()

    def count(self, text: str) -> int:
        return -(-len(text) // 3)

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        self._count += 1
        yield Infill((Fill(f"answer_{self._count}", (), 1.0, 1.0),), 1, "stable", Timings(0.0, 0.0), 0, 0, 0, 0)

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> Sequence[Score]:
        return [Score((), ()) for _ in request.texts]

    def close(self) -> None:
        pass


class Client:
    """A minimal editor: one request at a time over the server's pipes."""

    def __init__(self, model: str, journal: Path, command: Sequence[str] = ()) -> None:
        # In its own process, as an editor starts it, so that torch's output stays out of this benchmark's output.
        command = command or [sys.executable, "-P", __file__, "--serve", str(journal), "--model", model]
        started = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out = os.fdopen(os.dup(self._process.stdout.fileno()), "rb")
        self._id = 0
        options = {"model": "embedded" if model == INSTANT else model}
        self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": None,
                "capabilities": {"workspace": {"applyEdit": True}},  # needed for code actions
                "initializationOptions": options,
            },
        )
        self.initialize_ms = (time.perf_counter() - started) * 1000
        self.notify("initialized", {})
        while (status := self._read()).get("params", {}).get("state") != "ready":
            if status.get("params", {}).get("state") == "failed":
                raise SystemExit(status["params"]["message"])
        self.ready_ms = (time.perf_counter() - started) * 1000

    def request(self, method: str, params: object) -> Any:
        self._id += 1
        self._write({"id": self._id, "method": method, "params": params})
        while True:
            message = self._read()
            if message.get("id") == self._id:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]

    def notify(self, method: str, params: object) -> None:
        self._write({"method": method, "params": params})

    def memory(self) -> int:
        """The server's resident memory in bytes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def close(self) -> None:
        self.request("shutdown", None)
        self.notify("exit", None)
        self._process.wait(10)
        self._out.close()

    def _write(self, message: dict[str, object]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._in.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def _read(self) -> dict[str, Any]:
        length = 0
        while (line := self._out.readline()) != b"\r\n":
            if not line:
                raise SystemExit("the server ended; run `dgls serve` by hand to see why")
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(self._out.read(length))
        return message


@dataclass(frozen=True, slots=True)
class Keystroke:
    """Milliseconds from sending a letter to its answer. `engine`: the engine's journal entry, or None without one."""

    ms: float
    answered: bool
    engine: dict[str, Any] | None


def replay(client: Client, journal: Path, functions: int, rounds: int, typed: str = TYPED) -> list[Keystroke]:
    """Type `typed` into the middle of a file of `functions` functions, `rounds` times."""
    return [keystroke for _ in range(rounds) for keystroke in _typed(client, journal, range(functions // 2), typed)]


def cold(client: Client, journal: Path, files: int) -> Iterator[Keystroke]:
    """The first keystroke with a request to the engine, in files whose prompts have nothing in common."""
    for number in range(1, files + 1):
        keystrokes = _typed(client, journal, range(100 * number, 100 * number + 12), TYPED)
        yield from islice((keystroke for keystroke in keystrokes if keystroke.engine is not None), 1)
        keystrokes.close()


def _typed(client: Client, journal: Path, functions: range, typed: str) -> Generator[Keystroke]:
    half = "".join(FUNCTION.format(n=n) for n in functions)
    document = {"uri": URI, "languageId": "python", "version": 0, "text": half + "\n\n" + half}
    client.notify("textDocument/didOpen", {"textDocument": document})
    try:
        yield from _type(client, journal, half.count("\n"), typed)
    finally:
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})


def _type(client: Client, journal: Path, line: int, typed: str) -> Iterator[Keystroke]:
    column, seen = 0, _lines(journal)
    for version, letter in enumerate(typed, 1):
        at = {"line": line, "character": column}
        change = {"range": {"start": at, "end": at}, "text": letter}
        line, column = (line + 1, 0) if letter == "\n" else (line, column + 1)
        started = time.perf_counter()
        client.notify(
            "textDocument/didChange",
            {"textDocument": {"uri": URI, "version": version}, "contentChanges": [change]},
        )
        answer = client.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": URI},
                "position": {"line": line, "character": column},
                "context": {"triggerKind": 2},
            },
        )
        ms = (time.perf_counter() - started) * 1000
        entries = _lines(journal)
        entry = json.loads(entries[-1]) if len(entries) > len(seen) else None
        seen = entries
        yield Keystroke(ms, bool(answer["items"]), entry)


def listed(client: Client, functions: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds to list the code actions in a file of `functions` functions and a few stubs, some with a selection:
    after the cursor moved far, after it moved by a line, and after a letter was typed."""
    stub = "def later_{n}(entries):\n    raise NotImplementedError\n\n\n"
    text = "".join(FUNCTION.format(n=n) + (stub.format(n=n) if n % 50 == 0 else "") for n in range(functions))
    lines = text.count("\n")
    client.notify(
        "textDocument/didOpen",
        {"textDocument": {"uri": URI, "languageId": "python", "version": 0, "text": text}},
    )
    times: dict[str, list[float]] = {"far move": [], "near move": [], "edit": []}
    for turn in range(rounds):
        line = turn * 2_741 % (lines - 2)
        times["far move"].append(_list(client, line, line))
        times["near move"].append(_list(client, line + 1, line + 1 + turn % 2))
        at = {"line": line, "character": 0}
        change = {"range": {"start": at, "end": at}, "text": "#"}
        started = time.perf_counter()
        client.notify(
            "textDocument/didChange", {"textDocument": {"uri": URI, "version": turn + 1}, "contentChanges": [change]}
        )
        _list(client, line, line)
        times["edit"].append((time.perf_counter() - started) * 1000)
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    return times


def _list(client: Client, first: int, last: int) -> float:
    place = {"start": {"line": first, "character": 0}, "end": {"line": last, "character": 0}}
    started = time.perf_counter()
    client.request(
        "textDocument/codeAction",
        {"textDocument": {"uri": URI}, "range": place, "context": {"diagnostics": [], "triggerKind": 2}},
    )
    return (time.perf_counter() - started) * 1000


def _lines(journal: Path) -> list[str]:
    return journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []


def percentile(values: Sequence[float], share: int) -> float | None:
    """A percentile of `values`; None if there are none, and the value itself if there is one."""
    if len(values) < 2:
        return round(values[0], 2) if values else None
    return round(statistics.quantiles(values, n=100, method="inclusive")[share - 1], 2)


def with_model(model: str, journal: Path) -> dict[str, object]:
    client = Client(model, journal)
    unread = list(cold(client, journal, _COLD_FILES))
    keystrokes = replay(client, journal, functions=24, rounds=1)
    memory = client.memory()
    client.close()
    computed = [keystroke for keystroke in keystrokes if keystroke.engine is not None]
    entries = [keystroke.engine for keystroke in computed if keystroke.engine is not None]
    return {
        "model": model,
        "initialize_ms": round(client.initialize_ms),
        "ready_ms": round(client.ready_ms),
        "server_mb": round(memory / 1e6),
        "keystrokes": len(keystrokes),
        "engine_requests": len(computed),
        "suggestions": sum(keystroke.answered for keystroke in keystrokes),
        "cold_ms": _times(unread),
        "cold_prefilled_tokens_p50": percentile([k.engine["prefilled_tokens"] for k in unread if k.engine], 50),
        "keystroke_to_answer_ms": _times(computed[1:]),
        "of_which_suggestions_ms": _times([keystroke for keystroke in computed[1:] if keystroke.answered]),
        "of_which_engine": round(sum(entry["ms"] for entry in entries) / max(1e-9, sum(k.ms for k in computed)), 3),
        "ended_by_deadline": sum(entry["finish"] == "deadline" for entry in entries),
        "steps_mean": round(statistics.fmean(entry["steps"] for entry in entries), 2) if entries else None,
        "prompt_tokens_p50": percentile([entry["prompt_tokens"] for entry in entries], 50),
        "prefilled_tokens_per_keystroke": {
            "mean": round(statistics.fmean(entry["prefilled_tokens"] for entry in entries[1:]), 2),
            "share_with_none": round(statistics.fmean(entry["prefilled_tokens"] == 0 for entry in entries[1:]), 3),
        }
        if len(entries) > 1
        else None,
    }


def _times(keystrokes: Sequence[Keystroke]) -> dict[str, float | None]:
    times = [keystroke.ms for keystroke in keystrokes]
    return {"n": len(times), "p50": percentile(times, 50), "p90": percentile(times, 90)}


def without_model(journal: Path) -> dict[str, object]:
    client = Client(INSTANT, journal)
    keystrokes = replay(client, journal, functions=1112, rounds=3)
    client.close()
    times = [keystroke.ms for keystroke in keystrokes if keystroke.engine is not None]
    lines = 1112 // 2 * 2 * FUNCTION.count("\n")
    return {"lines": lines, "requests": len(times)} | {f"p{share}": percentile(times, share) for share in (50, 90, 99)}


def actions(journal: Path) -> dict[str, object]:
    client = Client(INSTANT, journal)
    times_by_case = listed(client, functions=1100, rounds=300)
    client.close()
    return {
        case: {f"p{share}": percentile(times, share) for share in (50, 99)} for case, times in times_by_case.items()
    }


def run_server(model: str, journal: Path) -> int:
    def open_engine(settings: Settings, on_loading: Loading) -> EngineLike:
        if model == INSTANT:
            return JournalEngine(InstantEngine(), journal)
        return JournalEngine(open_as_served(settings, on_loading), journal)

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `python -m dgls` does before it imports torch
    return serve(None, open_engine)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--serve", type=Path, metavar="JOURNAL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        return run_server(options.model, options.serve)
    with tempfile.TemporaryDirectory() as folder:
        result = with_model(options.model, Path(folder) / "model.jsonl")
        for name, value in result.items():
            print(f"{name}: {value}")
        server = without_model(Path(folder) / "server.jsonl")
        print(f"server_share_ms: {server}")
        code_actions = actions(Path(folder) / "actions.jsonl")
        print(f"code_actions_ms: {code_actions}")
        print(json.dumps(result | {"server_share_ms": server, "code_actions_ms": code_actions}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
