"""What a model was trained on, as told beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dgls.evaluation.cases.provenance import held_out, trained_on

EMBEDDED = Path(__file__).parents[2] / "engine" / "dgls_engine" / "models" / "embedded"
CARD = """# A model

| | |
|---|---|
| parameters | 2 |

## Corpus, by package and licence

| package | licence | MB |
|---|---|---|
| numpy | BSD | 4.2 |
| Pydantic_Core | MIT | 0.2 |

## Afterwards

| name | b |
|---|---|
| other | 1 |
"""


def test_the_embedded_model_has_seen_nothing_that_was_held_out() -> None:
    seen = trained_on(EMBEDDED)
    assert {"python", "numpy"} <= seen
    assert not seen & held_out()


def test_the_card_tells(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    assert trained_on(tmp_path) == {"numpy", "pydantic-core"}


@pytest.mark.parametrize("packages", [["Foo.Bar"], {"Foo.Bar": {"licence": "MIT"}}])
def test_a_record_goes_before_the_card(packages: object, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "training.json").write_text(json.dumps({"packages": packages}))
    assert trained_on(tmp_path) == {"foo-bar"}


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"packages": 3}', '"text"'])
def test_a_record_that_is_none_is_passed_over(record: str, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(record)
    assert trained_on(tmp_path) == frozenset()
