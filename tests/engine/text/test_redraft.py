"""A draft that is changed a little: what is opened, what is kept, and one text again in every step."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dgls_engine import CancelToken, Context, Engine, Hole, Infill, InfillRequest, Limits, Pinned, Step
from dgls_engine.errors import Cancelled, RequestTooLarge
from dgls_engine.loop.doubt import doubts
from dgls_engine.loop.judged_rows import TURNS
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.profile import HolePolicy, PinnedSignal
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import lay_out
from dgls_engine.text.length import Batch, Fixed, Length, Pad, length_policy
from dgls_engine.text.opened import Opened
from dgls_engine.text.redraft import MOST_WORDS, SLACK, SLACK_RUNS, Redraft, Sketch, sketch
from dgls_engine.types import Revise, Segment
from dgls_engine.weights.loader import LoadedModel
from tests.engine.reference import tensors_of

DRAFT = "value = index + count"
AROUND = (Pinned("def f(x):\n    re"), Pinned("\n    return x"))
TEXTS = st.text(min_size=1, max_size=12) | st.sampled_from(
    [DRAFT, "naïve 👩‍👩‍👧 ", "\n", "a\r\n\tb", "x\ud800y", "<|pad|>", "日本", "\x00\u2028", "    return value"]
)
STRENGTHS = st.floats(0.01, 0.99)


def roomy(loaded: LoadedModel, policy: HolePolicy = "pad") -> LoadedModel:
    return replace(loaded, profile=replace(loaded.profile, canvas_tokens=160, hole_policy=policy))


def sketched(loaded: LoadedModel, *segments: Segment, length: Length | None = None) -> Sketch:
    return sketch(segments, loaded.tokenizer, loaded.profile, length or Pad(), ())


def ask(*segments: Segment, seed: int = 0, **limits: int) -> InfillRequest:
    return InfillRequest(Context(above="import path\n"), segments, Limits(**limits), seed)


def drafted(draft: str, strength: float, **more: Any) -> InfillRequest:
    return ask(AROUND[0], Hole(start=Revise(draft, strength), **more), AROUND[1], max_steps=2)


def run(engine: Engine, asked: InfillRequest) -> tuple[list[Step], Infill]:
    *steps, infill = engine.infill(asked)
    assert isinstance(infill, Infill)
    return steps, infill  # type: ignore[return-value]


def opened(redraft: Redraft, draft: str) -> set[int]:
    """Which of the draft's characters are found anew."""
    found: set[int] = set()
    at = 0
    holes = [segment for segment in redraft.segments if isinstance(segment, Hole)]
    for part in redraft.parts[0]:
        text = holes[part].expected or "" if isinstance(part, int) else "".join(part)
        assert draft.startswith(text, at)
        if isinstance(part, int):
            found |= set(range(at, at + len(text)))
        at += len(text)
    assert at == len(draft)
    return found


def as_kept(redraft: Redraft, hole: int = 0) -> re.Pattern[str]:
    """Any text that has what is kept, in its order, and begins and ends with it where the draft does."""
    parts = redraft.parts[hole]
    return re.compile("".join(".*" if isinstance(part, int) else re.escape("".join(part)) for part in parts), re.DOTALL)


@pytest.fixture
def redrafts(monkeypatch: pytest.MonkeyPatch) -> list[Redraft]:
    """What became of the drafts of every request."""
    seen: list[Redraft] = []
    original = Sketch.redraft

    def recorded(self: Sketch, nats: Sequence[float], length: Length) -> Redraft:
        seen.append(original(self, nats, length))
        return seen[-1]

    monkeypatch.setattr(Sketch, "redraft", recorded)
    return seen


@given(draft=TEXTS, strengths=st.tuples(STRENGTHS, STRENGTHS), chance=st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_redraft_higher_strength_opens_superset(
    flat: LoadedModel, draft: str, strengths: tuple[float, float], chance: Any
) -> None:
    """Every character is either kept or opened, none in two, and at least one is opened."""
    sets, nats = [], None
    for strength in sorted(strengths):
        own = sketched(roomy(flat), AROUND[0], Hole(start=Revise(draft, strength)), AROUND[1])
        nats = nats or [chance.random() for _ in own.positions]
        sets.append(opened(own.redraft(nats, Pad()), draft))
    assert sets[0] <= sets[1]
    assert sets[0]


def test_redraft_strength_opens_share_of_most_doubted_tokens(flat: LoadedModel) -> None:
    tokens = flat.tokenizer.encode(DRAFT)
    whole = [flat.tokenizer.decode([token]) for token in tokens]
    nats = [float(number % 5) for number in range(len(tokens))]
    for strength in (0.01, 0.2, 0.5, 0.9):
        own = sketched(flat, Hole(start=Revise(DRAFT, strength)))
        worst = sorted(range(len(tokens)), key=lambda at: (-nats[at], at))[: max(1, round(strength * len(tokens)))]
        starts = [sum(map(len, whole[:at])) for at in range(len(tokens))]
        wanted = {place for at in worst for place in range(starts[at], starts[at] + len(whole[at]))}
        assert opened(own.redraft(nats, Pad()), DRAFT) == wanted


def test_redraft_with_model_doubts_higher_strength_opens_superset(loaded: LoadedModel, redrafts: list[Redraft]) -> None:
    engine = Engine(loaded)
    for strength in (0.1, 0.15, 0.35, 0.5, 0.7, 0.99):
        run(engine, drafted(DRAFT, strength))
    sets = [opened(redraft, DRAFT) for redraft in redrafts]
    assert all(lower <= higher for lower, higher in pairwise(sets))
    assert 0 < len(sets[0]) < len(sets[-1])


@pytest.mark.parametrize("name", ["flat", "peaked", "chat"])
@given(draft=TEXTS, strength=STRENGTHS, between=st.sampled_from(["", " ", "\n    "]))
@settings(max_examples=25, deadline=None)
def test_redraft_kept_text_comes_back_byte_for_byte(
    request: pytest.FixtureRequest, name: str, draft: str, strength: float, between: str
) -> None:
    """Whatever the draft and however much of it is opened; in every step, and beside other holes."""
    engine = Engine(roomy(request.getfixturevalue(name)))
    segments = (
        Hole(max_tokens=2),
        Pinned(between),
        Hole(start=Revise(draft, strength)),
        Hole(start=Revise(draft, 0.5)),
    )
    with pytest.MonkeyPatch.context() as patch:
        seen: list[Redraft] = []
        original = Sketch.redraft
        patch.setattr(Sketch, "redraft", lambda *given: seen.append(original(*given)) or seen[-1])
        steps, infill = run(engine, ask(AROUND[0], *segments, AROUND[1], max_steps=2))
    (redraft,) = seen
    for texts in ([draft.text for draft in steps[0].fills], infill.texts):
        assert len(texts) == 3
        assert as_kept(redraft, 1).fullmatch(texts[1])
        assert as_kept(redraft, 2).fullmatch(texts[2])


def test_law_1_kept_tokens_are_the_same_at_every_step(
    loaded: LoadedModel, redrafts: list[Redraft], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Tensor] = []
    original = decoder.decode

    def decode(model: Any, ids: Tensor, *rest: Any) -> Tensor:
        passes.append(ids.clone())
        return original(model, ids, *rest)

    monkeypatch.setattr(decoder, "decode", decode)
    monkeypatch.setattr("dgls_engine.text.redraft.SLACK", 0)  # a single turn
    steps, infill = run(Engine(loaded), ask(AROUND[0], Hole(start=Revise(DRAFT, 0.3)), AROUND[1]))
    canvas = lay_out(redrafts[0].segments, loaded.tokenizer, loaded.profile, Pad().positions)
    scored, *denoised = passes
    assert len(scored) > 1
    assert len(denoised) == len(steps) == infill.steps == infill.passes - 1
    laid, pinned = tensors_of(canvas)
    for ids in denoised:
        assert torch.equal(ids[0][pinned], laid[pinned])
    kept = [text for part in redrafts[0].parts[0] if not isinstance(part, int) for text in part]
    spelled = loaded.tokenizer.decode(laid[pinned].tolist())
    assert kept
    assert all(text in spelled for text in kept)


def test_law_2_same_seed_same_text(fresh: Callable[[], Engine]) -> None:
    asked = ask(AROUND[0], Hole(start=Revise(DRAFT, 0.4)), AROUND[1])
    assert run(fresh(), asked)[1].texts == run(fresh(), asked)[1].texts


def test_fold_step_joins_pieces_and_kept_text_is_certain(engine: Engine, redrafts: list[Redraft]) -> None:
    steps, infill = run(engine, drafted(DRAFT, 0.3))
    for draft in [step.fills[0] for step in steps]:
        assert "".join(piece.text for piece in draft.pieces) == draft.text
    assert "".join(piece.text for piece in infill.fills[0].pieces) == infill.texts[0] == steps[-1].fills[0].text
    kept = sum(len(part) for part in redrafts[0].parts[0] if not isinstance(part, int))
    assert sum(piece.entropy == 0.0 for piece in steps[-1].fills[0].pieces) >= kept > 0
    assert 0.0 <= infill.fills[0].probability <= 1.0
    assert infill.fills[0].trials == ()


@pytest.mark.parametrize("policy", [policy for policy in get_args(HolePolicy) if policy != "grow"])
def test_infill_drafted_and_blank_holes_fills_both_under_every_policy(
    peaked: LoadedModel, redrafts: list[Redraft], policy: HolePolicy
) -> None:
    whole = Hole(max_tokens=3)
    asked = ask(
        *(Pinned("x = "), whole, Pinned("\n"), Hole(start=Revise(DRAFT, 0.4)), Pinned("\n"), whole),
        *(Hole(start=Revise("return key", 0.2)), Pinned("\n")),
        max_steps=3,
    )
    steps, infill = run(Engine(roomy(peaked, policy)), asked)
    assert len(infill.fills) == 4
    assert all(len(step.fills) == 4 for step in steps)
    for number in (1, 3):
        assert as_kept(redrafts[0], number).fullmatch(infill.texts[number])
        assert infill.fills[number].trials == ()
    assert [bool(infill.fills[number].trials) for number in (0, 2)] == [policy == "batch"] * 2


@pytest.mark.parametrize(("policy", "tried"), [("pad", [3, 4]), ("batch", [2, 3, 4]), ("fixed", [3])])
def test_around_opened_run_allows_about_its_length(policy: HolePolicy, tried: list[int]) -> None:
    length = length_policy(policy)
    hole = Opened(*length.around(3, 1), expected="abc", slack=1)
    assert [length.positions(own, None) for own in length.tries(hole)] == tried
    assert length.positions(hole, None) == 3, "while another one's turn is on"
    assert hole.min_tokens == {"pad": 0, "batch": 2, "fixed": 3}[policy]
    assert length.around(1, 1)[0] == (0 if policy == "pad" else 1)
    assert len(length.tries(Opened(*length.around(3, 0), expected="abc"))) == 1, "no turn without slack"


def test_redraft_several_runs_gives_slack_to_most_doubted(flat: LoadedModel) -> None:
    own = sketched(flat, Pinned("x"), Hole(start=Revise(DRAFT, 0.5)), Pinned("\n"))
    redraft = own.redraft([float(number * (number % 2)) for number in range(len(own.positions))], Pad())
    holes = [segment for segment in redraft.segments if isinstance(segment, Hole)]
    assert len(holes) > SLACK_RUNS
    assert [hole.slack for hole in holes] == [0] * (len(holes) - SLACK_RUNS) + [SLACK] * SLACK_RUNS
    at_the_start = isinstance(redraft.parts[0][0], int)
    assert [hole.healed for hole in holes] == [at_the_start] + [False] * (len(holes) - 1)


def test_infill_run_with_slack_can_grow_and_shrink(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the longer one surprises less; and where PAD is likelier than all else."""
    engine = Engine(flat)
    monkeypatch.setattr("dgls_engine.loop.seam.surprises", lambda *given: [-100.0 * len(draft) for draft in given[2]])
    asked = drafted("return value", 0.01)
    longer = run(engine, asked)[1]
    assert len(longer.fills[0].pieces) == len(sketched(flat, *asked.segments).positions) + SLACK
    original, pad = decoder.logits, flat.tokenizer.pad_id

    def padding(*given: Any) -> Tensor:
        return original(*given).index_fill(-1, torch.tensor([pad]), 50.0)

    monkeypatch.setattr("dgls_engine.loop.seam.surprises", lambda *given: [float(len(draft)) for draft in given[2]])
    monkeypatch.setattr(decoder, "logits", padding)
    shorter = run(engine, drafted(DRAFT, 0.01))[1]
    assert len(shorter.texts[0]) < len(DRAFT)


def test_infill_draft_that_just_fits_tries_only_its_length(flat: LoadedModel) -> None:
    long = " ".join(["value"] * 24)
    infill = run(Engine(flat), ask(Hole(start=Revise(long, 0.1)), max_steps=1))[1]
    assert len(flat.tokenizer.encode(long)) + SLACK > flat.profile.canvas_tokens - 1
    assert infill.canvas_tokens <= flat.profile.canvas_tokens


def test_infill_draft_too_long_for_canvas_raises(engine: Engine) -> None:
    with pytest.raises(RequestTooLarge, match="ask for fewer holes"):
        run(engine, drafted(DRAFT * 40, 0.2))


def test_infill_empty_draft_starts_blank(fresh: Callable[[], Engine]) -> None:
    hole = Hole(max_tokens=4)
    empty, none = (run(fresh(), ask(AROUND[0], own, AROUND[1])) for own in (replace(hole, start=Revise("", 0.3)), hole))
    assert empty[1].texts == none[1].texts


def test_infill_stop_inside_draft_does_not_cut_it(engine: Engine, redrafts: list[Redraft]) -> None:
    lines = "value = 1\n    return value\n"
    text = run(engine, drafted(lines, 0.2, stop="\n"))[1].texts[0]
    assert as_kept(redrafts[0]).fullmatch(text)
    kept = "".join("".join(part) for part in redrafts[0].parts[0] if not isinstance(part, int))
    assert text.count("\n") >= kept.count("\n") > 0


def test_infill_stop_not_in_draft_ends_the_fill(loaded: LoadedModel, redrafts: list[Redraft]) -> None:
    for seed in range(4):
        asked = replace(drafted(DRAFT, 0.7, stop="a"), seed=seed)
        run(Engine(loaded), asked)
    for redraft in redrafts:
        for hole in (segment for segment in redraft.segments if isinstance(segment, Hole)):
            assert hole.stop == (None if "a" in (hole.expected or "") else "a")


def test_cancel_around_doubt_pass_raises(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, cancel = drafted(DRAFT, 0.3), CancelToken()
    run(engine, asked)
    passes: list[int] = []
    original = decoder.decode

    def decode(*given: Any) -> Tensor:
        passes.append(len(given[1]))
        cancel.cancel()
        return original(*given)

    monkeypatch.setattr(decoder, "decode", decode)
    for taken in (1, 1):  # set during that pass, and before it
        with pytest.raises(Cancelled):
            next(engine.infill(asked, cancel))
        assert len(passes) == taken


def test_infill_draft_past_deadline_takes_one_step(loaded: LoadedModel) -> None:
    steps, infill = run(Engine(loaded), ask(AROUND[0], Hole(start=Revise(DRAFT, 0.3)), AROUND[1], deadline_ms=0))
    assert (len(steps), infill.steps, infill.passes, infill.finish) == (1, 1, 2, "deadline")


@pytest.mark.parametrize("pinned_signal", get_args(PinnedSignal))
def test_doubts_hide_each_token_but_not_its_neighbours(peaked: LoadedModel, pinned_signal: PinnedSignal) -> None:
    """The slow way: a pass a token. One token in `TURNS` is noise together with it, the other hole all the time."""
    own = sketched(peaked, AROUND[0], Hole(start=Revise(DRAFT * 3, 0.3)), Pinned("\n"), Hole(max_tokens=3))
    canvas, rows = own.canvas, own.positions
    noise = torch.randint(500, (len(canvas.ids),), generator=torch.Generator().manual_seed(1))
    encoder = Encoder(prompt_factory(peaked.model))
    encoder.prefill([1, 2, 30, 40])
    passes = Eager(peaked.model, encoder.cache.seen(), 4, pinned_signal)
    found = doubts(passes, canvas, rows, noise)
    assert len(rows) > TURNS
    unseen = torch.tensor([row for row in canvas.rows if row not in rows])
    clean = torch.tensor(canvas.ids).index_copy(0, unseen, noise[unseen])
    for index, row in enumerate(rows):
        noised = torch.tensor(rows[index % TURNS :: TURNS])
        signal = decoder.embed(peaked.model, clean).index_fill(0, torch.cat([unseen, noised]), 0.0)
        shown = clean.index_copy(0, noised, noise[noised])
        with torch.inference_mode():
            hidden = decoder.decode(
                peaked.model,
                shown[None],
                signal[None] if pinned_signal == "always" else None,
                passes.seen,
                decoder.NO_MASKS,
                passes.tokens,
            )
            likely = decoder.logits(peaked.model, hidden[0, row]).log_softmax(-1)
        mine = likely[canvas.ids[row]]
        assert found[index] == pytest.approx(float(likely.max() - mine - 1e-3 * mine), abs=1e-3)


@pytest.mark.parametrize("policy", [Pad(), Fixed(), Batch()], ids=lambda policy: type(policy).__name__)
def test_sketch_draft_lays_out_its_own_length_only(flat: LoadedModel, policy: Length) -> None:
    own = sketched(flat, AROUND[0], Hole(max_tokens=30, start=Revise(DRAFT, 0.3)), AROUND[1], length=policy)
    assert flat.tokenizer.decode(own.canvas.ids[position] for position in own.positions).endswith(DRAFT)
    assert len(own.positions) < 20


def test_redraft_for_a_model_that_continues_makes_a_hole_for_each_word(flat: LoadedModel) -> None:
    profile = replace(flat.profile, prompt_format="plain")
    own = sketch(
        [Pinned("\n"), Hole(start=Revise("itms.pop(x)", 0.99)), Pinned("\n")], flat.tokenizer, profile, Fixed(), ()
    )
    redraft = own.redraft([1.0] * len(own.positions), Fixed())
    words = [segment.expected for segment in redraft.segments if isinstance(segment, Opened)]
    assert words == ["itms", ".", "pop", "("]
    assert len(words) == MOST_WORDS


@pytest.mark.parametrize(("draft", "opens"), [("total = itms", "itms"), ("total = itms", "="), ("itms(x)", "itms")])
def test_redraft_for_a_model_that_continues_opens_whole_words(flat: LoadedModel, draft: str, opens: str) -> None:
    profile = replace(flat.profile, prompt_format="plain")
    segments = [Pinned("\n"), Hole(start=Revise(draft, 0.01)), Pinned("\n")]
    own = sketch(segments, flat.tokenizer, profile, Fixed(), ())
    doubted = next(atom for atom in own.atoms[0] if opens in atom.text).positions[-1]
    redraft = own.redraft([float(position == doubted) for position in own.positions], Fixed())
    (hole,) = [segment for segment in redraft.segments if isinstance(segment, Opened)]
    assert hole.expected.strip() == opens
    assert hole.stands
    assert hole.word == opens.isalnum()
    texts = [segment.expected if isinstance(segment, Opened) else segment.text for segment in redraft.segments]  # type: ignore[union-attr]
    assert "".join(texts) == f"\n{draft}\n"
