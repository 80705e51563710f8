"""The unified diff of a file's old and new text, in the form that `patch` reads.

Only \\n ends a line, as in `patch`: a carriage return is part of its line.
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
    """The lines of the diff, each with its line break; none if the texts are equal."""
    diff: list[str] = []
    for line in unified_diff(_lines(before), _lines(after), name, name):
        diff += [line] if line.endswith("\n") else [f"{line}\n", _NO_FINAL_NEWLINE]
    return diff


def show(source: SourceFile, after: str) -> None:
    """Print the diff: coloured on a terminal, else in the file's encoding, so that the patch applies."""
    lines = difference(str(source.path), source.text, after)
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        for number, line in enumerate(lines):
            console.print(Text(printable(line), "bold" if number < 2 else _STYLES.get(line[0], "")), end="")
        return
    write_bytes("".join(lines).encode(source.encoding if _extends_ascii(source.encoding) else "utf-8"))


def write_bytes(content: bytes) -> None:
    """Write bytes to standard output, after the text printed so far."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _extends_ascii(encoding: str) -> bool:
    return "\n".encode(encoding) == b"\n"
