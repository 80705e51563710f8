"""Is it a server that can do what we need? Asked once before the first request, and again after it was away.

A server that knows pins refuses pins without a canvas, and says so; one that doesn't know them answers as if nothing
had been asked. That costs no step of the model. Knows `wire` and the transport; runs in the engine thread's loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dgls_engine.errors import ServerUnfit
from dgls_engine.profile import Profile
from dgls_engine.remote import wire
from dgls_engine.remote.address import Address
from dgls_engine.remote.transport import Transport
from dgls_engine.text.tokenizer import Tokenizer

NEEDED = "vLLM 0.33"
"""The first version with the request fields that we use."""

_SAMPLE = "def café(x):\n    return {x: '\u2713'}  # \U0001f600\n"
"""A text whose tokens differ between vocabularies."""


@dataclass(frozen=True, slots=True)
class Served:
    """The `model` as the server calls it, the `longest` sequence it takes (None: not told), and the server's version,
    empty if it doesn't tell."""

    model: str
    longest: int | None
    version: str = ""


async def greet(transport: Transport, address: Address, tokenizer: Tokenizer, profile: Profile) -> Served:
    """For a server that has to pin. Raises `ServerUnfit` with what to change, and `ServerUnreachable`."""
    served = await served_model(transport, address)
    told = await transport.if_there("GET", "/version")
    version = str(told.get("version", ""))[:40] if told else ""
    await _require_pins(transport, address, served.model, version, tokenizer, profile)
    await _require_vocabulary(transport, address, served.model, tokenizer)
    if served.longest is not None and served.longest <= profile.canvas_tokens:
        raise ServerUnfit(
            f"the server at {address.host} takes {served.longest} tokens at most, the canvas alone has "
            f"{profile.canvas_tokens}: start it with a larger --max-model-len"
        )
    return replace(served, version=version)


async def served_model(transport: Transport, address: Address, must_list: bool = True) -> Served:
    """The model to use, of those that the server lists. Unless it `must_list` them, one that lists none is asked for
    the model that the settings name. Raises as `greet` does."""
    try:
        listed = await transport.get("/v1/models")
    except wire.Refused as refused:
        if address.served_model and not must_list:
            return Served(address.served_model, None)
        advice = "See dgls.engine.url" + ("" if must_list else ", or name a model in dgls.engine.servedModel")
        asked = f"{address.base}/v1/models answers {refused.status}"
        raise ServerUnfit(f"{asked}: is there a model server at {address.host}? {advice}") from None
    return Served(*_choose(listed, address))


def _choose(listed: Mapping[str, Any], address: Address) -> tuple[str, int | None]:
    cards = listed.get("data")
    listing = cards if isinstance(cards, Sequence) else []
    found = {str(card["id"]): card for card in listing if isinstance(card, Mapping) and card.get("id")}
    names = list(found)
    shown = ", ".join(names[:5]) or "none"
    if address.served_model and address.served_model not in names:
        raise ServerUnfit(
            f"the server at {address.host} serves no model {address.served_model!r}, but: {shown}; "
            "see dgls.engine.servedModel"
        )
    if not address.served_model and len(names) != 1:
        raise ServerUnfit(
            f"the server at {address.host} serves {len(names)} models ({shown}): name one in dgls.engine.servedModel"
        )
    name = address.served_model or names[0]
    longest = found[name].get("max_model_len")
    return name, longest if isinstance(longest, int) else None


async def _require_pins(
    transport: Transport, address: Address, model: str, version: str, tokenizer: Tokenizer, profile: Profile
) -> None:
    try:
        await transport.post("/v1/completions", wire.probe(model, profile.canvas_tokens, tokenizer.pad_id))
    except wire.Refused as refused:
        if wire.refused_for_width(refused.message):
            raise ServerUnfit(
                f"the canvas of the server at {address.host} holds fewer than the {profile.canvas_tokens} tokens of "
                "dgls.model: start it with the canvas length of the model"
            ) from None
        if wire.refused_for_pins(refused.message):
            return
        raise ServerUnfit(
            f"the server at {address.host} refuses what {NEEDED} would take ({refused.message}): {_what_is_needed()}"
        ) from None
    raise cannot_pin(address, version)


def cannot_pin(address: Address, version: str = "") -> ServerUnfit:
    """For a server that lets the model write where the user's code stands."""
    own = f" (vLLM {version})" if version else ""
    return ServerUnfit(
        f"the server at {address.host}{own} can't pin: it would let the model overwrite the code around a hole; "
        f"{_what_is_needed()}"
    )


def _what_is_needed() -> str:
    return (
        f"dgls needs {NEEDED} or later that serves a text-diffusion model; for another server of a chat model set "
        'dgls.engine.kind to "chat", which fills by instruction'
    )


async def _require_vocabulary(transport: Transport, address: Address, model: str, tokenizer: Tokenizer) -> None:
    """Where the server tells how it spells a text, it has to be as we do: ids are all that goes to and fro."""
    asked = {"model": model, "prompt": _SAMPLE, "add_special_tokens": False}
    told = await transport.if_there("POST", "/tokenize", asked)
    if told is not None and "tokens" in told and told["tokens"] != tokenizer.encode(_SAMPLE):
        raise ServerUnfit(
            f"the model that the server at {address.host} serves has another vocabulary than dgls.model: "
            "set dgls.model to the same model (its folder needs no weights)"
        )
