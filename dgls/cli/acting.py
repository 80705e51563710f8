"""`dgls fill` and `dgls rewrite`: read the text, carry out one task, show or write the result.

`fill` writes bodies for functions that are stubs: one, or all of a file together. `rewrite` rewrites lines, or changes
them a little. Mistakes in the arguments are reported before the model loads, because a job plans its first canvas
without it.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dgls.change.edit import breaks, checked_changes, minimal_changes
from dgls.change.offer import start
from dgls.change.passage import Replacement, Room, applied, carry_out
from dgls.change.stubs.finding import stubs_in
from dgls.change.task import MORE, Action, Task
from dgls.cli.difference import show, write_bytes
from dgls.cli.infill import offset_of
from dgls.cli.models import unloaded
from dgls.cli.passages import PassageFiller, Spent
from dgls.cli.source import SourceFile, read_piped, read_source
from dgls.cli.targets import Lines, Place, Target
from dgls.cli.terminal import stated
from dgls.code.document import Document, Span
from dgls.code.indentation import indentation
from dgls.code.languages import FALLBACK, LANGUAGES, language_of
from dgls.code.syntax import parse
from dgls.errors import DglsError
from dgls_engine.errors import EngineError
from dgls_engine.model.families import LARGE
from dgls_engine.types import Limits
from dgls_engine.weights.hub import installed
from dgls_engine.weights.profiles import read_profile

PIPED = "-"
"""The file name that means standard input."""

UNCHANGED, CHANGED = 0, 1


class UnusableOptions(DglsError):
    """The options contradict each other, the file or the model; the message says what to change."""


@dataclass(frozen=True, slots=True)
class ChangedText:
    """The new text, and what producing it took. `broke`: the text parsed before, and no longer does."""

    text: str
    replacements: tuple[Replacement, ...] = ()
    broke: bool = False
    confidence: float | None = None
    seed: int = 0
    plan_ms: float = 0.0
    spent: Spent | None = None


def fill(options: Namespace) -> int:
    place: Place = options.target or options.piped
    if options.all and place.line is not None:
        raise UnusableOptions("--all fills the whole file; leave the line or --all out")
    source, document = read(place.path, options)
    piped = place.path == PIPED
    if place.line is not None:
        offset = _offset(document, place.line, place.column)
        return act(Task(Action.FILL, Span(offset, offset)), source, document, piped, options)
    stubs = [document.line_at(stub.start) + 1 for stub in stubs_in(document)]
    if not stubs:
        return conclude(ChangedText(document.text), source, document, piped, options)
    if len(stubs) > 1 and not options.all:
        *most, last = map(str, stubs)
        raise UnusableOptions(
            f"{document.uri} has {len(stubs)} stubs, on lines {', '.join(most)} and {last}; "
            f"name one ({place.path}:{last}), or take --all"
        )
    return act(Task(Action.FILL_ALL, Span(0, len(document.text))), source, document, piped, options)


def rewrite(options: Namespace) -> int:
    lines: Lines = options.target or options.piped
    if options.strength is not None and options.instruction:
        raise UnusableOptions("--strength takes no instruction; leave it or --instruction out")
    keep = tuple(_kept(lines, options.keep))
    source, document = read(lines.path, options)
    task = Task(
        Action.REWRITE if options.strength is None else Action.REFINE,
        line_span(document, lines.first, lines.last),
        options.instruction,
        options.strength or MORE,
        keep,
    )
    return act(task, source, document, lines.path == PIPED, options)


def read(path: str, options: Namespace) -> tuple[SourceFile, Document]:
    """Read the file, or standard input. Raises `UnusableFile`, and `UnusableOptions` if the language is unknown."""
    if options.language is not None and language_of(options.language) is FALLBACK:
        known = ", ".join(language.id for language in LANGUAGES)
        raise UnusableOptions(f"{options.language!r} is no known language; take one of {known}")
    if path != PIPED:
        source = read_source(path)
    elif options.apply:
        raise UnusableOptions("--apply cannot write to standard input; leave it out to print the new text")
    elif options.language is None and options.stdin_filename is None:
        raise UnusableOptions("the language of standard input is unknown; add --language, or --stdin-filename app.py")
    else:
        source = read_piped(options.stdin_filename or "<stdin>")
    name = str(source.path)
    return source, Document(name, 0, options.language or language_of("", name).id, source.text)


def line_span(document: Document, first: int, last: int) -> Span:
    """The span of lines, counted from 1, without the last line break. Raises `UnusableOptions` if a line is missing."""
    if last > document.line_count:
        raise UnusableOptions(f"{document.uri} has no line {last}; take lines from 1 to {document.line_count}")
    return Span(document.line_start(first - 1), document.line_end(last - 1))


def act(task: Task, source: SourceFile, document: Document, piped: bool, options: Namespace) -> int:
    """Carry out the task, report the result, and return the exit code."""
    model = unloaded(options.model)
    if task.instruction and not model.profile.takes_instructions:
        raise UnusableOptions(f"the model {model.name!r} takes no instructions; {_taking_instructions()}")
    seed = _random_seed(options.check) if options.seed is None else options.seed
    started = time.perf_counter()
    with PassageFiller(options.model, options.dtype, options.threads, Limits(options.steps), seed) as filler:
        syntax = parse(document, task.span.start)
        room = Room.of(model.profile, model.count)
        outcome = carry_out(start(replace(task, seed=seed), document, room, syntax), filler)
    spent = filler.spent
    changes = checked_changes(outcome, minimal_changes(outcome), spent.origins)
    text, broke = applied(document, changes).text, breaks(outcome)
    elsewhere = spent.load_ms + spent.prefill_ms + spent.denoise_ms
    plan_ms = (time.perf_counter() - started) * 1000 - elsewhere
    change = ChangedText(text, changes, broke, outcome.confidence, seed, plan_ms, spent)
    return conclude(change, source, document, piped, options)


def conclude(change: ChangedText, source: SourceFile, document: Document, piped: bool, options: Namespace) -> int:
    """Show or write the text, report the rest, and return the exit code."""
    source.encoded(change.text)  # fail before showing a text that could not be written
    refused = options.apply and change.broke and not options.force
    if options.apply and change.replacements and not refused:
        source.write(change.text)
    elif options.json or options.check:
        pass
    elif options.diff or refused or not (options.apply or piped):
        show(source, change.text)
    elif piped:
        write_bytes(source.encoded(change.text))
    _tell(change, source, piped, refused, options)
    if options.json:
        print(json.dumps(as_json(change, document)))
    return CHANGED if refused or (options.check and change.replacements) else UNCHANGED


def as_json(change: ChangedText, document: Document) -> dict[str, object]:
    """The result for --json. Lines and columns count from 1, as in the arguments."""
    spent = change.spent or Spent()
    return {
        "replacements": [
            {"start": _place(document, each.span.start), "end": _place(document, each.span.end), "text": each.text}
            for each in change.replacements
        ],
        "breaks": change.broke,
        **({} if change.confidence is None else {"confidence": change.confidence}),
        "model": spent.model,
        "device": spent.device,
        "holes": len(spent.origins),
        "canvases": spent.canvases,
        "steps": spent.steps,
        "ms": {
            "load": round(spent.load_ms, 1),
            "plan": round(change.plan_ms, 1),
            "prefill": round(spent.prefill_ms, 1),
            "denoise": round(spent.denoise_ms, 1),
        },
        "seed": change.seed,
    }


def _offset(document: Document, line: int, column: int | None) -> int:
    """Without a column, the line's first character of code. Raises `DglsError` if the place does not exist."""
    if column is not None:
        return offset_of(document, Target(document.uri, line, column))
    span = line_span(document, line, line)
    return span.start + len(indentation(document.text[span.start : span.end]))


def _kept(lines: Lines, ranges: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """Line numbers from 0. Raises `UnusableOptions` for lines outside `lines`: they stay anyway, so it is a mistake."""
    for first, last in ranges:
        if first < lines.first or last > lines.last:
            wrong = first if first < lines.first or first > lines.last else last
            raise UnusableOptions(f"--keep names line {wrong}, outside of {lines.first}-{lines.last}; it stays anyway")
        yield from range(first - 1, last)


def _random_seed(check: bool) -> int:
    """A seed, if the user gives none. Always 0 for --check, so that its verdict is the same each time."""
    return 0 if check else secrets.randbelow(10**9)


def _place(document: Document, offset: int) -> dict[str, int]:
    place = document.position(offset, "utf-32")
    return {"line": place.line + 1, "column": place.character + 1}


def _tell(change: ChangedText, source: SourceFile, piped: bool, refused: bool, options: Namespace) -> None:
    if (spent := change.spent) is not None:
        print(
            f"{_counted(len(spent.origins), 'hole')} in {_counted(spent.canvases, 'canvas', 'es')}, "
            f"{_counted(spent.steps, 'step')}, {spent.prefill_ms + spent.denoise_ms:.0f} ms, "
            f"{spent.model} on {spent.device}{stated(change.confidence)}, seed {change.seed}",
            file=sys.stderr,
        )
        if change.broke:
            print(f"Warning: {source.path} parsed before, and does not with this change.", file=sys.stderr)
    if not change.replacements:
        reason = ": no function is a stub" if spent is None else "; another --seed may give something else"
        result = f"{source.path} would stay unchanged" if options.check else f"Nothing changes in {source.path}"
        print(f"{result}{reason}.", file=sys.stderr)
        return
    if spent is not None and (same := len(spent.origins) - _touched(change, spent)):
        print(f"{same} of {len(spent.origins)} holes stay unchanged; try another --seed.", file=sys.stderr)
    if refused:
        print("Nothing is written; --force writes it, another --seed may be sound.", file=sys.stderr)
    elif options.check:
        print(f"{source.path} would be changed.", file=sys.stderr)
    elif options.apply:
        print(f"Written to {source.path}.", file=sys.stderr)
    elif not piped:
        print(f"Nothing is written; --apply --seed {change.seed} writes this change.", file=sys.stderr)


def _touched(change: ChangedText, spent: Spent) -> int:
    """The number of holes that the change touches."""
    spans = [each.span for each in change.replacements]
    return sum(any(at.start <= span.start and span.end <= at.end for span in spans) for at in spent.origins)


def _counted(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"


def _taking_instructions() -> str:
    """Advice: a model that takes instructions."""
    for each in installed():
        try:
            if each.problem is None and read_profile(each.folder).takes_instructions:
                return f"take --model {each.name}, which does, or leave --instruction out"
        except EngineError:
            continue
    return f"{LARGE.name} does (`dgls models pull {LARGE.name}` fetches it); or leave --instruction out"
