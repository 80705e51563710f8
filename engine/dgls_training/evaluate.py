"""Held-out figures of the embedded model: the engine fills single-line holes in packages outside the training corpus.

Two baselines on the same cases: the untrained model, and a copy of the previous non-blank line.
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
"""Characters of Python code for each token of the embedded tokenizer (measured on held-out code: 3.2)."""


@dataclass(frozen=True, slots=True)
class Case:
    """A hole at the end of a line: `answer` is missing between `prefix` and `suffix`, which starts with a line end."""

    prefix: str
    answer: str
    suffix: str
    whole_line: bool


@dataclass(frozen=True, slots=True)
class Score:
    """Means over `holes` cases, 0 to 1. `edit_similarity` is difflib's ratio. `whole_line` is the exact match of the
    holes for a line's whole code, `rest_of_line` that of the other holes."""

    holes: int
    exact_match: float
    edit_similarity: float
    whole_line: float
    rest_of_line: float


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of the model and the baselines; the model's median steps and milliseconds for a hole, and the device."""

    scores: dict[str, Score]
    steps_p50: float
    ms_p50: float
    device: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def cases(sources: Sequence[Source], count: int, seed: int) -> list[Case]:
    """Single-line holes: half of them take a line's whole code, half the code after a random place in a line.

    Lines have at least 4 characters of code. Comments and lines without any of ()[]{}=:.,_ (prose) are skipped.
    """
    rng = random.Random(seed)
    drawn: list[Case] = []
    while len(drawn) < count:
        text = rng.choice(sources).text
        at = rng.randrange(len(text))
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        code = text[start:end].strip() if end > start else ""
        if len(code) < 4 or len(code) > 90 or code.startswith("#") or not any(c in "()[]{}=:.,_" for c in code):
            continue
        first = text.index(code, start)
        whole = len(drawn) % 2 == 0
        cut = first if whole else rng.randrange(first + 1, first + len(code))
        if text[cut:end].strip():
            drawn.append(Case(text[:cut], text[cut:end].rstrip(), text[end:], whole))
    return drawn


def score(cases: Sequence[Case], fills: Iterable[str]) -> Score:
    exact, similar = [], []
    for case, fill in zip(cases, fills, strict=True):
        exact.append(fill.rstrip() == case.answer)
        similar.append(difflib.SequenceMatcher(None, fill.rstrip(), case.answer, autojunk=False).ratio())
    whole = [hit for case, hit in zip(cases, exact, strict=True) if case.whole_line]
    rest = [hit for case, hit in zip(cases, exact, strict=True) if not case.whole_line]
    return Score(len(cases), *(round(sum(part) / max(1, len(part)), 4) for part in (exact, similar, whole, rest)))


def fill(engine: Engine, case: Case, seed: int = 0) -> Infill:
    """The engine's answer for the hole."""
    *_, last = engine.infill(request_of(engine.profile, case, seed))
    assert isinstance(last, Infill)
    return last


def request_of(profile: Profile, case: Case, seed: int = 0, oracle_length: bool = False) -> InfillRequest:
    """The hole with pinned code on both sides, cut at line borders. `oracle_length`: the hole starts from noise of the
    answer's length, which the policy `fixed` keeps."""
    before_tokens, after_tokens = profile.around_tokens
    above, before = _split_last(case.prefix, before_tokens * CHARACTERS_A_TOKEN)
    after, below = _split_first(case.suffix, after_tokens * CHARACTERS_A_TOKEN)
    hole = Hole(max_tokens=32, stop="\n", start=Revise(case.answer, 1.0) if oracle_length else Blank())
    context = Context(language="python", above=above, below=below)
    return InfillRequest(context, [Pinned(before), hole, Pinned(after)], seed=seed)


def previous_line(case: Case) -> str:
    """The baseline's fill: the code of the previous non-blank line, from the column where the hole starts in its line
    (indentation not counted)."""
    lines = [line.strip() for line in case.prefix.split("\n")]
    typed = len(case.prefix.rpartition("\n")[2].lstrip())
    return next((line for line in reversed(lines[:-1]) if line), "")[typed:]


def report(engine: Engine, untrained: Engine, cases: Sequence[Case]) -> Report:
    """The scores of the model, of the untrained model, and of copying, on the same cases."""
    infills = [fill(engine, case) for case in cases]
    scores = {
        "trained": score(cases, [infill.texts[0] for infill in infills]),
        "untrained": score(cases, [fill(untrained, case).texts[0] for case in cases]),
        "previous line": score(cases, map(previous_line, cases)),
    }
    times = [infill.timings.prefill_ms + infill.timings.denoise_ms for infill in infills]
    return Report(
        scores, statistics.median(infill.steps for infill in infills), statistics.median(times), engine.info.device_name
    )


def _split_last(text: str, size: int) -> tuple[str, str]:
    """Split `text` in two, at a line border if possible; the second part has at most `size` characters."""
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
