"""Compares the precisions of a masked model on a CPU with float32: the same likeliest tokens, nats, and time.

    PYTHONPATH=. python bench/precisions.py [--model small] [--pieces 20] [--rows 1,3,6,16,64] [--threads 1]

Pieces of this repository's code, 200 tokens each, are read as decided canvas rows, by the adapted weights. Reported for
each precision: the share of rows whose likeliest token is float32's, the mean divergence from float32 and the mean nats
of the next token, the bytes of the weights, and the median milliseconds of a pass over some rows and their logits, with
all precisions in turn. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dgls_engine.model.masked.prompt import Buffers
from dgls_engine.weights.hub import locate
from dgls_engine.weights.loader import LoadedModel, load

TOKENS, SKIPPED, PROMPT = 200, 32, 256
"""Tokens of a piece, those at its start that are not judged, and the rows that a timed pass sees."""


@torch.inference_mode()
def likelihoods(loaded: LoadedModel, ids: Sequence[int]) -> Tensor:
    """The log-probabilities [n, V] of the tokens behind each of `ids`."""
    model, count = loaded.model, len(ids)
    causal = torch.ones(count, count, dtype=torch.bool).tril()[None, None]
    embedded = model.model.embed_tokens(torch.tensor([list(ids)]))
    hidden = Buffers.empty(model, count).through(embedded, torch.arange(count)[None], causal, True)[0]
    logits: Tensor = model.lm_head(model.model.norm(hidden)).float()
    return logits.log_softmax(-1)


def compared(ours: Tensor, exact: Tensor, ids: Sequence[int]) -> tuple[float, float, float]:
    """The share of the same likeliest tokens, the divergence, and the nats of the true tokens."""
    same = (ours.argmax(-1) == exact.argmax(-1)).float().mean()
    divergence = (exact.exp() * (exact - ours)).sum(-1).mean()
    nats = -ours[:-1].gather(1, torch.tensor(ids[1:])[:, None]).mean()
    return float(same), float(divergence), float(nats)


@torch.inference_mode()
def pass_ms(loaded: LoadedModel, buffers: Buffers, rows: int) -> float:
    """Milliseconds of a pass over `rows` rows behind PROMPT others, and their logits."""
    model = loaded.model
    embedded = model.model.embed_tokens(torch.arange(rows)[None] + 20)
    seen = torch.ones(1, 1, rows, PROMPT + rows, dtype=torch.bool)
    began = time.perf_counter()
    hidden = buffers.through(embedded, torch.arange(PROMPT, PROMPT + rows)[None], seen, True)[0]
    model.lm_head(model.model.norm(hidden[: min(rows, 8)]))
    return (time.perf_counter() - began) * 1000


def pieces(loaded: LoadedModel, count: int) -> list[list[int]]:
    chosen, found = random.Random(0), list[list[int]]()
    files = sorted(Path("dgls").rglob("*.py"))
    while len(found) < count:
        ids = loaded.tokenizer.encode(chosen.choice(files).read_text(encoding="utf-8"))
        if len(ids) > TOKENS:
            start = chosen.randrange(len(ids) - TOKENS)
            found.append(ids[start : start + TOKENS])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small")
    parser.add_argument("--pieces", type=int, default=20)
    parser.add_argument("--rows", default="1,3,6,16,64,256")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtypes", default="float32,bfloat16,float16,int8,fp8,int4")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names, sizes = options.dtypes.split(","), [int(rows) for rows in options.rows.split(",")]
    opened = {name: load(locate(options.model), "cpu", name) for name in ["float32", *names]}
    quality: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for ids in pieces(opened["float32"], options.pieces):
        exact = likelihoods(opened["float32"], ids)[SKIPPED:]
        for name in names:
            quality[name].append(compared(likelihoods(opened[name], ids)[SKIPPED:], exact, ids[SKIPPED:]))
    buffers = {name: Buffers.empty(opened[name].model, PROMPT + max(sizes)) for name in names}
    times: dict[str, dict[int, list[float]]] = {name: {rows: [] for rows in sizes} for name in names}
    for rows in sizes:
        for turn in range(options.rounds + 1):
            for name in names:
                taken = pass_ms(opened[name], buffers[name], rows)
                if turn:
                    times[name][rows].append(taken)
    figures = {}
    for name in names:
        same, divergence, nats = (statistics.mean(column) for column in zip(*quality[name], strict=True))
        milliseconds = {rows: round(statistics.median(taken), 1) for rows, taken in times[name].items()}
        figures[name] = {"same": round(same, 4), "divergence": round(divergence, 4), "nats": round(nats, 3)}
        figures[name] |= {"mb": round(opened[name].info.weight_bytes / 1e6), "ms": milliseconds}
        print(f"{name:9} {figures[name]}", flush=True)
    print(json.dumps({"bench": "precisions", "model": options.model, "threads": options.threads, "dtypes": figures}))


if __name__ == "__main__":
    main()
