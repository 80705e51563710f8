"""The training commands, in their order: corpus, tokenizer, train, export, evaluate. All works in one run's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer

from engine.engine import Engine
from engine.tokenizer import Tokenizer
from engine.training import corpus as corpora
from engine.training import evaluate as evaluating
from engine.training import export as exporting
from engine.training.architecture import Architecture, new_model, peer_of
from engine.training.card import write_card
from engine.training.corpus import Source
from engine.training.peer import mark_as_peer
from engine.training.settings import Settings
from engine.training.tokenizer import train_tokenizer
from engine.training.train import Plan, Trainer, last_record

app = typer.Typer(no_args_is_help=True, help=__doc__)
Run = Annotated[Path, typer.Option(help="The run's folder.")]
Workers = Annotated[int, typer.Option(help="Processes that draw examples; a GPU wants about ten.")]


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
    workers: Workers = 0,
    weights: Annotated[Path | None, typer.Option(help="An exported model to begin a new run with.")] = None,
) -> None:
    """Train, or go on from the run's checkpoint (whose width and depth then count)."""
    torch.set_num_threads(threads)
    if weights is not None:
        exporting.adopt(weights, run)
    reader = Tokenizer(run / "tokenizer" / "tokenizer.json")
    if not (run / "architecture.json").exists():
        Architecture.of(reader.size, hidden, layers).save(run / "architecture.json")
    _trainer(run, Plan(minutes, batch=batch, seed=seed, workers=workers), device, weights).run(*_corpus(run))


@app.command()
def peer(
    minutes: Annotated[float, typer.Option(help="Minutes to train at most, all resumptions together.")],
    run: Run = Path("runs/peer"),
    of: Annotated[Path, typer.Option(help="The denoiser's run: its corpus, tokenizer, size and token count.")] = Path(
        "runs/embedded"
    ),
    tokens: Annotated[int | None, typer.Option(help="Tokens to train for; as many as the denoiser's, if none.")] = None,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 16,
    seed: int = 0,
    workers: Workers = 0,
) -> None:
    """Train the autoregressive peer of a denoiser, or go on from its checkpoint."""
    torch.set_num_threads(threads)
    if not (run / "run.json").exists():
        (run / "tokenizer").mkdir(parents=True, exist_ok=True)
        for name in exporting.TOKENIZER_FILES:
            shutil.copyfile(of / "tokenizer" / name, run / "tokenizer" / name)
        peer_of(Architecture.load(of / "architecture.json")).save(run / "architecture.json")
        Settings("peer", Settings.load(of).sizes).save(run)
    plan = Plan(minutes, tokens or last_record(of)["tokens"], batch=batch, seed=seed, workers=workers)
    _trainer(run, plan, device).run(*_corpus(of))


@app.command()
def export(
    run: Run = Path("runs/embedded"),
    to: Annotated[Path, typer.Option(help="The folder the loader opens.")] = Path("engine/models/embedded"),
) -> None:
    """Write the run's last checkpoint where the engine finds it."""
    settings = Settings.load(run)
    exporting.export(exporting.trained_model(run), run / "tokenizer", to, exporting.profile_of(settings.sizes))
    if settings.kind == "peer":
        mark_as_peer(to)


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
    training, held_out = _corpus(run)
    with TemporaryDirectory() as empty, Engine.open(model, "cpu", threads=threads) as engine:
        untrained = new_model(Architecture.load(run / "architecture.json"), seed=0)
        exporting.export(untrained, run / "tokenizer", Path(empty), engine.profile)
        with Engine.open(Path(empty), "cpu") as floor:
            report = evaluating.report(engine, floor, evaluating.cases(held_out, holes, seed))
        write_card(model, run, training, held_out, report, engine)
    print(json.dumps(report.as_json()))


def _corpus(run: Path) -> tuple[list[Source], list[Source]]:
    """The run's (training, held-out) sources."""
    return corpora.load(run / "training.jsonl"), corpora.load(run / "held_out.jsonl")


def _trainer(run: Path, plan: Plan, device: str, weights: Path | None = None) -> Trainer[Any]:
    """At the run's checkpoint, or at `weights` if there is none, or at the start."""
    tokenizer, settings = Tokenizer(run / "tokenizer" / "tokenizer.json"), Settings.load(run)
    shape, objective = Architecture.load(run / "architecture.json"), settings.objective(tokenizer)
    trainer: Trainer[Any] = Trainer(run, plan, shape, objective, settings.sizes, tokenizer, device)
    if not trainer.resume() and weights is not None:
        trainer.start_from(weights)
    return trainer


if __name__ == "__main__":
    app()
