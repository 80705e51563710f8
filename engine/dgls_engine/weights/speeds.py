"""How fast models ran on this machine: milliseconds a denoising step, by the model's name. For a list to choose from.

Kept in one small file of the user's cache. Nothing depends on it: if it cannot be read or written, no speed is known.
Any thread; blocks for the disk.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

_MOST = 100
"""Models; the one that ran longest ago is forgotten first."""


def remember(name: str, ms: float) -> None:
    speeds = {each: known for each, known in known_speeds().items() if each != name}
    speeds[name] = round(ms, 1)
    kept = dict(list(speeds.items())[-_MOST:])
    with suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(dir=file.parent, prefix=".speeds-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(kept, stream)
        Path(fresh).replace(file)


def known_speeds() -> Mapping[str, float]:
    try:
        values = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {name: float(ms) for name, ms in values.items() if type(ms) in (int, float)}


def _file() -> Path:
    return user_cache_path("dgls", appauthor=False) / "speeds.json"
