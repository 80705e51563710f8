"""Nothing outside a family's folder names its architecture; the registry names the folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine" / "dgls_engine"
FAMILIES = [folder for folder in (ENGINE / "model").iterdir() if (folder / "family.py").is_file()]
NEUTRAL = sorted(
    path
    for place in (ENGINE, ROOT / "dgls")
    for path in place.rglob("*.py")
    if not any(path.is_relative_to(folder) for folder in FAMILIES) and path != ENGINE / "model" / "families.py"
)
ARCHITECTURE = re.compile(
    r"gemma|llama|qwen|\.model\.decoder|layer_types|soft.?cap|text_config|sliding.window|(?<!diffusion_)canvas_length",
    re.IGNORECASE,
)


def test_families_folder_with_family_module_is_found() -> None:
    assert {folder.name for folder in FAMILIES} >= {"diffusion_gemma"}
    assert len(NEUTRAL) > 150


@pytest.mark.parametrize("path", NEUTRAL, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_outside_a_family_names_no_architecture(path: Path) -> None:
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if ARCHITECTURE.search(line)] == []


def test_families_import_without_torch() -> None:
    code = "import sys, dgls_engine.model.families; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ENGINE.parent)
    assert told.stdout.strip() == "[]"
