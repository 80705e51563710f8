"""The unified diff of a text and what becomes of it, as `patch` takes it.

Lines end at \\n alone, as they do for `patch`: a carriage return is part of its line.
"""

from __future__ import annotations

import sys
from difflib import unified_diff

from rich.console import Console
from rich.text import Text

from dgls.cli.source import SourceFile
from dgls.cli.terminal import printable

_NO_FINAL_NEWLINE = "\\ No newline at end of file\n"
_STYLES = {"@": "cyan", "+": "green", "-": "red", "\\": "dim"}


def difference(name: str, before: str, after: str) -> list[str]:
    """Its lines, each with its break; none where nothing differs."""
    made: list[str] = []
    for line in unified_diff(_lines(before), _lines(after), name, name):
        made += [line] if line.endswith("\n") else [f"{line}\n", _NO_FINAL_NEWLINE]
    return made


def show(source: SourceFile, after: str) -> None:
    """On standard output: coloured on a terminal, else in the file's own bytes, or the patch would not apply."""
    lines = difference(str(source.path), source.text, after)
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        for number, line in enumerate(lines):
            console.print(Text(printable(line), "bold" if number < 2 else _STYLES.get(line[0], "")), end="")
        return
    write_bytes("".join(lines).encode(source.encoding if _extends_ascii(source.encoding) else "utf-8"))


def write_bytes(content: bytes) -> None:
    """To standard output, after what was printed so far."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _extends_ascii(encoding: str) -> bool:
    return "\n".encode(encoding) == b"\n"
