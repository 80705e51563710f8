"""What is no list is no list, and a long bad one costs no more than its first bad element."""

from __future__ import annotations

from typing import Any

import pytest
from cattrs import BaseValidationError, transform_error
from lsprotocol import types

from dgls.server.decoding import make_converter

DOCUMENT = {"uri": "file:///a.py", "version": 2}


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ("a" * 100_000, ["invalid value for type, expected Sequence @ $.content_changes"]),
        ({"text": "x"}, ["invalid value for type, expected Sequence @ $.content_changes"]),
        ([{"text": "x"}, *[0] * 100_000], ["invalid value for type, expected Union @ $.content_changes[1]"]),
    ],
    ids=["text", "object", "bad elements"],
)
def test_list_of_anything_else_is_refused_with_one_reason(changes: Any, reasons: list[str]) -> None:
    message = {"textDocument": DOCUMENT, "contentChanges": changes}
    with pytest.raises(BaseValidationError) as refused:
        make_converter().structure(message, types.DidChangeTextDocumentParams)
    assert transform_error(refused.value) == reasons


def test_list_of_changes_is_read() -> None:
    message = {"textDocument": DOCUMENT, "contentChanges": [{"text": "a"}, {"text": "b"}]}
    params = make_converter().structure(message, types.DidChangeTextDocumentParams)
    assert [change.text for change in params.content_changes] == ["a", "b"]
