"""The corpus as the base's tokens: one flat array and the files' ends, cached beside the corpus.

The cache's name contains a digest of the tokenizer and of the corpus, so neither is mixed up with another.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgls_engine.text.tokenizer import Tokenizer
from dgls_training import corpus

Part = Literal["training", "held_out"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """`ids` (int32) of all files, one after another; `ends[i]` is the end of file i."""

    ids: Tensor
    ends: list[int]

    @classmethod
    def of(cls, files: Iterable[Sequence[int]]) -> Tokens:
        ids = [torch.tensor(file, dtype=torch.int32) for file in files]
        return cls(torch.cat(ids), list(accumulate(map(len, ids))))

    def file_at(self, place: int) -> tuple[int, int]:
        """Start and end of the file that contains the token at `place`."""
        number = bisect_right(self.ends, place)
        return self.ends[number - 1] if number else 0, self.ends[number]


def load(folder: Path, part: Part, tokenizer: Tokenizer, suffixes: Sequence[str] = ()) -> Tokens:
    """The tokens of a corpus that `corpus.gather_into` wrote into `folder`; tokenises it the first time. Only of the
    files with `suffixes`, if there are any."""
    source = folder / f"{part}.jsonl"
    key = tokenizer.path.read_bytes() + source.read_bytes() + " ".join(sorted(suffixes)).encode()
    digest = hashlib.sha256(key).hexdigest()[:16]
    cache = folder / f"{part}-{digest}.safetensors"
    if not cache.exists():
        print(f"tokenising {source}; this is done once", flush=True)
        files = (file for file in corpus.load(source) if not suffixes or file.path.endswith(tuple(suffixes)))
        tokens = Tokens.of(tokenizer.encode(file.text) for file in files)
        partial = cache.with_suffix(".partial")
        save_file({"ids": tokens.ids, "ends": torch.tensor(tokens.ends)}, partial)
        partial.replace(cache)
    stored = load_file(cache)
    return Tokens(stored["ids"], stored["ends"].tolist())


def line_ends(tokenizer: Tokenizer) -> frozenset[int]:
    """The ids of all tokens that contain a line end."""
    return frozenset(id for id in range(tokenizer.size) if b"\n" in tokenizer.token_bytes(id))
