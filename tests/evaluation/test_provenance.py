"""Which packages a model was trained on, read from the files beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dgls.evaluation.cases.held_out import HELD_OUT
from dgls.evaluation.cases.provenance import trained_on

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


def test_trained_on_embedded_model_names_no_held_out_package() -> None:
    seen = trained_on(EMBEDDED)
    assert {"python", "numpy"} <= seen
    assert not seen & HELD_OUT


def test_trained_on_card_alone_reads_its_corpus_table(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    assert trained_on(tmp_path) == {"numpy", "pydantic-core"}


@pytest.mark.parametrize("packages", [["Foo.Bar"], {"Foo.Bar": {"licence": "MIT"}}])
def test_trained_on_record_and_card_prefers_record(packages: object, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "training.json").write_text(json.dumps({"packages": packages}))
    assert trained_on(tmp_path) == {"foo-bar"}


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"packages": 3}', '"text"'])
def test_trained_on_malformed_record_is_empty(record: str, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(record)
    assert trained_on(tmp_path) == frozenset()
