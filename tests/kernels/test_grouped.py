"""The grouped kernel matches the path that unpacks one expert after the other; its PTX matches `unpack`."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import DiffusionGemmaTextConfig
from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaTextExperts

from dgls_engine.model.diffusion_gemma import experts
from dgls_engine.model.diffusion_gemma.experts import by_expert
from dgls_engine.model.packing import Packed, Packing, pack, unpack
from tests.kernels.compiling import SHARED_MEMORY, Job, compiled

pytest.importorskip("triton", reason="the kernels' tests need Triton: make kernels")

from dgls_engine.model.kernels import grouped, unpacking
from dgls_engine.model.kernels.grouped import Tiles, grouped_experts

PACKINGS: list[tuple[Packing, bool]] = [("int4", False), ("int4", True), ("fp8", False)]
NAMES = ["int4", "int4 with zero points", "fp8"]
PUBLISHED = (128, 2816, 704)
"""The number of experts, the width and the inner width of the published model."""


def experts_of(experts: int, width: int, inner: int) -> DiffusionGemmaTextExperts:
    config = DiffusionGemmaTextConfig(hidden_size=width, moe_intermediate_size=inner, num_experts=experts)
    with torch.device("meta"):
        return DiffusionGemmaTextExperts(config)


def weights_of(experts: int, width: int, inner: int, device: torch.device) -> tuple[Tensor, Tensor]:
    made = torch.Generator(device).manual_seed(7)
    gate_up = torch.randn(experts, 2 * inner, width, device=device, generator=made, dtype=torch.bfloat16)
    down = torch.randn(experts, width, inner, device=device, generator=made, dtype=torch.bfloat16)
    return gate_up * width**-0.5, down * inner**-0.5


def routed(tokens: int, experts: int, top_k: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """hidden, chosen, shares; the first expert gets every token, the last one none."""
    made = torch.Generator(device).manual_seed(tokens)
    likes = torch.randn(tokens, experts, device=device, generator=made)
    likes[:, 0], likes[:, -1] = 9, -9
    best, chosen = likes.topk(top_k)
    return torch.randn(tokens, width, device=device, generator=made), chosen, best.softmax(-1)


def far(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm())


@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
@pytest.mark.parametrize("tokens", [1, 40])
def test_grouped_kernel_matches_by_expert(device: torch.device, packing: Packing, zeros: bool, tokens: int) -> None:
    """Widths that are not multiples of groups or strips; one expert with more rows than a tile, one with none."""
    gate_up, down = (pack(weight, packing, zeros) for weight in weights_of(8, 160, 96, device))
    hidden, chosen, shares = routed(tokens, 8, 2, 160, device)
    expected = by_expert(experts_of(8, 160, 96), hidden, chosen, shares, gate_up, down)
    for cut in (Tiles(16, 64, 128), Tiles(16, 64, 64, sharing=2)):
        got = grouped_experts(hidden, chosen, shares, gate_up, down, cut, by_hand=False)
        assert far(got, expected) < 1e-6


def test_tiles_grow_with_rows_of_an_expert() -> None:
    for pairs in (8, 512, 1024, 2048, 4096, 12288):
        rows = pairs / 128
        assert grouped.tiles(pairs, 128).rows >= min(1.3 * rows, 64)


CARDS = [
    *((90, rows, kind) for rows in (512, 2048, 8192) for kind in PACKINGS),
    *((capability, rows, ("int4", True)) for capability in (80, 89) for rows in (512, 8192)),
]


def test_grouped_kernels_compile_without_spilling() -> None:
    shared = {"values": "*u8", "scales": "*bf16", "zeros": "*u8", "order": "*i32", "starts": "*i32"}
    shared |= {"activated": "*bf16", "inner": "i32", "width": "i32"}
    own = {
        "_gate_up": ({"hidden": "*bf16"}, {"TOP_K": 8}),
        "_down": ({"shares": "*fp32", "results": "*bf16"}, {}),
    }
    jobs = []
    for capability, pairs, (packing, zeros) in CARDS:
        cut = grouped.tiles(pairs, 128)
        for kernel, (arguments, constants) in own.items():
            constants = {**constants, "INT4": packing == "int4", "ZEROS": zeros, "BY_HAND": True, "ROWS": cut.rows}
            constants["OUT"] = cut.gate_up if kernel == "_gate_up" else cut.down
            aligned, arguments = ("inner", "width"), shared | arguments
            job = Job(grouped.__name__, kernel, arguments, constants, capability, aligned, cut.warps, cut.stages)
            jobs.append(job)
    for job, resources in zip(jobs, compiled(jobs), strict=True):
        assert resources.spilled == 0, job
        assert resources.shared <= SHARED_MEMORY[job.capability], job


WORD = 0xFFFFFFFF
PAIR = tuple[float, float]


def bf16(values: list[float]) -> list[int]:
    return [number & 0xFFFF for number in torch.tensor(values).bfloat16().view(torch.int16).tolist()]


def pair(word: int) -> Tensor:
    """The two bfloat16 values of a register, the lower one first."""
    return torch.tensor([word & 0xFFFF, word >> 16], dtype=torch.int32).to(torch.int16).view(torch.bfloat16).float()


def fma(a: int, b: int, c: int) -> int:
    """fma.rn.bf16x2 rounds once; float64 is exact for the product and, at these sizes, for the sum."""
    low, high = bf16((pair(a).double() * pair(b).double() + pair(c).double()).tolist())
    return high << 16 | low


def prmt(a: int, b: int, selector: int) -> int:
    eight = (b << 32 | a).to_bytes(8, "little")
    return int.from_bytes(bytes(eight[selector >> 4 * place & 7] for place in range(4)), "little")


def lop3(a: int, b: int, c: int, table: int) -> int:
    assert table == 0xEA
    return a & b | c


PTX: dict[str, Callable[..., int]] = {
    "mov.b32": lambda a: a,
    "shr.u32": lambda a, by: a >> by,
    "and.b32": lambda a, b: a & b,
    "prmt.b32": prmt,
    "lop3.b32": lop3,
    "fma.rn.bf16x2": fma,
}


def run(program: str, outputs: int, inputs: list[int]) -> list[int]:
    """Interprets straight-line PTX with the instructions above."""
    registers = {f"${outputs + place}": word for place, word in enumerate(inputs)}
    for line in re.sub(r"//.*|[{}]|\.reg[^;]*;", "", program).split(";"):
        if line.strip():
            instruction, target, *operands = line.replace(",", " ").split()
            values = [registers[name] if name in registers else int(name, 0) for name in operands]
            registers[target] = PTX[instruction](*values) & WORD
    return [registers[f"${place}"] for place in range(outputs)]


def fours(values: Tensor) -> list[Tensor]:
    return list(values.reshape(-1, 4))


def test_unpack_int4_ptx_matches_unpack() -> None:
    """Every byte value, with many scales and zero points."""
    values = torch.arange(256, dtype=torch.uint8).repeat(4).reshape(1, 32, 32)
    made = torch.Generator().manual_seed(0)
    scales = (torch.rand(1, 1, 32, generator=made) - 0.5).bfloat16()
    for zeros in (None, torch.randint(0, 256, (1, 1, 32), generator=made, dtype=torch.uint8)):
        expected = unpack(Packed(values, scales, zeros, 64), torch.float32)[0]  # [32, 64]
        for row in range(32):
            scale = scales[0, 0, row]
            zero = 8.0 if zeros is None else zeros[0, 0, row] / 16
            offset = (-scale.float() * zero).bfloat16()
            words = [value << 16 | value for value in bf16([float(scale), float(offset)])]
            for place, four in enumerate(fours(values[0, row])):
                word = int.from_bytes(bytes(four.tolist()), "little")
                got = run(unpacking._UNPACK_INT4.value, 4, [word, words[0], words[0], words[1], words[1]])
                low, high = torch.cat([pair(got[0]), pair(got[1])]), torch.cat([pair(got[2]), pair(got[3])])
                beyond = 2 * 16 / 2**8 * float(scale.abs())  # two roundings of up to 16 steps: the offset, the result
                at = slice(4 * place, 4 * place + 4)
                assert (low - expected[row, :32][at]).abs().max() <= beyond
                assert (high - expected[row, 32:][at]).abs().max() <= beyond


def test_unpack_fp8_ptx_matches_unpack() -> None:
    """Every e4m3 value, subnormal ones included, is exact."""
    bytes_ = torch.tensor([byte for byte in range(256) if byte & 0x7F != 0x7F] + [0, 0], dtype=torch.uint8)
    for four in fours(bytes_):
        word = int.from_bytes(bytes(four.tolist()), "little")
        got = torch.cat([pair(part) for part in run(unpacking._UNPACK_FP8.value, 2, [word])])
        assert torch.equal(got, four.view(torch.float8_e4m3fn).float())


@pytest.mark.gpu
@pytest.mark.parametrize(("packing", "zeros"), PACKINGS, ids=NAMES)
@pytest.mark.parametrize("tokens", [64, 256, 1024])
def test_grouped_kernel_published_shape_on_gpu_matches(
    device: torch.device, packing: Packing, zeros: bool, tokens: int
) -> None:
    gate_up, down = (pack(weight, packing, zeros) for weight in weights_of(*PUBLISHED, device))
    hidden, chosen, shares = routed(tokens, 128, 8, 2816, device)
    expected = by_expert(experts_of(*PUBLISHED), hidden, chosen, shares, gate_up, down)
    hidden = hidden.bfloat16()
    got = grouped_experts(hidden, chosen, shares, gate_up, down)
    assert far(got, expected) < 0.01
    assert torch.equal(got, grouped_experts(hidden, chosen, shares, gate_up, down))


@pytest.mark.gpu
def test_grouped_kernel_captured_graph_replays_other_input(device: torch.device) -> None:
    """A replay has other tokens and experts than the capture."""
    gate_up, down = (pack(weight, "int4", True) for weight in weights_of(16, 256, 128, device))
    hidden, chosen, shares = routed(32, 16, 4, 256, device)
    static = [hidden.bfloat16(), chosen, shares]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        grouped_experts(*static, gate_up, down)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = grouped_experts(*static, gate_up, down)
    static[0].copy_(hidden.roll(1, 0))
    static[1].copy_((chosen + 5) % 16)
    graph.replay()
    assert torch.equal(made, grouped_experts(*static, gate_up, down))


@pytest.mark.gpu
def test_forward_on_gpu_uses_grouped_kernel(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the experts' forward pass runs the kernel and not `by_expert`."""
    experts.register()
    module = experts_of(16, 256, 128)
    module.config._experts_implementation = experts.IMPLEMENTATION
    gate_up, down = (pack(weight, "int4", True) for weight in weights_of(16, 256, 128, device))
    experts.install(module, gate_up, down)
    monkeypatch.setattr(experts, "by_expert", None)
    hidden, chosen, shares = routed(32, 16, 4, 256, device)
    hidden = hidden.bfloat16()
    assert torch.equal(module(hidden, chosen, shares), grouped_experts(hidden, chosen, shares, gate_up, down))
