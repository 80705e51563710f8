"""A decoder pass with `attention.attend` matches transformers' attention over views of the same prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from dgls_engine.model.diffusion_gemma import attention, decoder
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.weights.loader import LoadedModel
from tests.engine.checkpoints import SLIDING_WINDOW

PROMPT = torch.randint(3, 400, (5 * SLIDING_WINDOW,), generator=torch.Generator().manual_seed(0)).tolist()
WIDTH = 24


@contextmanager
def ours(loaded: LoadedModel) -> Iterator[None]:
    """The model with our attention."""
    attention.register()
    configs = [loaded.model.model.decoder.config, loaded.model.model.encoder.language_model.config]
    before = [config._attn_implementation for config in configs]
    for config in configs:
        config._attn_implementation = attention.IMPLEMENTATION
    try:
        yield
    finally:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation = name


def static_pass(loaded: LoadedModel, encoder: Encoder, ids: Tensor, lengths: Tensor) -> Tensor:
    """Hidden states [B, C, D]: `decoder.decode` with the prompt handed to the attention instead of concatenated."""
    model = loaded.model.model.decoder
    embedded = model.embed_tokens(ids)
    hidden: Tensor = model.self_conditioning(embedded, torch.zeros_like(embedded))
    positions = encoder.cache.tokens + torch.arange(ids.shape[1])[None]
    for layer, kind in zip(model.layers, model.text_config.layer_types, strict=True):
        hidden = layer(
            hidden,
            position_embeddings=model.rotary_emb(hidden, positions, kind),
            attention_mask=None,
            position_ids=positions,
            past_key_values=None,
            prompt=encoder.cache,
            lengths=lengths,
        )
    normed: Tensor = model.norm(hidden)
    return normed


@torch.inference_mode()
@pytest.mark.parametrize("tokens", [1, SLIDING_WINDOW - 1, SLIDING_WINDOW, 5 * SLIDING_WINDOW])
def test_attend_several_canvases_match_each_alone(loaded: LoadedModel, tokens: int) -> None:
    encoder = Encoder(prompt_factory(loaded.model, 7, 5))
    encoder.prefill(PROMPT)
    encoder.prefill(PROMPT[:tokens])
    lengths = torch.tensor([WIDTH, 9, 1], dtype=torch.int32)
    ids = torch.randint(3, 400, (3, WIDTH), generator=torch.Generator().manual_seed(1))
    with ours(loaded):
        together = static_pass(loaded, encoder, ids, lengths)
    for states, canvas, length in zip(together, ids, lengths.tolist(), strict=True):
        alone = decoder.decode(
            loaded.model, canvas[None, :length], None, encoder.cache.seen(), decoder.NO_MASKS, tokens
        )
        torch.testing.assert_close(states[:length], alone[0], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_attend_rows_behind_canvas_are_zero(loaded: LoadedModel) -> None:
    encoder = Encoder(prompt_factory(loaded.model, 7))
    encoder.prefill(PROMPT)
    layer = loaded.model.model.decoder.layers[0].self_attn
    heads, groups = layer.num_key_value_groups * 2, 2
    query, key, value = (torch.randn(2, count, WIDTH, layer.head_dim) for count in (heads, groups, groups))
    lengths = torch.tensor([5, 0], dtype=torch.int32)
    output, weights = attention.attend(layer, query, key, value, None, 1.0, encoder.cache, lengths)
    assert weights is None
    assert output.shape == (2, WIDTH, heads, layer.head_dim)
    assert not output[0, 5:].any()
    assert not output[1].any()
    assert output[0, :5].all()


@torch.inference_mode()
def test_attend_without_prompt_equals_transformers(loaded: LoadedModel) -> None:
    prompt = torch.tensor([PROMPT])
    canvas = torch.tensor([PROMPT[:WIDTH]])
    stock = loaded.model(input_ids=prompt, decoder_input_ids=canvas).logits
    with ours(loaded):
        assert torch.equal(loaded.model(input_ids=prompt, decoder_input_ids=canvas).logits, stock)
