"""The settings of a training run, stored as `run.json` in its folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from dgls_engine.peer import Markers
from dgls_engine.text.tokenizer import Tokenizer
from dgls_training.architecture import Architecture, peer_of
from dgls_training.corpus import packages
from dgls_training.denoising import Denoising
from dgls_training.examples import Sizes
from dgls_training.export import TOKENIZER_FILES
from dgls_training.next_token import NextToken

Kind = Literal["denoiser", "peer"]


@dataclass(frozen=True, slots=True)
class Settings:
    """`kind`: the diffusion model, or its autoregressive peer. The run ends after `tokens` tokens, if given. `corpus`:
    the folder of the run whose corpus this one uses; "" for its own."""

    kind: Kind = "denoiser"
    sizes: Sizes = field(default_factory=Sizes)
    tokens: int | None = None
    corpus: str = ""

    def objective(self, tokenizer: Tokenizer) -> Denoising | NextToken:
        if self.kind == "peer":
            return NextToken(Markers.of(tokenizer))
        return Denoising(self.sizes, tokenizer.pad_id)

    def save(self, run: Path) -> None:
        (run / "run.json").write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, run: Path) -> Settings:
        """The settings in `run.json`, or the defaults if there is no such file."""
        path = run / "run.json"
        if not path.exists():
            return cls()
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**values | {"sizes": Sizes(**values["sizes"])})


def begin_peer(run: Path, of: Path, tokens: int) -> None:
    """Set up `run` for the peer of the denoiser's run `of`: the same corpus, tokenizer and sizes, and an architecture
    with as many parameters."""
    (run / "tokenizer").mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(of / "tokenizer" / name, run / "tokenizer" / name)
    packages(of)  # writes `corpus.json` if the run is too old to have one
    shutil.copyfile(of / "corpus.json", run / "corpus.json")
    peer_of(Architecture.load(of / "architecture.json")).save(run / "architecture.json")
    Settings("peer", Settings.load(of).sizes, tokens, of.as_posix()).save(run)
