"""What a run is, kept in its folder as `run.json`, so that no later command has to be told again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from engine.tokenizer import Tokenizer
from engine.training.denoising import Denoising
from engine.training.examples import Sizes
from engine.training.next_token import Markers, NextToken

Kind = Literal["denoiser", "peer"]


@dataclass(frozen=True, slots=True)
class Settings:
    """`kind`: the diffusion model, or its autoregressive peer."""

    kind: Kind = "denoiser"
    sizes: Sizes = field(default_factory=Sizes)

    def objective(self, tokenizer: Tokenizer) -> Denoising | NextToken:
        if self.kind == "peer":
            return NextToken(Markers.of(tokenizer))
        return Denoising(self.sizes, tokenizer.pad_id)

    def save(self, run: Path) -> None:
        (run / "run.json").write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, run: Path) -> Settings:
        """A run without the file is one of the defaults."""
        path = run / "run.json"
        if not path.exists():
            return cls()
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(values["kind"], Sizes(**values["sizes"]))
