"""Neovim's screen as an SVG, with the grid and the colours that Neovim sends to its user interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from typing import Any

from tests.editors.nvim.editor import Editor

WIDTH, HEIGHT, MARGIN = 8.4, 19, 12
FONTS = "'DejaVu Sans Mono',ui-monospace,Menlo,Consolas,monospace"


@dataclass(frozen=True, slots=True)
class Look:
    ink: int
    paper: int
    bold: bool = False
    italic: bool = False
    struck: bool = False


@dataclass(slots=True)
class Grid:
    """Follows the `redraw` events (`:help ui-linegrid`) from an editor's start."""

    rows: list[list[tuple[str, int]]] = field(default_factory=list)
    looks: dict[int, dict[str, Any]] = field(default_factory=dict)
    default: tuple[int, int] = (0, 0)
    cursor: tuple[int, int] = (0, 0)

    def take(self, event: str, arguments: Sequence[Any]) -> None:
        match event, arguments:
            case "grid_resize", (1, columns, rows):
                self.rows = [[(" ", 0)] * columns for _ in range(rows)]
            case "grid_clear", (1,):
                self.rows = [[(" ", 0)] * len(row) for row in self.rows]
            case "default_colors_set", (ink, paper, *_):
                self.default = ink, paper
            case "hl_attr_define", (number, look, *_):
                self.looks[number] = look
            case "grid_cursor_goto", (1, row, column):
                self.cursor = row, column
            case "grid_line", (1, row, column, cells, *_):
                self._line(row, column, cells)
            case "grid_scroll", (1, top, bottom, left, right, by, *_):
                self._scroll(top, bottom, left, right, by)

    def _line(self, row: int, column: int, cells: Sequence[Sequence[Any]]) -> None:
        number = 0
        for text, *more in cells:
            number = more[0] if more else number
            for _ in range(more[1] if len(more) > 1 else 1):
                self.rows[row][column] = text, number
                column += 1

    def _scroll(self, top: int, bottom: int, left: int, right: int, by: int) -> None:
        rows = range(top, bottom - by) if by > 0 else range(bottom - 1, top - by - 1, -1)
        for row in rows:
            self.rows[row][left:right] = self.rows[row + by][left:right]

    def look(self, number: int) -> Look:
        given = self.looks.get(number, {})
        ink, paper = given.get("foreground", self.default[0]), given.get("background", self.default[1])
        if given.get("reverse"):
            ink, paper = paper, ink
        return Look(ink, paper, *(bool(given.get(name)) for name in ("bold", "italic", "strikethrough")))


def grid(editor: Editor) -> Grid:
    """The current screen. Call it once per editor, because Neovim sends its interface each event once."""
    told = Grid()
    editor.nvim.command("redraw")
    editor.lua("vim.rpcnotify(..., 'told')", editor.nvim.channel_id)
    while (message := editor.nvim.next_message())[1] != "told":
        if message[1] == "redraw":
            for event, *calls in message[2]:
                for arguments in calls:
                    told.take(event, arguments)
    return told


def svg(shown: Grid, cursor: bool = True) -> str:
    """`cursor`: draw it as a bar, as in Insert mode."""
    width, height = len(shown.rows[0]) * WIDTH + 2 * MARGIN, len(shown.rows) * HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">',
        f"<style>text{{font:14px {FONTS};white-space:pre}}</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{_colour(shown.default[1])}"/>',
    ]
    for number, row in enumerate(shown.rows):
        parts += _row([(text, shown.look(look)) for text, look in row], MARGIN + number * HEIGHT, shown.default[1])
    if cursor:
        row, column = shown.cursor
        x, y = MARGIN + column * WIDTH, MARGIN + row * HEIGHT
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="2" height="{HEIGHT}" fill="{_colour(shown.default[0])}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(row: list[tuple[str, Look]], y: int, paper: int) -> list[str]:
    parts, column = [], 0
    for look, run in groupby(row, key=lambda cell: cell[1]):
        cells = [text for text, _ in run]
        x = MARGIN + column * WIDTH
        if look.paper != paper:
            size = f'width="{len(cells) * WIDTH:.1f}" height="{HEIGHT}"'
            parts.append(f'<rect x="{x:.1f}" y="{y}" {size} fill="{_colour(look.paper)}"/>')
        for blank, part in groupby(enumerate(cells, column), key=lambda cell: cell[1] == " "):
            word = list(part)  # word by word, so that a font of another width does no harm
            if not blank:
                at, length = MARGIN + word[0][0] * WIDTH, len(word) * WIDTH
                shown = escape("".join(text for _, text in word))
                parts.append(
                    f'<text x="{at:.1f}" y="{y + 14}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" '
                    f'fill="{_colour(look.ink)}"{_style(look)}>{shown}</text>'
                )
        column += len(cells)
    return parts


def _style(look: Look) -> str:
    weight, slant = ' font-weight="bold"' * look.bold, ' font-style="italic"' * look.italic
    return weight + slant + ' text-decoration="line-through"' * look.struck


def _colour(value: int) -> str:
    return f"#{value:06x}"
