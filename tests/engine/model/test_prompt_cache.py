"""The prompt cache holds the right rows after any sequence of prompts, and its buffers never move."""

from __future__ import annotations

import random

import pytest
import torch

from dgls_engine.model.batches import shared_prefix
from dgls_engine.model.diffusion_gemma import decoder
from dgls_engine.model.diffusion_gemma.prompt_cache import PromptCache, prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.weights.loader import LoadedModel
from tests.engine.checkpoints import SLIDING_WINDOW

CHUNK, SPARE_ROWS, CAPACITY = 6, 4, 90


def addresses(cache: PromptCache) -> list[int]:
    return [tensor.data_ptr() for layer in cache.layers for tensor in (layer.keys, layer.values, layer.bounds)]


@torch.inference_mode()
@pytest.mark.parametrize("seed", range(6))
def test_prompt_cache_after_any_prompts_matches_cold_prefill(flat: LoadedModel, seed: int) -> None:
    chance = random.Random(seed)
    warm = Encoder(prompt_factory(flat.model, CHUNK, SPARE_ROWS), CAPACITY)
    initial_addresses = addresses(warm.cache)
    ids: list[int] = []
    for _ in range(12):
        before, shared = ids, chance.choice([0, len(ids), *(max(0, len(ids) - back) for back in range(2 * SPARE_ROWS))])
        ids = (ids[:shared] + [chance.randrange(3, 400) for _ in range(chance.randrange(1, 25))])[:CAPACITY]
        shared = shared_prefix(before, ids)
        reused = len(ids) - warm.prefill(ids)
        assert reused == shared or (reused == 0 and shared < len(before) - SPARE_ROWS)
        cold = Encoder(prompt_factory(flat.model, CAPACITY), CAPACITY)
        cold.prefill(ids)
        for layer, expected in zip(warm.cache.seen().layers, cold.cache.seen().layers, strict=True):
            torch.testing.assert_close(layer.keys, expected.keys, atol=1e-5, rtol=0)
            torch.testing.assert_close(layer.values, expected.values, atol=1e-5, rtol=0)
    assert addresses(warm.cache) == initial_addresses


def test_bounds_match_visible_rows(flat: LoadedModel) -> None:
    encoder = Encoder(prompt_factory(flat.model, CHUNK, SPARE_ROWS), CAPACITY)
    for tokens in (1, SLIDING_WINDOW - 1, SLIDING_WINDOW, 40, 38, 90):
        encoder.prefill([*range(3, 3 + tokens)])
        kinds = flat.model.config.text_config.layer_types
        for kind, layer, view in zip(kinds, encoder.cache.layers, encoder.cache.seen().layers, strict=True):
            first, end = layer.bounds.tolist()
            assert end - first == (tokens if kind == decoder.FULL else min(tokens, SLIDING_WINDOW - 1))
            assert torch.equal(layer.keys[:, :, first:end], view.keys)


def test_sliding_layers_hold_window_slack_and_chunk(flat: LoadedModel) -> None:
    cache = Encoder(prompt_factory(flat.model, CHUNK, SPARE_ROWS), CAPACITY).cache
    rows = {layer.keys.shape[-2] for layer in cache.layers}
    assert rows == {CAPACITY, SLIDING_WINDOW - 1 + SPARE_ROWS + CHUNK}


def test_prefill_out_of_memory_during_move_empties_cache(flat: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out after one sliding layer was moved and before the other."""
    encoder = Encoder(prompt_factory(flat.model, CHUNK, SPARE_ROWS), CAPACITY)
    prompt = [*range(3, 3 + CAPACITY)]
    encoder.prefill(prompt[:24])
    with monkeypatch.context() as patched:
        patched.setattr(encoder.cache.layers[1], "move", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError))
        with pytest.raises(torch.OutOfMemoryError):
            encoder.prefill(prompt)
    assert encoder.ids == ()
    assert encoder.prefill(prompt) == CAPACITY
    cold = Encoder(prompt_factory(flat.model, CAPACITY), CAPACITY)
    cold.prefill(prompt)
    for layer, expected in zip(encoder.cache.seen().layers, cold.cache.seen().layers, strict=True):
        torch.testing.assert_close(layer.keys, expected.keys, atol=1e-5, rtol=0)
