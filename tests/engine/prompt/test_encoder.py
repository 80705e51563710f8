"""The kept keys and values match a cold prefill, and transformers' encoder and decoder."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from dgls_engine.errors import Cancelled
from dgls_engine.model.batches import shared_prefix
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.types import CancelToken
from dgls_engine.weights.loader import LoadedModel
from tests.engine.checkpoints import SLIDING_WINDOW

CHUNK = 7
PROMPT = [int(id) for id in torch.randint(3, 400, (4 * SLIDING_WINDOW,), generator=torch.Generator().manual_seed(0))]
CANVAS = torch.arange(30, 50)[None]


def seen_logits(loaded: LoadedModel, encoder: Encoder) -> Tensor:
    """Logits of a canvas behind the encoder's prompt: they depend on every layer's keys and values."""
    with torch.inference_mode():
        return decoder.logits(
            loaded.model,
            decoder.decode(loaded.model, CANVAS, None, encoder.cache.seen(), decoder.NO_MASKS, len(encoder.ids)),
        )


def cold_logits(loaded: LoadedModel, ids: Sequence[int]) -> Tensor:
    """The same logits from transformers: one prefill with its own sliding cache and masks."""
    cache = DynamicCache(config=loaded.model.config.text_config)
    with torch.inference_mode():
        output = loaded.model(
            input_ids=torch.tensor([list(ids)]),
            past_key_values=cache,
            attention_mask=loaded.model.model.encoder.create_masks_for_generate(
                config=loaded.model.config,
                inputs_embeds=torch.empty(1, len(ids), 0),
                attention_mask=torch.ones(1, len(ids), dtype=torch.bool),
                past_key_values=cache,
                position_ids=torch.arange(len(ids))[None],
            ),
            decoder_input_ids=CANVAS,
        )
    return output.logits


@pytest.mark.parametrize("kept", [0, 1, SLIDING_WINDOW - 1, SLIDING_WINDOW, 3 * SLIDING_WINDOW, len(PROMPT)])
def test_prefill_reused_prefix_matches_cold_prefill(loaded: LoadedModel, kept: int) -> None:
    encoder = Encoder(prompt_factory(loaded.model, CHUNK))
    assert encoder.prefill(PROMPT) == len(PROMPT)
    changed = PROMPT[:kept] + [id + 1 for id in PROMPT[kept:]] + [9, 8, 7]
    assert encoder.prefill(changed) == len(changed) - kept
    torch.testing.assert_close(seen_logits(loaded, encoder), cold_logits(loaded, changed), atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [1, SLIDING_WINDOW // 2, 2 * SLIDING_WINDOW])
def test_prefill_shortened_prompt_computes_nothing(loaded: LoadedModel, length: int) -> None:
    encoder = Encoder(prompt_factory(loaded.model, CHUNK))
    encoder.prefill(PROMPT)
    assert encoder.prefill(PROMPT[:length]) == 0
    torch.testing.assert_close(seen_logits(loaded, encoder), cold_logits(loaded, PROMPT[:length]), atol=1e-4, rtol=0)


class CancelledAfter(CancelToken):
    """A cancel token that is set after it was read `looks` times."""

    __slots__ = ("_looks",)

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def cancelled(self) -> bool:
        self._looks -= 1
        return self._looks < 0


def test_law_4_cancel_between_chunks_keeps_computed_tokens(loaded: LoadedModel) -> None:
    encoder = Encoder(prompt_factory(loaded.model, CHUNK))
    with pytest.raises(Cancelled):
        encoder.prefill(PROMPT, CancelledAfter(2))
    assert list(encoder.ids) == PROMPT[: 2 * CHUNK]
    assert encoder.prefill(PROMPT) == len(PROMPT) - 2 * CHUNK
    whole = Encoder(prompt_factory(loaded.model, CHUNK))
    whole.prefill(PROMPT)
    assert torch.equal(seen_logits(loaded, encoder), seen_logits(loaded, whole))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_prefill_failure_inside_chunk_keeps_earlier_tokens(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Memory runs out in the last layer, after all others have written their rows."""
    encoder = Encoder(prompt_factory(loaded.model, CHUNK))
    encoder.prefill(PROMPT[:20])
    layer = loaded.model.model.encoder.language_model.layers[number]
    with monkeypatch.context() as patched:
        patched.setattr(layer.mlp, "forward", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError))
        with pytest.raises(torch.OutOfMemoryError):
            encoder.prefill(PROMPT)
    assert list(encoder.ids) == PROMPT[:20]
    torch.testing.assert_close(seen_logits(loaded, encoder), cold_logits(loaded, PROMPT[:20]), atol=1e-4, rtol=0)
    assert encoder.prefill(PROMPT) == len(PROMPT) - 20
    torch.testing.assert_close(seen_logits(loaded, encoder), cold_logits(loaded, PROMPT), atol=1e-4, rtol=0)


@pytest.mark.parametrize("spare_rows", [0, 1, 9])
def test_law_6_change_within_spare_rows_reuses_prefix(loaded: LoadedModel, spare_rows: int) -> None:
    """Sliding layers drop rows chunk by chunk, so the number of rows beyond the window depends on the chunks."""
    encoder = Encoder(prompt_factory(loaded.model, CHUNK, spare_rows))
    encoder.prefill(PROMPT)
    for kept in range(len(PROMPT) - spare_rows, len(PROMPT) + 1):
        changed = [*PROMPT[:kept], 9, 8, 7]
        assert encoder.prefill(changed) == len(changed) - kept
        torch.testing.assert_close(seen_logits(loaded, encoder), cold_logits(loaded, changed), atol=1e-4, rtol=0)
        assert encoder.prefill(PROMPT) == len(PROMPT) - kept


def test_prefill_change_beyond_slack_computes_all(loaded: LoadedModel) -> None:
    encoder = Encoder(prompt_factory(loaded.model, CHUNK, 1))
    encoder.prefill(PROMPT)
    changed = [*PROMPT[:SLIDING_WINDOW], 9, 8, 7]
    assert encoder.prefill(changed) == len(changed)
    torch.testing.assert_close(seen_logits(loaded, encoder), cold_logits(loaded, changed), atol=1e-4, rtol=0)


def test_prefill_prompt_larger_than_buffers_keeps_prefix(loaded: LoadedModel) -> None:
    encoder = Encoder(prompt_factory(loaded.model, CHUNK, 3), 40)
    encoder.prefill(PROMPT[:40])
    before = encoder.cache
    assert encoder.prefill(PROMPT[:30]) in (0, 30)
    assert encoder.prefill(PROMPT[:40]) in (10, 40)
    assert encoder.cache is before
    assert encoder.prefill(PROMPT) == len(PROMPT) - 40
    assert encoder.cache is not before
    torch.testing.assert_close(seen_logits(loaded, encoder), cold_logits(loaded, PROMPT), atol=1e-4, rtol=0)


def test_drop_makes_next_prefill_compute_all(loaded: LoadedModel) -> None:
    encoder = Encoder(prompt_factory(loaded.model, CHUNK))
    encoder.prefill(PROMPT)
    encoder.drop()
    assert encoder.ids == ()
    assert encoder.prefill(PROMPT) == len(PROMPT)


@pytest.mark.parametrize(
    ("one", "other", "length"), [([], [1], 0), ([1, 2], [1, 2], 2), ([1, 2, 3], [1, 2], 2), ([1, 2, 3], [1, 4, 3], 1)]
)
def test_shared_prefix_ends_at_first_difference(one: list[int], other: list[int], length: int) -> None:
    assert shared_prefix(one, other) == shared_prefix(other, one) == length
