"""The training commands, in their order: corpus, tokenizer, train, peer, export, evaluate; or all training in legs.

All works in one run's folder.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer

from dgls_engine.engine import Engine
from dgls_engine.peer import mark_as_peer
from dgls_engine.text.tokenizer import Tokenizer
from dgls_training import corpus as corpora
from dgls_training import evaluate as evaluating
from dgls_training import export as exporting
from dgls_training import parcel as parcels
from dgls_training.architecture import Architecture, new_model
from dgls_training.card import write_card
from dgls_training.corpus import Source
from dgls_training.examples import Sizes
from dgls_training.settings import Settings, begin_peer
from dgls_training.tokenizer import train_tokenizer
from dgls_training.train import Plan, Trainer, last_record
from dgls_training.versions import Version, load, record

app = typer.Typer(no_args_is_help=True, help=__doc__)
EMBEDDED, SIZES = Path("runs/embedded"), Sizes()
Run = Annotated[Path, typer.Option(help="The run's folder.")]
Workers = Annotated[int, typer.Option(help="Processes that draw examples; a GPU wants about ten.")]
Megabytes = Annotated[float, typer.Option(help="Text of one package at most, in the corpus.")]
Prompt = Annotated[int, typer.Option(help="Tokens of an example's prompt at most, in a new run.")]
Canvas = Annotated[int, typer.Option(help="Tokens of an example's canvas at most, in a new run.")]
Hole = Annotated[int, typer.Option(help="Tokens of the longest hole, in a new run.")]


@app.command()
def corpus(run: Run = EMBEDDED, seed: int = 0, package_megabytes: Megabytes = 8) -> None:
    """Gather this machine's permissively licensed Python into training and held-out files."""
    run.mkdir(parents=True, exist_ok=True)
    training, held_out = corpora.gather(seed, int(package_megabytes * 1e6))
    corpora.summarise(training, run)
    for name, sources in (("training", training), ("held_out", held_out)):
        corpora.save(sources, run / f"{name}.jsonl")
        print(f"{name}: {len(sources)} files, {sum(len(source.text) for source in sources) / 1e6:.1f} MB")


@app.command()
def tokenizer(run: Run = EMBEDDED, size: int = 4096) -> None:
    """Train the tokenizer on the gathered corpus."""
    train_tokenizer(corpora.load(run / "training.jsonl"), size, run / "tokenizer")


@app.command()
def train(
    minutes: Annotated[float, typer.Option(help="Minutes to train, all resumptions together.")],
    run: Run = EMBEDDED,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 16,
    hidden: int = 192,
    layers: int = 5,
    prompt: Prompt = SIZES.prompt,
    canvas: Canvas = SIZES.canvas,
    hole: Hole = SIZES.hole,
    seed: int = 0,
    workers: Workers = 0,
    weights: Annotated[Path | None, typer.Option(help="An exported model to begin a new run with.")] = None,
) -> None:
    """Train, or resume from the run's checkpoint, whose width, depth and lengths then apply."""
    torch.set_num_threads(threads)
    if weights is not None:
        exporting.adopt(weights, run)
    _begin(run, hidden, layers, Sizes(prompt, canvas, hole))
    _trainer(run, Plan(minutes, batch=batch, seed=seed, workers=workers), device, weights).run(*_corpus(run))


@app.command()
def peer(
    minutes: Annotated[float, typer.Option(help="Minutes to train at most, all resumptions together.")],
    run: Run = Path("runs/peer"),
    of: Annotated[Path, typer.Option(help="The denoiser's run: its corpus, tokenizer, size and tokens.")] = EMBEDDED,
    tokens: Annotated[int | None, typer.Option(help="Tokens to train for; as many as the denoiser's, if none.")] = None,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 16,
    seed: int = 0,
    workers: Workers = 0,
) -> None:
    """Train the autoregressive peer of a denoiser, or resume from its checkpoint, whose token limit then applies."""
    torch.set_num_threads(threads)
    if not (run / "run.json").exists():
        begin_peer(run, of, tokens or last_record(of)["tokens"])
    _trainer(run, Plan(minutes, batch=batch, seed=seed, workers=workers), device).run(*_corpus(run))


@app.command()
def leg(
    minutes: Annotated[float, typer.Option(help="Minutes to train each model, all legs together.")],
    out: Annotated[Path, typer.Option(help="Where to leave a parcel of the run for the next leg, or for `unpack`.")],
    back: Annotated[
        Path | None, typer.Option(help="The `out` of the leg before, on a machine that has forgotten.")
    ] = None,
    leg_minutes: Annotated[float, typer.Option(help="How long this call may train.")] = 8,
    run: Run = Path("runs/large"),
    device: str = "cuda",
    threads: int = 4,
    batch: int = 256,
    hidden: int = 384,
    layers: int = 10,
    vocabulary: int = 8192,
    prompt: Prompt = 256,
    canvas: Canvas = 128,
    hole: Hole = 64,
    workers: Workers = 12,
    package_megabytes: Megabytes = 60,
) -> None:
    """One leg of a long run, on a machine to be had for minutes only: corpus, tokenizer, training; then the peer's.

    A leg works on one of the two and leaves it in `out`, in pieces of 15 MB. Call it again until the peer is over.
    """
    torch.set_num_threads(threads)
    ends, of_peer = time.monotonic() + 60 * leg_minutes, run.with_name(f"{run.name}-peer")
    for own in (run, of_peer):
        if back is not None and not (own / "checkpoint.pt").exists():
            parcels.unpack(back / own.name, own)
    if not (run / "training.jsonl").exists():
        corpus(run, package_megabytes=package_megabytes)
    if not (of_peer / "run.json").exists():
        if not (run / "tokenizer").exists():
            tokenizer(run, vocabulary)
        _begin(run, hidden, layers, Sizes(prompt, canvas, hole))
    plan = Plan(minutes, batch=batch, workers=workers)
    now = of_peer if (of_peer / "run.json").exists() or _trainer(run, plan, device).over else run
    if now == of_peer and not (of_peer / "run.json").exists():
        begin_peer(of_peer, run, last_record(run)["tokens"])
    trainer = _trainer(now, plan, device)
    trainer.run(*_corpus(now), pause_after=ends - time.monotonic())
    parcels.pack(now, out / now.name)
    print(f"{now}: {'over' if trainer.over else 'to be continued'}; last record: {last_record(now)}")


@app.command()
def unpack(parcel: Annotated[Path, typer.Option(help="A run's folder under a leg's `out`.")], run: Run) -> None:
    """Unpack a leg's parcel into a run, to export or resume it."""
    if not parcels.unpack(parcel, run):
        raise typer.BadParameter(f"there is no parcel in {parcel}")


@app.command()
def export(
    run: Run = EMBEDDED,
    to: Annotated[Path, typer.Option(help="The folder the loader opens.")] = Path("engine/dgls_engine/models/embedded"),
) -> None:
    """Write the run's last checkpoint where the engine, or for a peer `peer`, finds it."""
    settings = Settings.load(run)
    exporting.export(exporting.trained_model(run), run / "tokenizer", to, exporting.profile_of(settings.sizes))
    exporting.describe(run, corpora.packages(run), to)
    if settings.kind == "peer":
        mark_as_peer(to)


@app.command()
def evaluate(
    run: Run = EMBEDDED,
    model: Annotated[Path, typer.Option(help="The exported folder; its card is written anew.")] = Path(
        "engine/dgls_engine/models/embedded"
    ),
    version: Annotated[str, typer.Option(help="Keep the figures in the table of versions, under this name.")] = "",
    corpus_of: Annotated[Path, typer.Option(help="The run whose held-out files to cut holes in.")] = EMBEDDED,
    holes: int = 500,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Fill held-out holes with an exported model; print the figures and write them into its card."""
    held_out = corpora.load(corpus_of / "held_out.jsonl")
    with TemporaryDirectory() as empty, Engine.open(model, "cpu", threads=threads) as engine:
        untrained = new_model(Architecture.load(run / "architecture.json"), seed=0)
        exporting.export(untrained, run / "tokenizer", Path(empty), engine.profile)
        with Engine.open(Path(empty), "cpu") as floor:
            report = evaluating.report(engine, floor, evaluating.cases(held_out, holes, seed))
        if version:
            exact = report.scores["trained"].exact_match
            record(Version(version, engine.info.parameters, last_record(run)["tokens"], exact))
        write_card(model, run, corpora.packages(run), held_out, report, engine, load())
    print(json.dumps(report.as_json()))


def _begin(run: Path, hidden: int, layers: int, sizes: Sizes) -> None:
    """Fix the shape of a new run that has a tokenizer."""
    if not (run / "architecture.json").exists():
        reader = Tokenizer(run / "tokenizer" / "tokenizer.json")
        Architecture.of(reader.size, hidden, layers).save(run / "architecture.json")
    if not (run / "run.json").exists() and not (run / "checkpoint.pt").exists():
        Settings(sizes=sizes).save(run)


def _corpus(run: Path) -> tuple[list[Source], list[Source]]:
    """The run's (training, held-out) sources."""
    folder = Path(Settings.load(run).corpus or run)
    return corpora.load(folder / "training.jsonl"), corpora.load(folder / "held_out.jsonl")


def _trainer(run: Path, plan: Plan, device: str, weights: Path | None = None) -> Trainer[Any]:
    """Start from the run's checkpoint, else from `weights`, else from nothing."""
    tokenizer, settings = Tokenizer(run / "tokenizer" / "tokenizer.json"), Settings.load(run)
    shape, objective = Architecture.load(run / "architecture.json"), settings.objective(tokenizer)
    plan = replace(plan, tokens=settings.tokens)
    trainer: Trainer[Any] = Trainer(run, plan, shape, objective, settings.sizes, tokenizer, device)
    if not trainer.resume() and weights is not None:
        trainer.start_from(weights)
    return trainer


if __name__ == "__main__":
    app()
