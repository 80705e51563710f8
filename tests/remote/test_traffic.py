"""Sixteen editors on one server, each typing: newer requests end older ones, and each gets its own answer."""

from __future__ import annotations

import random
import threading
import time

from dgls_engine import CancelToken, Context, Hole, InfillRequest, Limits, Pinned
from dgls_engine.errors import Cancelled
from dgls_engine.remote.address import Address
from dgls_engine.remote.engine import RemoteEngine
from dgls_engine.worker import Worker
from tests.remote.conftest import HASTY
from tests.remote.denoisers import Scripted
from tests.remote.fake_vllm import FakeVllm

EDITORS, KEYSTROKES = 16, 12


def test_sixteen_editors_on_one_server_all_get_answers(scripted: FakeVllm) -> None:
    model = scripted.denoiser
    assert isinstance(model, Scripted)
    model.seconds = 0.03
    outcomes: dict[int, list[str]] = {number: [] for number in range(EDITORS)}

    def type_on(number: int) -> None:
        chance = random.Random(number)
        worker = Worker(lambda _: RemoteEngine.open(Address(scripted.url), "embedded", HASTY))
        try:
            futures = []
            for stroke in range(KEYSTROKES):
                before = f"editor_{number} = {stroke}\nreturn na"
                segments = [Pinned(before), Hole(max_tokens=6, stop="\n"), Pinned("\n")]
                asked = InfillRequest(Context(path=f"{number}.py"), segments, Limits(deadline_ms=20_000))
                futures.append(worker.submit(asked, CancelToken(), "typing"))
                time.sleep(chance.uniform(0.0, 0.15))
            for future in futures:
                try:
                    outcomes[number].append("filled" if future.result(30).texts[0] else "empty")
                except Cancelled:
                    outcomes[number].append("cancelled")
        finally:
            worker.close()

    threads = [threading.Thread(target=type_on, args=(number,)) for number in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(len(own) == KEYSTROKES for own in outcomes.values())
    assert all(own[-1] == "filled" for own in outcomes.values()), "nobody came after the last one"
    assert all(set(own) <= {"filled", "cancelled"} for own in outcomes.values())
    assert sum(own.count("cancelled") for own in outcomes.values()) > EDITORS
    assert model.most_at_once > 1
    end = time.monotonic() + 30
    while model.running:
        assert time.monotonic() < end, "the server goes on with what nobody waits for"
        time.sleep(0.01)
    aborted = [seen for seen in scripted.denoised if seen.aborted]
    assert aborted
    assert not any(seen.answered for seen in aborted)
    for seen in scripted.denoised:  # no canvas is another editor's
        text = model.tokenizer.decode(seen.body["vllm_xargs"]["diffusion_seed_canvas"])
        assert text.count("editor_") == 1
