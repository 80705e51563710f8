"""Guesses by the text before."""

from __future__ import annotations

import pytest

from dgls_engine.loop.lookup import Lookup


@pytest.mark.parametrize(
    ("text", "end", "guess"),
    [
        ("abcdefgh", "abc", "defg"),
        ("abcdefgh", "xbc", "defg"),
        ("abcdefgh", "xxc", "defg"),
        ("abcdefgh", "c", "defg"),
        ("abcdefgh", "xyz", ""),
        ("abcdefgh", "", ""),
        ("abcdefgh", "fgh", ""),  # nothing followed
        ("abcdefgh", "efg", "h"),
        ("abcXabcYabcZ", "abc", "Z"),  # the last place
        ("abcXbcYcZ", "abc", "XbcY"),  # three equal tokens rather than two, two rather than one
        ("bcXcY", "abc", "XcY"),
        ("", "abc", ""),
    ],
)
def test_lookup_after_known_end_guesses_what_followed(text: str, end: str, guess: str) -> None:
    assert Lookup([ord(letter) for letter in text]).after([ord(letter) for letter in end]) == [ord(g) for g in guess]
