"""Stores a user's calibration of a model: a JSON file in the user's configuration. It replaces the shipped calibration.

The file's name ends in a fingerprint of the model's folder, so a model with other weights or another profile does not
use it. Reads and writes small files; imports no torch and may be used from any thread.
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
from dgls_engine.model_files import holds, read_json
from dgls_engine.profile import INFILL_FILE

logger = logging.getLogger(__name__)

_FINGERPRINTED = ("config.json", "generation_config.json", "tokenizer.json")
_SAMPLES, _SAMPLE_BYTES = 16, 2**14
"""A fingerprint reads this many samples of a large file. Training changes all weights, so samples tell two versions
apart."""


def path_of(folder: Path) -> Path:
    """The file of the user's calibration of the model in `folder`, whether or not it exists."""
    return calibration_folder() / f"{label(folder)}-{fingerprint(folder)}.json"


def calibration_folder() -> Path:
    return user_config_path("dgls", appauthor=False) / "calibration"


def own_calibration(folder: Path) -> Calibration | None:
    """The user's calibration of the model in `folder`, or None. A broken file counts as none and logs a warning."""
    path = path_of(folder)
    try:
        return Calibration.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning(
            "Your calibration %s cannot be read (%s), so the model's shipped calibration is used; "
            "`dgls calibrate` writes a new one, `dgls calibrate --reset` removes it",
            path,
            error,
        )
        return None


def save(calibration: Calibration, folder: Path) -> Path:
    """Write the user's calibration of the model in `folder`; returns its file."""
    path = path_of(folder)
    _write(path, calibration.as_json())
    return path


def remove(folder: Path) -> Path | None:
    """Remove the user's calibration of the model in `folder`; returns its former file, or None if there was none."""
    path = path_of(folder)
    if not path.exists():
        return None
    try:
        path.unlink()
    except OSError as error:
        raise EngineError(f"{path} cannot be removed ({error.strerror}); remove it by hand") from None
    return path


def ship(calibration: Calibration, folder: Path) -> Path:
    """Write a calibration into the model's folder, for all its users; returns the file."""
    path = folder / INFILL_FILE
    _write(path, (read_json(path) if holds(path) else {}) | {"calibration": calibration.as_json()})
    return path


def fingerprint(folder: Path) -> str:
    """A hash of the weights, the tokenizer and the profile: a confidence depends on all of them."""
    digest = hashlib.sha256()
    infill_file = folder / INFILL_FILE
    profile = read_json(infill_file) if holds(infill_file) else {}
    profile.pop("calibration", None)
    digest.update(json.dumps(profile, sort_keys=True).encode())
    for path in [*(folder / name for name in _FINGERPRINTED), *sorted(folder.glob("*.safetensors"))]:
        if path.is_file():
            digest.update(path.name.encode())
            sample(path, digest)
    return digest.hexdigest()[:16]


def sample(path: Path, digest: hashlib._Hash) -> None:
    """Add a file's size and samples of its contents to `digest`."""
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
    """A model's name for file names: its hub name if the folder is in the hub's cache, else the folder's name."""
    folder = folder.absolute()
    in_cache = folder.parent.name == "snapshots"
    name = folder.parent.parent.name.removeprefix("models--") if in_cache else folder.name
    return re.sub(r"[^\w.-]+", "-", name)[-80:]


def _write(path: Path, value: object) -> None:
    """Write a JSON file atomically."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise EngineError(
            f"{path} cannot be written ({error.strerror}), so nothing was saved; check the folder's permissions"
        ) from None
