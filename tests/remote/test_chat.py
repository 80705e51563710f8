"""Holes filled by instruction on a chat server: what is asked, what is taken, and what goes wrong."""

from __future__ import annotations

import threading
import time

import pytest

from dgls_engine import CancelToken, Context, Hole, InfillRequest, Limits, Pinned
from dgls_engine.errors import Cancelled, EngineClosed, EngineError, ServerUnfit, ServerUnreachable
from dgls_engine.remote.address import Address
from dgls_engine.remote.chat import CHARACTERS, PROFILE, ChatEngine
from dgls_engine.types import Infill, Revise, Snippet
from tests.remote.conftest import HASTY, OpenChat
from tests.remote.fake_chat import FakeChat

BEFORE, AFTER = "def read(path):\n    return ", "\n\n\nprint(read('a'))\n"


def request(
    *holes: Hole, context: Context | None = None, seed: int = 0, deadline_ms: int | None = None
) -> InfillRequest:
    """Holes between lines of code."""
    segments = [Pinned(BEFORE)]
    for hole in holes or (Hole(max_tokens=12, stop="\n"),):
        segments += [hole, Pinned(AFTER)]
    return InfillRequest(context or Context(), segments, Limits(deadline_ms=deadline_ms), seed)


def run(engine: ChatEngine, asked: InfillRequest, cancel: CancelToken | None = None) -> Infill:
    [infill] = engine.infill(asked, cancel)
    assert isinstance(infill, Infill)
    return infill


def await_abort(server: FakeChat) -> None:
    """The server sees the end of a connection a moment later."""
    began = time.monotonic()
    while not server.asked[-1].aborted:
        assert time.monotonic() - began < 30
        time.sleep(0.01)


def message(server: FakeChat, number: int = -1) -> str:
    [only] = server.asked[number].body["messages"]
    assert only["role"] == "user"
    content: str = only["content"]
    return content


def test_infill_returns_text_without_confidence(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.says = "Here is the code:\n```python\n    return open(path).read()\n```"
    engine = converse(chatting)
    infill = run(engine, request())
    assert infill.texts == ("open(path).read()",)
    assert infill.fills[0].confidence is None
    assert (infill.finish, infill.steps, infill.fills[0].pieces) == ("stable", 1, ())
    assert engine.info.name == "team/model"
    assert engine.info.device == f"chat at 127.0.0.1:{chatting.port}, cannot pin"
    assert (engine.info.pins, engine.info.profile.takes_instructions, engine.info.on_gpu) == (False, True, False)
    assert not list(engine.warm())


def test_message_has_code_around_and_what_is_wanted(chatting: FakeChat, converse: OpenChat) -> None:
    snippets = (Snippet("b.py", "def helper(): ...\n"),)
    context = Context("a.py", "python", "import os\n", "# the end\n", snippets, "old()", "Use pathlib.")
    run(converse(chatting), request(context=context))
    said = message(chatting)
    assert f"<above>\nimport os\n{BEFORE}\n</above>" in said
    assert f"<below>\n{AFTER}# the end\n\n</below>" in said
    assert said.endswith("It is a part of one line.\nIt begins in the middle of a line, right behind: return ")
    assert "several regions" not in said
    for part in ("File: a.py", "Language: python", "def helper(): ...", "<current>\nold()\n", "Use pathlib."):
        assert part in said
    [asked] = chatting.asked
    assert set(asked.body) == {"model", "messages", "max_tokens", "temperature", "stream"}, "some servers refuse others"
    assert (asked.body["model"], asked.body["temperature"], asked.body["stream"]) == ("team/model", 0.0, True)
    assert 12 < asked.body["max_tokens"] < 200


def test_message_of_long_file_fits_server(chatting: FakeChat, converse: OpenChat) -> None:
    """With its answer, and whatever the hole takes."""
    chatting.longest = 2500
    engine = converse(chatting)
    assert engine.info.profile.max_prompt_tokens == 2500 - PROFILE.canvas_tokens
    run(engine, request(Hole(max_tokens=900), context=Context(above="x = 1\n" * 5000, below="y = 2\n" * 5000)))
    said = message(chatting)
    assert engine.count(said) + chatting.asked[-1].body["max_tokens"] <= 2500
    assert BEFORE in said
    assert AFTER in said
    assert len(said) > 0.8 * engine.info.profile.max_prompt_tokens * CHARACTERS


def test_further_candidate_is_drawn_otherwise(chatting: FakeChat, converse: OpenChat) -> None:
    run(converse(chatting), request(seed=1))
    assert chatting.asked[-1].body["temperature"] > 0


def test_halves_of_surrogate_pairs_reach_neither_server_nor_text(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.answers.extend(["'\ud83d", "'\U0001f600'"])
    chatting.size = 2
    engine = converse(chatting)
    assert run(engine, request(context=Context(above="x = '\ud800'\n"))).texts == ("'\ufffd",)
    assert "x = '\ufffd'\n" in message(chatting)
    assert run(engine, request()).texts == ("'\U0001f600'",)


def test_infill_several_holes_asks_in_turn(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.answers.extend(["first()", "second()"])
    context = Context(current="old()\nother()")
    infill = run(converse(chatting), request(*[Hole(max_tokens=12, stop="\n")] * 2, context=context))
    assert infill.texts == ("first()", "second()")
    assert "belongs to several regions" in message(chatting, 0)
    assert "first()" not in message(chatting, 0)
    assert f"return first(){AFTER}\n</above>" in message(chatting, 1)
    assert infill.steps == 2


def test_infill_part_of_text_is_refused(chatting: FakeChat, converse: OpenChat) -> None:
    engine = converse(chatting)
    with pytest.raises(EngineError, match=r"a chat server cannot pin, .* rewrite the code instead"):
        run(engine, request(Hole(start=Revise("open(path)", 0.5))))
    assert chatting.asked == []
    assert engine.info.health == ""
    assert run(engine, request(Hole(start=Revise("open(path)", 1.0)))).texts == ("name",)


@pytest.mark.parametrize(
    "fault", ["drop", "half", "endless", "garbage", "broken off", "html", "whole", "numbers", "500", "503", "429 0.05"]
)
def test_infill_after_one_wrong_answer_retries(chatting: FakeChat, converse: OpenChat, fault: str) -> None:
    engine = converse(chatting)
    chatting.faults.append(fault)
    assert run(engine, request()).texts == ("name",)
    assert len(chatting.asked) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("broken off", "an answer broke off"),
        ("garbage", "an answer is no JSON"),
        ("deep", "an answer is no JSON"),
        ("html", "an answer is no stream of a chat's events"),
        ("whole", "an answer is no stream of a chat's events"),
        ("numbers", "a part of an answer is not as expected"),
        ("500", "answers 500: busy"),
    ],
)
def test_infill_after_three_wrong_answers_raises(chatting: FakeChat, converse: OpenChat, fault: str, said: str) -> None:
    engine = converse(chatting)
    chatting.faults.extend([fault] * 4)
    with pytest.raises(ServerUnreachable, match=said):
        run(engine, request())
    assert len(chatting.asked) == 3
    assert engine.info.health == "not answering"


def test_infill_stream_without_mark_of_end_is_taken(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.faults.append("unmarked")
    assert run(converse(chatting), request()).texts == ("name",)
    assert len(chatting.asked) == 1


def test_infill_error_in_stream_is_retried(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.faults.append("error")
    assert run(converse(chatting), request()).texts == ("name",)


def test_infill_waits_for_retry_after(chatting: FakeChat, converse: OpenChat) -> None:
    engine = converse(chatting)
    chatting.faults.append("429 3600")
    with pytest.raises(ServerUnreachable, match="answers 429: busy; it asks to be left alone for 3600 s"):
        run(engine, request())
    assert len(chatting.asked) == 1


def test_infill_refused_request_raises_at_once(chatting: FakeChat, converse: OpenChat) -> None:
    engine = converse(chatting)
    chatting.faults.append("400 context too long")
    with pytest.raises(ServerUnfit, match="refuses the request: context too long"):
        run(engine, request())
    assert engine.info.health == "refusing"
    assert run(engine, request()).texts == ("name",)
    assert engine.info.health == ""


def test_infill_redirect_sends_no_code_on(chatting: FakeChat, converse: OpenChat) -> None:
    with FakeChat() as other:
        chatting.faults.append(f"307 {other.url}/v1/chat/completions")
        with pytest.raises(ServerUnfit, match="refuses the request"):
            run(converse(chatting), request())
        assert other.seen == []


def test_key_reaches_server_and_its_refusal_says_what_to_do(
    chatting: FakeChat, converse: OpenChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatting.keys = {"right"}
    monkeypatch.setenv("CHAT_KEY", "right")
    assert run(converse(chatting, key_variable="CHAT_KEY"), request()).texts == ("name",)
    with pytest.raises(ServerUnfit, match=r"does not take the API key: set dgls\.engine\.apiKeyVariable"):
        converse(chatting)


def test_infill_deadline_takes_whole_lines(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.says = "one()\n    two()\n    thr"
    chatting.faults.append("stall")
    infill = run(converse(chatting), request(Hole(max_tokens=64), deadline_ms=500))
    assert infill.finish == "deadline"
    assert infill.texts == ("one()\n    two()",)
    await_abort(chatting)


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_infill_deadline_without_whole_line_raises(chatting: FakeChat, converse: OpenChat, fault: str) -> None:
    engine = converse(chatting)
    chatting.faults.append(fault)
    with pytest.raises(ServerUnreachable, match="gave nothing back within 200 ms"):
        run(engine, request(deadline_ms=200))
    assert engine.info.health == "not answering"


def test_infill_deadline_between_holes_keeps_the_first(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.answers.append("first()")
    engine = converse(chatting)
    chatting.faults.extend(["", "hang"])
    infill = run(engine, request(*[Hole(max_tokens=12, stop="\n")] * 3, deadline_ms=400))
    assert (infill.texts, infill.finish) == (("first()", "", ""), "deadline")


def test_infill_answer_cut_by_length_takes_whole_lines(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.says, chatting.reason = "one()\n    two(", "length"
    infill = run(converse(chatting), request(Hole(max_tokens=4)))
    assert (infill.texts, infill.finish) == (("one()",), "steps")


@pytest.mark.parametrize(("thinks", "says"), [("hm", ""), ("", "<think>hm")])
def test_infill_thought_without_answer_says_what_to_do(
    chatting: FakeChat, converse: OpenChat, thinks: str, says: str
) -> None:
    chatting.thinks, chatting.says, chatting.reason = thinks, says, "length"
    with pytest.raises(ServerUnfit, match=r"thinks for longer .* turn its thinking off"):
        run(converse(chatting), request())


def test_infill_thought_in_own_field_is_left_out(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.thinks = "name is a good name"
    assert run(converse(chatting), request()).texts == ("name",)


def test_cancel_closes_stream(chatting: FakeChat, converse: OpenChat) -> None:
    engine, cancel = converse(chatting), CancelToken()
    chatting.faults.append("hang")
    threading.Timer(0.1, cancel.cancel).start()
    with pytest.raises(Cancelled):
        run(engine, request(), cancel)
    await_abort(chatting)


def test_open_picks_served_model_or_raises(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.names = ("one", "two")
    with pytest.raises(ServerUnfit, match=r"2 models \(one, two\): name one in dgls\.engine\.servedModel"):
        converse(chatting)
    assert converse(chatting, served_model="two").info.name == "two"
    chatting.lists = False
    with pytest.raises(ServerUnfit, match=r"models answers 404: .* or name a model in dgls\.engine\.servedModel"):
        converse(chatting)
    assert run(converse(chatting, served_model="two"), request()).texts == ("name",)


def test_open_server_with_short_context_raises(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.longest = 1500
    with pytest.raises(ServerUnfit, match="takes 1500 tokens at most, dgls needs 2048"):
        converse(chatting)


def test_open_absent_server_reports_health(chatting: FakeChat, converse: OpenChat) -> None:
    chatting.stop()
    engine = converse(chatting)
    assert engine.info.health == "not answering"
    chatting.start()
    assert run(engine, request()).texts == ("name",)
    assert engine.info.health == ""


def test_infill_closed_engine_raises(chatting: FakeChat) -> None:
    engine = ChatEngine.open(Address(chatting.url), HASTY)
    engine.close()
    engine.close()
    assert engine.count("x" * 7) == 2
    with pytest.raises(EngineClosed):
        run(engine, request())
