"""A user's own calibration of a model: one JSON file in the user's configuration, which lies over the shipped one.

The file's name ends in a fingerprint of the model's folder, so other weights, or the same run in another way, do not
inherit it. Reads and writes small files; imports no torch and may be used from any thread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path

from platformdirs import user_config_path

from dgls_engine.calibration import Calibration
from dgls_engine.errors import EngineError
from dgls_engine.profile import INFILL_FILE, read_json

logger = logging.getLogger(__name__)

_READ_ALONG = ("config.json", "generation_config.json", "tokenizer.json")
_SAMPLES, _SAMPLE_BYTES = 16, 2**14
"""What is read of each large file: training moves all weights, so a few places tell two versions apart."""


def path_of(folder: Path) -> Path:
    """Where the calibration of the model in `folder` lies, if the user made one."""
    return calibration_folder() / f"{label(folder)}-{fingerprint(folder)}.json"


def calibration_folder() -> Path:
    return user_config_path("dgls", appauthor=False) / "calibration"


def own_calibration(folder: Path) -> Calibration | None:
    """The user's own calibration of the model in `folder`. A broken file is told of in the log and counts as none."""
    path = path_of(folder)
    try:
        return Calibration.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning(
            "Your calibration %s cannot be read (%s), so the model's own is used; "
            "`dgls calibrate` writes it anew, `dgls calibrate --reset` removes it",
            path,
            error,
        )
        return None


def save(calibration: Calibration, folder: Path) -> Path:
    """Keep the user's own calibration of the model in `folder`; where it is now."""
    path = path_of(folder)
    _write(path, calibration.as_json())
    return path


def remove(folder: Path) -> Path | None:
    """Forget the user's own calibration; where it was, or None where there is none."""
    path = path_of(folder)
    if not path.exists():
        return None
    try:
        path.unlink()
    except OSError as error:
        raise EngineError(f"{path} cannot be removed ({error.strerror}); remove it by hand") from None
    return path


def ship(calibration: Calibration, folder: Path) -> Path:
    """Write a calibration beside the model's weights, for all who use them; the file it is in."""
    path = folder / INFILL_FILE
    _write(path, (read_json(path) if path.is_file() else {}) | {"calibration": calibration.as_json()})
    return path


def fingerprint(folder: Path) -> str:
    """Of the weights, the tokenizer, and how they are run: a confidence depends on all of them."""
    digest = hashlib.sha256()
    own = folder / INFILL_FILE
    run = {name: value for name, value in read_json(own).items() if name != "calibration"} if own.is_file() else {}
    digest.update(json.dumps(run, sort_keys=True).encode())
    for path in [*(folder / name for name in _READ_ALONG), *sorted(folder.glob("*.safetensors"))]:
        if path.is_file():
            digest.update(path.name.encode())
            sample(path, digest)
    return digest.hexdigest()[:16]


def sample(path: Path, digest: hashlib._Hash) -> None:
    """Add a file's size and a few places of its contents to `digest`."""
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            digest.update(file.read())
            return
        for index in range(_SAMPLES):
            file.seek((size - _SAMPLE_BYTES) * index // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))


def label(folder: Path) -> str:
    """A model's name for people: the hub's where the folder is one of its cache, else the folder's own."""
    folder = folder.absolute()
    cached = folder.parent.name == "snapshots"
    name = folder.parent.parent.name.removeprefix("models--") if cached else folder.name
    return re.sub(r"[^\w.-]+", "-", name)[-80:]


def _write(path: Path, value: object) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise EngineError(f"{path} cannot be written ({error.strerror}); nothing was stored") from None
