"""A chat model on any server with OpenAI's chat endpoint, behind the interface of `engine.Engine`.

    request -> message (the code before and after a hole) -> an answer -> the hole's text

It cannot pin: the model is told what stands around a hole, and writes what it likes. Only the text that belongs in the
hole is taken from its answer (`answer`). Nothing of the model is on this machine: tokens are estimated from characters,
and how sure the model is remains unknown. The holes of a request are filled in turn, one message each.
`server_engine` says how it uses its thread and its connections.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from dgls_engine.errors import EngineError, ServerUnfit
from dgls_engine.profile import ModelInfo, Profile
from dgls_engine.prompt.message import Characters, Message
from dgls_engine.remote import chat_wire
from dgls_engine.remote.address import Address
from dgls_engine.remote.answer import text_of, without_thought
from dgls_engine.remote.conversation import waited
from dgls_engine.remote.handshake import Served, served_model
from dgls_engine.remote.server_engine import NothingInTime, ServerEngine
from dgls_engine.remote.transport import Patience
from dgls_engine.text.redraft import keeps
from dgls_engine.types import CancelToken, Context, Fill, Finish, Hole, Infill, InfillRequest, Step, Timings

CHARACTERS = 3.5
"""Characters of code in a token, roughly: vocabularies differ."""

PROFILE = Profile(
    canvas_tokens=1024,
    max_prompt_tokens=3072,
    before_tokens=192,
    after_tokens=128,
    prompt_format="chat",
    hole_policy="pad",
)
"""A message and its answer fit into 4,096 tokens, the context of a small server. `before_tokens`, `after_tokens` and
the canvas only say how much code one request is about."""

_TALK = 64
"""Tokens of talk and fences that an answer may have; it may also repeat as much code as the hole has."""

_OTHER = 0.8
"""The temperature of all candidates but the first."""

_LONGEST_LEFT = 200


class ChatEngine(ServerEngine):
    """`open` it, `infill` many times, `close` it."""

    def __init__(self, address: Address, patience: Patience) -> None:
        info = ModelInfo(
            name=address.served_model or "chat",
            parameters=0,
            weight_bytes=0,
            device=f"chat at {address.host}, cannot pin",
            device_name="a server",
            dtype="",
            load_ms=0.0,
            profile=PROFILE,
            pins=False,
        )
        super().__init__(address, patience, info)

    @classmethod
    def open(cls, address: Address, patience: Patience | None = None) -> ChatEngine:
        """Ask the server which models it serves. Raises `ServerUnfit`; that the server can't be reached is no error,
        but shows in `info`."""
        return cls(address, patience or Patience())._opened()

    def count(self, text: str) -> int:
        return -int(-len(text) // CHARACTERS)

    async def _greeting(self) -> Served:
        return await served_model(self._transport, self._address, must_list=False)

    def _adopt(self, served: Served) -> None:
        profile = PROFILE
        if served.longest is not None:
            room = served.longest - PROFILE.canvas_tokens
            if room < PROFILE.canvas_tokens:
                raise ServerUnfit(
                    f"the server at {self._address.host} takes {served.longest} tokens at most, dgls needs "
                    f"{2 * PROFILE.canvas_tokens}: start it with a longer context"
                )
            profile = replace(PROFILE, max_prompt_tokens=min(PROFILE.max_prompt_tokens, room))
        self.info = replace(self.info, name=served.model, profile=profile)

    def _filled(
        self, request: InfillRequest, served: Served, cancel: CancelToken, until: float | None
    ) -> Iterator[Step | Infill]:
        if any(isinstance(segment, Hole) and keeps(segment) for segment in request.segments):
            raise EngineError(
                "a chat server cannot pin, so it cannot change a part of the code and keep the rest; rewrite the code "
                "instead, or choose another dgls.engine.kind"
            )
        started = time.monotonic()
        texts = [segment.text if not isinstance(segment, Hole) else "" for segment in request.segments]
        holes = {place: segment for place, segment in enumerate(request.segments) if isinstance(segment, Hole)}
        finish: Finish = "stable"
        asked = answered = 0
        for place, hole in holes.items():
            if until is not None and time.monotonic() >= until:
                finish = "deadline"
                break
            before = request.context.above + "".join(texts[:place])
            after = "".join(texts[place + 1 :]) + request.context.below
            message = self._message(request.context, before, after, hole, several=len(holes) > 1)
            asked += self.count(message)
            said = self._asked(message, hole, served, request.seed, cancel, until)
            texts[place] = filling = _text(said, before, after, hole, request.context.language)
            if not said.end:
                struck = until is not None and time.monotonic() >= until
                if struck and not answered and not filling:
                    raise NothingInTime
                finish = "deadline" if struck else "steps" if finish == "stable" else finish
            answered += 1
        fills = tuple(Fill(texts[place], (), None, 0.0) for place in holes)
        hole_tokens = sum(self.count(fill.text) for fill in fills)
        took = Timings(0.0, (time.monotonic() - started) * 1000)
        yield Infill(fills, answered, finish, took, asked, asked, hole_tokens, hole_tokens, answered)

    def _message(self, context: Context, before: str, after: str, hole: Hole, several: bool) -> str:
        """The same words as a chat model gets on this machine, and what it cannot see without a canvas."""
        characters = Characters()
        left, right = before.rpartition("\n")[2][-_LONGEST_LEFT:], after.partition("\n")[0][:_LONGEST_LEFT]
        notes = []
        if several and context.current:
            notes.append("The text that stood there until now belongs to several regions. Write this one alone.")
        if hole.stop == "\n":
            notes.append("It is a part of one line.")
        if left.strip():
            notes.append(f"It begins in the middle of a line, right behind: {left.lstrip()}")
        if right.strip():
            notes.append(f"The line on which it ends goes on with: {right.rstrip()}")
        context = replace(context, above=before, below=after)
        message = Message(characters, int(self.profile.max_prompt_tokens * CHARACTERS))
        return characters.decode(message.encode(context, ending="\n".join(notes)))

    def _asked(
        self, message: str, hole: Hole, served: Served, seed: int, cancel: CancelToken, until: float | None
    ) -> chat_wire.Said:
        """The answer, or at the deadline what has come of it."""
        gatherings: list[chat_wire.Gathering] = []

        def gathering() -> chat_wire.Gathering:
            gatherings.append(chat_wire.Gathering())
            return gatherings[-1]

        most = min(2 * hole.max_tokens + _TALK, PROFILE.canvas_tokens)
        body = chat_wire.body(message, served.model, most, _OTHER if seed else 0.0)
        try:
            said = waited(self._loop(), self._transport.stream(chat_wire.PATH, body, gathering), cancel, until)
        except TimeoutError:
            if not gatherings:
                raise NothingInTime from None
            return gatherings[-1].so_far
        if not said.end and (said.thought or said.text) and not without_thought(said.text).strip():
            raise ServerUnfit(
                f"the model {served.model} at {self._address.host} thinks for longer than its answer may be: turn its "
                "thinking off at the server, or name another model in dgls.engine.servedModel"
            )
        return said


def _text(said: chat_wire.Said, before: str, after: str, hole: Hole, language: str) -> str:
    """What belongs into the hole of what was said."""
    text = text_of(said.text, before, after, language, one_line=hole.stop == "\n", end=said.end)
    return text if hole.stop is None else text.split(hole.stop, 1)[0]
