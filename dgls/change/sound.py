"""Keep only those changes to a draft that leave code parsing, and try again if none is left.

A revised draft has several changes that are independent of each other. If every one breaks code that parsed, the second
attempt has another seed and the third a low strength. Pure; runs on any thread.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

from dgls.change.edit import breaks, minimal_changes
from dgls.change.fitting import redrafted
from dgls.change.passage import Gap, Job, Outcome, Passage, Replacement, applied
from dgls.change.task import LIGHTLY
from dgls_engine.types import Hole, Infill, Revise


def kept_sound(job: Job) -> Job:
    """The job, which receives adapted infills with only those changes that break nothing."""
    passage = next(job)
    while True:
        infill = yield from _sound_infill(passage)
        try:
            passage = job.send(infill)
        except StopIteration as over:
            outcome: Outcome = over.value
            return outcome


def keep_text(passage: Passage, gap: Gap, text: str) -> str:
    """`RewriteRules.fit` of a job in `kept_sound`: its texts are adapted already."""
    return text


def _sound_infill(passage: Passage) -> Generator[Passage, Infill, Infill]:
    for attempt in _attempts(passage):
        infill = yield attempt
        changes = minimal_changes(_outcome(passage, infill))
        kept = _sound(passage, (), changes)
        if kept or (attempt is passage and not changes):
            break
    texts = _texts(passage, kept)
    return replace(
        infill, fills=tuple(replace(fill, text=text) for fill, text in zip(infill.fills, texts, strict=True))
    )


def _attempts(passage: Passage) -> Iterator[Passage]:
    """The passage, then with another seed, then at the strength `LIGHTLY`."""
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
    """`kept`, which breaks nothing, and those of the later `changes` that break nothing either.

    Bisects, because each check is a parse.
    """
    together = (*kept, *changes)
    if not breaks(Outcome(passage.document, together, None)):
        return together
    if len(changes) == 1:
        return kept
    half = len(changes) // 2
    return _sound(passage, _sound(passage, kept, changes[:half]), changes[half:])


def _texts(passage: Passage, changes: tuple[Replacement, ...]) -> tuple[str, ...]:
    """The texts of the gaps after the changes."""
    texts: list[str] = []
    for gap in passage.gaps:
        inner = [each for each in changes if gap.span.start <= each.span.start and each.span.end <= gap.span.end]
        new = applied(passage.document, inner).text
        texts.append(new[gap.span.start : len(new) - (len(passage.document.text) - gap.span.end)])
    return tuple(texts)
