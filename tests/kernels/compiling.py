"""Compiles kernels for GPUs that this machine does not have, and returns the resources that they need.

    compiled([Job("...kernels.grouped", "_add_up", {"results": "*bf16", ...}, {"TOP_K": 8}, capability=90), ...])

Triton decides at decoration whether to interpret a kernel, so the compilation runs in another process:
`python -m tests.kernels.compiling` reads jobs from its standard input and writes their resources, both as JSON.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

SHARED_MEMORY = {80: 163 * 1024, 89: 99 * 1024, 90: 227 * 1024}
"""The bytes of shared memory for a program, by compute capability."""


@dataclass(frozen=True)
class Job:
    module: str
    kernel: str
    signature: dict[str, str]  # types of all arguments except constants; pointers and `aligned` are divisible by 16
    constants: dict[str, Any]
    capability: int
    aligned: tuple[str, ...] = ()
    warps: int = 4
    stages: int = 3


@dataclass(frozen=True)
class Resources:
    shared: int  # bytes of shared memory
    registers: int  # for each thread
    spilled: int  # bytes for each thread


def compiled(jobs: Sequence[Job]) -> list[Resources]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    request = json.dumps([dataclasses.asdict(job) for job in jobs])
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=request, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [Resources(**resources) for resources in json.loads(done.stdout.splitlines()[-1])]


def _compile(job: Job) -> Resources:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(job.module), job.kernel)
    names: list[str] = kernel.arg_names
    signature = {name: job.signature.get(name, "constexpr") for name in names}
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in job.constants.items()},
        attrs={
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(names)
            if signature[name].startswith("*") or name in job.aligned
        },
    )
    options = {"num_warps": job.warps, "num_stages": job.stages}
    made = triton.compile(source, target=GPUTarget("cuda", job.capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        usage = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    registers, stack, local = (
        int(re.search(rf"{name}:(\d+)", usage.stdout).group(1))  # type: ignore[union-attr]
        for name in ("REG", "STACK", "LOCAL")
    )
    return Resources(made.metadata.shared, registers, stack + local)


if __name__ == "__main__":
    jobs = [Job(**job) for job in json.load(sys.stdin)]
    with ThreadPoolExecutor(2) as pool:
        print(json.dumps([dataclasses.asdict(resources) for resources in pool.map(_compile, jobs)]))
