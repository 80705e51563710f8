"""`load` uses each weight of a checkpoint, or fails with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion

from dgls_engine import device as devices
from dgls_engine.errors import BrokenCheckpoint, ModelNotFound, NotEnoughMemory, UnsupportedModel
from dgls_engine.model.diffusion_gemma import memory, skeleton
from dgls_engine.weights import loader, precision
from dgls_engine.weights.loader import load
from dgls_engine.weights.profiles import read_profile
from tests.engine.checkpoints import chat_checkpoint, raw_checkpoint

Weights = dict[str, Tensor]
PLAIN = {"float32": 4, "bfloat16": 2}
DOWN = "model.decoder.layers.1.experts.down_proj"
EMBEDDING = "model.decoder.embed_tokens.weight"
SCALAR = "model.encoder.language_model.layers.2.layer_scalar"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_checkpoint(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "model"))


def rewrite_weights(folder: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def rewrite_json(folder: Path, name: str, **values: object) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | values))


def shard(folder: Path) -> None:
    """Split the weights into two files with an index, as in large checkpoints."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = {"model-00001-of-00002.safetensors": sorted(weights)[::2]}
    halves["model-00002-of-00002.safetensors"] = sorted(weights)[1::2]
    for file, names in halves.items():
        save_file({name: weights[name] for name in names}, folder / file)
    weight_map = {name: file for file, names in halves.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def anatomy_of(folder: Path) -> memory.Anatomy:
    return skeleton.anatomy(skeleton.build(json.loads((folder / "config.json").read_text())).config)


@torch.no_grad()
def logits(model: DiffusionGemmaForBlockDiffusion) -> Tensor:
    """Logits of a canvas behind a prompt that is longer than the sliding window."""
    prompt, canvas = torch.arange(5, 45)[None], torch.arange(60, 108)[None]
    result: Tensor = model(input_ids=prompt, decoder_input_ids=canvas).logits
    return result


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_load_gives_same_logits_as_transformers(pristine: Path, dtype: str) -> None:
    ours = load(pristine, "cpu", dtype)
    theirs = DiffusionGemmaForBlockDiffusion.from_pretrained(
        pristine, dtype=getattr(torch, dtype), attn_implementation="sdpa"
    ).eval()
    assert torch.equal(logits(ours.model), logits(theirs))
    assert all(parameter.dtype == ours.dtype for parameter in ours.model.parameters())


def test_load_sharded_equals_single_file(pristine: Path, folder: Path) -> None:
    shard(folder)
    assert torch.equal(logits(load(folder, "cpu").model), logits(load(pristine, "cpu").model))


def test_load_untied_weights_keeps_both(folder: Path) -> None:
    def untie(weights: Weights) -> None:
        for name in [name for name in weights if name.startswith("model.decoder.") and "self_cond" not in name]:
            twin = name.replace("model.decoder.", "model.encoder.language_model.")
            weights.setdefault(twin, weights[name].clone() + 0.01)
        weights["lm_head.weight"] = weights[EMBEDDING].clone() * 2

    rewrite_weights(folder, untie)
    text = json.loads((folder / "config.json").read_text())["text_config"]
    rewrite_json(folder, "config.json", tie_word_embeddings=False, text_config=text | {"tie_word_embeddings": False})
    model = load(folder, "cpu").model
    assert torch.equal(model.lm_head.weight, model.model.decoder.embed_tokens.weight * 2)
    assert not torch.equal(model.model.encoder.language_model.norm.weight, model.model.decoder.norm.weight)


def test_load_tied_weights_share_and_count_once(pristine: Path) -> None:
    loaded = load(pristine, "cpu")
    model = loaded.model
    assert model.lm_head.weight is model.model.decoder.embed_tokens.weight
    assert (
        model.model.encoder.language_model.layers[0].experts.down_proj
        is model.model.decoder.layers[0].experts.down_proj
    )
    buffers = sum(buffer.numel() for name, buffer in model.named_buffers() if name.endswith("layer_scalar"))
    assert loaded.info.parameters == sum(weight.numel() for weight in model.parameters()) + buffers


def test_load_skips_vision_tower(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    genuine = loader._read
    monkeypatch.setattr(loader, "_read", lambda name, *rest: read.append(name) or genuine(name, *rest))
    model = load(pristine, "cpu").model
    assert EMBEDDING in read
    assert not any("vision" in name for name in read)
    assert not any("vision" in name for name, _ in model.named_parameters())


def test_load_info_and_progress_match_weights(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    info = load(raw_checkpoint(tmp_path), "cpu", on_loading=lambda done, total: seen.append((done, total))).info
    assert (info.device, info.dtype, info.profile.prompt_format) == ("cpu", "float32", "raw")
    assert info.weight_bytes == 4 * info.parameters
    assert seen == sorted(seen)
    assert seen[-1] == (info.weight_bytes, info.weight_bytes)


def test_load_file_changed_later_keeps_logits(folder: Path) -> None:
    model = load(folder, "cpu").model
    before = logits(model)
    data = bytearray((folder / "model.safetensors").read_bytes())
    with (folder / "model.safetensors").open("r+b") as stream:  # in place, as a memory map would see it
        stream.seek(len(data) // 2)
        stream.write(bytes(len(data) - len(data) // 2))
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop(DOWN), "missing: model.(decoder|encoder.language_model).layers.1.experts.down_proj"),
        (lambda w: w.pop(EMBEDDING), "missing: .*embed_tokens.weight"),
        (lambda w: w.pop(SCALAR), f"missing: {SCALAR}"),
        (lambda w: [w.pop(name) for name in list(w) if "decoder.layers" in name], r"and \d+ more \(\d+ in all\)"),
        (lambda w: w.update({"model.extra": torch.ones(1)}), "fit nowhere: model.extra"),
        (lambda w: w.update({DOWN: torch.zeros(4, 32, 15)}), r"wrong shape: .*\[4, 32, 15\], not \[4, 32, 16\]"),
        (lambda w: w.update({"lm_head.weight": w[EMBEDDING] + 1}), "tied in the model but differ"),
    ],
)
def test_load_wrong_tensor_raises_with_its_name(folder: Path, change: Callable[[Weights], object], words: str) -> None:
    rewrite_weights(folder, change)
    with pytest.raises(BrokenCheckpoint, match=words):
        load(folder, "cpu")


def test_load_tied_weights_stored_twice_equal_loads(pristine: Path, folder: Path) -> None:
    rewrite_weights(folder, lambda weights: weights.update({"lm_head.weight": weights[EMBEDDING].clone()}))
    assert torch.equal(logits(load(folder, "cpu").model), logits(load(pristine, "cpu").model))


def cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])


def remove_a_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def index_outside_the_folder(folder: Path) -> None:
    shard(folder)
    rewrite_json(folder, "model.safetensors.index.json", weight_map={EMBEDDING: "../model.safetensors"})


def index_a_missing_tensor(folder: Path) -> None:
    shard(folder)
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    weight_map["model.ghost"] = "model-00001-of-00002.safetensors"
    rewrite_json(folder, "model.safetensors.index.json", weight_map=weight_map)


def pickle_it(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def shrink_the_embedding(folder: Path) -> None:
    rewrite_weights(folder, lambda weights: weights.update({EMBEDDING: weights[EMBEDDING][:100].clone()}))
    text = json.loads((folder / "config.json").read_text())["text_config"]
    rewrite_json(folder, "config.json", text_config=text | {"vocab_size": 100})


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (cut, BrokenCheckpoint, "model.safetensors has .* bytes instead of"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 50), BrokenCheckpoint, "not a complete safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), BrokenCheckpoint, "not a complete safetensors"),
        (remove_a_shard, BrokenCheckpoint, "lacks model-00002-of-00002.safetensors"),
        (index_outside_the_folder, BrokenCheckpoint, "no safetensors file beside it"),
        (index_a_missing_tensor, BrokenCheckpoint, "model.ghost"),
        (pickle_it, UnsupportedModel, "pickled"),
        (lambda f: (f / "model.safetensors").unlink(), BrokenCheckpoint, "holds no weights"),
        (lambda f: (f / "config.json").unlink(), ModelNotFound, "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), BrokenCheckpoint, "config.json cannot be read"),
        (
            lambda f: rewrite_json(f, "config.json", text_config={"hidden_size": "big"}),
            BrokenCheckpoint,
            "hidden_size .* is big",
        ),
        (
            lambda f: rewrite_json(f, "config.json", architectures=["LlamaForCausalLM"]),
            UnsupportedModel,
            "LlamaForCausalLM",
        ),
        (lambda f: rewrite_json(f, "config.json", quantization_config={"bits": 4}), UnsupportedModel, "quantised"),
        (lambda f: rewrite_weights(f, lambda w: w.update({DOWN: w[DOWN].to(torch.int8)})), UnsupportedModel, "I8"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), BrokenCheckpoint, "tokenizer.json"),
        (lambda f: (f / "tokenizer.json").unlink(), BrokenCheckpoint, "tokenizer.json is missing"),
        (lambda f: (f / "infill.json").write_text("{'a'}"), BrokenCheckpoint, "infill.json cannot be read"),
        (lambda f: (f / "chat_template.jinja").unlink(), UnsupportedModel, "chat template"),
        (shrink_the_embedding, BrokenCheckpoint, "has more tokens than"),
    ],
)
def test_load_damaged_checkpoint_raises_with_reason(
    folder: Path, damage: Callable[[Path], object], error: type[Exception], words: str
) -> None:
    damage(folder)
    with pytest.raises(error, match=words) as caught:
        load(folder, "cpu")
    assert "\n" not in str(caught.value)


def test_load_file_cut_after_its_header_was_read_raises(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_and_cut(name: str, *rest: Any) -> Tensor:
        (folder / "model.safetensors").write_bytes(b"")
        return read(name, *rest)

    read = loader._read
    monkeypatch.setattr(loader, "_read", read_and_cut)
    with pytest.raises(BrokenCheckpoint, match="ends before"):
        load(folder, "cpu")


def test_load_checkpoint_with_code_never_runs_it(folder: Path) -> None:
    trap = f"from pathlib import Path\nPath({str(folder / 'sprung')!r}).touch()\nclass Model: pass\n"
    (folder / "modeling_own.py").write_text(trap)
    rewrite_json(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling_own.Model", None]})
    load(folder, "cpu")
    rewrite_json(folder, "config.json", auto_map={"AutoModel": "modeling_own.Model"})
    with pytest.raises(UnsupportedModel, match="needs its own code"):
        load(folder, "cpu")
    assert not (folder / "sprung").exists()


def set_free_memory(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (devices, precision):
        monkeypatch.setattr(module, "free_memory", lambda device: free)


def test_load_too_little_memory_raises_before_reading(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_free_memory(200_000, monkeypatch)
    monkeypatch.setattr(loader, "_read", lambda *_: pytest.fail("read a weight"))
    message = r"needs \d+\.\d MB \(0\.3 MB of weights, .*\) in float32 on CPU.*, 0\.2 MB are free; close"
    with pytest.raises(NotEnoughMemory, match=message):
        load(pristine, "cpu")


def test_load_bfloat16_fits_where_float32_raises(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anatomy, prompt = anatomy_of(pristine), read_profile(pristine).max_prompt_tokens
    whole, half = (anatomy.footprint(name, size, prompt, fused=False).total for name, size in PLAIN.items())
    set_free_memory(whole - 1, monkeypatch)
    assert half < whole
    assert load(pristine, "cpu", "bfloat16").info.dtype == "bfloat16"
    with pytest.raises(NotEnoughMemory):
        load(pristine, "cpu", "float32")


def test_load_unknown_name_raises_with_pull_command() -> None:
    with pytest.raises(ModelNotFound, match="dgls models pull nobody/no-such-model"):
        load("nobody/no-such-model", "cpu")


@pytest.mark.parametrize(
    ("device", "dtype", "words"),
    [
        ("tpu9", "auto", "unknown device 'tpu9'"),
        ("cpu", "int3", "unknown dtype 'int3'"),
        ("cuda:99", "auto", "cuda:99"),
    ],
)
def test_load_unknown_device_or_dtype_raises(pristine: Path, device: str, dtype: str, words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        load(pristine, device, dtype)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_load_on_gpu_gives_same_logits(pristine: Path) -> None:
    loaded = load(pristine, "cuda", "float32")
    assert all(tensor.is_cuda for tensor in [*loaded.model.parameters(), *loaded.model.buffers()])
    prompt, canvas = torch.arange(5, 45, device="cuda")[None], torch.arange(60, 108, device="cuda")[None]
    with torch.no_grad():
        gpu_logits = loaded.model(input_ids=prompt, decoder_input_ids=canvas).logits.cpu()
    torch.testing.assert_close(gpu_logits, logits(load(pristine, "cpu").model), atol=1e-3, rtol=1e-3)
