"""Which actions a place allows, and how one starts.

Editors ask for offers on every move of the cursor, so `offers` never calls the engine and reads no more of a long
document than it needs. `start` turns the task of an offer into a job. Pure; runs on any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dgls.change.fill import fill, fill_all
from dgls.change.fix import fix, statement_at
from dgls.change.passage import Job, Room
from dgls.change.rewrite import refine, rewrite
from dgls.change.stubs.finding import may_hold_stubs, stub_at
from dgls.change.task import STRENGTHS, Action, Task
from dgls.code.document import Document, Span
from dgls.code.languages import Language, language_of
from dgls.code.syntax import Syntax

_TITLE = 60  # characters of a diagnostic's message that a menu shows
_MOST_LINES = 500  # of a selection; to rewrite more would take minutes
_LONGEST = 20_000  # characters of a selection, for the same reason: lines may have any length
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Offer:
    """A task and its title in a menu."""

    title: str
    task: Task


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """A diagnostic of another tool."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A common instruction that nobody should have to type, offered where it `fits` the language."""

    title: str
    instruction: str
    fits: Callable[[Language], bool]


PRESETS = (
    Preset(
        "Simplify selection",
        "Simplify this code: make it shorter and clearer, and let it do exactly what it does now.",
        lambda language: language.kind != "prose",
    ),
    Preset(
        "Add types to selection",
        "Add the type annotations that are missing. Change nothing else.",
        lambda language: language.optional_types,
    ),
    Preset(
        "Document selection",
        "Document what is defined here with comments in the form usual in this language. Change no code.",
        lambda language: language.kind != "prose" and language.has_comments,
    ),
    Preset(
        "Handle errors in selection",
        "Handle the errors that can occur here, as is usual in this language. Change nothing else.",
        lambda language: language.kind == "code",
    ),
)


def offers(
    document: Document,
    span: Span,
    syntax: Syntax | None,
    diagnosed: Sequence[Diagnosed],
    instructions: bool,
    pins: bool = True,
) -> list[Offer]:
    """The offers in the order of a menu. `instructions`: whether the model takes instructions. `pins`: whether it can
    keep a part of a text, which fixes and refinements need."""
    return [
        *(_fixes(document, diagnosed, syntax) if pins else ()),
        *_fills(document, span, syntax),
        *_of_selection(document, span, instructions, pins),
    ]


def start(task: Task, document: Document, room: Room, syntax: Syntax | None) -> Job:
    """The job that carries `task` out. `syntax` is the tree around the task's span.

    The job raises `NothingToDo` at its first step if the place does not allow the action.
    """
    match task.action:
        case Action.FILL:
            return fill(task, document, room, syntax)
        case Action.FILL_ALL:
            return fill_all(task, document, room)
        case Action.REFINE:
            return refine(task, document, room)
        case Action.REWRITE:
            return rewrite(task, document, room)
        case Action.FIX:
            return fix(task, document, room, syntax)


def _fixes(document: Document, diagnosed: Sequence[Diagnosed], syntax: Syntax | None) -> Iterator[Offer]:
    """One fix for each statement and message, also if several tools report it."""
    reported: set[tuple[Span, str]] = set()
    for each in diagnosed:
        statement = statement_at(document, each.span, syntax)
        if statement is not None and (statement, each.message) not in reported:
            reported.add((statement, each.message))
            first = each.message.strip().split("\n")[0]
            short = first if len(first) <= _TITLE else first[: _TITLE - 1].rstrip() + "…"
            yield Offer(f"Fix: {short}" if short else "Fix this", Task(Action.FIX, each.span, each.message))


def _fills(document: Document, span: Span, syntax: Syntax | None) -> Iterator[Offer]:
    if stub_at(document, span.start, syntax) is not None:
        yield Offer("Fill here", Task(Action.FILL, span))
    if may_hold_stubs(document, syntax):
        yield Offer("Fill all holes in this file", Task(Action.FILL_ALL, Span(0, len(document.text))))


def _of_selection(document: Document, span: Span, instructions: bool, pins: bool) -> Iterator[Offer]:
    """None for a selection without a word. Further candidates come last, because their titles say the least."""
    lines = document.line_at(span.end) - document.line_at(span.start)
    if lines > _MOST_LINES or span.length > _LONGEST or not _WORD.search(document.text, span.start, span.end):
        return
    for name, strength in STRENGTHS.items() if pins else ():
        yield Offer(f"Refine selection {name}", Task(Action.REFINE, span, strength=strength))
    yield Offer("Rewrite selection", Task(Action.REWRITE, span))
    if instructions:
        yield from _presets(document, span)
    for seed, which in enumerate(("second", "third"), 1):
        yield Offer(f"Rewrite selection ({which} candidate)", Task(Action.REWRITE, span, seed=seed))


def _presets(document: Document, span: Span) -> Iterator[Offer]:
    language = language_of(document.language, document.uri)
    for preset in PRESETS:
        if preset.fits(language):
            yield Offer(preset.title, Task(Action.REWRITE, span, preset.instruction))
