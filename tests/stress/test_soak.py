"""Typing for a while against a real server. `make soak` types for hours."""

from __future__ import annotations

import pytest

from tests.stress.soak import MOST_GROWTH, Soak
from tests.stress.sources import sources


async def test_soak_of_seconds_keeps_the_text_and_answers_everything() -> None:
    soak = Soak(keys=200, seed=1, files=sources()[:10])
    await soak.run()
    assert soak.failures() == []
    assert soak.tally.compared >= 40
    assert soak.tally.answers.total() > 80


@pytest.mark.slow
async def test_soak_of_minutes_keeps_the_text_and_the_memory() -> None:
    soak = Soak(keys=2000, seed=2)
    await soak.run()
    assert soak.failures() == []
    assert soak.growth <= MOST_GROWTH
    assert len({source.language for source in soak.files}) == 10
    assert len(soak.files) == 50


def test_sources_have_the_breaks_and_characters_that_are_hard() -> None:
    texts = [source.text for source in sources()]
    assert sum("\r\n" in text for text in texts) >= 10
    assert sum("😀" in text for text in texts) >= 8
