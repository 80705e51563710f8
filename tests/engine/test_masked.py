"""The eight laws on masked models: Llama and Qwen2, with and without an adapter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from dgls_engine import CancelToken, Context, Engine, Hole, InfillRequest, Limits, Pinned
from dgls_engine.errors import Cancelled, UnsupportedModel
from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.continuation import AFTER, KEPT, Continuation, Revision
from dgls_engine.loop.denoise import Rival, denoise
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.lookup import GUESSES, MATCHED, Lookup
from dgls_engine.loop.masked import LOOKAHEAD, Unmasker
from dgls_engine.loop.noise import Masks
from dgls_engine.loop.stopping import Deadline, Schedule
from dgls_engine.model.masked.passes import MaskedPasses
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, Span, Spilled
from dgls_engine.text.reader import Reader
from dgls_engine.types import Beginning, Blank, Infill, Resume, Revise, Start
from dgls_engine.weights.loader import LoadedModel, load
from tests.engine.checkpoints import masked_checkpoint
from tests.engine.test_laws import ABOVE, Clock, drafts, inputs_of, request, run

KINDS = [("llama", 4), ("llama", 0), ("qwen2", 4), ("qwen2", 0)]


@pytest.fixture(scope="module", params=KINDS, ids=[f"{kind}, rank {rank}" for kind, rank in KINDS])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    kind, rank = request.param
    # Sharp enough that some tokens are decided together, and not all of them.
    sharpness = 40.0 if rank else 12.0
    return load(masked_checkpoint(tmp_path_factory.mktemp(kind), kind, rank=rank, sharpness=sharpness), "cpu")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One of them, for what does not depend on the layers."""
    return load(masked_checkpoint(tmp_path_factory.mktemp("one"), sharpness=40.0), "cpu")


@pytest.fixture
def fresh(loaded: LoadedModel) -> Callable[[], Engine]:
    return lambda: Engine(loaded)


@pytest.fixture
def engine(fresh: Callable[[], Engine]) -> Engine:
    return fresh()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The canvas of every pass, as it went in."""
    seen: list[Tensor] = []
    original = MaskedPasses.run

    def run(self: MaskedPasses, ids: Tensor, *rest: Any) -> Tensor:
        seen.append(ids[0].clone())
        return original(self, ids, *rest)

    monkeypatch.setattr(MaskedPasses, "run", run)
    return seen


def mask_of(loaded: LoadedModel) -> int:
    return loaded.tokenizer.id_of("<|mask|>")


def test_law_1_pinned_and_decided_tokens_stay_the_same(
    loaded: LoadedModel, engine: Engine, passes: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals: list[Rival] = []
    make, settles = Masks.rival, Unmasker.settled
    held: list[list[int]] = []

    def rival(self: Masks, *canvas: Any, **rest: Any) -> Rival:
        rivals.append(make(self, *canvas, **rest))
        return rivals[-1]

    def settled(self: Unmasker, draft: Sequence[int], entropies: Sequence[float]) -> bool:
        held.append(list(draft))
        return settles(self, draft, entropies)

    monkeypatch.setattr(Masks, "rival", rival)
    monkeypatch.setattr(Unmasker, "settled", settled)
    steps, infill = run(engine, request())
    assert len(passes) == len(held) == len(steps) == infill.steps > 1
    canvas = rivals[0].canvas
    for ids in passes:
        assert ids[canvas.pinned].tolist() == [canvas.ids[row] for row, pin in enumerate(canvas.pinned) if pin]
    for earlier, later in pairwise(held):
        assert all(one in (other, mask_of(loaded)) for one, other in zip(earlier, later, strict=True))
        assert later != earlier, "a step decides a token at least"


def test_law_2_any_seed_gives_the_same_text(fresh: Callable[[], Engine]) -> None:
    one, other = run(fresh(), request()), run(fresh(), request(seed=1))
    assert drafts(one[0]) == drafts(other[0])
    warm = fresh()
    run(warm, request("class Key:\n    def "))
    assert drafts(run(warm, request())[0]) == drafts(one[0])


def decided_from_the_left(
    predict: Callable[[Tensor], Tensor], slots: Tensor, mask: int, threshold: float
) -> Iterator[list[int]]:
    """The slow reference: the slots after each step, until all are decided."""
    while (slots == mask).any():
        sure, best = predict(slots).max(-1)
        place = int((slots == mask).nonzero()[0])
        slots[place] = best[place]
        for place in (slots == mask).nonzero().flatten().tolist():
            if sure[place] <= threshold:
                break
            slots[place] = best[place]
        yield slots.tolist()


def stock(loaded: LoadedModel, prompt: list[int], slots: list[int], threshold: float) -> list[list[int]]:
    """The slots after each step by transformers' own modules: the plain model reads the prompt, one with the adapter
    folded into its weights the canvas, under a mask of four dimensions."""
    folder, mask = loaded.folder, mask_of(loaded)
    base: Any = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", local_files_only=True)
    adapted: Any = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", local_files_only=True)
    own = load_file(folder / "adapter.safetensors") if (folder / "adapter.safetensors").is_file() else {}
    for name, weight in adapted.named_parameters():
        if (layer := name.removesuffix(".weight")) + ".lora_A.weight" in own:
            weight.data += own[f"{layer}.lora_B.weight"] @ own[f"{layer}.lora_A.weight"]
    mask_row = own.get("model.mask_embedding", base.model.embed_tokens.weight[mask])

    @torch.no_grad()
    def predict(slots: Tensor) -> Tensor:
        past = base(input_ids=torch.tensor([prompt[:-1]]), use_cache=True).past_key_values
        assert isinstance(past, DynamicCache)
        ids = torch.cat([torch.tensor(prompt[-1:]), slots])
        embedded = torch.where((ids == mask)[:, None], mask_row, base.model.embed_tokens(ids))
        sight = torch.full((len(ids), len(prompt) - 1 + len(ids)), -torch.inf)
        sight[:, : len(prompt) - 1] = 0.0
        for row in range(len(ids)):
            for key in range(len(ids)):
                adjacent = key > row and mask not in ids[row : key + 1].tolist()
                if key == row or (ids[key] != mask and not adjacent):
                    sight[row, len(prompt) - 1 + key] = 0.0
        positions = torch.arange(len(prompt) - 1, len(prompt) - 1 + len(ids))[None]
        out = adapted(
            inputs_embeds=embedded[None], attention_mask=sight[None, None], position_ids=positions, past_key_values=past
        )
        logits: Tensor = out.logits[0, :-1].float()
        logits[:, mask] = -torch.inf
        return logits.softmax(-1)

    return list(decided_from_the_left(predict, torch.tensor(slots), mask, threshold))


def ours(loaded: LoadedModel, prompt: list[int], slots: list[int], shown: Sequence[int] = ()) -> list[Draft]:
    """The draft after each step. Guesses come from the text `shown`."""
    model = loaded.family.open(loaded.model, loaded.profile, loaded.tokenizer.specials)
    encoder: Encoder[Any] = Encoder(model.new_prompt)
    encoder.prefill(prompt[:-1])
    undecided = [slot == mask_of(loaded) for slot in slots]
    runs = [(open, len(list(run))) for open, run in groupby(undecided)]
    ends = list(accumulate((length for _, length in runs), initial=1))[1:]
    holes = tuple(Span(end - length, end) for (open, length), end in zip(runs, ends, strict=True) if open)
    canvas = Canvas((prompt[-1], *slots), holes)
    rows = len(canvas.rows)
    reader = Reader(canvas.holes, loaded.tokenizer)
    reader.counted = lambda draft: [range(rows)]  # type: ignore[method-assign]  # no PAD and no stop ends this one
    banned = torch.zeros(model.vocabulary, dtype=torch.bool)
    banned[mask_of(loaded)] = True
    noise = Masks(mask_of(loaded), loaded.tokenizer.size, loaded.profile, loaded.tokenizer, loaded.device)
    steps = denoise(
        model.passes_after(encoder.cache),
        [noise.rival(canvas, Constraint([banned] * rows, [0] * rows, [0.0] * rows), reader, 0, None, shown)],
        schedule=Schedule(rows, 1.0, 1.0),
        deadline=Deadline(None),
        cancel=CancelToken(),
        choosing=noise.choosing,
    )
    return [progress for (progress,) in steps]


@pytest.mark.parametrize(("seed", "tokens"), [(0, 2), (1, 40)])
@pytest.mark.parametrize("layout", ["?????????", "?????...", "..???.????."])
def test_law_3_every_draft_is_that_of_stock_modules(loaded: LoadedModel, seed: int, tokens: int, layout: str) -> None:
    """`layout`: undecided slots and pinned ones."""
    generator = torch.Generator().manual_seed(seed)
    prompt, pinned = (torch.randint(3, 400, (count,), generator=generator).tolist() for count in (tokens, len(layout)))
    slots = [mask_of(loaded) if slot == "?" else token for slot, token in zip(layout, pinned, strict=True)]
    expected = stock(loaded, prompt, slots, loaded.profile.unmask_threshold)
    progress = ours(loaded, prompt, slots)
    holes = [row for row, slot in enumerate(layout) if slot == "?"]
    assert [step.ids for step in progress] == [[step[row] for row in holes] for step in expected]
    assert progress[-1].finish in ("stable", "steps")


@pytest.mark.parametrize("layout", ["?????????", "..???.????", "?????...", "..???.????."])
@pytest.mark.parametrize("right", [0, 1, 2, 9], ids=lambda right: f"{right} right guesses a step")
def test_law_3_guesses_save_steps_and_change_no_token(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, layout: str, right: int
) -> None:
    surest = replace(loaded, profile=replace(loaded.profile, unmask_threshold=1.0))
    generator = torch.Generator().manual_seed(2)
    *prompt, last = torch.randint(3, 200, (21 + len(layout),), generator=generator).tolist()
    text = [*prompt[:20], last]
    slots = [mask_of(loaded) if slot == "?" else id for slot, id in zip(layout, prompt[20:], strict=True)]
    expected = ours(surest, text, list(slots))
    filled = iter(expected[-1].ids)
    canvas = [text[-1], *(next(filled) if slot == mask_of(loaded) else slot for slot in slots)]

    def after(self: Lookup, ids: Sequence[int]) -> list[int]:
        place = len(ids) - MATCHED  # these tokens of the prompt stand in front of the canvas
        return [*canvas[place : place + right], *[id + 1 for id in canvas[place + right :]]]

    monkeypatch.setattr(Lookup, "after", after)
    guessed = ours(surest, text, list(slots), text)
    assert guessed[-1].ids == expected[-1].ids
    assert (len(guessed) < len(expected)) == (right > 0 and layout.endswith("?"))


def test_law_3_without_adapter_and_threshold_it_is_the_autoregressive_model(tmp_path: Path) -> None:
    loaded = load(masked_checkpoint(tmp_path, rank=0, sharpness=40.0, threshold=1.0), "cpu")
    prompt = list(range(3, 40))
    base: Any = AutoModelForCausalLM.from_pretrained(loaded.folder, local_files_only=True)
    told = base.generate(torch.tensor([prompt]), max_new_tokens=9, do_sample=False, eos_token_id=None)
    assert ours(loaded, prompt, [mask_of(loaded)] * 9)[-1].ids == told[0, len(prompt) :].tolist()


def test_law_4_cancel_takes_effect_before_the_next_pass(
    engine: Engine, fresh: Callable[[], Engine], passes: list[Tensor]
) -> None:
    cancel = CancelToken()
    running = engine.infill(request(), cancel)
    next(running)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(running)
    assert len(passes) == 1
    assert drafts(run(engine, request())[0]) == drafts(run(fresh(), request())[0])


def test_law_5_logits_are_computed_for_hole_rows_only(loaded: LoadedModel, engine: Engine) -> None:
    with inputs_of(loaded.model.lm_head) as rows:
        steps, infill = run(engine, request())
    assert len(rows) == len(steps)
    assert all(0 < len(hidden) <= GUESSES + LOOKAHEAD for hidden in rows)
    assert GUESSES + LOOKAHEAD < infill.hole_tokens == 13 < infill.canvas_tokens


def test_law_6_typing_computes_only_what_was_typed(loaded: LoadedModel, engine: Engine) -> None:
    """The code before the hole stands in the prompt, so typing there appends to it."""
    first = run(engine, request("def read(path):\n    x = ", max_steps=1))[1]
    assert first.prefilled_tokens == first.prompt_tokens
    then = run(engine, request("def read(path):\n    x = path", max_steps=1))[1]
    assert 0 < then.prefilled_tokens <= len(loaded.tokenizer.encode(" = path"))
    assert run(engine, request("def read(path):\n    x = path", max_steps=1))[1].prefilled_tokens == 0


def test_law_6_outside_it_only_from_the_first_changed_token_on(loaded: LoadedModel, engine: Engine) -> None:
    run(engine, request(above=ABOVE, max_steps=1))
    infill = run(engine, request(above="import key\n" + ABOVE, max_steps=1))[1]
    below = len(loaded.tokenizer.encode("\n\nclass" + "def write(file):\n    return None\n"))
    assert infill.prompt_tokens - infill.prefilled_tokens >= below


@pytest.mark.parametrize(("deadline_ms", "steps"), [(0, 1), (25, 2), (30, 3)])
def test_law_7_a_deadline_is_kept(loaded: LoadedModel, passes: list[Tensor], deadline_ms: int, steps: int) -> None:
    taken, infill = run(Engine(loaded, clock=Clock(passes)), request(deadline_ms=deadline_ms))
    assert (len(passes), infill.steps, infill.finish) == (steps, steps, "deadline")
    assert infill.texts == drafts(taken)[-1]


@pytest.mark.parametrize("before", ["", "pri", "x = 👩", "a\r\n\t", "é\ud800", "    ", "return ", "\n"])
@pytest.mark.parametrize("above", ["", "import path\n", "x", "\n\n"])
def test_law_8_prompt_and_canvas_hold_the_text_byte_for_byte(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, above: str, before: str
) -> None:
    """Whatever the seam does, what the model reads in front of the hole is the user's text."""
    engine, canvases = Engine(llama), []
    original = Reader.__init__

    def noted(reader: Reader, holes: Sequence[Span], tokenizer: Any) -> None:
        canvases.append(holes)
        original(reader, holes, tokenizer)

    monkeypatch.setattr(Reader, "__init__", noted)
    seen: list[Tensor] = []
    whole = MaskedPasses.run
    monkeypatch.setattr(MaskedPasses, "run", lambda self, ids, *rest: (seen.append(ids[0]), whole(self, ids, *rest))[1])
    asked = InfillRequest(
        Context(above=above, below="z = 1\n"), [Pinned(before), Hole(max_tokens=4), Pinned("y\n")], Limits(max_steps=1)
    )
    run(engine, asked)
    tokenizer, [hole] = llama.tokenizer, canvases[0]
    prompt, canvas = list(engine._reading.encoder.ids), seen[0].tolist()
    shown = [*prompt, *canvas[: hole.start]]
    text = b"".join(tokenizer.token_bytes(id) for id in shown) + hole.freed
    plain = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in above + before)
    assert text == ("y\nz = 1\n" + plain).encode()
    assert hole.start >= 1, "row i predicts token i + 1"
    assert shown[0] == tokenizer.id_of("<|start|>")


def test_causal_reads_as_the_model_without_adapter(loaded: LoadedModel) -> None:
    ids = list(range(5, 25))
    base: Any = AutoModelForCausalLM.from_pretrained(loaded.folder, local_files_only=True)
    causal = loaded.family.causal(loaded.model)
    causal.read(ids[:12])
    with torch.no_grad():
        assert torch.allclose(causal.read(ids[12:]), base(torch.tensor([ids])).logits[0, -1], atol=1e-3)
    assert causal.parameters == sum(weight.numel() for weight in base.parameters())


def test_fill_ends_before_its_stop(loaded: LoadedModel) -> None:
    asked = InfillRequest(Context(above=ABOVE), [Pinned("x = "), Hole(max_tokens=12, stop="e"), Pinned("\n")])
    _, infill = run(Engine(loaded), asked)
    assert "e" not in infill.texts[0]


def test_fill_does_not_begin_with_what_its_hole_avoids(llama: LoadedModel) -> None:
    avoid: tuple[str, ...] = ()
    for _ in range(4):
        asked = InfillRequest(Context(above=ABOVE), [Pinned("x ="), Hole(max_tokens=6, stop="\n", avoid=avoid)])
        fill = run(Engine(llama), asked)[1].fills[0]
        beginning = next((piece.text.strip() for piece in fill.pieces if piece.text.strip()), "")
        assert beginning not in avoid
        avoid = (*avoid, beginning)


@pytest.mark.parametrize("threshold", [1e-6, 1.0])
def test_fill_begins_in_one_of_the_ways_of_its_hole(llama: LoadedModel, threshold: float) -> None:
    engine = Engine(replace(llama, profile=replace(llama.profile, unmask_threshold=threshold)))
    words = frozenset({"if", "for", "while"})
    for number in range(6):
        hole = Hole(max_tokens=6, begins=(Beginning("  ", words), Beginning("", words, others=False)))
        asked = InfillRequest(Context(above=ABOVE + f"x{number} = 1\n"), [Pinned("\n"), hole, Pinned("\n")])
        text = run(engine, asked)[1].texts[0]
        beginning = re.match(r"([ \t]*)(\w*)", text)
        assert beginning is not None
        assert (beginning[1], beginning[2] in words) in {("", True), ("  ", False)}


@pytest.mark.parametrize("start", [Resume("path.read()"), Revise("path.read()", 0.4), Revise("path", 1.0)])
def test_start_text_is_taken(loaded: LoadedModel, start: Any) -> None:
    asked = InfillRequest(
        Context(above=ABOVE), [Pinned("x = "), Hole(max_tokens=12, stop="\n", start=start), Pinned("\n")]
    )
    _, infill = run(Engine(loaded), asked)
    assert infill.finish == "stable"


def test_resume_saves_steps_and_changes_no_token(tmp_path: Path) -> None:
    loaded = load(masked_checkpoint(tmp_path, sharpness=40.0, threshold=1.0), "cpu")

    def filled(start: Start) -> Infill:
        segments = [Pinned("x = "), Hole(max_tokens=12, start=start), Pinned("")]
        return run(Engine(loaded), InfillRequest(Context(above=ABOVE), segments))[1]

    blank = filled(Blank())
    resumed = filled(Resume(blank.texts[0]))
    assert resumed.texts == blank.texts
    assert resumed.steps <= blank.steps / 2
    assert filled(Resume("wrong" + blank.texts[0])).texts == blank.texts


def test_load_unknown_mask_token_raises(tmp_path: Path) -> None:
    folder = masked_checkpoint(tmp_path)
    loaded = load(folder, "cpu").with_profile({"mask_token": "<|hole|>"})
    with pytest.raises(UnsupportedModel, match=r"mask_token in .* is '<\|hole\|>'"):
        Engine(loaded)


def test_load_adapter_without_its_other_half_raises(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = masked_checkpoint(tmp_path)
    adapter = load_file(folder / "adapter.safetensors")
    del adapter["model.layers.1.mlp.up_proj.lora_B.weight"]
    save_file(adapter, folder / "adapter.safetensors")
    with pytest.raises(Exception, match=r"model.layers.1.mlp.up_proj"):
        load(folder, "cpu")


def test_size_counts_every_value(loaded: LoadedModel) -> None:
    files = loaded.folder.glob("*.safetensors")
    assert loaded.info.parameters == sum(tensor.numel() for file in files for tensor in load_file(file).values())


def drawing(loaded: LoadedModel, seed: int = 0) -> Any:
    engine = Engine(replace(loaded, profile=replace(loaded.profile, hole_policy="draws", unmask_threshold=1.0)))
    hole = Hole(max_tokens=5, stop="\n")
    asked = InfillRequest(Context(above=ABOVE, below="y = 2\n"), [Pinned("x = "), hole, Pinned("\n")], seed=seed)
    return run(engine, asked)[1]


def test_draws_answer_is_the_least_surprising_of_several_fills(loaded: LoadedModel) -> None:
    trials = [drawing(loaded, seed).fills[0].trials for seed in range(4)]
    assert any(len({trial.text for trial in tried}) > 1 for tried in trials)
    for seed, tried in enumerate(trials):
        answer = drawing(loaded, seed).fills[0]
        assert answer.trials == tried, "the same seed gives the same fills"
        if tried:
            assert answer.text == min(tried, key=lambda trial: trial.nats).text


def test_draws_one_of_them_is_the_likeliest_token_by_token(loaded: LoadedModel) -> None:
    engine = Engine(replace(loaded, profile=replace(loaded.profile, unmask_threshold=1.0)))
    hole = Hole(max_tokens=5, stop="\n")
    asked = InfillRequest(Context(above=ABOVE, below="y = 2\n"), [Pinned("x = "), hole, Pinned("\n")])
    greedy = run(engine, asked)[1].texts[0]
    answers = [drawing(loaded, seed).fills[0] for seed in range(4)]
    assert any(greedy in {answer.text, *(trial.text for trial in answer.trials)} for answer in answers)


def test_continuation_nats_are_those_of_the_model_without_adapter(loaded: LoadedModel) -> None:
    tokenizer = loaded.tokenizer
    model = loaded.family.open(loaded.model, loaded.profile, tokenizer.specials)
    prompt, lead = tokenizer.encode(ABOVE), tokenizer.encode("x")
    encoder: Encoder[Any] = Encoder(model.new_prompt)
    encoder.prefill(prompt)
    drafts = [tokenizer.encode(" = path\nreturn"), tokenizer.encode(" = f\n")]
    canvases = [
        Canvas((*lead, *draft), (Span(len(lead), len(lead) + len(draft), stop="\n"),), Spilled(after="\nreturn key\n"))
        for draft in drafts
    ]
    judge = Continuation(tokenizer, mask_of(loaded))
    found = judge.nats(model.passes_after(encoder.cache), canvases, drafts, 0)
    base: Any = AutoModelForCausalLM.from_pretrained(loaded.folder, local_files_only=True)
    for fill, nats in zip((" = path", " = f"), found, strict=True):
        counted = len(tokenizer.encode(fill)) + AFTER
        text = tokenizer.encode(fill + "\nreturn key\n")[:counted]
        ids = torch.tensor([[*prompt, *lead, *text]])
        with torch.no_grad():
            likely = base(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[-len(text) :]
        assert nats == pytest.approx(-float(likely.sum()), abs=1e-2)


@pytest.mark.parametrize("strength", [0.2, 0.9])
@pytest.mark.parametrize(("kept", "changes"), [(1e6, False), (-1e6, True)])
def test_revise_text_that_stands_stays_unless_the_fill_is_likelier(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, strength: float, kept: float, changes: bool
) -> None:
    monkeypatch.setattr("dgls_engine.loop.continuation.KEPT", kept)
    hole = Hole(max_tokens=16, start=Revise("value = index + count", strength))
    asked = InfillRequest(Context(above=ABOVE, below="\ny = 2\n"), [Pinned(""), hole, Pinned("")])
    _, infill = run(Engine(llama), asked)
    assert (infill.texts[0] != "value = index + count") == changes
    assert infill.finish == "stable"


def test_revision_of_text_that_stands_has_fewer_nats_at_a_low_strength(llama: LoadedModel) -> None:
    tokenizer = llama.tokenizer
    model = llama.family.open(llama.model, llama.profile, tokenizer.specials)
    encoder: Encoder[Any] = Encoder(model.new_prompt)
    encoder.prefill(tokenizer.encode(ABOVE))
    lead, stands, other = (tokenizer.encode(text) for text in ("x = ", "path", "key"))
    size = max(len(stands), len(other)) + 1
    drafts = [[*ids, *[tokenizer.pad_id] * (size - len(ids))] for ids in (stands, other)]
    spans = (Span(len(lead), len(lead) + size, expected=tuple(stands), strength=0.25, stands=True),)
    canvases = [Canvas((*lead, *draft), spans, Spilled(after="\n")) for draft in drafts]
    plain, revision = (
        kind(tokenizer, mask_of(llama)).nats(model.passes_after(encoder.cache), canvases, drafts, 0)
        for kind in (Continuation, Revision)
    )
    assert revision == pytest.approx([plain[0] - KEPT * 0.75, plain[1]])
