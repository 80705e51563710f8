"""Which packages a model was trained on, and which were kept for evaluation: figures on seen code mean nothing.

Reads what lies beside a model's weights; nothing where nothing is told. On any thread.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from dgls.evaluation.cases.sources import normalised
from dgls_training.corpus import HELD_OUT

TRAINING_FILE = "training.json"
"""`{"packages": ["numpy", ...], ...}`, beside the weights."""
_CARD = "README.md"
_CORPUS = re.compile(r"^#+ Corpus.*?\n(.*?)(?=^#|\Z)", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| *([\w.-]+) *\|", re.MULTILINE)
_HEADINGS = frozenset(["package", "---"])


def trained_on(model_folder: Path) -> frozenset[str]:
    """The packages that the model's `training.json` names, else its card; empty where nothing is known."""
    try:
        told = json.loads((model_folder / TRAINING_FILE).read_text(encoding="utf-8"))
        names = told["packages"]
        if isinstance(names, list | dict):
            return frozenset(normalised(str(name)) for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it is no part of a checkpoint: most have none
    try:
        card = (model_folder / _CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return frozenset()
    corpus = _CORPUS.search(card)
    rows = _ROW.findall(corpus[1]) if corpus else []
    return frozenset(normalised(name) for name in rows if name not in _HEADINGS)


def held_out() -> frozenset[str]:
    """The distributions that the embedded model's corpus leaves out."""
    return HELD_OUT
