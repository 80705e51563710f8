"""Options (raw, from the client) -> Settings (validated, frozen).

Bad values never stop the server: each falls back to its default, and one message names the setting and what it takes.
Pure functions; knows no LSP, and of the engine only what a server's address may be.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override
from pathspec import GitIgnoreSpec

from dgls_engine.remote.address import VARIABLE, refusal

SECTION = "dgls"
DTYPES = ("auto", "float32", "bfloat16", "float16", "fp8", "int4")


@dataclass(frozen=True, slots=True)
class Takes:
    """What a setting takes, in words, and the test for it."""

    words: str
    accepts: Callable[[Any], bool]


class BadValue(ValueError):
    """A setting's value is not what it takes; the message says what that is."""


def _whole(least: int, most: int) -> Takes:
    return Takes(
        f"a whole number from {least} to {most}",
        lambda value: type(value) is int and least <= value <= most,
    )


def _one_of(*names: str) -> Takes:
    return Takes(
        "one of " + ", ".join(f'"{name}"' for name in names),
        lambda value: value in names,
    )


def _is_glob(value: object) -> bool:
    try:
        return isinstance(value, str) and GitIgnoreSpec.from_lines([value]) is not None
    except ValueError:
        return False


_SHARE_OR_NULL = Takes(
    "a number from 0 to 1, or null",
    lambda value: value is None or (type(value) in (int, float) and 0 <= value <= 1),
)
_FLAG = Takes("true or false", lambda value: type(value) is bool)
_GLOBS = Takes(
    "a list of globs, as in a .gitignore",
    lambda value: isinstance(value, (list, tuple)) and all(map(_is_glob, value)),
)
_MODEL = Takes(
    '"embedded", a folder or the name of a model in the local cache',
    lambda v: isinstance(v, str) and v != "",
)
_DEVICE = Takes(
    '"auto", "cpu", "cuda", "cuda:N" or "mps"',
    lambda value: isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value) is not None,
)
_NAME = Takes("a text", lambda value: isinstance(value, str))
_URL = Takes(
    "an https URL without user, password or query, http if it is this machine's own; empty for none",
    lambda value: value == "" or (isinstance(value, str) and refusal(value) is None),
)
_VARIABLE = Takes(
    "the name of an environment variable, not the key itself; empty for none",
    lambda value: value == "" or (isinstance(value, str) and VARIABLE.fullmatch(value) is not None),
)
_COMMAND = Takes(
    "a list of a program and its arguments",
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(part, str) and part for part in value),
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """A vLLM server that runs the model instead of this machine, if `url` is not empty.

    `served_model` is its name for the model; empty: its only one. Its API key is in an environment variable, or a
    command prints it; it is never in settings.
    """

    url: Annotated[str, _URL] = ""
    served_model: Annotated[str, _NAME] = ""
    api_key_variable: Annotated[str, _VARIABLE] = ""
    api_key_command: Annotated[tuple[str, ...], _COMMAND] = ()


@dataclass(frozen=True, slots=True)
class InlineCompletionSettings:
    """Suggestions as you type. `enabled` switches the automatic ones; invoked ones always work.

    `min_confidence` hides less sure automatic suggestions; None leaves that to the model's calibration. `deadline_ms`
    bounds one suggestion, the best draft is shown when it strikes; `candidates` are made for an invoked request.
    """

    enabled: Annotated[bool, _FLAG] = True
    max_lines: Annotated[int, _whole(1, 64)] = 8
    max_tokens: Annotated[int, _whole(1, 256)] = 48
    min_confidence: Annotated[float | None, _SHARE_OR_NULL] = None
    deadline_ms: Annotated[int, _whole(50, 60_000)] = 1500
    candidates: Annotated[int, _whole(1, 3)] = 3


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """What the model is shown beside the file. "auto": if it was instruction-tuned; others don't know such a thing."""

    imports: Annotated[str, _one_of("auto", "on", "off")] = "auto"
    open_files: Annotated[str, _one_of("auto", "on", "off")] = "auto"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a user can set. `threads` bounds the CPU threads of the model; 0: all cores but one, for the editor.
    After `idle_minutes` without a request the weights leave the GPU; 0: never.

    Files that `exclude` names are never shown to the model, and nothing is suggested in them unless the user asks.
    `completion` offers suggestions as items of the editor's menu, too; "auto": where the editor has nothing better.
    """

    model: Annotated[str, _MODEL] = "embedded"
    device: Annotated[str, _DEVICE] = "auto"
    dtype: Annotated[str, _one_of(*DTYPES)] = "auto"
    threads: Annotated[int, _whole(0, 256)] = 0
    idle_minutes: Annotated[int, _whole(0, 1440)] = 15
    exclude: Annotated[tuple[str, ...], _GLOBS] = ()
    completion: Annotated[str, _one_of("auto", "on", "off")] = "auto"
    inline_completion: InlineCompletionSettings = field(default_factory=InlineCompletionSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that was not used: the setting's name as the user writes it, and what it takes."""

    name: str
    takes: str

    def __str__(self) -> str:
        return f"{self.name} takes {self.takes}"


def own_options(options: object) -> Mapping[str, Any]:
    """The part of a client's options that is ours: some clients send the section, some the object around it."""
    if not isinstance(options, Mapping):
        return {}
    section = options.get(SECTION)
    return section if isinstance(section, Mapping) else options


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over one another, the last wins; null means unset. Dotted names (`"a.b": 1`) are opened up."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for dotted, value in layer.items():
            *groups, name = str(dotted).split(".")
            place = merged
            for group in groups:
                inner = place.get(group)
                place[group] = place = dict(inner) if isinstance(inner, dict) else {}
            if isinstance(value, Mapping):
                inner = place.get(name)
                place[name] = merge(inner if isinstance(inner, dict) else {}, value)
            elif value is not None:
                place[name] = value
    return merged


def read_settings(options: Mapping[str, Any]) -> tuple[Settings, tuple[Problem, ...]]:
    """Settings from merged options, and what could not be used. Unknown names are left to other versions of us."""
    try:
        return _CONVERTER.structure(options, Settings), ()
    except ClassValidationError as error:
        problems = tuple(_problems(error, ()))
    usable = merge(options)
    for path, _ in problems:
        place = usable
        for group in path[:-1]:
            place = place[group]
        del place[path[-1]]
    settings = _CONVERTER.structure(usable, Settings)
    return settings, tuple(Problem(".".join((SECTION, *path)), takes) for path, takes in problems)


def told_once(problems: tuple[Problem, ...]) -> str:
    """One message for all problems."""
    return "; ".join(str(problem) for problem in problems) + ". The default is used instead."


def _problems(error: ClassValidationError, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    noted, others = error.group_exceptions()
    assert not others, others
    for inner, note in noted:
        path = (*above, _camel(note.name))
        if isinstance(inner, ClassValidationError):
            yield from _problems(inner, path)
        else:
            yield path, str(inner)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _make_converter() -> Converter:
    converter = Converter()

    def leaf(kind: Any) -> Callable[[Any, Any], Any]:
        takes: Takes = kind.__metadata__[0]

        def structure(value: Any, _: Any) -> Any:
            if not takes.accepts(value):
                raise BadValue(takes.words)
            return tuple(value) if isinstance(value, list) else value

        return structure

    converter.register_structure_hook_factory(lambda kind: hasattr(kind, "__metadata__"), leaf)
    for group in (InlineCompletionSettings, ContextSettings, EngineSettings, Settings):
        renamed: dict[str, Any] = {name: override(rename=_camel(name)) for name in group.__dataclass_fields__}
        by_name = make_dict_structure_fn(group, converter, _cattrs_detailed_validation=True, **renamed)

        def structure(value: Any, kind: Any, by_name: Callable[[Any, Any], Any] = by_name) -> Any:
            if not isinstance(value, Mapping):
                raise BadValue("an object")
            return by_name(value, kind)

        converter.register_structure_hook(group, structure)
    return converter


_CONVERTER = _make_converter()
