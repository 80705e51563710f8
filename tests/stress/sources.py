"""The files that the soak types into: 50 in 10 languages, all from this repository, Python and torch."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.e2e.wire import REPO

LONGEST = 30_000
"""Characters of a file that are used."""

_PYTHON, _TORCH = Path(sysconfig.get_path("stdlib")), Path(torch.__file__).parent
_PLACES = (
    ("python", _PYTHON, "*/*er.py", 15),
    ("cpp", _TORCH / "include" / "c10" / "util", "*.h", 7),
    ("typescript", REPO / "editors" / "vscode" / "src", "*.ts", 7),
    ("lua", REPO / "editors" / "nvim", "lua/**/*.lua", 6),
    ("markdown", REPO / "docs", "*.md", 6),
    ("toml", REPO / "fixtures", "*/*.toml", 4),
    ("json", REPO / "fixtures" / "clients", "*.json", 2),
    ("shellscript", REPO / ".ci", "*", 1),
    ("makefile", REPO, "Makefile", 1),
    ("css", REPO / "dgls", "**/*.css", 1),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A text to type, of one language. Some are made harder: their breaks are \\r\\n, or letters lie outside ASCII and
    outside the basic plane."""

    name: str
    language: str
    text: str


def sources() -> list[Source]:
    """In an order that mixes the languages."""
    found = [_sources_of(*place) for place in _PLACES]
    mixed = sorted(
        ((number / len(group), source) for group in found for number, source in enumerate(group)),
        key=lambda placed: placed[0],
    )
    return [_hardened(number, source) for number, (_, source) in enumerate(mixed)]


def _sources_of(language: str, root: Path, glob: str, count: int) -> list[Source]:
    files = [file for file in sorted(root.glob(glob)) if file.is_file() and file.stat().st_size > 2000][:count]
    assert len(files) == count, f"{root} has only {len(files)} files {glob}"
    texts = (file.read_bytes()[:LONGEST].decode("utf-8", "ignore") for file in files)
    return [Source(file.name, language, text) for file, text in zip(files, texts, strict=True)]


def _hardened(number: int, source: Source) -> Source:
    text = source.text
    if number % 4 == 1:
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    if number % 5 == 2:
        text = text.replace("e", "é", 200).replace("a", "😀", 200)
    return Source(f"{number}-{source.name}", source.language, text)
