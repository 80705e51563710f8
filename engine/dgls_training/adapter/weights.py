"""The adapter as a module, and its files.

    A.<layer><part> [r, in]     B.<layer><part> [out, r]     rows [1, D]: the mask token's input

The names are those of the shipped file; `FUSED` in `dgls_engine/model/masked/adapter.py` names the parts. A new adapter
changes nothing: B is zero. The parameters are float32, whatever the base computes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import dgls_engine
from dgls_engine.model.masked.adapter import FUSED
from dgls_training import run_folder

SHIPPED, UNTRAINED = "shipped", "untrained"
"""Names that the commands take in place of a path."""

SHIPPED_FILE = Path(dgls_engine.__file__).parent / "models" / "small" / "adapter.safetensors"


Pair = tuple[Tensor, Tensor]
"""A and B of one fused weight."""


class Adapter(nn.Module):
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        weights = {name: nn.Parameter(tensor.float()) for name, tensor in tensors.items()}
        self.A = nn.ParameterDict({name[2:]: weight for name, weight in weights.items() if name.startswith("A.")})
        self.B = nn.ParameterDict({name[2:]: weight for name, weight in weights.items() if name.startswith("B.")})
        self.rows = weights["rows"]

    @property
    def rank(self) -> int:
        return len(next(iter(self.A.values())))

    def layer(self, number: int) -> dict[str, Pair]:
        """A layer's weights by the name of the part."""
        return {part: (self.A[f"{number}{part}"], self.B[f"{number}{part}"]) for part in FUSED}


def untrained(shapes: Mapping[str, tuple[int, int]], embedding: Tensor, rank: int) -> dict[str, Tensor]:
    """The tensors of a new adapter for a base with these `shapes` (`Base.shapes`) and this `embedding` [V, D]."""
    tensors = {"rows": embedding.float().mean(dim=0, keepdim=True).cpu()}
    for name, (out, width) in shapes.items():
        tensors[f"A.{name}"] = torch.randn(rank, width) / width**0.5
        tensors[f"B.{name}"] = torch.zeros(out, rank)
    return tensors


def grown(tensors: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The same adapter with a higher rank: the new rows of A are random, the new columns of B zero. Raises
    `ValueError` for a lower rank."""
    larger = dict(tensors)
    for name, down in tensors.items():
        if name.startswith("A."):
            missing = rank - len(down)
            if missing < 0:
                raise ValueError(f"the adapter has rank {len(down)} and cannot be reduced to {rank}; start untrained")
            up = tensors[f"B.{name[2:]}"]
            larger[name] = torch.cat([down.float(), torch.randn(missing, down.shape[1]) / down.shape[1] ** 0.5])
            larger[f"B.{name[2:]}"] = torch.cat([up.float(), torch.zeros(len(up), missing)], dim=1)
    return larger


def read(source: str) -> dict[str, Tensor]:
    """The tensors of an adapter: `shipped`, the folder of a run, a `.safetensors` file, or a state dict that
    `torch.save` wrote."""
    path = SHIPPED_FILE if source == SHIPPED else Path(source)
    if path.is_dir():
        stored = run_folder.load(path)["adapter"]
    elif path.suffix == ".safetensors":
        stored = load_file(path)
    else:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {name: tensor for name, tensor in stored.items() if name.startswith(("A.", "B."))}
    return tensors | {"rows": stored["rows"][:1]}


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the file that the engine ships, in bfloat16."""
    save_file(
        {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"}
    )
