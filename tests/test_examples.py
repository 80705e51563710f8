"""The examples run as they stand, on the embedded model."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
INFILL = str(REPO / "examples" / "infill.py")


def test_client_example_prints_items_at_the_cursor() -> None:
    client = [sys.executable, "-P", str(REPO / "examples" / "client.py")]
    done = subprocess.run(client, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)
    assert items
    for item in items:
        assert item["range"]["start"] == {"line": 1, "character": 11}
        assert item["insertText"].strip()


def test_infill_example_without_a_file_fills_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [INFILL])
    runpy.run_path(INFILL, run_name="__main__")
    around = r"class Stack:\n    def __init__\(self\):\n        self\.items = (.+)\n\n"
    around += r"    def push\(self, item\):\n        self\.items\.(.+)\n"
    output = capsys.readouterr()
    assert re.fullmatch(around, output.out), output.out
    assert re.fullmatch(r"(step \d+: .*\n)+", output.err)


def test_infill_example_with_a_file_keeps_the_code_around_the_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "total.py"
    source.write_text("def total(values):\n    return <HOLE>\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [INFILL, str(source)])
    runpy.run_path(INFILL, run_name="__main__")
    assert re.fullmatch(r"def total\(values\):\n    return .+\n", capsys.readouterr().out)


def test_infill_example_with_a_file_without_holes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.py").write_text("pass\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [INFILL, str(tmp_path / "empty.py")])
    with pytest.raises(SystemExit, match="holds no <HOLE>"):
        runpy.run_path(INFILL, run_name="__main__")


def test_engine_page_example_prints_steps_and_the_filled_code(capsys: pytest.CaptureFixture[str]) -> None:
    page = (REPO / "docs" / "engine.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/engine.md", "exec"), {"__name__": "__main__"})
    steps, filled = capsys.readouterr().out.split("def area(width, height):\n    return ")
    assert re.fullmatch(r"(step \d+: .*\n)+", steps)
    assert re.fullmatch(r".+\n\nprint\(area\(2, 3\)\)\n\n", filled)
