"""A run packed into a few small files, for machines that are available for minutes and keep nothing.

    parcel.00 parcel.01 ...    one zip archive, cut up: settings, shape, packages, tokenizer, log, `checkpoint.pt`

The packed checkpoint holds the weights in bfloat16 and the progress, no optimizers: at 20 M parameters 40 MB and not
240. Resuming from it warms the rate up again, which costs about fifty steps. The corpus is not packed: it is
gathered again if it is absent.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PIECE_BYTES = 15_000_000
CARRIED = (
    *("run.json", "architecture.json", "corpus.json", "log.jsonl"),
    *("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"),
)


def pack(run: Path, to: Path, piece_bytes: int = PIECE_BYTES) -> list[Path]:
    """Write all that a run needs to go on, or to be exported, into `to`, instead of any parcel there."""
    state: dict[str, Any] = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    light = {"model": _narrowed(state["model"]), "progress": state["progress"]}
    archive, checkpoint = io.BytesIO(), io.BytesIO()
    torch.save(light, checkpoint)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("checkpoint.pt", checkpoint.getvalue(), zipfile.ZIP_STORED)
        for name in CARRIED:
            if (run / name).exists():
                file.write(run / name, name)
    packed = archive.getvalue()
    to.mkdir(parents=True, exist_ok=True)
    for old in to.glob("parcel.*"):
        old.unlink()
    pieces = []
    for number, start in enumerate(range(0, len(packed), piece_bytes)):
        pieces.append(to / f"parcel.{number:02}")
        pieces[-1].write_bytes(packed[start : start + piece_bytes])
    return pieces


def unpack(parcel: Path, run: Path) -> bool:
    """Make `run` what was packed into the folder `parcel`; False if there is no parcel."""
    packed = b"".join(piece.read_bytes() for piece in sorted(parcel.glob("parcel.*")))
    if not packed:
        return False
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        file.extractall(run)
    return True


def _narrowed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """In bfloat16. Tied weights stay one tensor, or they would be saved once for each of their names."""
    narrow: dict[tuple[int, torch.Size], Tensor] = {}
    for tensor in weights.values():
        narrow.setdefault((tensor.data_ptr(), tensor.shape), tensor.to(torch.bfloat16))
    return {name: narrow[tensor.data_ptr(), tensor.shape] for name, tensor in weights.items()}
