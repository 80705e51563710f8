"""Which packages a model was trained on: figures on code that the model has seen mean nothing.

Reads the files beside a model's weights. Runs on any thread.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from dgls.evaluation.cases.sources import normalised

TRAINING_FILE = "training.json"
"""`{"packages": ["numpy", ...], ...}`, beside the weights."""
_CARD = "README.md"
_CORPUS = re.compile(r"^#+ Corpus.*?\n(.*?)(?=^#|\Z)", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| *([\w.-]+) *\|", re.MULTILINE)
_HEADINGS = frozenset(["package", "---"])


def trained_on(model_folder: Path) -> frozenset[str]:
    """The packages that the model's `training.json` names, or else its card; empty if neither names any."""
    try:
        record = json.loads((model_folder / TRAINING_FILE).read_text(encoding="utf-8"))
        names = record["packages"]
        if isinstance(names, list | dict):
            return frozenset(normalised(str(name)) for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # optional: most checkpoints have none
    try:
        card = (model_folder / _CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return frozenset()
    corpus = _CORPUS.search(card)
    rows = _ROW.findall(corpus[1]) if corpus else []
    return frozenset(normalised(name) for name in rows if name not in _HEADINGS)
