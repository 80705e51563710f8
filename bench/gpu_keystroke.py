"""Measures the time from a keystroke to the suggestion, over LSP, with a full-size random model and the shipped policy.

The server runs in its own process, as an editor starts it; `bench/latency.py` sends the keystrokes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from bench.full_size import open_random
from bench.gpu_phases import STEPS, Figures, Setup
from bench.latency import TYPED, Client, JournalEngine, percentile, replay
from dgls.server.lsp_server import PREFILL_MS, serve
from dgls.server.settings import Settings
from dgls_engine.engine import Engine
from dgls_engine.types import Loading
from dgls_engine.weights.profiles import read_profile
from dgls_engine.worker import EngineLike


def keystroke(setup: Setup, precision: str) -> Figures:
    """Type a function into the middle of a file that fills the prompt; each letter waits for the previous answer."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        command = [sys.executable, "-P", str(Path(__file__).with_name("gpu.py")), "--serve", str(journal)]
        command += ["--precision", precision, "--folder", str(setup.folder), "--device", setup.device]
        client = Client("random", journal, [*command, *(["--small"] if setup.small else [])])
        functions, typed = setup.keystroke_prompt // 30, TYPED[:12] if setup.small else TYPED
        replay(client, journal, functions, 1, typed[:60])  # warm-up: captures and compiles
        keystrokes = replay(client, journal, functions, 1 if setup.small else 2, typed)
        client.close()
    requests = [(keystroke.ms, keystroke.engine) for keystroke in keystrokes if keystroke.engine is not None]
    times = [ms for ms, _ in requests]
    return {
        "requests": len(requests),
        "p50": percentile(times, 50),
        "p90": percentile(times, 90),
        "of_which_engine_p50": percentile([engine["ms"] for _, engine in requests], 50),
        "prompt_tokens_p50": percentile([engine["prompt_tokens"] for _, engine in requests], 50),
        "prefilled_tokens_mean": round(statistics.fmean(engine["prefilled_tokens"] for _, engine in requests), 1),
        "steps_p50": percentile([engine["steps"] for _, engine in requests], 50),
        "ready_s": round(client.ready_ms / 1000, 1),
    }


def run_server(setup: Setup, precision: str, journal: Path) -> int:
    """The real server with the random model."""

    def open_engine(settings: Settings, _: Loading) -> EngineLike:
        policy = read_profile(setup.folder).hole_policy
        loaded = open_random(setup.folder, precision, setup.device, setup.keystroke_prompt, policy)
        return JournalEngine(Engine(loaded.with_profile({"max_steps": STEPS}), prefill_ms=PREFILL_MS), journal)

    return serve(None, open_engine)
