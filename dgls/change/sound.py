"""Of a draft that came back changed, the changes that break nothing, and another infill where none of them is left.

A draft comes back with changes here and there that do not need each other. Where all of them break code that parsed,
the model was asked too boldly: it is asked once more, and then for little. Pure; runs on any thread.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

from dgls.change.edit import breaks, minimal
from dgls.change.fitting import redrafted
from dgls.change.passage import Gap, Job, Outcome, Passage, Replacement, applied
from dgls.change.task import LIGHTLY
from dgls_engine.types import Hole, Infill, Revise


def kept_sound(job: Job) -> Job:
    """The job, told of each of its drafts no more than is fit to stand there and sound."""
    passage = next(job)
    while True:
        infill = yield from _sound_infill(passage)
        try:
            passage = job.send(infill)
        except StopIteration as over:
            outcome: Outcome = over.value
            return outcome


def as_it_is(passage: Passage, gap: Gap, text: str) -> str:
    """The `fit` of a job that is kept sound: its texts are fit already."""
    return text


def _sound_infill(passage: Passage) -> Generator[Passage, Infill, Infill]:
    for attempt in _attempts(passage):
        infill = yield attempt
        changes = minimal(_outcome(passage, infill))
        kept = _sound(passage, (), changes)
        if kept or (attempt is passage and not changes):
            break
    texts = _texts(passage, kept)
    return replace(
        infill, fills=tuple(replace(fill, text=text) for fill, text in zip(infill.fills, texts, strict=True))
    )


def _attempts(passage: Passage) -> Iterator[Passage]:
    """The last is what who wanted little would have been given first."""
    yield passage
    yield replace(passage, attempt=1)
    if any(_strength(gap.hole) > LIGHTLY for gap in passage.gaps):
        gently = (replace(gap, hole=_lightly(gap.hole)) for gap in passage.gaps)
        yield replace(passage, gaps=tuple(gently))


def _strength(hole: Hole) -> float:
    return hole.start.strength if isinstance(hole.start, Revise) else 1.0


def _lightly(hole: Hole) -> Hole:
    start = hole.start
    return replace(hole, start=Revise(start.text, LIGHTLY)) if isinstance(start, Revise) else hole


def _outcome(passage: Passage, infill: Infill) -> Outcome:
    new = (redrafted(passage, gap, text) for gap, text in zip(passage.gaps, infill.texts, strict=True))
    made = (Replacement(gap.span, text) for gap, text in zip(passage.gaps, new, strict=True))
    return Outcome(passage.document, tuple(made), None)


def _sound(
    passage: Passage, kept: tuple[Replacement, ...], changes: tuple[Replacement, ...]
) -> tuple[Replacement, ...]:
    """`kept`, which breaks nothing, and of the `changes` behind it those that do not either; found by halves, as
    each look takes a parse."""
    together = (*kept, *changes)
    if not breaks(Outcome(passage.document, together, None)):
        return together
    if len(changes) == 1:
        return kept
    half = len(changes) // 2
    return _sound(passage, _sound(passage, kept, changes[:half]), changes[half:])


def _texts(passage: Passage, changes: tuple[Replacement, ...]) -> tuple[str, ...]:
    """What the gaps hold once the changes are made."""
    texts: list[str] = []
    for gap in passage.gaps:
        own = [each for each in changes if gap.span.start <= each.span.start and each.span.end <= gap.span.end]
        new = applied(passage.document, own).text
        texts.append(new[gap.span.start : len(new) - (len(passage.document.text) - gap.span.end)])
    return tuple(texts)
