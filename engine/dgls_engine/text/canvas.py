"""Segments -> the token array that is denoised together.

    opening or before (pinned)  |  hole  |  pinned  |  hole  |  after (pinned)  |  closing (pinned)

Each segment is tokenised separately. Token healing: if longer tokens begin with the bytes of the last token before a
hole ("print" begins with "pri"), that token is freed. The hole then starts one token earlier, its first token must
begin with the freed bytes, and these bytes are stripped from the hole's text. So the pinned text comes back byte for
byte. Plain values; knows no model. Runs on the engine thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dgls_engine.errors import RequestTooLarge
from dgls_engine.model.widths import width_for
from dgls_engine.profile import Profile
from dgls_engine.text.opened import Opened, opened, start_text
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Beginning, Context, Hole, Pinned, Resume, Segment


@dataclass(frozen=True, slots=True)
class Span:
    """A hole's canvas positions `start..end`. Its text begins behind the `freed` bytes of its first token.

    The first `min_tokens` positions hold no PAD. The text ends before `stop`, before `follows`, the code behind a hole
    of a model that writes on, and before a line that is indented less than `indent`. `expected` are the ids of the text
    that the hole replaces: another text must score better by a margin, which is larger for a smaller `strength`.
    `resumed`: at the first step the hole holds the canvas' ids instead of noise. `word` and `stands` as in `Opened`,
    `avoid` and `begins` as in `Hole`.
    """

    start: int
    end: int
    freed: bytes = b""
    min_tokens: int = 0
    stop: str | None = None
    expected: tuple[int, ...] = ()
    strength: float = 1.0
    resumed: bool = False
    follows: str = ""
    indent: str = ""
    avoid: tuple[str, ...] = ()
    begins: tuple[Beginning, ...] = ()
    word: bool = False
    stands: bool = False

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Spilled:
    """Pinned text that the canvas has no room for. `before`: ids from the start of the text before the holes. `after`:
    the end of the text after them, as text, because a prompt encodes it together with the text below."""

    before: tuple[int, ...] = ()
    after: str = ""


@dataclass(frozen=True, slots=True)
class Canvas:
    """The token ids and the holes in ascending order. A hole's ids are its draft or PAD. Other positions are pinned."""

    ids: tuple[int, ...]
    holes: tuple[Span, ...]
    spilled: Spilled = Spilled()

    @property
    def rows(self) -> list[int]:
        """The hole positions, ascending: the rows that need logits."""
        return [row for hole in self.holes for row in range(hole.start, hole.end)]

    @property
    def pinned(self) -> list[bool]:
        """Whether each position is pinned."""
        free = set(self.rows)
        return [position not in free for position in range(len(self.ids))]

    @property
    def resumed(self) -> list[bool]:
        """Whether each of the hole positions starts from a draft."""
        return [hole.resumed for hole in self.holes for _ in range(len(hole))]

    @property
    def draft(self) -> list[int] | None:
        """The ids of all hole positions, if all start from drafts."""
        return [self.ids[row] for row in self.rows] if all(hole.resumed for hole in self.holes) else None

    def filled(self, draft: Sequence[int]) -> list[int]:
        """All ids, with `draft` in the hole positions."""
        ids = list(self.ids)
        for row, id in zip(self.rows, draft, strict=True):
            ids[row] = id
        return ids


_LEAD_LINES = 2
_LINE_END = re.compile(r"(?<=\S)\n")


def lead_in(context: Context, segments: Sequence[Segment]) -> tuple[Context, tuple[Segment, ...]]:
    """Move the last lines of `above` and the first of `below` into the segments, for models whose canvas must begin
    with a pinned token, and whose fills end where the code behind the hole begins. If the canvas has no room for them,
    `lay_out` spills them, and the prompt shows them.

    The cuts are between a line's last letter and its line break: no token of a GPT-2 tokenizer crosses such a place.
    """
    breaks = [match.start() for match in _LINE_END.finditer(context.above)]
    cut = breaks[-_LEAD_LINES] if len(breaks) >= _LEAD_LINES else 0
    breaks = [match.start() for match in _LINE_END.finditer(context.below)]
    end = breaks[_LEAD_LINES] if len(breaks) > _LEAD_LINES else len(context.below)
    moved = (Pinned(context.above[cut:]), *segments, Pinned(context.below[:end]))
    return replace(context, above=context.above[:cut], below=context.below[end:]), moved


def following(text: str) -> str:
    """How the code behind a hole begins: with the rest of the hole's line, or else with the first line below that is
    not blank. It includes that line's end, so that no longer line begins with it; "" if there is no such line."""
    rest, line_break, below = text.partition("\n")
    if rest.strip():
        return rest.removesuffix("\r") + ("" if rest.endswith("\r") else line_break)
    line = _FIRST_LINE.match(below)
    return f"\n{line[1]}" if line else ""


_FIRST_LINE = re.compile(r"(?:[ \t\r]*\n)*([^\r\n]*\S[^\r\n]*\n?)")


def lay_out(
    segments: Sequence[Segment],
    tokenizer: Tokenizer,
    profile: Profile,
    positions: Callable[[Hole, int | None], int],
    closing: Sequence[int] = (),
    opening: Sequence[int] = (),
    spare: int = 0,
) -> Canvas:
    """The canvas of `segments`, with `spare` positions less for the code around the holes than there is room for.

    `positions` comes from the length policy. If no code stands before the first hole, the canvas begins with `opening`.
    `closing` are the tokens that end a finished answer, if any; behind them PAD fills the canvas up to the next of
    `model.widths`, as it does behind a shorter answer.

    The outer pinned texts are cut to the profile's budgets, at the end that is far from the holes. Raises
    `RequestTooLarge` if the holes and the pinned text between them do not fit.
    """
    texts, holes = _alternating(segments)
    seams = [_seam(text, tokenizer, hole.healed) for text, hole in zip(texts[:-1], holes, strict=True)]
    pinned, freed = [*(ids for ids, _ in seams), tokenizer.encode(texts[-1])], [spelled for _, spelled in seams]
    drafts = [joined(at, start_text(hole), tokenizer) for hole, at in zip(holes, freed, strict=True)]
    expected = [joined(at, hole.expected or None, tokenizer) for hole, at in zip(holes, freed, strict=True)]
    sizes = [positions(hole, None if draft is None else len(draft)) for hole, draft in zip(holes, drafts, strict=True)]
    pinned[0] = pinned[0] or list(opening)
    fixed = sum(sizes) + sum(map(len, pinned[1:-1])) + len(closing)
    room = profile.canvas_tokens - fixed - spare
    if room < len(opening):
        raise RequestTooLarge(
            f"the holes and the code between them need {fixed + len(opening)} tokens, but the model's canvas holds "
            f"{profile.canvas_tokens}: ask for fewer holes at once or for shorter ones"
        )
    before, after = pinned[0], pinned[-1]
    pinned[0], pinned[-1] = _trim(before, after, room, profile)
    if profile.in_one_sequence:
        pinned[0] = _from_a_step(before, len(pinned[0]))
    rest = tokenizer.decode(after[len(pinned[-1]) :]) if pinned[-1] else texts[-1]
    spilled = Spilled(tuple(before[: len(before) - len(pinned[0])]), rest)
    ids: list[int] = []
    spans: list[Span] = []
    each = zip(pinned[:-1], holes, freed, drafts, expected, sizes, texts[1:], strict=True)
    for text, hole, at, draft, stood, size, behind in each:
        ids += text
        least = min(hole.min_tokens, size)
        end = len(ids) + size
        spans.append(
            Span(
                start=len(ids),
                end=end,
                freed=at,
                min_tokens=least,
                stop=hole.stop,
                expected=tuple(stood or ()),
                strength=hole.strength,
                resumed=isinstance(hole.start, Resume),
                follows=following(behind) if profile.continues else "",
                indent=hole.indent,
                avoid=hole.avoid,
                begins=hole.begins,
                word=hole.word,
                stands=hole.stands,
            )
        )
        ids += (draft or []) + [tokenizer.pad_id] * (size - len(draft or []))
    ids += [*pinned[-1], *closing]
    if closing:
        ids += [tokenizer.pad_id] * (width_for(len(ids), profile.canvas_tokens) - len(ids))
    return Canvas(tuple(ids), tuple(spans), spilled)


def _alternating(segments: Sequence[Segment]) -> tuple[list[str], list[Opened]]:
    """The n holes and the n + 1 texts around them. Neighbouring pinned texts are joined; a missing text is empty."""
    texts: list[str] = [""]
    holes: list[Opened] = []
    for segment in segments:
        if isinstance(segment, Pinned):
            texts[-1] += segment.text
        else:
            holes.append(opened(segment))
            texts.append("")
    return texts, holes


def _seam(text: str, tokenizer: Tokenizer, healed: bool) -> tuple[list[int], bytes]:
    """The ids of a text before a hole, and its freed bytes: those of its last token, if longer tokens begin with
    them."""
    if not healed:
        return tokenizer.encode(text), b""
    ids, freed = tokenizer.encode_before(text)
    if freed or not ids:
        return ids, freed
    spelled = tokenizer.token_bytes(ids[-1])
    return (ids[:-1], spelled) if len(tokenizer.extending(spelled)) > 1 else (ids, b"")


def joined(freed: bytes, text: str | None, tokenizer: Tokenizer) -> list[int] | None:
    """The tokens of a text in a hole. The first token begins with the freed bytes."""
    if text is None:
        return None
    try:
        joined = tokenizer.encode(freed.decode() + text)
    except UnicodeDecodeError:  # the freed bytes end within a character
        joined = []
    if not freed or (joined and tokenizer.token_bytes(joined[0]).startswith(freed)):
        return joined
    own = next(id for id in tokenizer.extending(freed) if tokenizer.token_bytes(id) == freed)
    return [own, *tokenizer.encode(text)]


_SPILL_STEP = 16
"""Where a change of the prompt costs a pass over all of it, what spills from the canvas grows in such steps of tokens,
not with each token that the user types."""


def _from_a_step(before: list[int], kept: int) -> list[int]:
    """The last tokens of `before`, at most `kept` of them, from a multiple of `_SPILL_STEP` on."""
    start = -(-(len(before) - kept) // _SPILL_STEP) * _SPILL_STEP
    return before[min(start, max(0, len(before) - 1)) :] if kept else []


def _trim(before: list[int], after: list[int], room: int, profile: Profile) -> tuple[list[int], list[int]]:
    """Keep the end of `before` and the start of `after`, each within its budget and both within `room` tokens."""
    most_before = min(len(before), profile.before_tokens)
    most_after = min(len(after), profile.after_tokens)
    budgets = max(1, profile.before_tokens + profile.after_tokens)
    fair = room * profile.after_tokens // budgets
    kept_after = min(most_after, max(fair, room - most_before))
    kept_before = min(most_before, room - kept_after)
    return before[len(before) - kept_before :], after[:kept_after]
