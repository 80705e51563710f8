"""Writes lines with llama.cpp, in a process of its own, for `bench/peer.py`.

    PYTHON bench/peer_llama.py FILE.gguf THREADS          PYTHON has llama-cpp-python, and need not have dgls
    PYTHON bench/peer_llama.py FILE.gguf --to-q8 FILE     writes the same model with weights in 8 bits

Speaks JSON, one object a line. Its first line says what it is. Then each request `{"prompt": ids, "ends": ids, "most":
n}` gets an answer: the ids that follow the prompt greedily, up to and without the first of `ends`, the milliseconds
to read all but the last of the prompt's tokens (`read_ms`) and to write (`write_ms`), and the CPU time of both.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from typing import Any

import llama_cpp
import numpy as np

CONTEXT = 1024


class Llama:
    """A model that keeps nothing between two lines."""

    def __init__(self, file: str, threads: int) -> None:
        self._llama = llama_cpp.Llama(
            file, n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, n_batch=CONTEXT, verbose=False
        )
        self._context: Any = self._llama.ctx
        self._words = self._llama.n_vocab()

    def line(self, prompt: list[int], ends: set[int], most: int) -> dict[str, object]:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        started, cpu = time.perf_counter(), time.process_time()
        if len(prompt) > 1:
            self._read(prompt[:-1])
        read, last, ids = time.perf_counter(), prompt[-1], list[int]()
        while len(ids) < most and (last := self._read([last])) not in ends:
            ids.append(last)
        return {
            "ids": ids,
            "read_ms": (read - started) * 1000,
            "write_ms": (time.perf_counter() - read) * 1000,
            "cpu_ms": (time.process_time() - cpu) * 1000,
        }

    def _read(self, ids: list[int]) -> int:
        """The likeliest token after `ids`, which follow what was read before."""
        tokens = (llama_cpp.llama_token * len(ids))(*ids)  # the batch only points to them
        if llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(tokens, len(ids))):
            raise SystemExit(f"llama.cpp cannot read {len(ids)} tokens")
        logits = llama_cpp.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(logits, (self._words,)).argmax())


def to_q8(file: str, target: str) -> None:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    parameters.allow_requantize = True
    if llama_cpp.llama_model_quantize(file.encode(), target.encode(), ctypes.byref(parameters)):
        raise SystemExit(f"llama.cpp cannot convert {file}")


def main() -> None:
    if sys.argv[2] == "--to-q8":
        return to_q8(sys.argv[1], sys.argv[3])
    llama = Llama(sys.argv[1], int(sys.argv[2]))
    features = llama_cpp.llama_print_system_info().decode().strip()
    print(json.dumps({"version": llama_cpp.__version__, "features": features}), flush=True)
    for request in map(json.loads, sys.stdin):
        print(json.dumps(llama.line(request["prompt"], set(request["ends"]), request["most"])), flush=True)


if __name__ == "__main__":
    main()
