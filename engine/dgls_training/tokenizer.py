"""Trains the embedded model's tokenizer: byte-level BPE that splits code where holes often begin or end.

A line end is a token, and so is a run of two or more blanks (the indentation). No token spans a line border, so a text
that is cut at a line border keeps its tokens. A single space belongs to the word after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from dgls_engine.peer import END
from dgls_engine.prompt.formats import ABOVE, BELOW
from dgls_training.corpus import Source

PAD = "<|pad|>"
"""The special token with the id 0."""

PIECES = r"\r\n|\n|\r|[ \t]{2,}|\t| ?[\p{L}_]+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}_]+|\s"


def train_tokenizer(sources: list[Source], size: int, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into `folder`."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(name, special=True) for name in (PAD, END, BELOW, ABOVE)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_texts(sources), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    config = {"pad_token": PAD, "eos_token": END, "additional_special_tokens": [BELOW, ABOVE]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _texts(sources: list[Source]) -> Iterator[str]:
    for source in sources:
        yield source.text
