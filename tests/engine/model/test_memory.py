"""Footprints are computed from the config alone and match the loaded weights exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench import full_size
from dgls_engine.errors import NotEnoughMemory, UnsupportedModel
from dgls_engine.model.diffusion_gemma import memory
from dgls_engine.model.diffusion_gemma.memory import PUBLISHED, prompt_bytes
from dgls_engine.model.diffusion_gemma.prompt_cache import prompt_factory
from dgls_engine.model.diffusion_gemma.skeleton import anatomy, build, sites
from dgls_engine.model.family import Footprint
from dgls_engine.model.packing import packed_bytes
from dgls_engine.model.slots import slots
from dgls_engine.prompt.encoder import Encoder
from dgls_engine.weights import precision
from dgls_engine.weights.hub import embedded_folder
from dgls_engine.weights.loader import LoadedModel
from dgls_engine.weights.precision import candidates, pick_precision, precision_named

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
GB = 10**9

SMALL = replace(PUBLISHED, vocabulary=512, hidden=8, experts=2)
assert SMALL.values < 20_000_000

PUBLISHED_TEXT = dict(full_size.PUBLISHED)


def config(text: dict[str, Any], tied: bool = True) -> dict[str, Any]:
    text = text | {"tie_word_embeddings": tied}
    vision = {"model_type": "gemma4_vision"}
    return {"text_config": text, "vision_config": vision, "canvas_length": 256, "tie_word_embeddings": tied}


def embedded() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((embedded_folder() / "config.json").read_text())
    return content


@pytest.mark.parametrize(
    "content",
    [config(PUBLISHED_TEXT), config(PUBLISHED_TEXT, tied=False), embedded()],
    ids=["full", "untied", "embedded"],
)
def test_anatomy_values_count_each_weight_once(content: dict[str, Any]) -> None:
    model = build(content)
    assert anatomy(model.config).values == sum(math.prod(place.shape) for place in slots(model))


def test_anatomy_of_published_config_is_published() -> None:
    model = build(config(PUBLISHED_TEXT))
    assert anatomy(model.config) == PUBLISHED
    assert PUBLISHED.values == pytest.approx(25.25e9, rel=1e-3)
    assert PUBLISHED.expert_values == pytest.approx(22.84e9, rel=1e-3)
    assert len(sites(slots(model))) == 30


@pytest.mark.parametrize(("name", "most"), [("bfloat16", 50.6), ("fp8", 27.8), ("int4", 17.4)])
def test_footprint_published_weights_match_readme(name: str, most: float) -> None:
    assert (most - 0.5) * GB < PUBLISHED.footprint(name, 2, 4096).weights < most * GB


def test_footprint_published_int4_fits_20_gb() -> None:
    """With zero points, which take 0.36 GB."""
    assert PUBLISHED.footprint("int4", 2, 8192).total < 18.5 * GB
    assert prompt_bytes(PUBLISHED, 2, 8192) < 0.7 * GB


@pytest.mark.parametrize("name", memory.PACKED)
def test_footprint_experts_match_packed_bytes(name: Any) -> None:
    for own in (PUBLISHED, anatomy(build(embedded()).config)):
        shapes = ((own.experts, 2 * own.expert_width, own.hidden), (own.experts, own.hidden, own.expert_width))
        made = len(own.layers) * sum(packed_bytes(shape, name, zeros=True) for shape in shapes)
        assert own.footprint(name, 2, 0).experts == made


@pytest.mark.parametrize("tokens", [10, 100])
def test_prompt_bytes_match_buffers(flat: LoadedModel, tokens: int) -> None:
    """With a window of 16, and the spare rows and the chunk of a GPU."""
    cache = Encoder(prompt_factory(flat.model, memory.CHUNK), tokens).cache
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert prompt_bytes(anatomy(flat.model.config), 4, tokens) == held


def test_footprint_total_is_sum_of_parts() -> None:
    assert Footprint(1, 2, 4, 8, 16, 32).total == 63
    assert Footprint(1, 2, 4, 8, 16, 32).weights == 15


def set_free_memory(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "free_memory", lambda device: free)
    monkeypatch.setattr(precision, "shortage", lambda device: "few are free")
    monkeypatch.setattr(precision, "device_name", str)
    monkeypatch.setattr(precision.kernels, "usable", lambda device: True)


@pytest.mark.parametrize(("free", "chosen"), [(80, "bfloat16"), (40, "fp8"), (20, "int4")])
def test_pick_precision_auto_takes_most_precise_that_fits(
    monkeypatch: pytest.MonkeyPatch, free: int, chosen: str
) -> None:
    set_free_memory(free * GB, monkeypatch)
    picked = pick_precision("auto", CUDA, PUBLISHED, 4096)
    assert (picked.name, picked.plain) == (chosen, torch.bfloat16)


def test_pick_precision_too_little_memory_raises_with_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    set_free_memory(12 * GB, monkeypatch)
    message = r"needs 1\d\.\d GB \(17\.3 GB of weights, 0\.5 GB for the prompt, .* for a step\) in int4 .*few are free"
    with pytest.raises(NotEnoughMemory, match=message):
        pick_precision("auto", CUDA, PUBLISHED, 4096)
    with pytest.raises(NotEnoughMemory, match=r"50\.5 GB of weights.* in bfloat16"):
        pick_precision("bfloat16", CUDA, PUBLISHED, 4096)


@pytest.mark.parametrize(("device", "dtype"), [(CUDA, "bfloat16"), (CPU, "auto"), (MPS, "auto")])
def test_pick_precision_too_little_memory_suggests_int4(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, dtype: str
) -> None:
    set_free_memory(24 * GB, monkeypatch)
    with pytest.raises(NotEnoughMemory, match="with dtype int4 it would fit"):
        pick_precision(dtype, device, PUBLISHED, 4096)
    set_free_memory(12 * GB, monkeypatch)
    with pytest.raises(NotEnoughMemory, match=r"few are free$"):
        pick_precision(dtype, device, PUBLISHED, 4096)


def test_candidates_auto_without_cuda_depend_on_size() -> None:
    assert candidates("auto", CPU, SMALL) == candidates("auto", CUDA, SMALL) == ("float32",)
    assert candidates("auto", CPU, PUBLISHED) == candidates("auto", MPS, PUBLISHED) == ("bfloat16",)


@pytest.mark.parametrize(
    ("feature", "dtype"), [("amx_bf16", "bfloat16"), ("avx512_bf16", "bfloat16"), ("avx2", "float32")]
)
def test_candidates_auto_small_model_on_cpu_depends_on_its_instructions(
    monkeypatch: pytest.MonkeyPatch, feature: str, dtype: str
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {feature: True})
    small: Any = SimpleNamespace(values=240_000_000, packings=())
    assert candidates("auto", CPU, small) == (dtype,)
    assert candidates("auto", CUDA, small)[0] == "bfloat16"


def test_precision_named_plain_type_depends_on_device_and_size() -> None:
    assert precision_named("int4", CUDA, SMALL).plain == torch.bfloat16
    assert precision_named("int4", CPU, PUBLISHED).plain == torch.bfloat16
    assert precision_named("int4", CPU, SMALL).plain == torch.float32
    assert precision_named("float16", CPU, SMALL).packing is None


def test_precision_named_fp8_on_mps_raises() -> None:
    with pytest.raises(UnsupportedModel, match="take int4"):
        precision_named("fp8", MPS, PUBLISHED)
