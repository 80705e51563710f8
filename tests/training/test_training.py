"""Laws of the training pipeline, on a corpus of one made-up file and a model of a few thousand parameters."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from transformers import DynamicCache

from dgls_engine.engine import Engine
from dgls_engine.model.diffusion_gemma.decoder import NO_MASKS, decode
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.tokenizer import Tokenizer
from dgls_training import corpus, versions
from dgls_training.architecture import Architecture, new_model
from dgls_training.corpus import Package, Source
from dgls_training.denoising import Denoising, next_token_loss, predict
from dgls_training.evaluate import Case, cases, fill, previous_line, score
from dgls_training.examples import KINDS, Cutter, Sizes
from dgls_training.export import adopt, export, profile_of
from dgls_training.run_folder import last_record
from dgls_training.settings import Kind, Settings
from dgls_training.tokenizer import train_tokenizer
from dgls_training.train import Plan, Trainer
from dgls_training.versions import Version

SIZES = Sizes(prompt=48, canvas=64, hole=32)


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    """A few hundred regular lines, and one of all that is awkward."""
    functions = [
        f"def add_{i}(left, right):\n    total = left + right * {i}\n    return total, 'é{i}'\n\n" for i in range(80)
    ]
    return [Source("made-up", "MIT", "made_up.py", "".join(functions) + "emoji = '\U0001f600\t'\r\n")]


@pytest.fixture(scope="module")
def folder(sources: list[Source], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(sources, 400, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder / "tokenizer.json")


def tiny(tokenizer: Tokenizer) -> Architecture:
    return Architecture.of(tokenizer.size, hidden=32, layers=2)


def trainer(
    folder: Path,
    tokenizer: Tokenizer,
    minutes: float = 1,
    kind: Kind = "denoiser",
    tokens: int | None = None,
    seed: int = 0,
) -> Trainer[Any]:
    plan = Plan(minutes, tokens, batch=2, seed=seed, report_every=1, held_out_examples=4)
    objective: Any = Settings(kind, SIZES).objective(tokenizer)
    return Trainer(folder, plan, tiny(tokenizer), objective, SIZES, tokenizer, "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_draw_example_decodes_to_its_text(kind: str, sources: list[Source], tokenizer: Tokenizer) -> None:
    cutter, rng = Cutter(sources, tokenizer, SIZES), random.Random(3)
    for _ in range(50):
        example = cutter.draw(rng, kind)  # type: ignore[arg-type]
        assert len(example.prompt) <= SIZES.prompt
        assert len(example.canvas) <= SIZES.canvas
        hole = example.canvas[example.hole_start : example.hole_end]
        if kind == "whole-canvas":
            assert len(hole) == SIZES.canvas or sources[0].text.endswith(example.answer)
            continue
        content = [id for id in hole if id != tokenizer.pad_id]
        assert hole == content + [tokenizer.pad_id] * (len(hole) - len(content)), "PAD stands only at the hole's end"
        assert tokenizer.decode(content).endswith(example.answer)
        before, after = example.canvas[: example.hole_start], example.canvas[example.hole_end :]
        assert tokenizer.decode([*before, *content, *after]) in sources[0].text


def test_predict_padded_batch_equals_single_example(sources: list[Source], tokenizer: Tokenizer) -> None:
    model = new_model(tiny(tokenizer), seed=0).eval()
    rng = random.Random(0)
    cutter = Cutter(sources, tokenizer, SIZES)
    examples = [cutter.draw(rng, "rest-of-line") for _ in range(4)]
    examples[0] = replace(examples[0], prompt=examples[0].prompt[:3])
    batch = Denoising(SIZES, tokenizer.pad_id).collate(examples)
    with torch.no_grad():
        next_token_loss(model, batch, cache := DynamicCache())
        together = predict(model, batch, batch.canvas, None, cache)
        rows = []
        for example in examples:
            encoder = Encoder(prompt_factory(model))
            encoder.prefill(example.prompt)
            canvas = torch.tensor([example.canvas])
            hidden = decode(model, canvas, None, encoder.cache.seen(), NO_MASKS, len(example.prompt))
            rows.append(model.lm_head(hidden[0, example.hole_start : example.hole_end]))
    cap = model.final_logit_softcapping
    torch.testing.assert_close(together, torch.tanh(torch.cat(rows) / cap) * cap, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_objective_overfits_one_batch(kind: Kind, sources: list[Source], tokenizer: Tokenizer) -> None:
    model = new_model(tiny(tokenizer), seed=0)
    rng = random.Random(0)
    cutter = Cutter(sources, tokenizer, SIZES)
    objective: Any = Settings(kind, SIZES).objective(tokenizer)
    batch = objective.collate([cutter.draw(rng) for _ in range(4)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator, losses = torch.Generator().manual_seed(0), []
    for _ in range(60):
        loss = objective.loss(model, batch, generator)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize("kind", get_args(Kind))
def test_trainer_saved_run_resumes_identically(
    kind: Kind, sources: list[Source], tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = trainer(tmp_path, tokenizer, 5, kind, tokens=1)
    assert not first.resume()
    first.run(sources, sources)
    second = trainer(tmp_path, tokenizer, 5, kind, tokens=500)
    assert second.resume()
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    second.run(sources, sources)
    assert '"step": 2,' in (tmp_path / "log.jsonl").read_text()
    assert "held_out_loss" in capsys.readouterr().out


def test_trainer_run_stops_at_token_budget(sources: list[Source], tokenizer: Tokenizer, tmp_path: Path) -> None:
    trainer(tmp_path, tokenizer, 5, tokens=300).run(sources, sources)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[-2]["tokens"] < 300 <= records[-1]["tokens"] == last_record(tmp_path)["tokens"]


def test_export_weights_fill_holes_and_start_new_run(
    sources: list[Source], tokenizer: Tokenizer, folder: Path, tmp_path: Path
) -> None:
    first, second = trainer(tmp_path, tokenizer, seed=1), trainer(tmp_path, tokenizer, seed=2)
    export(copy.deepcopy(first.model), folder, tmp_path / "exported", profile_of(SIZES))
    second.start_from(tmp_path / "exported")
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0.0, rtol=2**-8)  # bfloat16 on disk
    with Engine.open(tmp_path / "exported", "cpu") as engine:
        assert fill(engine, cases(sources, 1, seed=0)[0]).steps >= 1


def test_adopt_copies_tokenizer_and_shape(
    sources: list[Source], tokenizer: Tokenizer, folder: Path, tmp_path: Path
) -> None:
    export(new_model(tiny(tokenizer), seed=0), folder, tmp_path / "exported", profile_of(SIZES))
    adopt(tmp_path / "exported", tmp_path / "run")
    assert Architecture.load(tmp_path / "run" / "architecture.json") == tiny(tokenizer)
    adopt(tmp_path / "exported", tmp_path / "run")
    train_tokenizer(sources, 300, tmp_path / "run" / "tokenizer")
    with pytest.raises(ValueError, match="not the tokenizer of"):
        adopt(tmp_path / "exported", tmp_path / "run")


@pytest.mark.parametrize(
    ("path", "dropped"),
    [
        ("pip/_vendor/rich/box.py", True),
        ("setuptools/_vendor/packaging/tags.py", True),
        ("typer/_click/core.py", True),
        ("numpy/linalg/tests/test_linalg.py", True),
        ("email/message.py", False),
        ("sympy/core/expr.py", False),
    ],
)
def test_gather_skips_vendored_copies_and_tests(path: str, dropped: bool) -> None:
    assert bool(corpus.DROPPED.search(path)) is dropped


@pytest.mark.parametrize(
    ("licence", "taken"),
    [("MIT", True), ("BSD-3-Clause AND Zlib", True), ("MIT AND GPLv2+", False), ("LGPLv3", False), ("MPL-2.0", False)],
)
def test_gather_takes_only_permissive_licences(licence: str, taken: bool) -> None:
    assert bool(corpus.PERMISSIVE.search(licence) and not corpus.COPYLEFT.search(licence)) is taken


def test_gather_drops_near_copies(sources: list[Source]) -> None:
    [original] = sources
    near = replace(original, path="copy.py", text=original.text + "x = 1\n")
    other = replace(original, path="other.py", text="\n".join(f"y{i} = f({i})" for i in range(60)))
    kept = corpus._distinct([original, near, other], set(), set(), seed=0, limit=10**6)
    assert len(kept) == 2
    assert any(source.path == "other.py" for source in kept)


def test_gather_limits_characters_per_package(sources: list[Source]) -> None:
    [original] = sources
    others = [replace(original, path=f"{i}.py", text=f"# {i}\n" + original.text.replace("add", f"a{i}")) for i in "123"]
    size = len(others[0].text)
    assert len(corpus._distinct(list(others), set(), set(), seed=0, limit=2 * size)) == 2


def test_gather_takes_permissive_npm_packages_and_holds_some_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.distributions", lambda: [])
    licences = {"@scope/tool": "MIT", "lodash": "MIT", "foreign": "GPL-3.0", "nameless": None}
    for name, licence in licences.items():
        folder = tmp_path / "node_modules" / name
        (folder / "node_modules").mkdir(parents=True)
        fields = {"name": name, "license": licence} if licence else {"type": "module"}
        (folder / "package.json").write_text(json.dumps(fields))
        code = "".join(f"export const {name[-4:]}{i} = {i};\n" for i in range(30))
        for file in ("index.js", "index.d.ts", "node_modules/index.js", "README.md"):
            (folder / file).write_text(code.replace("const", f"/* {file} */ const"))
    suffixes = corpus.OTHERS
    training, held_out = corpus.gather(0, suffixes=suffixes, node_modules=[tmp_path / "node_modules"])
    assert [(source.package, source.licence, source.path) for source in training] == [
        ("npm:@scope/tool", "MIT", "index.js")
    ]
    assert [source.package for source in held_out] == ["npm:lodash"]


def test_summarise_corpus_counts_by_package(sources: list[Source], tmp_path: Path) -> None:
    corpus.save([*sources, *sources, replace(sources[0], package="small", text="x")], tmp_path / "training.jsonl")
    size = len(sources[0].text)
    assert corpus.packages(tmp_path) == [Package("made-up", "MIT", 2, 2 * size), Package("small", "MIT", 1, 1)]
    (tmp_path / "training.jsonl").unlink()
    assert len(corpus.packages(tmp_path)) == 2


def test_versions_record_replaces_same_name(tmp_path: Path) -> None:
    path = tmp_path / "versions.json"
    versions.record(Version("v1", 2_924_847, 14_503_293, 0.004), path)
    versions.record(Version("v2", 2_924_847, 20_000_000, 0.01, 0.002), path)
    versions.record(Version("v1", 2_924_847, 14_503_293, 0.004, 0.001), path)
    versions.record(Version("v2", 2_924_847, 20_000_000, 0.01), path)
    assert {row.name: row.humaneval_pass for row in versions.load(path)} == {"v1": 0.001, "v2": 0.002}
    assert "| v2 | 2,924,847 | 20.0 | 1.0 % | 0.2 % |" in versions.table(versions.load(path))


def test_score_separates_right_from_wrong(sources: list[Source]) -> None:
    held_out = cases(sources, 20, seed=0)
    for case in held_out:
        assert case.prefix + case.answer in sources[0].text
        assert case.suffix.startswith(("\n", "\r\n"))
    right = score(held_out, [case.answer for case in held_out])
    assert (right.exact_match, right.edit_similarity, right.whole_line, right.rest_of_line) == (1.0, 1.0, 1.0, 1.0)
    assert score(held_out, ["" for _ in held_out]).exact_match == 0.0


def test_previous_line_continues_at_cursor() -> None:
    assert previous_line(Case("a = one()\n\na =", " two()", "\n", False)) == " one()"
    assert previous_line(Case("a = one()\n\n", "two()", "\n", True)) == "a = one()"
