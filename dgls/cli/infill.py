"""`dgls infill`: fill the code at one place in a file, without a server.

Four steps, as in the server's features: read the file, plan the region, infill it, show or write the result.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dgls.cli.models import unloaded
from dgls.cli.source import SourceFile, read_source
from dgls.cli.targets import Target
from dgls.cli.terminal import printable, stated
from dgls.code.document import Document
from dgls.code.languages import language_of
from dgls.code.syntax import parse
from dgls.errors import DglsError
from dgls.suggest.exchange import asked, filled, request_of, suggestion_of
from dgls.suggest.plan import Budget, Quiet, Region, plan
from dgls.suggest.suggestion import Rejection, Suggestion
from dgls_engine import Infill, Limits
from dgls_engine.profile import Profile

DEADLINE_MS = 10_000
"""The limit for a fill without a seed, not counting the loading of the model."""

SHOWN_ABOVE, SHOWN_BELOW = 8, 6
"""Lines shown around the fill."""


class UnusablePosition(DglsError):
    """The file has no such place; the message says which ones it has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The suggestion, its confidence and its infill, with the milliseconds of loading and planning."""

    suggestion: Suggestion | Rejection
    confidence: float | None
    infill: Infill
    seed: int
    model: str
    device: str
    load_ms: float
    plan_ms: float

    @property
    def text(self) -> str:
        return self.suggestion.new_text if isinstance(self.suggestion, Suggestion) else ""


def run(options: Namespace) -> int:
    source = read_source(options.target.path)
    document = Document(options.target.path, 0, language_of("", options.target.path).id, source.text)
    offset = offset_of(document, options.target)
    region, answer = _infill(document, offset, options)
    if not options.json:
        _show(document, region, answer)
    applied = options.apply and isinstance(answer.suggestion, Suggestion)
    if applied:
        source.write(filled(document, region, answer.text))
    _tell(source, answer, applied)
    if options.json:
        print(json.dumps(as_json(answer)))
    return 1 if options.apply and not applied else 0


def offset_of(document: Document, target: Target) -> int:
    """Raises `UnusablePosition` if the file has no such line or column."""
    line, column = target.line - 1, target.column - 1
    if line >= document.line_count:
        raise UnusablePosition(f"{target.path} has no line {target.line}; take a line from 1 to {document.line_count}")
    length = len(document.line_text(line))
    if column > length:
        raise UnusablePosition(
            f"line {target.line} of {target.path} has {length} characters; take a column from 1 to {length + 1}"
        )
    return document.line_start(line) + column


def as_json(answer: Answer) -> dict[str, object]:
    infill = answer.infill
    return {
        "text": answer.text,
        **({} if answer.confidence is None else {"confidence": answer.confidence}),
        "model": answer.model,
        "device": answer.device,
        "steps": infill.steps,
        "finish": infill.finish,
        "ms": {
            "load": round(answer.load_ms, 1),
            "plan": round(answer.plan_ms, 1),
            "prefill": round(infill.timings.prefill_ms, 1),
            "denoise": round(infill.timings.denoise_ms, 1),
        },
        "prompt_tokens": infill.prompt_tokens,
        "canvas_tokens": infill.canvas_tokens,
        "hole_tokens": infill.hole_tokens,
        "seed": answer.seed,
    }


def _infill(document: Document, offset: int, options: Namespace) -> tuple[Region, Answer]:
    model = unloaded(options.model)
    budget = _budget(model.profile, options.max_tokens)
    planning = time.perf_counter()
    syntax = parse(document, offset)
    region = plan(
        document,
        offset,
        budget,
        syntax,
        invoked=True,
        max_lines=options.lines,
        count=model.count,
    )
    assert not isinstance(region, Quiet), "an invoked plan always has a region"
    loading = time.perf_counter()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    limits = Limits(options.steps, DEADLINE_MS if options.seed is None else None)
    request = request_of(region, Path(document.uri).name, document.language, limits, seed)
    from dgls_engine import Engine  # takes seconds; mistakes in the arguments are reported before
    from dgls_engine.device import spare_threads

    threads = options.threads or spare_threads()
    with Engine.open(options.model, dtype=options.dtype, threads=threads) as engine:
        loaded = time.perf_counter()
        # The user asked, so keep the doubtful lines too.
        calibration = replace(engine.profile.calibration, keep_above=0.0)
        judge = None if options.force else syntax
        suggestion, infill, _ = asked(
            engine, request, lambda fill: suggestion_of(document, region, fill, calibration, judge)
        )
        return region, Answer(
            suggestion,
            infill.fills[0].confidence,
            infill,
            seed,
            engine.info.name,
            engine.info.device,
            load_ms=(loaded - loading) * 1000,
            plan_ms=(loading - planning) * 1000,
        )


def _budget(profile: Profile, max_tokens: int | None) -> Budget:
    """Divide the canvas between the hole and the text around it. Raises `DglsError`."""
    if max_tokens is None:
        return Budget.of(profile)
    room = profile.hole_tokens
    if max_tokens > room:
        raise DglsError(f"this model's canvas has room for {room} tokens in a fill; take --max-tokens {room} or fewer")
    return replace(Budget.of(profile), line_tokens=max_tokens, block_tokens=max_tokens)


def _show(document: Document, region: Region, answer: Answer) -> None:
    """Print the fill with the lines around it, in colours on a terminal."""
    start, end = region.span.start, region.span.end
    first = document.line_start(max(0, document.line_at(start) - SHOWN_ABOVE))
    last = document.line_end(min(document.line_count - 1, document.line_at(end) + SHOWN_BELOW))
    shown = Text.assemble(
        (printable(document.text[first:start]), "default"),
        (printable(answer.text), "bold green"),
        (printable(document.text[end:last]), "default"),
    )
    Console(highlight=False, soft_wrap=True).print(shown)


def _tell(source: SourceFile, answer: Answer, applied: bool) -> None:
    infill = answer.infill
    spent = infill.timings.prefill_ms + infill.timings.denoise_ms
    print(
        f"{infill.steps} steps, {spent:.0f} ms, {answer.model} on {answer.device}"
        f"{stated(answer.confidence)}, seed {answer.seed}",
        file=sys.stderr,
    )
    if isinstance(answer.suggestion, Rejection):
        advice = "Try another --seed" + (", or --force." if answer.suggestion is Rejection.BREAKS_SYNTAX else ".")
        print(f"Nothing filled in: the model's text was dropped ({answer.suggestion}). {advice}", file=sys.stderr)
    elif applied:
        print(f"Written to {source.path}.", file=sys.stderr)
