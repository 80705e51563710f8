"""`dgls doctor`: check what works on this machine, and say what to do about the rest. Changes no file.

Fills a hole with the model: only that shows that the model and the libraries fit each other."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from dgls.cli.models import best_here, size
from dgls.code.languages import LANGUAGES
from dgls.code.parsing import grammar_of
from dgls_engine.calibration import Calibration
from dgls_engine.errors import EngineError, NotEnoughMemory, UnsupportedModel, reason_of
from dgls_engine.model.families import LARGE
from dgls_engine.model.family import Footprint, Size
from dgls_engine.types import Context, Hole, Infill, InfillRequest, Limits, Pinned
from dgls_engine.weights.auto import AUTO, EMBEDDED, fallback_advice, resolved
from dgls_engine.weights.checkpoint import Checkpoint
from dgls_engine.weights.files import read_files
from dgls_engine.weights.hub import Installed, installed, locate
from dgls_engine.weights.repair import repair_advice
from dgls_engine.weights.saved_calibration import own_calibration
from dgls_engine.weights.small import require_unchanged

EDITORS = {
    "nvim": "Neovim",
    "code": "VS Code",
    "codium": "VSCodium",
    "code-server": "code-server",
    "hx": "Helix",
    "emacs": "Emacs",
    "kate": "Kate",
    "subl": "Sublime Text",
    "zed": "Zed",
}
"""The editors to look for: command and name."""

_NEOVIM_LEAST = (0, 12)
"""The first Neovim with built-in inline completion."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report, with `details` below it. `advice` says what to do; None if all is well."""

    subject: str
    state: str
    advice: str | None = None
    fatal: bool = False
    details: tuple[str, ...] = ()


_HOLE = "def add(a, b):\n    return ", "\n"
"""The code before and after the hole that the model fills."""

_HOLE_TOKENS, _FILL_MS = 12, 5_000


def run(options: Namespace) -> int:
    """Print the findings. Returns 1 if one is `fatal`: without it no hole can be filled."""
    console = Console(highlight=False, soft_wrap=True)
    failed = False
    for finding in examine(options):
        failed |= finding.fatal
        mark, style = ("ok ", "green") if finding.advice is None else ("!! ", "red" if finding.fatal else "yellow")
        console.print(mark, style=style, end="")
        console.print(f"{finding.subject}: {finding.state}", markup=False)
        for detail in finding.details:
            console.print(f"   {detail}", markup=False)
        if finding.advice is not None:
            console.print(f"   {finding.advice}", markup=False)
    return 1 if failed else 0


def examine(options: Namespace) -> Iterator[Finding]:
    yield Finding("Python", f"{platform.python_version()} ({sys.executable})")
    yield from _libraries()
    yield from _devices()
    yield from _models(options)
    yield _grammars()
    yield from _editors()


def _libraries() -> Iterator[Finding]:
    for name in ("torch", "transformers"):
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed", f"install it with {sys.executable} -m pip install {name}", fatal=True)


def _devices() -> Iterator[Finding]:
    try:
        from dgls_engine.device import available_devices, device_name, free_memory, held_by_others, pick_device
    except (ImportError, OSError) as error:  # torch is missing, or cannot load its libraries
        yield Finding("device", f"torch does not load ({error})", "install torch again", fatal=True)
        return
    for name in available_devices():
        device = pick_device(name)
        others = held_by_others(device)
        held = f", {size(others)} held by the driver and other processes" if others else ""
        yield Finding("device", f"{name} ({device_name(device)}), {size(free_memory(device))} free{held}")
    if available_devices() == ["cpu"] and shutil.which("nvidia-smi"):
        yield Finding("device", "there is an NVIDIA GPU, but this torch has no CUDA", "install PyTorch's CUDA build")


def _models(options: Namespace) -> Iterator[Finding]:
    chosen, fallback, fits = resolved(options.model), fallback_advice(options.model), False
    try:
        with repair_advice(chosen):
            files = read_files(locate(chosen))
            require_unchanged(files.folder)
        profile, fitted = files.profile, own_calibration(files.folder)
        why = "the default; `dgls.model` in the editor's settings or `--model` chooses another"
        why = why if options.model == AUTO else "chosen by `--model`"
        details, advice = _fit(files.checkpoint, profile.max_prompt_tokens, options.dtype)
        state = f"{chosen}, canvas of {profile.canvas_tokens} tokens: {why}"
        yield Finding("model", state, advice or fallback, details=details)
        yield Finding("confidence", _calibrated(profile.calibration, fitted))
        fits = advice is None
    except EngineError as error:
        yield Finding("model", f"{chosen} cannot be used", str(error), fatal=True)
    models = installed()
    for model in models:
        if model.name != chosen:
            yield _cached(model)
    if all(model.name != LARGE.name for model in models):
        details, _ = _fit(LARGE.size, LARGE.prompt_tokens)
        state = f"{LARGE.name} is not in the local cache; `dgls models pull {LARGE.name}` fetches it"
        yield Finding("model", state, details=details)
    yield from _best(chosen)
    if fits:
        yield from _fill(chosen, options)


def _best(chosen: str) -> Iterator[Finding]:
    """The best model that fits. Nothing if torch does not load; the devices' finding reports that."""
    try:
        yield Finding("best for this machine", best_here(chosen))
    except (ImportError, OSError):
        return


def _fill(model: str, options: Namespace) -> Iterator[Finding]:
    """Fill a hole. Nothing if torch does not load; the devices' finding reports that."""
    try:
        from dgls_engine import Engine
        from dgls_engine.device import spare_threads
    except (ImportError, OSError):
        return
    before, after = _HOLE
    hole = Hole(max_tokens=_HOLE_TOKENS, stop="\n")
    request = InfillRequest(Context(), (Pinned(before), hole, Pinned(after)), Limits(deadline_ms=_FILL_MS))
    started = time.perf_counter()
    try:
        with (
            repair_advice(model),
            Engine.open(model, dtype=options.dtype, threads=options.threads or spare_threads()) as engine,
        ):
            loaded = time.perf_counter()
            infill = next(event for event in engine.infill(request) if isinstance(event, Infill))
            load, fill = loaded - started, time.perf_counter() - loaded
    except EngineError as error:
        yield Finding("fill", f"{model} cannot fill a hole", str(error), fatal=True)
    except Exception as error:  # a model's files and other versions of libraries can raise any exception
        reason = f"{type(error).__name__}: {reason_of(error)}"
        advice = "update dgls, which names the versions of torch and transformers that it needs, or take another model"
        yield Finding("fill", f"{model} cannot fill a hole ({reason})", advice, fatal=True)
    else:
        took = f"{fill * 1000:.0f} ms and {infill.steps} steps after {load:.1f} s to load"
        yield Finding("fill", f"{before.splitlines()[-1].strip()} {infill.texts[0]!r}: {took}")


def _cached(model: Installed) -> Finding:
    where = "part of dgls" if model.name == EMBEDDED else "in the local cache"
    state = f"{model.name}, {size(model.bytes)}, {where}"
    if model.problem is not None:
        return Finding("model", state, model.problem)
    files = read_files(model.folder)
    details, advice = _fit(files.checkpoint, files.profile.max_prompt_tokens)
    return Finding("model", state, advice, details=details)


def _fit(model: Checkpoint | Size, prompt_tokens: int, dtype: str = "auto") -> tuple[tuple[str, ...], str | None]:
    """Whether the model fits this machine: a line for each possible precision, and advice if `dtype` would not load.

    Empty if torch does not load; the devices' finding reports that.
    """
    try:
        from dgls_engine.device import device_name, free_memory, pick_device
        from dgls_engine.weights.precision import choices, footprint_of, pick_precision, precision_named
    except (ImportError, OSError):
        return (), None
    try:
        model_size = model.family.size(model.config, model.shapes) if isinstance(model, Checkpoint) else model
    except Exception as error:  # a config's mistakes surface as any kind of exception
        return (), f"its config describes no valid model ({error})".splitlines()[0]
    device = pick_device()
    free, lines, fits = free_memory(device), [], []
    for name in choices(model_size, device):
        try:
            precision = precision_named(name, device, model_size)
        except UnsupportedModel as error:
            lines.append(f"{name}: {error}")
            continue
        needed = footprint_of(model_size, precision, device, prompt_tokens)
        fits += [name] if needed.total <= free else []
        verdict = "fits" if name in fits else f"too much for the {size(free)} that are free"
        lines.append(f"{name}: {_sum(needed, prompt_tokens)} on {device_name(device)}: {verdict}")
    try:
        pick_precision(dtype, device, model_size, prompt_tokens)
    except (NotEnoughMemory, UnsupportedModel) as error:
        other = f"`dgls.dtype` (or `--dtype`) {fits[0]} fits" if fits else str(error)
        return tuple(lines), other
    return tuple(lines), None


def _sum(needed: Footprint, prompt_tokens: int) -> str:
    weights = {
        "experts": needed.experts,
        "attention": needed.attention,
        "dense": needed.dense,
        "embedding": needed.embedding,
    }
    parts = ", ".join(f"{part} {size(number)}" for part, number in weights.items())
    return (
        f"weights {size(needed.weights)} ({parts}) + a prompt of {prompt_tokens} tokens {size(needed.prompt)} + "
        f"a step {size(needed.step)} = {size(needed.total)}"
    )


def _calibrated(shipped: Calibration, fitted: Calibration | None) -> str:
    if fitted is not None:
        state = "calibrated on your own code; `dgls calibrate --reset` goes back"
    elif shipped.points:
        state = "calibrated with the model; `dgls calibrate --source DIR` fits it to your code"
    else:
        return "not calibrated, so all suggestions are shown; `dgls calibrate --source DIR` fits it to your code"
    return f"{state}; automatic suggestions need a confidence of {(fitted or shipped).show_above:.3f}"


def _grammars() -> Finding:
    missing = [language.id for language in LANGUAGES if language.grammar and grammar_of(language) is None]
    there = len([language for language in LANGUAGES if language.grammar]) - len(missing)
    advice = f"without: {', '.join(missing)} (served by indentation alone); reinstall dgls to get them"
    return Finding("grammars", f"{there} languages", advice if missing else None)


def _editors() -> Iterator[Finding]:
    present = {command: path for command in EDITORS if (path := shutil.which(command))}
    for command, path in present.items():
        if command == "nvim" and (seen := _neovim_version(path)) < _NEOVIM_LEAST:
            old = ".".join(map(str, seen)) or "of an unknown version"
            yield Finding("editor", f"Neovim {old} ({path})", "inline completion came with 0.12; update Neovim")
        else:
            yield Finding("editor", f"{EDITORS[command]} ({path})")
    if not present:
        yield Finding("editor", "none present on PATH", "any LSP 3.18 client can run `dgls serve`")


def _neovim_version(path: str) -> tuple[int, ...]:
    """(major, minor); empty if unknown."""
    try:
        output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"v(\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2])) if match else ()
