"""How long `dgls infill` takes while other programs use the cores, by how torch's idle threads wait.

Runs the command as a user would, in turns: OMP_WAIT_POLICY=PASSIVE, which dgls sets, and ACTIVE, which lets the threads
spin; on quiet cores, and beside as many endless loops as there are cores. Prints the median of each as a ratio to
PASSIVE on quiet cores. Run it with nothing else on the machine.

    python bench/busy.py [--model small] [--threads N] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

POLICIES = ("PASSIVE", "ACTIVE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the model; default: a thread a core")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sums.py")
        file.write_text("def add(a, b):\n    return \n", encoding="utf-8")
        taken: dict[str, list[float]] = {}
        for load in ("quiet", "busy"):
            with loops(os.cpu_count() or 1 if load == "busy" else 0):
                for _ in range(options.rounds):
                    for policy in POLICIES:
                        taken.setdefault(f"{load} {policy}", []).append(fill_ms(file, options, policy))
    medians = {name: median(times) for name, times in taken.items()}
    for name, times in taken.items():
        print(f"{name:14} median {medians[name]:6.0f} ms, {min(times):.0f} to {max(times):.0f}")
    base = medians["quiet PASSIVE"]
    print(json.dumps({"ms": round(base), "ratios": {name: round(each / base, 2) for name, each in medians.items()}}))


@contextmanager
def loops(count: int) -> Iterator[None]:
    """Programs that use a core each."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def fill_ms(file: Path, options: argparse.Namespace, policy: str) -> float:
    """Milliseconds of the fill alone: the same in each run, because the seed is."""
    model = ["--model", options.model, "--threads", str(options.threads)]
    command = [sys.executable, "-P", "-m", "dgls", "infill", f"{file}:2:12", "--seed", "1", "--json", *model]
    environment = {**os.environ, "OMP_WAIT_POLICY": policy}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    spent = json.loads(out)["ms"]
    return float(spent["prefill"] + spent["denoise"])


if __name__ == "__main__":
    main()
