"""A program that renders a model's chat template, in a process of its own.

    python -P rendering.py  <  {"template", "values", "word", "seconds", "memory", "characters"}
                            >  {"texts": [with the start of an answer, without]} or {"error": reason}

A template is a program that somebody else wrote: it can loop for ever and eat all memory. jinja2's sandbox keeps it
from files and from Python's internals. This process ends itself after `seconds`, even if its parent is gone, takes at
most `memory` bytes where the system can limit them, and writes at most `characters`. `template` starts and watches it.
Imports only jinja2, because transformers takes seconds to import; the environment is that of its `apply_chat_template`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any


def main() -> None:
    asked = json.load(sys.stdin)
    _limit(asked["seconds"], asked["memory"])
    try:
        texts = _rendered(asked["template"], asked["values"], asked["word"], asked["characters"])
        answer: dict[str, Any] = {"texts": texts}
    except MemoryError:
        answer = {"error": "it needs too much memory"}
    except Exception as error:  # a template can raise any exception
        answer = {"error": (str(error).strip().splitlines() or [type(error).__name__])[0][:200]}
    json.dump(answer, sys.stdout)


def _limit(seconds: float, memory: int) -> None:
    # Its thread needs no lock of the interpreter, so it also ends one long operation. Nobody reads what it prints.
    faulthandler.dump_traceback_later(seconds, exit=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit, macOS does not keep to it
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _rendered(template: str, values: Mapping[str, Any], word: str, characters: int) -> list[str]:
    """A conversation of one message, `word`: with the start of an answer, and without."""
    compiled = _environment().from_string(template)
    texts: list[str] = []
    for generation in (True, False):
        messages = [{"role": "user", "content": word}]
        given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": generation, **values}
        pieces, room = list[str](), characters
        for piece in compiled.generate(given):
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                raise ValueError(f"it writes more than {characters} characters")
        texts.append("".join(pieces))
    return texts


def _environment() -> Any:
    from jinja2 import TemplateError, nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """`{% generation %}` marks the model's text for training; it renders as what it contains."""

        tags = {"generation"}  # noqa: RUF012 (jinja2's name and type)

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class Names(Namespace):
        """Without names that begin with an underscore: those are Python's internals."""

        def __init__(self, /, *args: Any, **values: Any) -> None:
            names = dict(*args, **values)
            for name in names:
                _require_public(name)
            super().__init__(names)

        def __setitem__(self, name: str, value: object) -> None:
            _require_public(name)
            super().__setitem__(name, value)

    def _require_public(name: object) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"it sets the name {name!r}, which begins with an underscore")

    def tojson(
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": lambda format: datetime.now().strftime(format),
        "namespace": Names,
    }
    return environment


if __name__ == "__main__":
    main()
