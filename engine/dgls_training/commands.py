"""The training commands, in order: corpus, tokenizer, train, peer, export, evaluate. `leg` trains in several sessions.
`adapter` trains the small model's.

Each command works in the folder of one run.
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
from dgls_training import run_folder
from dgls_training.adapter.commands import app as adapter_app
from dgls_training.architecture import Architecture, new_model
from dgls_training.card import write_card
from dgls_training.corpus import Source
from dgls_training.examples import Sizes
from dgls_training.run_folder import last_record
from dgls_training.settings import Settings, begin_peer
from dgls_training.tokenizer import train_tokenizer
from dgls_training.train import Plan, Trainer
from dgls_training.versions import Version, load, record

app = typer.Typer(no_args_is_help=True, help=__doc__)
app.add_typer(adapter_app, name="adapter")
EMBEDDED, SIZES = Path("runs/embedded"), Sizes()
Run = Annotated[Path, typer.Option(help="The run's folder.")]
Workers = Annotated[int, typer.Option(help="Processes that draw examples; a GPU needs about ten.")]
Megabytes = Annotated[float, typer.Option(help="Megabytes of text that the corpus takes from one package, at most.")]
Prompt = Annotated[int, typer.Option(help="Tokens of the longest prompt, in a new run.")]
Canvas = Annotated[int, typer.Option(help="Tokens of the longest canvas, in a new run.")]
Hole = Annotated[int, typer.Option(help="Tokens of the longest hole, in a new run.")]


@app.command()
def corpus(
    run: Run = EMBEDDED,
    seed: int = 0,
    package_megabytes: Megabytes = 8,
    others: Annotated[bool, typer.Option(help="C, C++, JavaScript and TypeScript, too.")] = False,
    node_modules: Annotated[
        list[Path] | None, typer.Option(help="A folder of npm packages to take these from.")
    ] = None,
) -> None:
    """Gather this machine's permissively licensed Python into training and held-out files."""
    suffixes = corpora.PYTHON | corpora.OTHERS if others else corpora.PYTHON
    corpora.gather_into(run, seed, int(package_megabytes * 1e6), suffixes, node_modules or ())


@app.command()
def tokenizer(run: Run = EMBEDDED, size: int = 4096) -> None:
    """Train the tokenizer on the gathered corpus."""
    train_tokenizer(corpora.load(run / "training.jsonl"), size, run / "tokenizer")


@app.command()
def train(
    minutes: Annotated[float, typer.Option(help="Minutes to train, over all resumptions.")],
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
    weights: Annotated[Path | None, typer.Option(help="An exported model to start a new run from.")] = None,
) -> None:
    """Train a new run, or resume one; a resumed run keeps its width, depth and lengths."""
    torch.set_num_threads(threads)
    if weights is not None:
        exporting.adopt(weights, run)
    _begin(run, hidden, layers, Sizes(prompt, canvas, hole))
    _trainer(run, Plan(minutes, batch=batch, seed=seed, workers=workers), device, weights).run(*_corpus(run))


@app.command()
def peer(
    minutes: Annotated[float, typer.Option(help="Minutes to train at most, over all resumptions.")],
    run: Run = Path("runs/peer"),
    of: Annotated[Path, typer.Option(help="The denoiser's run: its corpus, tokenizer, size and tokens.")] = EMBEDDED,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens to train on; default: those of the denoiser's run.")
    ] = None,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 16,
    seed: int = 0,
    workers: Workers = 0,
) -> None:
    """Train the autoregressive peer of a denoiser, or resume its run; a resumed run keeps its number of tokens."""
    torch.set_num_threads(threads)
    if not (run / "run.json").exists():
        begin_peer(run, of, tokens or last_record(of)["tokens"])
    _trainer(run, Plan(minutes, batch=batch, seed=seed, workers=workers), device).run(*_corpus(run))


@app.command()
def leg(
    minutes: Annotated[float, typer.Option(help="Minutes to train each model, over all legs.")],
    out: Annotated[Path, typer.Option(help="Folder for the run's parcel, for the next leg or for `unpack`.")],
    back: Annotated[
        Path | None, typer.Option(help="The `out` of the previous leg, if this machine does not have the run.")
    ] = None,
    leg_minutes: Annotated[float, typer.Option(help="Minutes that this call may train.")] = 8,
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
    """Train one leg of a long run, for machines that are available for minutes only: first the denoiser, then the peer.

    A leg trains one of the two models and writes its run to `out`, in pieces of 15 MB. Repeat until the peer is done.
    """
    torch.set_num_threads(threads)
    ends, peer_run = time.monotonic() + 60 * leg_minutes, run.with_name(f"{run.name}-peer")
    for folder in (run, peer_run):
        if back is not None and not run_folder.exists(folder):
            parcels.unpack(back / folder.name, folder)
    if not (run / "training.jsonl").exists():
        corpus(run, package_megabytes=package_megabytes)
    if not (peer_run / "run.json").exists():
        if not (run / "tokenizer").exists():
            tokenizer(run, vocabulary)
        _begin(run, hidden, layers, Sizes(prompt, canvas, hole))
    plan = Plan(minutes, batch=batch, workers=workers)
    current = peer_run if (peer_run / "run.json").exists() or _trainer(run, plan, device).over else run
    if current == peer_run and not (peer_run / "run.json").exists():
        begin_peer(peer_run, run, last_record(run)["tokens"])
    trainer = _trainer(current, plan, device)
    trainer.run(*_corpus(current), pause_after=ends - time.monotonic())
    parcels.pack(current, out / current.name)
    print(f"{current}: {'done' if trainer.over else 'call `leg` again'}; last record: {last_record(current)}")


@app.command()
def unpack(parcel: Annotated[Path, typer.Option(help="A run's folder under a leg's `out`.")], run: Run) -> None:
    """Unpack a leg's parcel into a run, to export or resume it."""
    if not parcels.unpack(parcel, run):
        raise typer.BadParameter(f"{parcel} holds no parcel; give a run's folder under a leg's `out`")


@app.command()
def export(
    run: Run = EMBEDDED,
    to: Annotated[Path, typer.Option(help="The folder to write.")] = Path("engine/dgls_engine/models/embedded"),
) -> None:
    """Export the run's last checkpoint to a folder that `Engine.open` (for a peer: `Peer.open`) opens."""
    settings = Settings.load(run)
    exporting.export(exporting.trained_model(run), run / "tokenizer", to, exporting.profile_of(settings.sizes))
    exporting.describe(run, corpora.packages(run), to)
    if settings.kind == "peer":
        mark_as_peer(to)


@app.command()
def evaluate(
    run: Run = EMBEDDED,
    model: Annotated[Path, typer.Option(help="The exported folder; this command rewrites its card.")] = Path(
        "engine/dgls_engine/models/embedded"
    ),
    version: Annotated[str, typer.Option(help="Name under which to record the figures in the table of versions.")] = "",
    corpus_of: Annotated[Path, typer.Option(help="The run whose held-out files the holes are cut from.")] = EMBEDDED,
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
    """Write the architecture and the settings of a new run that has a tokenizer."""
    if not (run / "architecture.json").exists():
        reader = Tokenizer(run / "tokenizer" / "tokenizer.json")
        Architecture.of(reader.size, hidden, layers).save(run / "architecture.json")
    if not (run / "run.json").exists() and not run_folder.exists(run):
        Settings(sizes=sizes).save(run)


def _corpus(run: Path) -> tuple[list[Source], list[Source]]:
    """The run's (training, held-out) sources."""
    folder = Path(Settings.load(run).corpus or run)
    return corpora.load(folder / "training.jsonl"), corpora.load(folder / "held_out.jsonl")


def _trainer(run: Path, plan: Plan, device: str, weights: Path | None = None) -> Trainer[Any]:
    """A trainer that starts from the run's checkpoint, else from `weights`, else from a new model."""
    tokenizer, settings = Tokenizer(run / "tokenizer" / "tokenizer.json"), Settings.load(run)
    shape, objective = Architecture.load(run / "architecture.json"), settings.objective(tokenizer)
    plan = replace(plan, tokens=settings.tokens)
    trainer: Trainer[Any] = Trainer(run, plan, shape, objective, settings.sizes, tokenizer, device)
    if not trainer.resume() and weights is not None:
        trainer.start_from(weights)
    return trainer
