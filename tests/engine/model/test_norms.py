"""Fused norms match transformers' norms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaRMSNorm

from dgls_engine.model.diffusion_gemma.norms import FusedRMSNorm, fuse, fuse_all
from dgls_engine.weights.loader import load
from tests.engine.checkpoints import chat_checkpoint


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_fused_norm_matches_transformers(scaled: bool, dtype: torch.dtype, tolerance: float, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    generator = torch.Generator().manual_seed(0)
    norm = DiffusionGemmaRMSNorm(96, with_scale=scaled).to(device, dtype)
    if scaled:
        torch.nn.init.normal_(norm.weight, 1.0, 0.3, generator=None if device == "cuda" else generator)
    hidden = (10 * torch.randn(2, 7, 4, 96, generator=generator)).to(device, dtype)
    expected = norm(hidden)
    fuse_all(norm)
    assert type(norm) is FusedRMSNorm
    torch.testing.assert_close(norm(hidden), expected, atol=tolerance, rtol=tolerance)


def test_fuse_on_gpu_keeps_logits(tmp_path: Path) -> None:
    model = load(chat_checkpoint(tmp_path), "cpu").model
    prompt, canvas = torch.arange(5, 45)[None], torch.arange(60, 108)[None]
    with torch.no_grad():
        expected = model(input_ids=prompt, decoder_input_ids=canvas).logits
        fuse(model, torch.device("cpu"))
        assert not any(isinstance(module, FusedRMSNorm) for module in model.modules())
        fuse(model, torch.device("cuda"))
        assert sum(isinstance(module, FusedRMSNorm) for module in model.modules()) > 60
        torch.testing.assert_close(
            model(input_ids=prompt, decoder_input_ids=canvas).logits, expected, atol=1e-4, rtol=1e-4
        )
