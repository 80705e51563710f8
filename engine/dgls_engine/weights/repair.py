"""Says how to repair a damaged model.

    with repair_advice(name):
        read_files(locate(name))        # BrokenCheckpoint: "...; fetch the model again: `dgls models pull small` ..."

Imports no torch; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgls_engine.errors import BrokenCheckpoint
from dgls_engine.weights.auto import EMBEDDED, resolved


@contextmanager
def repair_advice(name: str) -> Iterator[None]:
    """Ends the message of a `BrokenCheckpoint` with the command that repairs the model `name`. A model in a folder of
    the user's has none."""
    try:
        yield
    except BrokenCheckpoint as error:
        name = resolved(name)
        if Path(name).expanduser().is_dir():
            raise
        command = "reinstalling dgls" if name == EMBEDDED else f"`dgls models pull {name}`"
        raise BrokenCheckpoint(f"{error}: {command} repairs it") from error
