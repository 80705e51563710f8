"""`dgls models`: what is on this machine; `pull`, the only command that downloads, and asks first; `clean`, which
removes packed experts."""

from __future__ import annotations

from argparse import Namespace

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from dgls.errors import DglsError
from dgls_engine.model.families import LARGE
from dgls_engine.weights.expert_cache import Entry, entries, sweep
from dgls_engine.weights.hub import EMBEDDED, PullPlan, installed, large_requirements, pull


def run(options: Namespace) -> int:
    console = Console(highlight=False, soft_wrap=True)
    if options.action == "pull":
        return _pull(options.name, console)
    if options.action == "clean":
        return _clean(options.all, console)
    _list(console)
    return 0


def size(count: int) -> str:
    """Bytes as people say them, in powers of ten as disks and networks count."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _list(console: Console) -> None:
    found = installed()
    for model in found:
        console.print(model.name, style="bold", markup=False)
        console.print(
            f"  {model.parameters / 1e6:.1f} M parameters, {size(model.bytes)} in {model.folder}", markup=False
        )
        if model.problem is not None:
            console.print(f"  cannot be used: {model.problem}", style="red", markup=False)
        elif model.name == EMBEDDED:
            console.print("  comes with dgls, runs on any CPU", markup=False)
    if all(model.name != EMBEDDED for model in found):
        console.print(f"{EMBEDDED}: missing from this installation; reinstall dgls", style="red", markup=False)
    if all(model.name != LARGE.name for model in found):
        console.print(LARGE.name, style="bold", markup=False)
        console.print(f"  not fetched; {large_requirements()}", markup=False)
        console.print(f"  `dgls models pull {LARGE.name}` fetches it", markup=False)
    kept = entries()
    for entry in kept:
        state = ", whose source is gone or another one now: `dgls models clean` removes it" if entry.orphaned else ""
        console.print(f"packed experts: {_told(entry)}{state}", markup=False)
    if kept:
        console.print("  made again when they are missed; `dgls models clean --all` removes them", markup=False)


def _clean(everything: bool, console: Console) -> int:
    for entry in entries():
        if everything or entry.orphaned:
            told = _told(entry)
            entry.remove()
            console.print(f"removed {told}", markup=False)
    if sweep():
        console.print("removed what loads that were cut off had left")
    left = entries()
    for entry in left:
        console.print(f"kept {_told(entry)}", markup=False)
    if left:
        console.print("`dgls models clean --all` removes those, too", markup=False)
    return 0


def _told(entry: Entry) -> str:
    return f"{entry.packing or 'damaged ones'} of {entry.source}, {size(entry.bytes)} in {entry.folder}"


def _pull(name: str, console: Console) -> int:
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task(name, total=None, start=False, visible=False)

        def confirm(plan: PullPlan) -> bool:
            agreed = plan.missing_bytes == 0 or _agreed(plan, console)
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


def _agreed(plan: PullPlan, console: Console) -> bool:
    have = plan.total_bytes - plan.missing_bytes
    console.print(
        f"{plan.name}: {size(plan.missing_bytes)} to fetch ({size(have)} are here already) into {plan.folder}, "
        f"where {size(plan.disk_free)} are free.",
        markup=False,
    )
    try:
        return console.input("Fetch it now? \\[y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise DglsError("fetching a model needs your consent; run it in a terminal and answer y") from None
