"""The model `small` as people get it: what it writes, where its fills end, how long it loads, what memory it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dgls_engine import Context, Engine, Hole, Infill, InfillRequest, Pinned

pytestmark = pytest.mark.small

MAX_TOKENS = 24
PREDICTABLE = {
    "sum": ("def add(a, b):\n    return ", "a + b", "\n\n\nprint(add(1, 2))\n"),
    "main": ("def main():\n    print('hello')\n\n\nif __name__ == ", "'__main__':", "\n    main()\n"),
    "alias": ("import os\n\nimport numpy as ", "np", "\n\nzeros = np.zeros(3)\n"),
    "attribute": (
        "class Person:\n    def __init__(self, name, age):\n        self.name = name\n        self.age = ",
        "age",
        "\n\n    def greet(self):\n        print(self.name, self.age)\n",
    ),
    "call": (
        "class Box:\n    def __init__(self):\n        self.items = []\n\n    def add(self, item):\n        self.items.",
        "append(item)",
        "\n\n    def __len__(self):\n        return len(self.items)\n",
    ),
}
"""Code before a hole, the only sensible rest of its line, and the code after."""

MEASURE = """
import psutil
from dgls_engine import Context, Engine, Hole, InfillRequest, Pinned
with Engine.open("small", "cpu", "bfloat16", threads=1) as engine:
    before = "x = 1\\n" * 40 + "def add(a, b):\\n    return "
    segments = [Pinned(before), Hole(max_tokens=8, stop="\\n"), Pinned("\\n")]
    *_, infill = engine.infill(InfillRequest(Context(), segments))
    print(psutil.Process().memory_info().rss)
print(psutil.Process().memory_info().rss)
"""


def filled(engine: Engine, before: str, after: str) -> Infill:
    segments = [Pinned(before), Hole(max_tokens=MAX_TOKENS, stop="\n"), Pinned(after)]
    *_, infill = engine.infill(InfillRequest(Context("a.py", "python"), segments, seed=1))
    assert isinstance(infill, Infill)
    return infill


@pytest.fixture(scope="module")
def fills(engine: Engine) -> dict[str, str]:
    return {name: filled(engine, before, after).texts[0] for name, (before, _, after) in PREDICTABLE.items()}


def test_infill_predictable_lines_gives_at_least_four_of_five(fills: dict[str, str]) -> None:
    expected = {name: answer for name, (_, answer, _) in PREDICTABLE.items()}
    right = [name for name, text in fills.items() if text.rstrip() == expected[name]]
    assert len(right) >= 4, fills


def test_infill_ends_at_the_end_of_the_line_without_the_code_after(engine: Engine, fills: dict[str, str]) -> None:
    for name, text in fills.items():
        following = PREDICTABLE[name][2].strip().splitlines()[0].strip()
        assert text.strip(), name
        assert "\n" not in text, name
        assert following not in text, name
        assert engine.count(text) < MAX_TOKENS, "the model ended the line, not the limit"


def test_open_auto_is_small(engine: Engine) -> None:
    with Engine.open(device="cpu") as second:
        assert second.info.name == "small"


def test_open_and_infill_in_bfloat16_take_less_than_1_1_gb_and_close_returns_the_weights() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", MEASURE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    opened, closed = map(int, done.stdout.split())
    assert opened < 1.1e9
    assert opened - closed > 0.45e9


def test_infill_command_by_default_prints_the_fill_of_the_small_model(tmp_path: Path) -> None:
    file = tmp_path / "sums.py"
    file.write_text("def add(a, b):\n    return \n\n\nprint(add(1, 2))\n")
    command = [sys.executable, "-P", "-m", "dgls", "infill", f"{file}:2:12", "--seed", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["text"], answer["model"]) == ("a + b", "small")
    assert "dgls models pull" not in done.stderr
