"""Experts on packed weights match transformers' experts on the unpacked weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import DiffusionGemmaTextConfig
from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaTextExperts

from dgls_engine.model.diffusion_gemma import experts
from dgls_engine.model.packing import Packing, pack, unpack
from tests.engine.model.test_packing import NAMES, PACKINGS

TOKENS, TOP_K = 9, 2


def experts_of(implementation: str, gate_up: Tensor, down: Tensor) -> DiffusionGemmaTextExperts:
    count, width, inner = down.shape
    config = DiffusionGemmaTextConfig(hidden_size=width, moe_intermediate_size=inner, num_experts=count)
    config._experts_implementation = implementation
    module = DiffusionGemmaTextExperts(config)
    module.gate_up_proj, module.down_proj = torch.nn.Parameter(gate_up), torch.nn.Parameter(down)
    return module.requires_grad_(False)


@pytest.fixture
def weights() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(8, 192, 160, generator=generator) * 0.1, torch.randn(8, 160, 96, generator=generator) * 0.1


@pytest.fixture
def routed() -> tuple[Tensor, Tensor, Tensor]:
    """hidden [T, D], chosen [T, k], shares [T, k]; one expert gets no token."""
    generator = torch.Generator().manual_seed(4)
    chosen = torch.rand(TOKENS, 7, generator=generator).topk(TOP_K).indices
    return torch.randn(TOKENS, 160, generator=generator), chosen, torch.rand(TOKENS, TOP_K, generator=generator)


@pytest.fixture(autouse=True)
def known() -> None:
    experts.register()
    experts.register()  # a second model in one process does so again


@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
def test_forward_packed_matches_unpacked_weights(
    weights: tuple[Tensor, Tensor], routed: tuple[Tensor, Tensor, Tensor], packing: Packing, zeros: bool
) -> None:
    packed = [pack(weight, packing, zeros) for weight in weights]
    module = experts_of(experts.IMPLEMENTATION, *weights)
    experts.install(module, *packed)
    expected = experts_of("eager", *(unpack(one, torch.float32) for one in packed))(*routed)
    torch.testing.assert_close(module(*routed), expected)


def test_forward_plain_weights_equals_transformers(
    weights: tuple[Tensor, Tensor], routed: tuple[Tensor, Tensor, Tensor]
) -> None:
    ours, theirs = (experts_of(name, *weights) for name in (experts.IMPLEMENTATION, "grouped_mm"))
    assert torch.equal(ours(*routed), theirs(*routed))


def test_by_all_matches_chosen_experts(weights: tuple[Tensor, Tensor], routed: tuple[Tensor, Tensor, Tensor]) -> None:
    for count, top_k in ((8, TOP_K), (1, 1)):
        hidden, chosen, shares = routed[0], routed[1][:, :top_k] % count, routed[2][:, :top_k]
        module = experts_of("eager", *(weight[:count] for weight in weights))
        torch.testing.assert_close(experts.by_all(module, hidden, chosen, shares), module(hidden, chosen, shares))


def test_install_removes_plain_weights(weights: tuple[Tensor, Tensor]) -> None:
    module = experts_of(experts.IMPLEMENTATION, *weights)
    packed = [pack(weight, "int4", True) for weight in weights]
    experts.install(module, *packed)
    assert not list(module.parameters())
    assert sum(buffer.nbytes for buffer in module.buffers()) == sum(one.bytes for one in packed)
    again = experts.installed(module)
    assert again is not None
    assert again[0].values is packed[0].values
    assert again[1].columns == 96


def test_install_two_modules_share_packed_weights(
    weights: tuple[Tensor, Tensor], routed: tuple[Tensor, Tensor, Tensor]
) -> None:
    """As the layers of encoder and decoder do."""
    packed = [pack(weight, "fp8", False) for weight in weights]
    one, other = (experts_of(experts.IMPLEMENTATION, *weights) for _ in range(2))
    for module in (one, other):
        experts.install(module, *packed)
    assert torch.equal(one(*routed), other(*routed))


def test_engine_import_without_triton_works() -> None:
    """The kernels are imported only where they run."""
    script = (
        "import sys; sys.modules['triton'] = None; import dgls_engine.engine, dgls_engine.model.diffusion_gemma.experts"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
