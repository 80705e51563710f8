"""Opens the tokenizer of a checkpoint: `tokenizer.json`, or the older files `vocab.json` and `merges.txt`.

    spec, backend = opened_tokenizer(folder / "tokenizer.json")

Checkpoints with a tokenizer in code of their own (Dream, DiffuCoder) have the older files only. That code is not run.
It splits text as the tokenizer of their base model does, and so does this module. Text is never normalised, because a
fill has to join the user's text byte for byte. Imports no torch; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel
from dgls_engine.model_files import holds, json_object, read_bytes, read_json, read_text, shown

_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where the tokenizers of these checkpoints split a text before they merge bytes."""

MAX_TOKENS, _MAX_ADDED = 2**20, 2**14
"""Four times the tokens of the largest vocabularies, and twice the most added tokens."""

_NORMALISED = ("NFC", "NFD", "NFKC", "NFKD")


def opened_tokenizer(path: Path) -> tuple[dict[str, Any], Backend]:
    """The parts of the tokenizer `path` by name, as in a `tokenizer.json`, and the tokenizer. Raises `BrokenCheckpoint`
    if its files cannot be read."""
    vocabulary, merges = path.parent / "vocab.json", path.parent / "merges.txt"
    if not holds(path) and holds(vocabulary) and holds(merges):
        spec: dict[str, Any] = {"model": {"type": "BPE"}, "decoder": {"type": "ByteLevel"}}
        backend = _joined(vocabulary, merges)
    else:
        content = read_bytes(path)
        spec = json_object(path, content)
        _require_sizes(spec, path)
        with without_panics(path):
            try:
                backend = Backend.from_buffer(content)
            except Exception as error:  # `tokenizers` raises bare Exception
                reason = shown(str(error))
                raise BrokenCheckpoint(f"{path} is not a valid tokenizer ({reason}); fetch the model again") from None
    normalizer = spec.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("type") in _NORMALISED:
        backend.normalizer = None
    backend.no_truncation()
    backend.no_padding()
    return spec, backend


def _joined(vocabulary: Path, merges: Path) -> Backend:
    ids, added = read_json(vocabulary), _added(vocabulary.parent)
    lines = read_text(merges).splitlines()
    _require_sizes({"model": {"vocab": ids}, "added_tokens": added}, vocabulary)
    with without_panics(vocabulary):
        try:
            pairs = [
                (left, right) for left, right in (line.split(" ") for line in lines if not line.startswith("#version"))
            ]
            backend = Backend(models.BPE(vocab=ids | {token.content: id for token, id in added}, merges=pairs))
        except Exception as error:  # `tokenizers` raises bare Exception
            raise BrokenCheckpoint(
                f"{vocabulary} and {merges} are no valid tokenizer ({shown(str(error))}); fetch the model again"
            ) from None
    split = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([token for token, _ in added])
    return backend


def _added(folder: Path) -> list[tuple[AddedToken, int]]:
    """The tokens beside the vocabulary, with their ids: in `tokenizer_config.json`, or in `added_tokens.json`."""
    config, plain = folder / "tokenizer_config.json", folder / "added_tokens.json"
    decoder = read_json(config).get("added_tokens_decoder") if holds(config) else None
    try:
        if isinstance(decoder, dict):
            return [
                (AddedToken(each["content"], special=bool(each.get("special")), normalized=False), int(id))
                for id, each in decoder.items()
            ]
        tokens = read_json(plain) if holds(plain) else {}
        return [(AddedToken(content, special=True, normalized=False), int(id)) for content, id in tokens.items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenCheckpoint(
            f"the added tokens in {folder} cannot be read ({shown(str(error))}); fetch the model again"
        ) from None


@contextmanager
def without_panics(path: Path) -> Iterator[None]:
    """Raises `UnsupportedModel` in place of a panic of the library, which is no `Exception` and would end a thread. An
    expression in the file that takes too long is one."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the library does not export it
            raise
        raise UnsupportedModel(f"{path} makes the tokenizer fail ({shown(str(error))}); take another model") from None


def _require_sizes(spec: Mapping[str, Any], path: Path) -> None:
    """Raise `BrokenCheckpoint` for more tokens than a vocabulary has: each takes time and memory."""
    model = spec.get("model")
    parts = {"vocab": model.get("vocab") if isinstance(model, dict) else None, "added_tokens": spec.get("added_tokens")}
    for (name, part), most in zip(parts.items(), (MAX_TOKENS, _MAX_ADDED), strict=True):
        if isinstance(part, (dict, list)) and len(part) > most:
            raise BrokenCheckpoint(
                f"{path} has {len(part)} {name}, but at most {most} are possible; fetch the model again"
            )
