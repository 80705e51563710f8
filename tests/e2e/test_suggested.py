"""`dgls/suggested` over real pipes: time and steps of a suggestion, for clients that want them."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.test_inline_completion import METHOD, URI, ready
from tests.e2e.wire import Message, Wire, completion, insertion

ASKED: Message = {"capabilities": {"workspace": {"configuration": True}, "experimental": {"dgls": {"suggested": True}}}}


def told(wire: Wire) -> list[Message]:
    return [message["params"] for message in wire.heard if message["method"] == "dgls/suggested"]


async def test_suggested_for_a_client_that_wants_it_comes_before_the_answer(tmp_path: Path) -> None:
    async with ready(tmp_path, ASKED, texts=["value"], confidence=0.75, steps=3) as (wire, _):
        wire.open(URI, "x = \n")
        await wire.request(METHOD, completion(URI, 0, 4))
        (one,) = told(wire)
        assert one["milliseconds"] > 0
        del one["milliseconds"]
        assert one == {"uri": URI, "steps": 3, "confidence": 0.75}


async def test_suggested_of_a_cached_suggestion_has_no_steps(tmp_path: Path) -> None:
    async with ready(tmp_path, ASKED, texts=["value"], steps=3) as (wire, _):
        wire.open(URI, "x = \n")
        await wire.request(METHOD, completion(URI, 0, 4))
        wire.notify("textDocument/didChange", insertion(URI, 2, 0, 4, "v"))
        await wire.request(METHOD, completion(URI, 0, 5))
        assert [one["steps"] for one in told(wire)] == [3, 0]


async def test_suggested_without_a_suggestion_is_not_sent(tmp_path: Path) -> None:
    async with ready(tmp_path, ASKED, texts=["value"], confidence=0.01) as (wire, _):
        wire.open(URI, "x = \n")
        assert (await wire.request(METHOD, completion(URI, 0, 4)))["items"] == []
        assert told(wire) == []


async def test_suggested_for_other_clients_is_not_sent(tmp_path: Path) -> None:
    async with ready(tmp_path, texts=["value"]) as (wire, _):
        wire.open(URI, "x = \n")
        assert (await wire.request(METHOD, completion(URI, 0, 4)))["items"]
        assert told(wire) == []


async def test_suggested_of_an_uncalibrated_model_has_no_confidence_and_no_threshold(tmp_path: Path) -> None:
    async with ready(tmp_path, ASKED, texts=["value"], confidence=0.01, calibration={}) as (wire, _):
        wire.open(URI, "x = \n")
        await wire.request(METHOD, completion(URI, 0, 4))
        (one,) = told(wire)
        assert "confidence" not in one
