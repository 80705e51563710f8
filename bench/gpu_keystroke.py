"""From a keystroke to the suggestion, over LSP, by the full-size model with random weights and the policy that ships.

The server runs in a process of its own, as an editor starts it; `bench/latency.py` types into it.
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
    """A function typed into the middle of a file that fills the prompt; a letter waits for the last one's answer."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        command = [sys.executable, "-P", str(Path(__file__).with_name("gpu.py")), "--serve", str(journal)]
        command += ["--precision", precision, "--folder", str(setup.folder), "--device", setup.device]
        client = Client("random", journal, [*command, *(["--small"] if setup.small else [])])
        functions, typed = setup.keystroke_prompt // 30, TYPED[:12] if setup.small else TYPED
        replay(client, journal, functions, 1, typed[:60])  # makes what is made at the first use
        keystrokes = replay(client, journal, functions, 1 if setup.small else 2, typed)
        client.close()
    asked = [(own.ms, own.engine) for own in keystrokes if own.engine is not None]
    waited = [ms for ms, _ in asked]
    return {
        "requests": len(asked),
        "p50": percentile(waited, 50),
        "p90": percentile(waited, 90),
        "of_which_engine_p50": percentile([engine["ms"] for _, engine in asked], 50),
        "prompt_tokens_p50": percentile([engine["prompt_tokens"] for _, engine in asked], 50),
        "prefilled_tokens_mean": round(statistics.fmean(engine["prefilled_tokens"] for _, engine in asked), 1),
        "steps_p50": percentile([engine["steps"] for _, engine in asked], 50),
        "ready_s": round(client.ready_ms / 1000, 1),
    }


def run_server(setup: Setup, precision: str, journal: Path) -> int:
    """The server as it is, but for its model."""

    def open_engine(settings: Settings, _: Loading) -> EngineLike:
        policy = read_profile(setup.folder).hole_policy
        loaded = open_random(setup.folder, precision, setup.device, setup.keystroke_prompt, policy)
        return JournalEngine(Engine(loaded.with_profile({"max_steps": STEPS}), prefill_ms=PREFILL_MS), journal)

    return serve(None, open_engine)
