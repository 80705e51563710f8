"""`dgls serve` with a chat server, which cannot pin: from the editor's settings to the server and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.acting import LIST, RESOLVE, capable, edited, listing, place, shown, titled
from tests.e2e.test_inline_completion import AUTOMATIC, INVOKED, METHOD, URI, texts
from tests.e2e.test_remote import LINE, LONG, SERVER, STUB, last, until
from tests.e2e.wire import Message, Wire, completion, insertion, serving
from tests.remote.fake_chat import FakeChat


@pytest.fixture
def chat() -> Iterator[FakeChat]:
    with FakeChat(says="```python\nvalue = name\n```") as server:
        yield server


@asynccontextmanager
async def using(chat: FakeChat, state: str = "ready", **engine: object) -> AsyncIterator[Wire]:
    """An initialized client of a server that uses `chat`, once its status is `state`."""
    settings: Message = {
        "engine": {"url": chat.url, "kind": "chat", **engine},
        "inlineCompletion": {"candidates": 1, "deadlineMs": LONG},
    }
    async with serving(SERVER) as server:
        server.wire.settings = settings
        await server.wire.initialize(capable(workspace={"configuration": True}))
        await server.wire.status(state)
        yield server.wire
        assert b"Traceback" not in server.stderr, server.stderr.decode()


async def test_suggestions_and_status_of_a_chat_server(chat: FakeChat) -> None:
    async with using(chat) as wire:
        status = last(wire)
        assert (status["model"], status["device"]) == ("team/model", f"chat at 127.0.0.1:{chat.port}, cannot pin")
        assert (status["memory"], status["instructions"], status["health"]) == (None, True, "")
        wire.open(URI, LINE)
        assert texts(await wire.request(METHOD, completion(URI, 2, 8, AUTOMATIC))) == ["name"], "shown unasked"
        wire.notify("textDocument/didChange", insertion(URI, 2, 2, 8, "not "))
        assert texts(await wire.request(METHOD, completion(URI, 2, 12, INVOKED)))
        assert shown(wire) == []


async def test_actions_of_a_chat_server_fill_and_rewrite(chat: FakeChat) -> None:
    async with using(chat) as wire:
        wire.open(URI, STUB)
        listed = await wire.request(LIST, listing(URI, place(STUB, "x = 1")))
        assert not [action for action in listed if "Refine" in action["title"]]
        before, after = STUB.split("pass")
        action = await titled(wire, listing(URI, place(STUB, "pass")), "Fill here")
        chat.says = "Sure! Here it is:\n```python\ndef total(values):\n    return sum(values)\n```\nThis sums them."
        resolved = await wire.request(RESOLVE, action)
        assert edited(STUB, resolved["edit"]) == f"{before}return sum(values){after}"
        action = await titled(wire, listing(URI, place(STUB, "x = 1")), "Simplify selection")
        chat.says = "x = 2"
        resolved = await wire.request(RESOLVE, action)
        assert edited(STUB, resolved["edit"]) == STUB.replace("x = 1", "x = 2")
        assert "Simplify this code" in chat.asked[-1].body["messages"][0]["content"]


async def test_refinement_by_a_chat_server_is_refused_in_words(chat: FakeChat) -> None:
    async with using(chat) as wire:
        wire.open(URI, STUB)
        rewrite = {"uri": URI, "version": 1, "range": place(STUB, "x = 1"), "strength": 0.5}
        await wire.request("workspace/executeCommand", {"command": "dgls.rewrite", "arguments": [rewrite]})
        (said,) = shown(wire)
        assert said.startswith("dgls changed nothing: a chat server cannot pin")
        assert chat.asked == []


async def test_next_keystroke_closes_the_stream_of_the_older_suggestion(chat: FakeChat) -> None:
    async with using(chat) as wire:
        wire.open(URI, LINE)
        chat.faults.append("hang")
        older = wire.ask(METHOD, completion(URI, 2, 8, AUTOMATIC))
        await until(lambda: chat.asked)
        wire.notify("textDocument/didChange", insertion(URI, 2, 2, 8, "not "))
        newer = wire.ask(METHOD, completion(URI, 2, 12, AUTOMATIC))
        assert texts((await wire.reply(older))["result"]) == []
        assert (await wire.reply(newer))["result"]["items"]
        await until(lambda: chat.asked[0].aborted)
        assert shown(wire) == []


async def test_chat_server_that_takes_no_key_fails_in_words(chat: FakeChat) -> None:
    chat.keys = {"secret"}
    async with using(chat, "failed", servedModel="team/model") as wire:
        assert "does not take the API key" in last(wire)["message"]
        assert last(wire)["model"] == "team/model"
        await wire.until(lambda: shown(wire) == [f"dgls has no model: {last(wire)['message']}"])
