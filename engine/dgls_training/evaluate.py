"""Held-out figures of the embedded model: single-line holes in packages it never saw, filled by the engine itself.

Beside the model stand two floors: the same model untrained, and copying the previous non-blank line.
"""

from __future__ import annotations

import difflib
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from dgls_engine.engine import Engine
from dgls_engine.profile import Profile
from dgls_engine.types import Blank, Context, Hole, Infill, InfillRequest, Pinned, Revise
from dgls_training.corpus import Source

CHARACTERS_A_TOKEN = 3
"""Of Python under the embedded tokenizer (3.2 measured on held-out code)."""


@dataclass(frozen=True, slots=True)
class Case:
    """The rest of one line is missing between `before` and `after`, which starts with the line's end."""

    prefix: str
    answer: str
    suffix: str
    whole_line: bool


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of 1 over `holes` cases: `edit_similarity` is difflib's ratio, `whole_line` the exact match of holes
    that miss all of a line's code, `rest_of_line` of the others."""

    holes: int
    exact_match: float
    edit_similarity: float
    whole_line: float
    rest_of_line: float


@dataclass(frozen=True, slots=True)
class Report:
    """Scores by filler; the trained model's median steps and milliseconds a hole, and the device they were taken on."""

    scores: dict[str, Score]
    steps_p50: float
    ms_p50: float
    device: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def cases(sources: Sequence[Source], count: int, seed: int) -> list[Case]:
    """Single-line holes: half miss a line's whole code, half what follows a random place inside it.

    Lines of at least 4 characters of code; no comments, and no line without any of ()[]{}=:.,_ (prose).
    """
    rng = random.Random(seed)
    found: list[Case] = []
    while len(found) < count:
        text = rng.choice(sources).text
        at = rng.randrange(len(text))
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        code = text[start:end].strip() if end > start else ""
        if len(code) < 4 or len(code) > 90 or code.startswith("#") or not any(c in "()[]{}=:.,_" for c in code):
            continue
        first = text.index(code, start)
        whole = len(found) % 2 == 0
        cut = first if whole else rng.randrange(first + 1, first + len(code))
        if text[cut:end].strip():
            found.append(Case(text[:cut], text[cut:end].rstrip(), text[end:], whole))
    return found


def score(cases: Sequence[Case], fills: Iterable[str]) -> Score:
    exact, similar = [], []
    for case, fill in zip(cases, fills, strict=True):
        exact.append(fill.rstrip() == case.answer)
        similar.append(difflib.SequenceMatcher(None, fill.rstrip(), case.answer, autojunk=False).ratio())
    whole = [hit for case, hit in zip(cases, exact, strict=True) if case.whole_line]
    rest = [hit for case, hit in zip(cases, exact, strict=True) if not case.whole_line]
    return Score(len(cases), *(round(sum(part) / max(1, len(part)), 4) for part in (exact, similar, whole, rest)))


def fill(engine: Engine, case: Case, seed: int = 0) -> Infill:
    """What the engine puts into the hole."""
    *_, last = engine.infill(request_of(engine.profile, case, seed))
    assert isinstance(last, Infill)
    return last


def request_of(profile: Profile, case: Case, seed: int = 0, told_length: bool = False) -> InfillRequest:
    """The hole with pinned code on both sides, cut at line borders. `told_length`: a draft that is all noise has the
    answer's length, which the policy `fixed` keeps."""
    above, before = _split_last(case.prefix, profile.before_tokens * CHARACTERS_A_TOKEN)
    after, below = _split_first(case.suffix, profile.after_tokens * CHARACTERS_A_TOKEN)
    hole = Hole(max_tokens=32, stop="\n", start=Revise(case.answer, 1.0) if told_length else Blank())
    context = Context(language="python", above=above, below=below)
    return InfillRequest(context, [Pinned(before), hole, Pinned(after)], seed=seed)


def previous_line(case: Case) -> str:
    """The floor: the previous non-blank line's code, from where the hole starts in its own line."""
    lines = [line.strip() for line in case.prefix.split("\n")]
    typed = len(case.prefix.rpartition("\n")[2].lstrip())
    return next((line for line in reversed(lines[:-1]) if line), "")[typed:]


def report(engine: Engine, untrained: Engine, cases: Sequence[Case]) -> Report:
    """The model, the same model untrained, and copying, on the same cases."""
    infills = [fill(engine, case) for case in cases]
    scores = {
        "trained": score(cases, [infill.texts[0] for infill in infills]),
        "untrained": score(cases, [fill(untrained, case).texts[0] for case in cases]),
        "previous line": score(cases, map(previous_line, cases)),
    }
    spent = [infill.timings.prefill_ms + infill.timings.denoise_ms for infill in infills]
    return Report(
        scores, statistics.median(infill.steps for infill in infills), statistics.median(spent), engine.info.device_name
    )


def _split_last(text: str, size: int) -> tuple[str, str]:
    """`text` in two at a line border, the second part at most about `size` long."""
    if len(text) <= size:
        return "", text
    border = text.find("\n", len(text) - size) + 1
    cut = border if 0 < border <= len(text) else len(text) - size
    return text[:cut], text[cut:]


def _split_first(text: str, size: int) -> tuple[str, str]:
    if len(text) <= size:
        return text, ""
    border = text.rfind("\n", 0, size) + 1
    cut = border if border > 1 else size
    return text[:cut], text[cut:]
