"""The commands of `python -m dgls_training adapter`: train a leg, compare adapters, export one.

A next version of the shipped adapter takes three calls:

    adapter train --run runs/next --minutes 240
    adapter evaluate shipped runs/next
    adapter export runs/next
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.profiles import read_profile
from dgls_engine.weights.small import small_folder
from dgls_training import corpus as corpora
from dgls_training.adapter import held_out, tokens, weights
from dgls_training.adapter.base import Base
from dgls_training.adapter.examples import Cutter, Lengths
from dgls_training.adapter.trainer import Plan, Trainer
from dgls_training.adapter.weights import UNTRAINED, Adapter

app = typer.Typer(no_args_is_help=True, help=__doc__)

NICENESS = 10
"""Training takes the processor time that nobody else wants."""

_RANK = 48
"""Rank of an untrained adapter."""

CorpusFolder = Annotated[Path, typer.Option("--corpus", help="Folder of the corpus; gathered if it is not there yet.")]
BaseFolder = Annotated[Path | None, typer.Option("--base", help="Folder of the base; default: the model `small`'s.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; default: as torch chooses.")]
SOURCE = "`shipped`, `untrained`, a run's folder, a .safetensors file, or a state dict that torch saved"
CORPUS = Path("runs/embedded")


@app.command()
def train(
    run: Annotated[Path, typer.Option(help="The leg's folder.")] = Path("runs/adapter"),
    minutes: Annotated[float | None, typer.Option(help="Minutes of the whole leg, over all resumptions.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the leg, if they are fewer; default: any number.")] = None,
    init: Annotated[str | None, typer.Option(help=f"Where the leg starts: {SOURCE}. Default: shipped.")] = None,
    rank: Annotated[int | None, typer.Option(help="Grow the adapter to this rank; default: as `init` has.")] = None,
    rate: Annotated[float | None, typer.Option(help="Peak of the learning rate; default: 5e-4.")] = None,
    contexts: Annotated[int | None, typer.Option(help="Contexts in a step; default: 8.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws of decided slots for each context; default: 8.")] = None,
    read: Annotated[int | None, typer.Option(help="Draws of these with all slots decided; default: 1.")] = None,
    before: Annotated[int | None, typer.Option(help="Tokens before the hole in a context; default: 160.")] = None,
    after: Annotated[int | None, typer.Option(help="Tokens after the hole in a context; default: 112.")] = None,
    slots: Annotated[
        int | None, typer.Option(min=8, help="Slots in a draw, so tokens of the longest hole; 20.")
    ] = None,
    soft: Annotated[float | None, typer.Option(help="Share of the base's predictions in the target; 0.5.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the examples; default: by the clock.")] = None,
    corpus: CorpusFolder = CORPUS,
    base: BaseFolder = None,
    device: str = "cpu",
    threads: Threads = None,
    compile: Annotated[bool, typer.Option(help="Compile the layers; takes minutes and a C++ compiler.")] = False,
) -> None:
    """Train a leg, or resume it. A resumed leg keeps its plan: give its folder alone."""
    if hasattr(os, "nice"):
        os.nice(max(0, NICENESS - os.nice(0)))
    given = {"minutes": minutes, "steps": steps, "init": init, "rank": rank, "rate": rate}
    given |= {"contexts": contexts, "draws": draws, "read": read, "soft": soft, "seed": seed}
    given |= {"before": before, "after": after, "slots": slots}
    plan = _plan(run, {name: value for name, value in given.items() if value is not None})
    tokenizer, frozen, mask = _open(base, device, threads, compile)
    torch.manual_seed(plan.seed)
    trainer = Trainer(run, plan, frozen, mask, _adapter(plan.init, frozen, plan.rank))
    trainer.resume()
    if trainer.over:
        raise typer.BadParameter(f"the leg in {run} is over; give another --run, and --init {run} to go on from it")
    trainer.train(_cutter(corpus, "training", tokenizer, plan.lengths))


@app.command()
def evaluate(
    sources: Annotated[list[str], typer.Argument(help=f"The adapters: each {SOURCE}.")],
    suffix: Annotated[list[str] | None, typer.Option(help="Only files with this suffix, such as .js.")] = None,
    holes: Annotated[int, typer.Option(help="Held-out holes, the same ones for all adapters.")] = 300,
    seed: int = 0,
    corpus: CorpusFolder = CORPUS,
    base: BaseFolder = None,
    device: str = "cpu",
    threads: Threads = None,
) -> None:
    """Compare adapters on held-out lines: nats of true tokens, exact fills, paired differences from the first."""
    tokenizer, frozen, mask = _open(base, device, threads)
    windows = held_out.holes(_cutter(corpus, "held_out", tokenizer, held_out.LENGTHS, suffix or ()), holes, seed)
    figures = held_out.measured(frozen, [_adapter(source, frozen) for source in sources], mask, windows)
    print(held_out.table(sources, figures))


@app.command()
def export(
    source: Annotated[str, typer.Argument(help=f"The adapter: {SOURCE}.")],
    to: Annotated[Path, typer.Option(help="The file to write.")] = weights.SHIPPED_FILE,
) -> None:
    """Write an adapter as the file that dgls ships. `dgls eval --model small` then runs it in this checkout."""
    weights.write(weights.read(source), to)
    digest = hashlib.sha256(to.read_bytes()).hexdigest()
    print(f'ADAPTER_SHA256 = "{digest}"')
    if to == weights.SHIPPED_FILE:
        print("write this line into engine/dgls_engine/weights/small.py, and the leg into the card beside the file")


def _plan(run: Path, given: dict[str, Any]) -> Plan:
    """The stored plan of a leg that has begun, else a new one, which is stored."""
    stored = Plan.load(run)
    if stored is not None:
        values = asdict(stored)
        if changed := [name for name, value in given.items() if values[name] != value]:
            raise typer.BadParameter(
                f"the leg in {run} has begun with other values of {', '.join(changed)}; leave them out to resume it, "
                "or give another --run"
            )
        return stored
    if "minutes" not in given:
        raise typer.BadParameter("a new leg needs --minutes")
    plan = Plan(**{"seed": time.time_ns() % 2**31} | given)
    run.mkdir(parents=True, exist_ok=True)
    plan.save(run)
    return plan


def _open(base: Path | None, device: str, threads: int | None, compiled: bool = False) -> tuple[Tokenizer, Base, int]:
    """The base with its tokenizer, and the id of the mask token."""
    if threads is not None:
        torch.set_num_threads(threads)
    folder = base or small_folder()
    if folder is None:
        raise typer.BadParameter("the base is not on this machine; `dgls models pull small` fetches it")
    tokenizer = Tokenizer(folder / "tokenizer.json")
    mask = tokenizer.id_of(read_profile(folder).mask_token)
    return tokenizer, Base(folder, device, compiled=compiled), mask


def _adapter(source: str, base: Base, rank: int | None = None) -> Adapter:
    if source == UNTRAINED:
        return Adapter(weights.untrained(base.shapes, base.embedding, rank or _RANK)).to(base.device)
    tensors = weights.read(source)
    return Adapter(tensors if rank is None else weights.grown(tensors, rank)).to(base.device)


def _cutter(
    folder: Path, part: tokens.Part, tokenizer: Tokenizer, lengths: Lengths, suffixes: Sequence[str] = ()
) -> Cutter:
    if not (folder / f"{part}.jsonl").exists():
        corpora.gather_into(folder)
    return Cutter(tokens.load(folder, part, tokenizer, suffixes), tokens.line_ends(tokenizer), lengths)
