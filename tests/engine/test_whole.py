"""The published mask diffusion models whose rows all see each other: their logits, and the eight laws."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgls_engine import CancelToken, Context, Engine, Hole, InfillRequest, Limits, Pinned
from dgls_engine.errors import BrokenCheckpoint, Cancelled, UnsupportedModel
from dgls_engine.loop.any_order import START, Growth, Rows
from dgls_engine.loop.constraint import Constraint, Vocabulary
from dgls_engine.loop.denoise import Rival, denoise
from dgls_engine.loop.first_pass import FirstPass
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.noise import AnyMasks, noise_of
from dgls_engine.loop.rules import Prediction, Surest
from dgls_engine.loop.stopping import Deadline, Schedule
from dgls_engine.model.batches import places
from dgls_engine.model.masked.published import BLOCKWISE, CONVENTIONS
from dgls_engine.model.masked.whole import WholePasses
from dgls_engine.model.passes import ABSENT
from dgls_engine.profile import Decoding
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.text.reader import Reader
from dgls_engine.types import Infill, Resume, Revise, Start
from dgls_engine.weights.loader import LoadedModel, load
from dgls_engine.weights.profiles import read_profile
from tests.engine.checkpoints import masked_checkpoint
from tests.engine.published import CONFIGS, KINDS, SHIFTED, published_checkpoint, reference
from tests.engine.test_laws import ABOVE, BELOW, Clock, drafts, inputs_of, request, run

MASK, EXPAND, DELETE = 2, 3, 0
PROMPT_ABOVE, PROMPT_BELOW = [31, 45, 7, 120, 88], [60, 61, 90]


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(published_checkpoint(tmp_path_factory.mktemp(request.param), request.param, sharpness=4.0), "cpu")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One of them, for what does not depend on the layers."""
    return load(published_checkpoint(tmp_path_factory.mktemp("one"), "dream-coder", sharpness=4.0), "cpu")


@pytest.fixture
def engine(loaded: LoadedModel) -> Engine:
    return Engine(loaded)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The canvases of every pass, as they went in."""
    seen: list[Tensor] = []
    original = WholePasses.run

    def noted(self: WholePasses, ids: Tensor, *rest: Any) -> Tensor:
        seen.append(ids.clone())
        return original(self, ids, *rest)

    monkeypatch.setattr(WholePasses, "run", noted)
    return seen


def kind_of(loaded: LoadedModel) -> str:
    kind = loaded.folder.name.rstrip("0123456789")
    return kind if kind in KINDS else "dream-coder"


def passes_between(loaded: LoadedModel, above: Sequence[int], below: Sequence[int]) -> WholePasses:
    model = loaded.family.open(loaded.model, loaded.profile, loaded.tokenizer.specials)
    encoder: Encoder[Any] = Encoder(model.new_prompt)
    encoder.prefill([*above, MASK, *below])
    passes = model.passes_after(encoder.cache)
    assert isinstance(passes, WholePasses)
    return passes


@torch.inference_mode()
def logits_at(passes: WholePasses, canvases: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]) -> Tensor:
    """The logits of `rows` by one pass over canvases, padded on the right."""
    width = max(map(len, canvases))
    ids = torch.tensor([[*canvas, *[0] * (width - len(canvas))] for canvas in canvases])
    at = places(rows, passes.device)
    hidden = passes.run(ids, passes.start(ids, at, torch.zeros(len(at[0]))), [len(canvas) for canvas in canvases], at)
    return passes.head.logits(hidden)


def test_logits_are_those_of_the_reference(loaded: LoadedModel) -> None:
    """Canvases of different lengths in one batch, and rows that are not there."""
    kind, tensors = kind_of(loaded), load_file(loaded.folder / "model.safetensors")
    canvases = [[100, 101, MASK, MASK, 50, MASK], [100, MASK, MASK, ABSENT, 103, MASK, 104, 105]]
    rows = [[2, 3, 5], [1, 2, 4, 5]]
    found = logits_at(passes_between(loaded, PROMPT_ABOVE, PROMPT_BELOW), canvases, rows)
    expected = []
    for canvas, own in zip(canvases, rows, strict=True):
        there = [row for row, id in enumerate(canvas) if id != ABSENT]
        whole = reference(kind, tensors, [*PROMPT_ABOVE, *(canvas[row] for row in there), *PROMPT_BELOW])
        expected += [whole[len(PROMPT_ABOVE) + there.index(row) - (kind in SHIFTED)] for row in own]
    assert float((found - torch.stack(expected)).abs().max()) < 1e-4


def predictions(
    kind: str, tensors: dict[str, Tensor], before: Sequence[int], rows: Sequence[int], after: Sequence[int]
) -> Tensor:
    """The reference's probabilities [rows, vocabulary] of the hole's tokens; special ones have none."""
    whole = reference(kind, tensors, [*before, *rows, *after])
    first = len(before) - (kind in SHIFTED)
    return whole[first : first + len(rows)]


def slow_drafts(loaded: LoadedModel, decoding: Decoding, size: int, banned: Tensor) -> list[list[int]]:
    """The drafts of a hole by a slow loop: decided tokens, and elsewhere the likeliest ones."""
    kind, tensors = kind_of(loaded), load_file(loaded.folder / "model.safetensors")
    before, after = [*PROMPT_ABOVE, 100, 101], [103, *PROMPT_BELOW]
    shown, steps = [MASK] * size, []
    while MASK in shown:
        logits = predictions(kind, tensors, before, shown, after).masked_fill(banned, -math.inf)
        chances = logits.softmax(-1)
        entropies = [float(-(row[row > 0] * row[row > 0].log()).sum()) for row in chances]
        undecided = [row for row, id in enumerate(shown) if id == MASK]
        best = {row: int(chances[row].argmax()) for row in undecided}
        sure = {row: float(chances[row].max()) for row in undecided}
        margin = {row: float(chances[row].topk(2).values @ torch.tensor([1.0, -1.0]).double()) for row in undecided}
        if decoding == "remask":
            now = {row: sure.get(row, float(chances[row][shown[row]])) for row in range(size)}
            kept = sorted(now, key=lambda row: now[row], reverse=True)[: len(steps) + 1]
            best |= {row: shown[row] for row in range(size) if row not in best}
        elif decoding == "threshold":
            kept = [row for row in undecided if sure[row] > loaded.profile.unmask_threshold]
            kept = kept or [max(undecided, key=lambda row: sure[row])]
        elif decoding == "bound":
            order = sorted(undecided, key=lambda row: entropies[row])
            sums = [sum(entropies[row] for row in order[:count]) for count in range(len(order))]
            kept = [row for row, total in zip(order, sums, strict=True) if total <= loaded.profile.entropy_bound]
        else:
            score = {"confidence": sure, "margin": margin, "entropy": {row: -entropies[row] for row in undecided}}
            kept = [max(undecided, key=lambda row: score[decoding][row])]
        decided = list(shown)
        for row in best:
            decided[row] = best[row] if row in kept else MASK
        steps.append([best.get(row, decided[row]) if decided[row] == MASK else decided[row] for row in range(size)])
        shown = decided
    return steps


def our_drafts(loaded: LoadedModel, size: int) -> tuple[list[list[int]], Tensor]:
    """The drafts of the same hole by the loop, and the tokens that no row may hold."""
    canvas = Canvas((100, 101, *[MASK] * size, 103), (Span(2, 2 + size),))
    passes = passes_between(loaded, PROMPT_ABOVE, PROMPT_BELOW)
    vocabulary = Vocabulary(loaded.tokenizer, loaded.model.config.vocab_size, loaded.device)
    constraint = Constraint.of(canvas, vocabulary, pads=False)
    model = loaded.family.open(loaded.model, loaded.profile, loaded.tokenizer.specials)
    noise = noise_of(model, loaded.profile, loaded.tokenizer, loaded.device)
    rival = noise.rival(canvas, constraint, Reader(canvas.holes, loaded.tokenizer), 0, None, ())
    steps = denoise(
        passes,
        [rival],
        schedule=Schedule(100, 1.0, 1.0),
        deadline=Deadline(None),
        cancel=CancelToken(),
        choosing=noise.choosing,
    )
    return [draft.ids for (draft,) in steps], constraint.banned[0]


def with_profile(loaded: LoadedModel, **values: Any) -> LoadedModel:
    return loaded.with_profile(values)


def test_law_3_every_draft_is_that_of_a_slow_loop_as_published(loaded: LoadedModel) -> None:
    fixed = with_profile(loaded, hole_policy="batch")
    found, banned = our_drafts(fixed, 6)
    assert found == slow_drafts(fixed, loaded.profile.decoding, 6, banned)


@pytest.mark.parametrize("decoding", ["confidence", "margin", "entropy", "threshold", "bound", "remask"])
@pytest.mark.parametrize("size", [1, 9])
def test_law_3_every_draft_is_that_of_a_slow_loop_under_every_rule(
    one: LoadedModel, decoding: Decoding, size: int
) -> None:
    sharp = with_profile(one, decoding=decoding, unmask_threshold=0.2, entropy_bound=6.0)
    found, banned = our_drafts(sharp, size)
    assert found == slow_drafts(sharp, decoding, size, banned)
    if size > 1:
        assert (len(found) < size) == (decoding in ("threshold", "bound"))


def growing_reference(loaded: LoadedModel, size: int, least: int, banned: Tensor) -> list[int]:
    """The tokens of a growing hole by a slow loop over lists."""
    tensors = load_file(loaded.folder / "model.safetensors")
    shown, budget = [MASK] * min(START, size), size
    while MASK in shown:
        logits = predictions("dreamon", tensors, [*PROMPT_ABOVE, 100, 101], shown, [103, *PROMPT_BELOW])
        for row in range(len(shown)):
            forbidden = banned.clone()
            forbidden[EXPAND] = not (len(shown) < size and budget > 0)
            forbidden[DELETE] = row < max(1, least)
            logits[row][forbidden] = -math.inf
        chances = logits.softmax(-1)
        entropies = [float(-(row[row > 0] * row[row > 0].log()).sum()) for row in chances]
        row = min((row for row, id in enumerate(shown) if id == MASK), key=lambda row: entropies[row])
        token = int(chances[row].argmax())
        if token == EXPAND:
            shown[row : row + 1] = [MASK, MASK]
            budget -= 1
        elif token == DELETE:
            shown = shown[:row] + [id for id in shown[row + 1 :] if id != MASK]
        else:
            shown[row] = token
    return shown


@pytest.mark.parametrize("favour", [{}, {EXPAND: 2.0}, {DELETE: 2.0}, {EXPAND: 1.4, DELETE: 1.4}])
@pytest.mark.parametrize("seed", range(3))
def test_law_3_a_growing_hole_is_that_of_a_slow_loop(tmp_path: Path, favour: dict[int, float], seed: int) -> None:
    folder = published_checkpoint(tmp_path, "dreamon", seed=seed, sharpness=2.0)
    weights = load_file(folder / "model.safetensors")
    for token, factor in favour.items():
        weights["lm_head.weight"][token] *= factor
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    loaded = load(folder, "cpu")
    found, banned = our_drafts(loaded, 14)
    expected = growing_reference(loaded, 14, 0, banned)
    assert found[-1] == [*expected, *[DELETE] * (14 - len(expected))]


def test_growing_hole_grows_shrinks_and_ends(tmp_path: Path) -> None:
    lengths = set()
    for seed in range(6):
        folder = published_checkpoint(tmp_path / str(seed), "dreamon", seed=seed, sharpness=2.0)
        weights = load_file(folder / "model.safetensors")
        weights["lm_head.weight"][EXPAND if seed % 2 else DELETE] *= 2.5
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        asked = InfillRequest(Context(above=ABOVE), [Pinned("x = "), Hole(max_tokens=16), Pinned("\n")])
        _, infill = run(Engine(load(folder, "cpu")), asked)
        assert infill.finish == "stable"
        lengths.add(len(infill.fills[0].pieces))
    assert min(lengths) < START < max(lengths) <= 16


def test_rows_that_grow_keep_what_is_decided() -> None:
    """Tokens move with their rows, whatever the predictions are; pinned against a list."""
    generator, fresh = random.Random(0), count(50)
    for _ in range(200):
        sizes = [generator.randrange(1, 12) for _ in range(2)]
        rows = Rows(
            sizes,
            MASK,
            DELETE,
            Surest(lambda each: each.log_probability),
            lambda draft, sizes=sizes: [range(sizes[0]), range(sizes[0], sum(sizes))],  # type: ignore[misc]
            torch.device("cpu"),
            Growth(EXPAND, DELETE, [1, 0]),
        )
        before = rows.shown()
        for _ in range(200):
            if rows.settled([], []):
                break
            told: dict[int, Prediction] = {}
            for row in rows.reading:
                longer, shorter = rows.may_change(row)
                tokens = [next(fresh), *([EXPAND] if longer else []), *([DELETE] if shorter else [])]
                told[row] = Prediction(generator.choice(tokens), -generator.random(), 1.0, 0.0)
            rows.decide(told)
            after = rows.shown()
            assert len(after) == sum(sizes)
            for hole in (slice(0, sizes[0]), slice(sizes[0], None)):
                kept, now = ([id for id in ids[hole] if id >= 50] for ids in (before, after))
                assert set(kept) <= set(now)
                assert [id for id in now if id in kept] == kept, "in the same order"
                assert ABSENT not in after[hole][: sum(id != ABSENT for id in after[hole])], "absent rows are last"
            before = after
        assert rows.settled([], [])


def canvases_of(monkeypatch: pytest.MonkeyPatch) -> list[Canvas]:
    canvases: list[Canvas] = []
    make = AnyMasks.rival

    def rival(self: AnyMasks, canvas: Canvas, *rest: Any, **named: Any) -> Rival:
        canvases.append(canvas)
        return make(self, canvas, *rest, **named)

    monkeypatch.setattr(AnyMasks, "rival", rival)
    return canvases


def test_law_1_pinned_tokens_stay_and_decided_ones_unless_masked_again(
    loaded: LoadedModel, passes: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = with_profile(loaded, hole_policy="fixed")
    canvases = canvases_of(monkeypatch)
    run(Engine(fixed), request())
    (canvas,) = canvases
    shown = [ids[0].tolist() for ids in passes]
    for ids in shown:
        assert [ids[row] for row, pinned in enumerate(canvas.pinned) if pinned] == [
            canvas.ids[row] for row, pinned in enumerate(canvas.pinned) if pinned
        ]
    assert len(shown) > 2
    for earlier, later in pairwise(shown):
        changed = [row for row in canvas.rows if earlier[row] not in (MASK, later[row])]
        assert not changed or fixed.profile.decoding == "remask"


def test_law_2_any_seed_gives_the_same_text_and_what_ran_before_does_not_matter(loaded: LoadedModel) -> None:
    one, other = run(Engine(loaded), request()), run(Engine(loaded), request(seed=1))
    assert drafts(one[0]) == drafts(other[0])
    warm = Engine(loaded)
    run(warm, request("class Key:\n    def "))
    assert drafts(run(warm, request())[0]) == drafts(one[0])


def test_law_4_cancel_takes_effect_before_the_next_pass(
    loaded: LoadedModel, engine: Engine, passes: list[Tensor]
) -> None:
    cancel = CancelToken()
    running = engine.infill(request(), cancel)
    next(running)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)
    assert len(passes) == 1
    assert drafts(run(engine, request())[0]) == drafts(run(Engine(loaded), request())[0])


def test_law_5_logits_are_computed_for_hole_rows_only(loaded: LoadedModel) -> None:
    fixed = Engine(with_profile(loaded, hole_policy="fixed"))
    with inputs_of(loaded.model.lm_head) as rows:
        steps, infill = run(fixed, request())
    assert len(rows) == len(steps)
    assert max(map(len, rows)) == infill.hole_tokens == 13 < infill.canvas_tokens


def test_law_6_with_refresh_1_each_pass_reads_the_prompt_else_every_nth(one: LoadedModel) -> None:
    asked = request(max_steps=7)
    for refresh, whole in ((1, 7), (3, 3), (100, 1)):
        engine = Engine(with_profile(one, hole_policy="fixed", refresh_steps=refresh))
        with inputs_of(one.model.model.embed_tokens) as embedded:
            run(engine, asked)
        prompts = [ids for ids in embedded if ids.shape[1] == embedded[1].shape[1]]
        assert len(embedded) == 7 + whole
        assert len(prompts) == whole


@pytest.mark.parametrize("policy", ["batch", "fixed"])
def test_law_6_typing_in_the_canvas_reads_no_prompt_while_it_is_fresh(one: LoadedModel, policy: str) -> None:
    roomy = {"canvas_tokens": 96, "before_tokens": 40, "after_tokens": 20, "refresh_steps": 100}
    engine = Engine(with_profile(one, hole_policy=policy, **roomy))

    def typed(before: str, above: str = ABOVE) -> tuple[Infill, list[int]]:
        segments = [Pinned(before), Hole(max_tokens=9), Pinned("\n    return key\n")]
        with inputs_of(one.model.model.embed_tokens) as embedded:
            infill = run(engine, InfillRequest(Context(above=above, below=BELOW), segments, Limits(max_steps=5)))[1]
        return infill, [ids.shape[1] for ids in embedded]

    first, read = typed("def read(path):\n    x = ")
    assert read.count(first.prompt_tokens - 1) == 1, "one canvas reads it for all"
    then, read = typed("def read(path):\n    x = path.open(")
    assert (then.prefilled_tokens, read.count(then.prompt_tokens - 1)) == (0, 0)
    other, read = typed("def read(path):\n    x = path.open(", "import key\n" + ABOVE)
    assert other.prefilled_tokens == other.prompt_tokens
    assert read.count(other.prompt_tokens - 1) == 1


def test_canvases_of_one_contest_share_their_prompt(one: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the longest hole leaves no room for stands in the prompt of all."""
    canvases = canvases_of(monkeypatch)
    tight = Engine(with_profile(one, hole_policy="batch", before_tokens=30, after_tokens=10))
    segments = [Pinned("def read(path):\n" * 8), Hole(max_tokens=30), Pinned("\n" + BELOW)]
    run(tight, InfillRequest(Context(above=ABOVE, below=BELOW), segments, Limits(max_steps=1)))
    assert len({len(canvas.rows) for canvas in canvases}) == len(canvases) > 5
    assert len({canvas.spilled for canvas in canvases}) == 1
    assert canvases[0].spilled.before


def test_moved_keys_are_those_of_their_new_positions(one: LoadedModel) -> None:
    """The first layer's keys depend on nothing but token and position, so there the turn is exact."""
    above, below = [31, 45, 7], [60, 61, 90, 91]
    model = loaded_keys(one, above, below, [[100, MASK, 50]], [[100, MASK, 50, 51, 52, 53]])
    fresh = loaded_keys(one, above, below, [[100, MASK, 50, 51, 52, 53]])
    assert torch.allclose(model, fresh, atol=1e-5)
    assert not torch.allclose(fresh, loaded_keys(one, above, below, [[100, MASK, 50]]), atol=1e-2)


def loaded_keys(
    loaded: LoadedModel, above: Sequence[int], below: Sequence[int], *canvases: Sequence[Sequence[int]]
) -> Tensor:
    """The first layer's keys of the prompt after passes over canvases."""
    passes = passes_between(with_profile(loaded, refresh_steps=9), above, below)
    for canvas in canvases:
        logits_at(passes, canvas, [[1]])
    keys = passes._prompt.own.buffers._states[0]
    return keys[0, : keys.shape[1] // 2, : len(above) + len(below)].clone()


def test_kept_keys_are_close_and_exact_after_a_refresh(one: LoadedModel) -> None:
    rows, canvas = [[1, 3]], [[100, MASK, 50, MASK]]
    exact = logits_at(passes_between(one, PROMPT_ABOVE, PROMPT_BELOW), canvas, rows)
    passes = passes_between(with_profile(one, refresh_steps=2), PROMPT_ABOVE, PROMPT_BELOW)
    logits_at(passes, [[100, MASK, MASK, MASK]], rows)
    kept = logits_at(passes, canvas, rows)
    refreshed = logits_at(passes, canvas, rows)
    assert torch.allclose(refreshed, exact, atol=1e-4)
    assert 1e-3 < float((kept - exact).abs().max()) < 0.5 * float(exact.abs().max())


@pytest.mark.parametrize(("deadline_ms", "steps"), [(0, 1), (25, 2), (30, 3)])
def test_law_7_a_deadline_is_kept(loaded: LoadedModel, passes: list[Tensor], deadline_ms: int, steps: int) -> None:
    fixed = with_profile(loaded, hole_policy="fixed")
    taken, infill = run(Engine(fixed, clock=Clock(passes)), request(deadline_ms=deadline_ms))
    assert (len(passes), infill.steps, infill.finish) == (steps, steps, "deadline")
    assert infill.texts == drafts(taken)[-1]


@pytest.mark.parametrize("before", ["", "pri", "x = 👩", "a\r\n\t", "é\ud800", "    ", "return ", "e\u0301"])
@pytest.mark.parametrize("above", ["", "import path\n", "x", "\n\n"])
def test_law_8_the_sequence_is_the_file_byte_for_byte(
    one: LoadedModel, passes: list[Tensor], above: str, before: str
) -> None:
    engine = Engine(with_profile(one, hole_policy="fixed"))
    asked = InfillRequest(
        Context(above=above, below="z = 1\n"), [Pinned(before), Hole(max_tokens=4), Pinned("y\n")], Limits(max_steps=1)
    )
    run(engine, asked)
    tokenizer, prompt, canvas = one.tokenizer, list(engine._reading.encoder.ids), passes[0][0].tolist()
    seam = prompt.index(MASK)
    shown = b"".join(tokenizer.token_bytes(id) for id in [*prompt[:seam], *canvas, *prompt[seam + 1 :]])
    plain = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in above + before).encode()
    missing = len(plain) + len("y\nz = 1\n") - len(shown)
    assert 0 <= missing <= len(before.encode(errors="replace")), "the freed bytes of the token before the hole"
    assert shown == plain[: len(plain) - missing] + b"y\nz = 1\n"
    assert MASK in canvas


@pytest.mark.parametrize("start", [Resume("path.read()"), Revise("path.read()", 0.4), Revise("path", 1.0)])
def test_start_text_is_taken(loaded: LoadedModel, start: Start) -> None:
    hole = Hole(max_tokens=6, start=start)
    asked = InfillRequest(Context(above=ABOVE, below=BELOW), [Pinned("x = "), hole, Pinned("\n")])
    _, infill = run(Engine(loaded), asked)
    assert infill.finish == "stable"


def test_load_runs_no_code_of_the_checkpoint_and_needs_none(loaded: LoadedModel) -> None:
    """Each folder's `auto_map` names code, and the file with code would end the process."""
    assert "auto_map" in json.loads((loaded.folder / "config.json").read_text())
    assert (loaded.folder / "modeling_own.py").is_file()
    convention = next(each for each in CONVENTIONS if each.architecture == CONFIGS[kind_of(loaded)]["architectures"][0])
    assert loaded.model.config.shifted == convention.shifted == (kind_of(loaded) in SHIFTED)


def test_docs_table_says_what_the_code_does() -> None:
    page = (Path(__file__).parents[2] / "docs" / "families.md").read_text(encoding="utf-8")
    for each in CONVENTIONS:
        mask = str(each.mask).replace("|", "\\|")
        use = "yes" if each.commercial else "no" if "NC" in each.licence else "ask"
        cells = (each.name, f"`{each.architecture}`", f"`{mask}`", "i + 1" if each.shifted else "i")
        cells += (f"`{each.decoding}`", f"{each.context:,}", each.licence, use)
        assert f"| {' | '.join(cells)} |" in page
    for name in BLOCKWISE.values():
        assert name in page


@pytest.mark.parametrize("kind", KINDS)
def test_profile_follows_from_the_published_files_alone(tmp_path: Path, kind: str) -> None:
    folder = published_checkpoint(tmp_path, kind)
    (folder / "infill.json").unlink()
    profile = read_profile(folder)
    published = "dreamon" if kind == "dreamon" else CONFIGS[kind]["architectures"][0]
    convention = next(each for each in CONVENTIONS if published in (each.architecture, "dreamon" * each.grows))
    assert (profile.prompt_format, profile.decoding) == ("around", convention.decoding)
    assert profile.mask_token == CONFIGS[kind].get("mask_token_id", convention.mask)
    assert (profile.hole_policy, profile.enclosed) == (("grow", True) if kind == "dreamon" else ("batch", False))
    longest = profile.max_prompt_tokens + profile.canvas_tokens
    assert longest == min(convention.context, 1024), "the miniatures have 1,024 positions"
    assert profile.refresh_steps == 8


def edit(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change(folder: Path, **tensors: Tensor) -> None:
    save_file({**load_file(folder / "model.safetensors"), **tensors}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("kind", "damage", "error", "words"),
    [
        *[
            (
                "dream-coder",
                lambda f, name=name: edit(f, architectures=[name]),
                UnsupportedModel,
                "block diffusion model",
            )
            for name in BLOCKWISE
        ],
        ("dream-coder", lambda f: edit(f, block_size=32), UnsupportedModel, "does not see the code behind"),
        ("dream-coder", lambda f: edit(f, architectures=["Own"]), UnsupportedModel, "needs its own code"),
        ("open-dcoder", lambda f: edit(f, auto_map={"AutoModel": "own.Model"}), UnsupportedModel, "needs its own code"),
        ("dream-coder", lambda f: edit(f, mask_token_id=77), UnsupportedModel, "mask_token .* is 77"),
        ("dream-coder", lambda f: edit(f, use_sliding_window=True, max_window_layers=1), BrokenCheckpoint, "sliding"),
        ("llada", lambda f: edit(f, alibi=True), BrokenCheckpoint, "alibi True"),
        ("llada", lambda f: edit(f, block_type="sequential"), BrokenCheckpoint, "block_type 'sequential'"),
        ("llada", lambda f: edit(f, n_layers=100_000), BrokenCheckpoint, "100000 layers"),
        ("llada-moe", lambda f: edit(f, clip_qkv=8.0), BrokenCheckpoint, "clip_qkv 8.0"),
        ("llada-moe", lambda f: edit(f, num_experts=10_000), BrokenCheckpoint, "10000 experts"),
        ("coda", lambda f: change(f, **{"lm_head.weight": torch.zeros(3, 3)}), BrokenCheckpoint, "wrong shape"),
        ("llada", lambda f: change(f, own=torch.zeros(3)), BrokenCheckpoint, "fit nowhere: own"),
        ("llada", lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), UnsupportedModel, "pickled"),
        ("dream-coder", lambda f: (f / "merges.txt").unlink(), BrokenCheckpoint, "tokenizer.json is missing"),
        ("dream-coder", lambda f: (f / "merges.txt").write_text("one\n"), BrokenCheckpoint, "no valid tokenizer"),
    ],
)
def test_load_what_cannot_be_run_raises_with_reason(
    tmp_path: Path, kind: str, damage: Callable[[Path], object], error: type[Exception], words: str
) -> None:
    folder = published_checkpoint(tmp_path, kind)
    damage(folder)
    with pytest.raises(error, match=words):
        Engine(load(folder, "cpu"))


@pytest.mark.parametrize(
    ("infill", "words"),
    [
        ({"decoding": "left"}, "decoding .* another than left"),
        ({"before_tokens": 0}, "before_tokens .* at least 1"),
        ({"hole_policy": "grow"}, "expand_token .* is ''"),
        ({"mask_token": "<|hole|>"}, r"mask_token .* is '<\|hole\|>'"),
    ],
)
def test_open_with_a_wrong_profile_raises(tmp_path: Path, infill: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        Engine(load(published_checkpoint(tmp_path, "dream-coder", **infill), "cpu"))


def test_growing_needs_a_model_that_was_trained_for_it(tmp_path: Path, flat: LoadedModel) -> None:
    with pytest.raises(UnsupportedModel, match="expand token"):
        Engine(flat.with_profile({"hole_policy": "grow"}))


@pytest.mark.parametrize("kind", ["dream-coder", "llada", "plain"])
def test_search_denoises_the_length_that_the_first_step_is_surest_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    plain = kind == "plain"
    folder = masked_checkpoint(tmp_path, sharpness=40.0) if plain else published_checkpoint(tmp_path, kind, sharpness=4)
    values = {"hole_policy": "search", "decoding": "confidence"}
    loaded = load(folder, "cpu").with_profile(values)
    seen: list[tuple[list[float], int]] = []
    original = FirstPass.first

    def first(self: FirstPass, canvases: Sequence[Canvas], told: Sequence[Draft], hole: int) -> int | None:
        chosen = original(self, canvases, told, hole)
        assert chosen is not None
        lengths = [len(canvas.rows) for canvas in canvases]
        means = [sum(map(math.exp, draft.log_probabilities)) / size for draft, size in zip(told, lengths, strict=True)]
        trend = [math.exp(-1.77 * size) + 0.56 * math.exp(-0.06 * size) + 0.24 for size in lengths]
        seen.append(([mean / usual for mean, usual in zip(means, trend, strict=True)], chosen))
        return chosen

    monkeypatch.setattr(FirstPass, "first", first)

    def asked(least: int, most: int) -> InfillRequest:
        hole = Hole(min_tokens=least, max_tokens=most)
        return InfillRequest(Context(above=ABOVE, below=BELOW), [Pinned("x = "), hole, Pinned("\n")])

    _, infill = run(Engine(loaded), asked(1, 8))
    ((sure, chosen),) = seen
    assert len(sure) == 8
    assert sure[chosen] == max(sure)
    alone = run(Engine(loaded), asked(chosen + 1, chosen + 1))[1]
    assert (infill.texts, infill.steps, infill.passes) == (alone.texts, alone.steps, alone.steps)


@pytest.mark.parametrize("policy", ["grow", "search"])
def test_policies_that_need_a_rule_say_so(tmp_path: Path, policy: str) -> None:
    loaded = load(masked_checkpoint(tmp_path), "cpu")
    values = {"hole_policy": policy, "expand_token": "<|mask|>", "delete_token": "<|pad|>"}
    with pytest.raises(UnsupportedModel, match="another decoding than left"):
        Engine(loaded.with_profile(values))


@pytest.mark.parametrize("decoding", ["confidence", "margin", "entropy", "threshold", "bound", "remask"])
def test_rules_also_fill_a_model_with_a_causal_prompt(tmp_path: Path, decoding: Decoding) -> None:
    loaded = load(masked_checkpoint(tmp_path, sharpness=40.0), "cpu").with_profile({"decoding": decoding})
    steps, infill = run(Engine(loaded), request())
    assert infill.finish == "stable"
    assert 1 < len(steps) <= infill.hole_tokens


def test_size_counts_every_value(loaded: LoadedModel) -> None:
    tensors = load_file(loaded.folder / "model.safetensors")
    assert loaded.info.parameters == sum(tensor.numel() for tensor in tensors.values())
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    config = json.loads((loaded.folder / "config.json").read_text())
    named = {loaded.family.slot_name(name): shape for name, shape in shapes.items()}
    assert loaded.family.size(config, named).values == loaded.info.parameters


def test_replace_keeps_profile_valid(one: LoadedModel) -> None:
    with pytest.raises(ValueError, match="decoding must be one of"):
        replace(one.profile, decoding="any")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="refresh_steps must be a whole number from 1"):
        replace(one.profile, refresh_steps=0)
