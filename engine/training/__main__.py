"""The training commands, in their order: corpus, tokenizer, train, export, evaluate. All works in one run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from engine.engine import Engine
from engine.tokenizer import Tokenizer
from engine.training import corpus as corpora
from engine.training import evaluate as evaluating
from engine.training import export as exporting
from engine.training.architecture import Architecture, new_model
from engine.training.card import write_card
from engine.training.examples import Sizes
from engine.training.tokenizer import train_tokenizer
from engine.training.train import Plan, Trainer

app = typer.Typer(no_args_is_help=True, help=__doc__)
Run = Annotated[Path, typer.Option(help="The run's folder.")]


@app.command()
def corpus(run: Run = Path("runs/embedded"), seed: int = 0) -> None:
    """Gather this machine's permissively licensed Python into training and held-out files."""
    run.mkdir(parents=True, exist_ok=True)
    training, held_out = corpora.gather(seed)
    for name, sources in (("training", training), ("held_out", held_out)):
        corpora.save(sources, run / f"{name}.jsonl")
        print(f"{name}: {len(sources)} files, {sum(len(source.text) for source in sources) / 1e6:.1f} MB")


@app.command()
def tokenizer(run: Run = Path("runs/embedded"), size: int = 4096) -> None:
    """Train the tokenizer on the gathered corpus."""
    train_tokenizer(corpora.load(run / "training.jsonl"), size, run / "tokenizer")


@app.command()
def train(
    minutes: Annotated[float, typer.Option(help="Minutes to train, all resumptions together.")],
    run: Run = Path("runs/embedded"),
    device: str = "cpu",
    threads: int = 1,
    batch: int = 16,
    hidden: int = 192,
    layers: int = 5,
    seed: int = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw examples; a GPU wants about ten.")] = 0,
    weights: Annotated[Path | None, typer.Option(help="An exported model to begin a new run with.")] = None,
) -> None:
    """Train, or go on from the run's checkpoint (whose width and depth then count)."""
    torch.set_num_threads(threads)
    if weights is not None:
        exporting.adopt(weights, run)
    reader = Tokenizer(run / "tokenizer" / "tokenizer.json")
    if not (run / "architecture.json").exists():
        Architecture.of(reader.size, hidden, layers).save(run / "architecture.json")
    shape = Architecture.load(run / "architecture.json")
    trainer = Trainer(run, Plan(minutes, batch=batch, seed=seed, workers=workers), shape, Sizes(), reader, device)
    if not trainer.resume() and weights is not None:
        trainer.start_from(weights)
    trainer.run(corpora.load(run / "training.jsonl"), corpora.load(run / "held_out.jsonl"))


@app.command()
def export(
    run: Run = Path("runs/embedded"),
    to: Annotated[Path, typer.Option(help="The folder the loader opens.")] = Path("engine/models/embedded"),
) -> None:
    """Write the run's last checkpoint where the engine finds it."""
    exporting.export(exporting.trained_model(run), run / "tokenizer", to, exporting.PROFILE)


@app.command()
def evaluate(
    run: Run = Path("runs/embedded"),
    model: Annotated[Path, typer.Option(help="The exported folder; its card is written anew.")] = Path(
        "engine/models/embedded"
    ),
    holes: int = 500,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Fill held-out holes with an exported model; print the figures and write them into its card."""
    training, held_out = corpora.load(run / "training.jsonl"), corpora.load(run / "held_out.jsonl")
    with TemporaryDirectory() as empty, Engine.open(model, "cpu", threads=threads) as engine:
        untrained = new_model(Architecture.load(run / "architecture.json"), seed=0)
        exporting.export(untrained, run / "tokenizer", Path(empty), engine.profile)
        with Engine.open(Path(empty), "cpu") as floor:
            report = evaluating.report(engine, floor, evaluating.cases(held_out, holes, seed))
        write_card(model, run, training, held_out, report, engine)
    print(json.dumps(report.as_json()))


if __name__ == "__main__":
    app()
