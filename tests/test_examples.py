"""The examples run as they stand, on the embedded model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def output_of(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-P", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_client_example_prints_items_at_the_cursor() -> None:
    items = json.loads(output_of(str(REPO / "examples" / "client.py")))
    assert items
    for item in items:
        assert item["range"]["start"] == {"line": 1, "character": 11}
        assert item["insertText"].strip()
