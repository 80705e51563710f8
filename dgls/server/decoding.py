"""From JSON to LSP's types, as pygls does it, but a list takes nothing else and names its first bad element alone.

cattrs takes a text for the list of its characters, and keeps an error for each bad element: a text of 50,000
characters where a list belongs would stop the server for seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cattrs import Converter, IterableValidationError, IterableValidationNote
from cattrs.cols import is_sequence
from pygls.protocol import default_converter


def make_converter() -> Converter:
    """pygls' converter, with our lists."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]
    converter.register_structure_hook_factory(is_sequence, lambda kind: _structure_list(converter, kind))
    return converter


def _structure_list(converter: Converter, kind: Any) -> Callable[[Any, Any], tuple[Any, ...]]:
    (of,) = kind.__args__

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise TypeError("not a list")
        elements = []
        for index, element in enumerate(value):
            try:
                elements.append(converter.structure(element, of))
            except Exception as error:  # structure hooks raise anything
                error.add_note(IterableValidationNote(f"Structuring {kind} @ index {index}", index, of))
                raise IterableValidationError(f"While structuring {kind}", [error], kind) from None
        return tuple(elements)

    return structure
