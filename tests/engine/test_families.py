"""The loop, the prompt and the texts name no architecture: what knows one lies in its family's folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine" / "dgls_engine"
NEUTRAL = sorted(
    path
    for place in ("loop/*.py", "prompt/encoder.py", "prompt/budget.py", "text/*.py", "model/*.py", "model/kernels/*.py")
    for path in ENGINE.glob(place)
)
ARCHITECTURE = re.compile(
    r"gemma|model\.model\.decoder|layer_types|soft.?cap|text_config|sliding_window", re.IGNORECASE
)
TOKENIZER = ENGINE / "text" / "tokenizer.py"
"""It reads two kinds of vocabulary and names the one after the models that brought it."""


def test_neutral_rooms_are_found() -> None:
    assert len(NEUTRAL) > 20


@pytest.mark.parametrize("path", NEUTRAL, ids=lambda path: str(path.relative_to(ENGINE)))
def test_neutral_module_names_no_architecture(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if ARCHITECTURE.search(line) and path != TOKENIZER] == []
