"""The eight laws of the engine, each on a flat and on a peaked random model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dgls_engine import CancelToken, Context, Engine, Hole, Infill, InfillRequest, Limits, Pinned, Step
from dgls_engine.errors import Cancelled
from dgls_engine.loop.stopping import StableAndSure
from dgls_engine.model.diffusion_gemma.captured import Captured
from dgls_engine.model.diffusion_gemma.passes import Eager
from dgls_engine.text.canvas import Span, lay_out
from dgls_engine.text.length import Pad
from dgls_engine.text.reader import Fill, read
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import SLIDING_WINDOW
from tests.engine.reference import ours, prompt_of, stock, tensors_of

ABOVE = "import path\nfrom data import key, value\n" * 3
BELOW = "def write(file):\n    return None\n"


def request(
    before: str = "def read(path):\n    pri", seed: int = 0, above: str = ABOVE, **limits: int
) -> InfillRequest:
    """Two holes around pinned code, the first inside a word."""
    segments = [Pinned(before), Hole(max_tokens=8), Pinned("\n    return "), Hole(max_tokens=5), Pinned("\n\nclass")]
    return InfillRequest(Context(above=above, below=BELOW), segments, Limits(**limits), seed)


def run(engine: Engine, asked: InfillRequest, cancel: CancelToken | None = None) -> tuple[list[Step], Infill]:
    *steps, infill = engine.infill(asked, cancel)
    assert isinstance(infill, Infill)
    assert all(isinstance(step, Step) for step in steps)
    return steps, infill  # type: ignore[return-value]


def drafts(steps: list[Step]) -> list[tuple[str, ...]]:
    return [tuple(draft.text for draft in step.fills) for step in steps]


@pytest.fixture(params=[False, True], ids=["eager", "captured"])
def captured(request: pytest.FixtureRequest) -> bool:
    """The laws hold on either path. On a CPU what is captured is run again, in the shapes that a graph would have."""
    chosen: bool = request.param
    return chosen


@pytest.fixture
def fresh(loaded: LoadedModel, captured: bool) -> Callable[[], Engine]:
    """Opens engines whose encoders are empty."""
    return lambda: Engine(loaded, captured=captured)


@pytest.fixture
def passes(captured: bool, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The canvas of every decoder pass, as it went in."""
    seen: list[Tensor] = []
    kind = Captured if captured else Eager
    original = kind.hidden

    def hidden(self: Any, ids: Tensor, soft: Tensor | None, lengths: Sequence[int]) -> Tensor:
        seen.append(ids[0].clone())
        return original(self, ids, soft, lengths)

    monkeypatch.setattr(kind, "hidden", hidden)
    return seen


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """What goes into a module."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    yield seen
    handle.remove()


def test_law_1_pinned_tokens_are_the_same_at_every_step(
    loaded: LoadedModel, engine: Engine, passes: list[Tensor]
) -> None:
    asked = request()
    steps, infill = run(engine, asked)
    canvas = lay_out(asked.segments, loaded.tokenizer, loaded.profile, Pad().positions)
    assert len(passes) == len(steps) == infill.steps > 1
    laid, pinned = tensors_of(canvas)
    for ids in passes:
        assert torch.equal(ids[pinned], laid[pinned])
    assert any(not torch.equal(ids, passes[0]) for ids in passes)


def test_law_2_same_seed_same_text(fresh: Callable[[], Engine]) -> None:
    one, other = run(fresh(), request()), run(fresh(), request())
    assert drafts(one[0]) == drafts(other[0])
    assert (one[1].fills, one[1].steps) == (other[1].fills, other[1].steps)
    assert run(fresh(), request(seed=1))[1].texts != one[1].texts


def test_law_2_what_ran_before_does_not_matter(fresh: Callable[[], Engine]) -> None:
    warm = fresh()
    run(warm, request(seed=5))
    assert drafts(run(warm, request())[0]) == drafts(run(fresh(), request())[0])


SETTINGS: dict[str, dict[str, Any]] = {
    "as published": {"steps": 8, "bound": 0.1, "t": (0.4, 0.8), "stability": 1, "confidence": 0.005},
    "accepts much": {"steps": 6, "bound": 20.0, "t": (0.1, 1.5), "stability": 2, "confidence": 0.05},
    "accepts little": {"steps": 5, "bound": 0.001, "t": (0.5, 0.6), "stability": 0, "confidence": 0.01},
    "settles": {"steps": 24, "bound": 1.0, "t": (0.2, 0.7), "stability": 1, "confidence": 0.5},
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # torch's own, in `generate`
@pytest.mark.parametrize("tokens", [SLIDING_WINDOW // 2, 4 * SLIDING_WINDOW], ids=["short prompt", "past the window"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_law_3_without_pins_every_draft_is_that_of_transformers(
    loaded: LoadedModel, captured: bool, setting: dict[str, Any], seed: int, tokens: int
) -> None:
    prompt = prompt_of(loaded, tokens, seed)
    expected, answer = stock(loaded, prompt, seed, setting)
    progress = ours(loaded, prompt, seed, setting, captured=captured)
    assert [step.ids for step in progress] == expected
    assert progress[-1].ids == answer


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_law_3_holds_in_the_published_models_shape_and_dtype(chat_folder: Path, dtype: str) -> None:
    """In bfloat16 the rounding of a prefill in chunks would show: this one is in one piece, as in transformers."""
    loaded = load(chat_folder, "cpu", dtype)
    setting = SETTINGS["as published"]
    prompt = prompt_of(loaded, 4 * SLIDING_WINDOW, seed=0)
    expected, _ = stock(loaded, prompt, 0, setting)
    assert [step.ids for step in ours(loaded, prompt, 0, setting, chunk=len(prompt))] == expected


@pytest.mark.parametrize("seed", range(3))
def test_law_3_covers_the_confident_stop(peaked: LoadedModel, seed: int) -> None:
    setting = SETTINGS["settles"]
    progress = ours(peaked, prompt_of(peaked, 4 * SLIDING_WINDOW, seed), seed, setting)
    assert progress[-1].finish == "stable"
    assert 1 < len(progress) < setting["steps"]


@pytest.mark.parametrize("step", [1, 3])
def test_law_4_cancel_takes_effect_before_the_next_pass(
    engine: Engine, fresh: Callable[[], Engine], passes: list[Tensor], step: int
) -> None:
    cancel = CancelToken()
    running = engine.infill(request(), cancel)
    for _ in range(step):
        next(running)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)
    assert len(passes) == step
    assert drafts(run(engine, request(seed=2))[0]) == drafts(run(fresh(), request(seed=2))[0])


def test_law_4_a_cancel_during_the_last_step_counts(engine: Engine) -> None:
    cancel = CancelToken()
    running = engine.infill(request(max_steps=1), cancel)
    assert isinstance(next(running), Step)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)


def test_law_4_a_request_that_is_let_go_leaves_no_state(engine: Engine, fresh: Callable[[], Engine]) -> None:
    running = engine.infill(request(seed=1))
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert drafts(run(engine, request())[0]) == drafts(run(fresh(), request())[0])


def test_law_5_logits_are_computed_for_hole_rows_only(loaded: LoadedModel, engine: Engine) -> None:
    with inputs_of(loaded.model.lm_head) as rows:
        steps, infill = run(engine, request())
    assert [len(hidden) for hidden in rows] == [infill.hole_tokens] * len(steps)
    assert infill.hole_tokens == 13 < infill.canvas_tokens


def test_law_5_the_stop_reads_the_holes_entropy(
    loaded: LoadedModel, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []
    original = StableAndSure.settled

    def settled(rule: StableAndSure, draft: Any, entropies: Any) -> bool:
        seen.append((len(entropies), sum(entropies) / len(entropies)))
        return original(rule, draft, entropies)

    monkeypatch.setattr(StableAndSure, "settled", settled)
    steps, infill = run(engine, request())
    assert seen == [(infill.hole_tokens, pytest.approx(step.entropy)) for step in steps]


def test_law_6_typing_inside_the_region_encodes_nothing(loaded: LoadedModel, engine: Engine) -> None:
    with inputs_of(loaded.model.model.encoder.language_model.embed_tokens) as encoded:
        first = run(engine, request("def read(path):\n    pri", max_steps=1))[1]
        assert first.prefilled_tokens == first.prompt_tokens == sum(ids.numel() for ids in encoded)
        encoded.clear()
        for typed in ("    prin", "    print", "    print("):
            assert run(engine, request("def read(path):\n" + typed, max_steps=1))[1].prefilled_tokens == 0
    assert not encoded


def test_law_6_typing_inside_the_region_tokenises_no_prompt(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run(engine, request("def read(path):\n    pri", max_steps=1))
    monkeypatch.setattr("dgls_engine.prompt.formats.fit", lambda *_: pytest.fail("tokenised the prompt"))
    run(engine, request("def read(path):\n    print", max_steps=1))


def test_law_6_outside_it_only_from_the_first_changed_token_on(loaded: LoadedModel, engine: Engine) -> None:
    above = "import path\n"
    run(engine, request(above=above, max_steps=1))
    with inputs_of(loaded.model.model.encoder.language_model.embed_tokens) as encoded:
        infill = run(engine, request(above=above + "import key\n", max_steps=1))[1]
    added = len(loaded.tokenizer.encode("import key\n"))
    assert infill.prefilled_tokens == sum(ids.numel() for ids in encoded) == added


class Clock:
    """Stands still, but for the 10 ms that each decoder pass takes."""

    def __init__(self, passes: list[Tensor]) -> None:
        self._passes = passes

    def __call__(self) -> float:
        return 0.010 * len(self._passes)


@pytest.mark.parametrize(("deadline_ms", "steps"), [(0, 1), (9, 1), (25, 2), (30, 3), (45, 4)])
def test_law_7_a_deadline_is_kept(
    loaded: LoadedModel, captured: bool, passes: list[Tensor], deadline_ms: int, steps: int
) -> None:
    engine = Engine(loaded, clock=Clock(passes), captured=captured)
    taken, infill = run(engine, request(deadline_ms=deadline_ms))
    assert (len(passes), infill.steps, infill.finish) == (steps, steps, "deadline")
    assert infill.texts == drafts(taken)[-1]


def test_law_7_a_deadline_far_away_changes_nothing(fresh: Callable[[], Engine]) -> None:
    with_one, without = run(fresh(), request(deadline_ms=3_600_000)), run(fresh(), request())
    assert drafts(with_one[0]) == drafts(without[0])
    assert with_one[1].finish == without[1].finish != "deadline"


TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "",
        "pri",
        "def f():\r\n\t\tx = ",
        "    ",
        "naïve 👩‍👩‍👧 ",
        "x\ud800",
        "<|pad|>",
        "\x00\x0c\u2028",
        "日本",
        " \t\r\n",
        "re turn",
    ]
)


@given(before=TEXTS, between=TEXTS, after=TEXTS, choice=st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_law_8_pinned_text_comes_back_byte_for_byte_whatever_the_holes_hold(
    flat: LoadedModel, before: str, between: str, after: str, choice: Any
) -> None:
    tokenizer = flat.tokenizer
    segments = [Pinned(before), Hole(max_tokens=3), Pinned(between), Hole(max_tokens=2), Pinned(after)]
    roomy = type(flat.profile)("raw", "pad", 400, 64, before_tokens=100, after_tokens=100)
    canvas = lay_out(segments, tokenizer, roomy, Pad().positions)
    ids = list(canvas.ids)
    filled: list[bytes] = []
    for hole in canvas.holes:
        ids[hole.start] = choice.choice(tokenizer.extending(hole.freed)) if hole.freed else choice.randrange(3, 500)
        ids[hole.start + 1 : hole.end] = choice.choices(range(3, 500), k=len(hole) - 1)
        spelled = b"".join(tokenizer.token_bytes(id) for id in ids[hole.start : hole.end])
        filled.append(spelled[len(hole.freed) :])
        text = read(hole, ids[hole.start : hole.end], tokenizer).text
        assert text == filled[-1].decode(errors="replace")
    whole = b"".join(tokenizer.token_bytes(id) for id in ids)
    pinned = [plain(text) for text in (before, between, after)]
    assert whole == pinned[0] + filled[0] + pinned[1] + filled[1] + pinned[2]


def plain(text: str) -> bytes:
    """UTF-8 of a text, a lone surrogate as U+FFFD."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text).encode()


@pytest.mark.parametrize("before", ["", "pri", "x = 👩", "a\r\n\t", "é\ud800", "    ", "return "])
def test_law_8_the_first_token_is_held_to_the_typed_letters(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """In every hole: the second stands behind the text that the first does."""
    firsts: list[tuple[bytes, bytes]] = []

    def recorded(span: Span, ids: Any, tokenizer: Tokenizer) -> Fill:
        firsts.append((span.freed, tokenizer.token_bytes(ids[0])))
        return read(span, ids, tokenizer)

    monkeypatch.setattr("dgls_engine.text.reader.read", recorded)
    twice = [Pinned(before), Hole(max_tokens=3), Pinned("\n" + before), Hole(max_tokens=4), Pinned("\n")]
    steps, _ = run(engine, InfillRequest(Context(), twice, Limits(max_steps=3)))
    assert len(firsts) >= 2 * len(steps)
    for freed, first in firsts:
        assert plain(before).endswith(freed)
        assert first.startswith(freed)
