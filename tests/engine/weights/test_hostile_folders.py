"""Model folders that somebody else filled: each ends within seconds, with one line that names what is wrong."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dgls_engine import Engine
from dgls_engine.errors import EngineError
from dgls_engine.weights.files import read_files
from tests.engine.checkpoints import chat_checkpoint, masked_checkpoint, raw_checkpoint

DEEP = "[" * 100_000 + "]" * 100_000
WEIGHTS, CONFIG, TOKENIZER, INFILL = "model.safetensors", "config.json", "tokenizer.json", "infill.json"
NAMES, ADAPTER, INDEX = "tokenizer_config.json", "adapter.safetensors", "model.safetensors.index.json"
GENERATION, TEMPLATE = "generation_config.json", "chat_template.jinja"

Change = Callable[[Path], object]
KINDS = {"raw": raw_checkpoint, "chat": chat_checkpoint, "masked": masked_checkpoint}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in KINDS.items()}


def fifo(name: str) -> Change:
    return lambda folder: ((folder / name).unlink(missing_ok=True), os.mkfifo(folder / name))


def directory(name: str) -> Change:
    return lambda folder: ((folder / name).unlink(missing_ok=True), (folder / name).mkdir())


def link(name: str, target: str) -> Change:
    return lambda folder: ((folder / name).unlink(missing_ok=True), (folder / name).symlink_to(target))


def large(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).touch()
        os.truncate(folder / name, 3 << 30)

    return change


def holding(name: str, content: str | bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def edited(name: str, edit: Callable[[Any], object]) -> Change:
    """Change the JSON in a file."""

    def change(folder: Path) -> None:
        value = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        edit(value)
        (folder / name).write_text(json.dumps(value))

    return change


def text(**values: object) -> Change:
    """Values in the `text_config` of `config.json`."""
    return edited(CONFIG, lambda config: config["text_config"].update(values))


def top(name: str, **values: object) -> Change:
    return edited(name, lambda value: value.update(values))


def header(content: bytes, length: int | None = None) -> Change:
    return holding(WEIGHTS, struct.pack("<Q", len(content) if length is None else length) + content)


def entry(**values: object) -> Change:
    """Change the first tensor's entry in the header of the weights."""

    def change(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        tensors = json.loads(content[8 : 8 + length])
        tensors[next(name for name in tensors if name != "__metadata__")] |= values
        new = json.dumps(tensors).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])

    return change


def shaped(shape: list[int]) -> Change:
    return header(json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode())


def indexed(file: object) -> Change:
    return holding(INDEX, json.dumps({"weight_map": {"model.norm.weight": file}}))


def weights(name: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def change(folder: Path) -> None:
        tensors = load_file(folder / name)
        edit(tensors)
        save_file({key: tensor.clone() for key, tensor in tensors.items()}, folder / name)

    return change


def overlapping(folder: Path) -> None:
    tensors = {
        "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]},
    }
    content = json.dumps(tensors).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(content)) + content + bytes(24))


class Attack:
    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self._file}",))


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Attack(folder / "ran")))


def vocabulary(edit: Callable[[dict[str, int]], object]) -> Change:
    return edited(TOKENIZER, lambda value: edit(value["model"]["vocab"]))


def added(**values: object) -> Change:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return edited(TOKENIZER, lambda value: value["added_tokens"].append({"content": "<|x|>", **plain, **values}))


SPLIT = {"type": "Split", "pattern": {"Regex": "(.+)+$\\b\\B"}, "behavior": "Isolated", "invert": False}
LOOP = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}"
FIRST_A = "model.layers.0.self_attn.q_proj.lora_A.weight"

CASES: dict[str, tuple[str, Change, str]] = {
    **{f"fifo {name}": ("masked", fifo(name), name) for name in (TOKENIZER, CONFIG, WEIGHTS, ADAPTER, INFILL, NAMES)},
    **{f"fifo {name}": ("chat", fifo(name), name) for name in (GENERATION, TEMPLATE, INDEX)},
    **{f"folder {name}": ("masked", directory(name), name) for name in (ADAPTER, INFILL, NAMES, GENERATION, WEIGHTS)},
    "folder template": ("chat", directory(TEMPLATE), TEMPLATE),
    "device weights": ("raw", link(WEIGHTS, "/dev/zero"), "no regular file"),
    "device profile": ("raw", link(INFILL, "/dev/zero"), "no regular file"),
    "link to itself": ("raw", link(INFILL, INFILL), "cannot be read"),
    "dangling adapter": ("masked", link(ADAPTER, "gone"), f"{ADAPTER} is a link to a file that is gone"),
    "dangling weights": ("raw", link(WEIGHTS, "gone"), "is a link to a file that is gone"),
    **{f"large {name}": ("raw", large(name), "at most") for name in (CONFIG, TOKENIZER, NAMES)},
    "large template": ("chat", large(TEMPLATE), "at most"),
    "deep config": ("raw", holding(CONFIG, DEEP), "too deeply"),
    "deep tokenizer": ("raw", holding(TOKENIZER, DEEP), "too deeply"),
    "no JSON": ("raw", holding(CONFIG, b"\xff\xfe"), "cannot be read"),
    # Weights.
    "deep header": ("raw", header(b'{"a":' * 5000 + b"1" + b"}" * 5000), "recursion"),
    "long header": ("raw", header(b"{}", 2**60), "truncated"),
    "header is a list": ("raw", header(b"[1]"), "complete safetensors"),
    "many dimensions": ("raw", shaped([1] * 100_000), "valid dtype or shape"),
    "huge dimension": ("raw", shaped([2**60, 0]), "valid dtype or shape"),
    "negative shape": ("raw", entry(shape=[-1, 5]), "valid dtype or shape"),
    "other shape": ("raw", entry(shape=[1, 1]), "its shape needs"),
    "unknown dtype": ("raw", entry(dtype="F4_X"), "F4_X"),
    "dtype is a number": ("raw", entry(dtype=4), "valid dtype or shape"),
    "offsets are text": ("raw", entry(data_offsets="ab"), "impossible offsets"),
    "overlapping tensors": ("raw", overlapping, "b overlaps another tensor"),
    "empty weights": ("raw", holding(WEIGHTS, b""), WEIGHTS),
    "pickled weights": ("raw", pickled, "can run code"),
    "index outside": ("raw", indexed("../model.safetensors"), "no safetensors file beside it"),
    "index names a number": ("raw", indexed(5), "no safetensors file beside it"),
    "index names nothing": ("raw", indexed("b.safetensors"), "lacks b.safetensors"),
    "surplus tensor": ("raw", weights(WEIGHTS, lambda it: it.update(x=torch.ones(2))), "fit nowhere: x"),
    # The config.
    "many layers": ("raw", text(num_hidden_layers=10**6), "num_hidden_layers .* from 0 to 1000"),
    "many layer types": ("raw", text(layer_types=["full_attention"] * 10**6), "layer_types .* lists 1000000"),
    "other layer types": ("raw", text(layer_types=["x", "y", "z"]), "no valid model"),
    **{
        f"huge {name}": ("raw", text(**{name: 10**12}), f"{name} .* is 1000000000000")
        for name in ("vocab_size", "hidden_size", "max_position_embeddings", "num_experts", "head_dim")
    },
    "negative size": ("raw", text(hidden_size=-4), "hidden_size .* is -4"),
    "size is true": ("raw", text(num_attention_heads=True), "num_attention_heads .* is True"),
    "size is text": ("masked", top(CONFIG, vocab_size="lots"), "vocab_size .* is lots"),
    "size zero": ("masked", top(CONFIG, num_key_value_heads=0), "have the wrong shape"),
    "huge canvas": ("chat", top(CONFIG, canvas_length=10**9), "canvas_length .* from 0 to 8192"),
    "own code": ("raw", top(CONFIG, auto_map={"AutoModel": "modeling_x.X"}), "never runs"),
    "architecture is a number": ("raw", top(CONFIG, architectures=5), "only .* can infill"),
    "loud architecture": ("raw", top(CONFIG, architectures=["\x1b[2J\n" * 10**5]), "only .* can infill"),
    "parts are no objects": ("chat", top(CONFIG, text_config=[1]), CONFIG),
    # The profile.
    "unknown keys": ("raw", top(INFILL, **{"\n" * 10**5: 1}), "unknown keys"),
    "huge budget": ("raw", top(INFILL, max_prompt_tokens=10**9), "max_prompt_tokens must be .* to 1048576"),
    "format is a list": ("raw", top(INFILL, prompt_format=["raw"]), "prompt_format must be one of"),
    "NaN": ("raw", top(INFILL, t_min=math.nan), "t_min must be"),
    "other mask": ("masked", top(INFILL, mask_token="<|none|>"), "no special token"),
    "generation is text": ("chat", top(GENERATION, max_denoising_steps="x"), "max_steps must be"),
    # The adapter.
    "adapter of NaN": ("masked", weights(ADAPTER, lambda it: it[FIRST_A].fill_(math.nan)), "no numbers"),
    "adapter's rank": ("masked", weights(ADAPTER, lambda it: it.update({FIRST_A: torch.ones(9, 32)})), "adapter of"),
    "half an adapter": ("masked", weights(ADAPTER, lambda it: it.pop(FIRST_A)), "adapter of"),
    "adapter holds weights": (
        "masked",
        weights(ADAPTER, lambda it: it.update({"model.norm.weight": torch.ones(32)})),
        "is in model.safetensors and in adapter.safetensors",
    ),
    # The tokenizer.
    "many tokens": ("raw", holding(TOKENIZER, f'{{"model":{{"vocab":{[1] * 1_100_000}}}}}'), "1100000 vocab"),
    "many added tokens": ("raw", edited(TOKENIZER, lambda it: it.update(added_tokens=[1] * 10**5)), "100000 added"),
    "far token": ("raw", vocabulary(lambda it: it.update({"zz": 2**32 - 1})), "token id 4294967295"),
    "added token": ("raw", added(id=10**9), "more tokens than the model has embeddings"),
    "odd token": ("raw", vocabulary(lambda it: it.update({"\u4f60": 300})), "spells no bytes"),
    "empty vocabulary": ("raw", vocabulary(dict.clear), TOKENIZER),
    "no merges": ("raw", edited(TOKENIZER, lambda it: it["model"].pop("merges")), "no valid|not a valid tokenizer"),
    "merge of nothing": ("raw", edited(TOKENIZER, lambda it: it["model"].update(merges=[["x", "qq"]])), "not a valid"),
    "model is a list": ("raw", top(TOKENIZER, model=[1]), "not a valid tokenizer"),
    "lower case": ("raw", top(TOKENIZER, normalizer={"type": "Lowercase"}), "changes the text"),
    "endless expression": (
        "raw",
        edited(TOKENIZER, lambda it: it.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [SPLIT]})),
        TOKENIZER,
    ),
    "growing text": (
        "raw",
        top(TOKENIZER, normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10**4}),
        "changes the text",
    ),
    "no special tokens": ("raw", edited(TOKENIZER, lambda it: it.update(added_tokens=[])), "no special token"),
    # The chat template.
    "endless template": ("chat", holding(TEMPLATE, LOOP), "more than 100000 characters"),
    "template runs code": (
        "chat",
        holding(TEMPLATE, "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        "cannot be used",
    ),
    "template is a number": ("raw", lambda it: ((it / INFILL).unlink(), top(NAMES, chat_template=5)(it)), "template"),
}


def used(folder: Path) -> int:
    """What a command does with a model. Returns the number of tokens in a line."""
    read_files(folder)
    with Engine.open(folder, "cpu") as engine:
        engine.try_out()
        return engine.count("x = 1\n")


@pytest.mark.parametrize(("kind", "change", "message"), CASES.values(), ids=CASES)
def test_open_hostile_folder_raises_a_clear_error(
    folders: dict[str, Path], tmp_path: Path, kind: str, change: Change, message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders[kind], folder)
    change(folder)
    with pytest.raises(EngineError, match=message) as raised:
        used(folder)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 800
    assert not (folder / "ran").exists()


HARMLESS: dict[str, tuple[str, Change]] = {
    "pickled weights beside": ("raw", lambda folder: holding("x.bin", pickle.dumps(Attack(folder / "ran")))(folder)),
    "code beside": ("raw", holding("modeling_x.py", "open('ran', 'w')")),
    "code named by the tokenizer": ("raw", top(NAMES, auto_map={"AutoTokenizer": ["modeling_x.X", None]})),
    "truncation": (
        "raw",
        top(TOKENIZER, truncation={"max_length": 1, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}),
    ),
    "padding": (
        "raw",
        top(
            TOKENIZER,
            padding={
                "strategy": {"Fixed": 10**9},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "x",
            },
        ),
    ),
    "odd names": ("raw", top(NAMES, pad_token=5, extra_special_tokens=5, added_tokens_decoder="x")),
    "keys twice": ("raw", lambda it: holding(CONFIG, '{"canvas_length": -1,' + (it / CONFIG).read_text()[1:])(it)),
}


@pytest.mark.parametrize(("kind", "change"), HARMLESS.values(), ids=HARMLESS)
def test_open_harmless_folder_fills(folders: dict[str, Path], tmp_path: Path, kind: str, change: Change) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders[kind], folder)
    change(folder)
    assert used(folder) == len(read_files(folders[kind]).tokenizer.encode("x = 1\n"))
    assert not (folder / "ran").exists()
