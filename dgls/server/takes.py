"""What values settings take: for each kind a description for people, and a test.

Knows no names of settings, and of the engine only the form of a server's address. Pure functions.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pathspec import GitIgnoreSpec

from dgls_engine.remote.address import VARIABLE, refusal


@dataclass(frozen=True, slots=True)
class Takes:
    """What a setting takes: a description for people, and the test."""

    words: str
    accepts: Callable[[Any], bool]


def whole(least: int, most: int) -> Takes:
    return Takes(
        f"a whole number from {least} to {most}",
        lambda value: type(value) is int and least <= value <= most,
    )


def one_of(*names: str) -> Takes:
    return Takes(
        "one of " + ", ".join(f'"{name}"' for name in names),
        lambda value: value in names,
    )


def _is_glob(value: object) -> bool:
    try:
        return isinstance(value, str) and GitIgnoreSpec.from_lines([value]) is not None
    except ValueError:
        return False


SHARE_OR_NULL = Takes(
    "a number from 0 to 1, or null",
    lambda value: value is None or (type(value) in (int, float) and 0 <= value <= 1),
)
FLAG = Takes("true or false", lambda value: type(value) is bool)
GLOBS = Takes(
    "a list of globs, as in a .gitignore",
    lambda value: isinstance(value, (list, tuple)) and all(map(_is_glob, value)),
)
LANGUAGES = Takes(
    'an object with true or false for language ids, and for "*", all others',
    lambda value: isinstance(value, Mapping) and all(type(flag) is bool for flag in value.values()),
)
MODEL = Takes(
    '"auto", "small", "embedded", a folder or the name of a model in the local cache',
    lambda v: isinstance(v, str) and v != "",
)
DEVICE = Takes(
    '"auto", "cpu", "cuda", "cuda:N" or "mps"',
    lambda value: isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value) is not None,
)
NAME = Takes("a text", lambda value: isinstance(value, str))
URL = Takes(
    "an https URL without user, password or query, http if it is this machine's own; empty for none",
    lambda value: value == "" or (isinstance(value, str) and refusal(value) is None),
)
VARIABLE_NAME = Takes(
    "the name of an environment variable, not the key itself; empty for none",
    lambda value: value == "" or (isinstance(value, str) and VARIABLE.fullmatch(value) is not None),
)
COMMAND = Takes(
    "a list of a program and its arguments",
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(part, str) and part for part in value),
)
