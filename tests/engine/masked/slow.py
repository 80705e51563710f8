"""The independent references: loops over transformers' own modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from dgls_engine import CancelToken
from dgls_engine.loop.constraint import Constraint
from dgls_engine.loop.denoise import denoise
from dgls_engine.loop.leads import Draft
from dgls_engine.loop.noise import Masks
from dgls_engine.loop.stopping import Deadline, Schedule
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.text.canvas import Canvas, Span
from dgls_engine.text.reader import Reader
from dgls_engine.weights.loader import LoadedModel


def mask_of(loaded: LoadedModel) -> int:
    return loaded.tokenizer.id_of("<|mask|>")


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
