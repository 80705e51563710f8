"""Runs one case through the product's own path (plan, infill, suggest) and compares it with the author's text.

    Case -> Document, offset -> Region -> InfillRequest -> Infill -> Suggestion | Rejection -> CaseOutcome

The request counts as invoked by the user, so the planner is never quiet and doubtful lines are kept. It has no
deadline, so the same seed gives the same outcome. Reads no files and runs no programs: `evaluate` sets `passed`. Runs
on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from dgls.code.document import Document
from dgls.code.languages import Language, language_of
from dgls.code.parsing import parsed
from dgls.code.syntax import parse
from dgls.evaluation.cases.case import Case, CaseOutcome
from dgls.evaluation.running.repetition import repeats_after
from dgls.suggest.exchange import Infiller, asked, filled, request_of, suggestion_of
from dgls.suggest.plan import Budget, Quiet, Region, plan
from dgls.suggest.suggestion import Rejection, Suggestion
from dgls_engine.errors import RequestTooLarge
from dgls_engine.profile import Profile
from dgls_engine.types import Blank, Infill, Limits, Revise

_ONE_LINE = frozenset({"single-line", "mid-word", "multi-file"})
"""Kinds of cases whose answer is always one line. For other kinds the planner chooses line or block, as in an
editor."""

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all cases of a run have in common. `true_length` tells the model the length of the answer, but not its text:
    this is the policy `oracle`, which needs a profile with the policy `fixed`. `unasked`: holes have the size of those
    that an editor fills unasked, which for some models are lines only."""

    seed: int = 0
    max_steps: int | None = None
    true_length: bool = False
    unasked: bool = False


def run_case(engine: Infiller, case: Case, count: Count, conditions: Conditions) -> CaseOutcome:
    """Fill `case` and judge the fill. `count` counts the model's tokens."""
    case = as_typed(case)
    document = Document(case.path, 0, case.language, case.prefix + case.suffix)
    region = _region(document, case, engine.profile, count, conditions.unasked)
    syntax = parse(document, region.span.start)
    request = request_of(
        region,
        case.path,
        case.language,
        Limits(conditions.max_steps),
        conditions.seed,
        start=Revise(case.answer, 1.0) if conditions.true_length else Blank(),
    )
    calibration = engine.profile.calibration
    kept = replace(calibration, keep_above=0.0)
    try:
        suggestion, infill, first = asked(
            engine,
            request,
            lambda fill: suggestion_of(document, region, fill, kept, syntax),
            once=conditions.unasked,
        )
    except RequestTooLarge:
        return _judged(case, document, region, None, "does not fit the canvas", engine.profile, count)
    automatic = suggestion_of(document, region, first, calibration, syntax)
    shown = isinstance(automatic, Suggestion) and calibration.shows(automatic.confidence)
    outcome = _judged(case, document, region, infill, suggestion, engine.profile, count)
    return replace(outcome, shown=shown)


def as_typed(case: Case) -> Case:
    """The case as in an editor: if the answer is whole lines, its last line break moves to the suffix."""
    whole_lines = not case.prefix or case.prefix.endswith(("\n", "\r"))
    for newline in ("\r\n", "\n", "\r"):
        if whole_lines and case.answer.endswith(newline):
            return replace(case, answer=case.answer.removesuffix(newline), suffix=newline + case.suffix)
    return case


def _region(document: Document, case: Case, profile: Profile, count: Count, unasked: bool) -> Region:
    offset = len(case.prefix)
    region = plan(
        document,
        offset,
        Budget.of(profile),
        parse(document, offset),
        invoked=True,
        max_lines=1 if case.kind in _ONE_LINE or (unasked and profile.continues) else None,
        count=count,
    )
    assert not isinstance(region, Quiet), "an invoked plan always has a region"
    return region


def _judged(
    case: Case,
    document: Document,
    region: Region,
    infill: Infill | None,
    suggestion: Suggestion | Rejection | str,
    profile: Profile,
    count: Count,
) -> CaseOutcome:
    """The outcome without `shown` and `passed`."""
    text = suggestion.new_text if isinstance(suggestion, Suggestion) else ""
    raw = infill.texts[0] if infill else ""
    probability = infill.fills[0].probability if infill else 0.0
    language = language_of(case.language, case.path)
    around = document.text[: region.span.start], document.text[region.span.end :]
    return CaseOutcome(
        id=case.id,
        kind=case.kind,
        language=case.language,
        tokens=count(case.answer),
        answer=case.answer,
        raw=raw,
        text=text,
        rejected=None if isinstance(suggestion, Suggestion) else str(suggestion),
        probability=probability,
        confidence=profile.calibration.confidence(probability),
        shown=False,
        exact=bool(text) and without_trailing_blanks(text) == without_trailing_blanks(case.answer),
        similarity=similarity(text, case.answer),
        parses=_parses(case, filled(document, region, text), language) if text else None,
        repeats_after=repeats_after(around[0], text, around[1], case.answer, language),
        raw_repeats_after=repeats_after(around[0], raw, around[1], case.answer, language),
        passed=None,
        steps=infill.steps if infill else 0,
        passes=(infill.passes or infill.steps) if infill else 0,  # not every engine counts passes
        ms=infill.timings.prefill_ms + infill.timings.denoise_ms if infill else 0.0,
        finish=infill.finish if infill else None,
        piece_probabilities=tuple(piece.probability for piece in infill.fills[0].pieces) if infill else (),
    )


def without_trailing_blanks(text: str) -> str:
    """The text without blanks at the ends of lines and without blank lines at its end. Line breaks become \\n."""
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).rstrip()


def similarity(text: str, answer: str) -> float:
    """From 0 (nothing in common) to 1 (equal). Ignores trailing blanks."""
    pair = without_trailing_blanks(text), without_trailing_blanks(answer)
    return SequenceMatcher(None, *pair, autojunk=False).ratio()


def _parses(case: Case, text: str, language: Language) -> bool | None:
    written = parsed(language, (case.prefix + case.answer + case.suffix).encode("utf-8", "surrogatepass"))
    if written is None or written.root_node.has_error:
        return None
    filled = parsed(language, text.encode("utf-8", "surrogatepass"))
    return filled is not None and not filled.root_node.has_error
