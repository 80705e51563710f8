"""Options (raw, from the client) -> Settings (validated, frozen).

A bad value never stops the server: the default replaces it, and a message names the setting and what it takes. A name
that is nearly one of a setting is named, too. Pure functions. Knows neither LSP nor the engine.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override

from dgls.server.takes import (
    COMMAND,
    DEVICE,
    FLAG,
    GLOBS,
    LANGUAGES,
    MODEL,
    NAME,
    SHARE_OR_NULL,
    URL,
    VARIABLE_NAME,
    Takes,
    one_of,
    whole,
)

SECTION = "dgls"
_ALIKE = 0.75  # of difflib's ratio; "modle" and "model" have 0.8
OF_CLIENTS = frozenset({"server", "rewrite", "drafts", "tcpToken"})
"""Names in the section that editors' extensions keep for themselves, and the token of a TCP port."""
_DEEPEST = 8
"""Levels of options. No setting lies as deep."""
DTYPES = ("auto", "float32", "bfloat16", "float16", "int8", "fp8", "int4")


class BadValue(ValueError):
    """A setting has a value that it does not take. The message says what it takes."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """A server that runs the model instead of this machine, if `url` is not empty.

    `kind`: "pinning", a vLLM server that pins the code around a hole; "chat", any server of a chat model, which is only
    asked to leave that code alone. `served_model` is the server's name for the model; empty if it serves only one. The
    API key comes from an environment variable or from a command's output, never from the settings.
    """

    url: Annotated[str, URL] = ""
    kind: Annotated[str, one_of("pinning", "chat")] = "pinning"
    served_model: Annotated[str, NAME] = ""
    api_key_variable: Annotated[str, VARIABLE_NAME] = ""
    api_key_command: Annotated[tuple[str, ...], COMMAND] = ()

    @property
    def chats(self) -> bool:
        """Whether a chat server runs a model of its own: `Settings.model` plays no part."""
        return bool(self.url) and self.kind == "chat"


@dataclass(frozen=True, slots=True)
class InlineCompletionSettings:
    """Suggestions as you type. `enabled` turns automatic ones on or off; invoked ones always work.

    `min_confidence` hides less confident automatic suggestions; None leaves the limit to the model's calibration.
    `deadline_ms` limits one suggestion: at the deadline the best draft is shown. `delay_ms` is the pause in typing that
    an automatic one waits for. `candidates`: suggestions for one invoked request. `accept_log`: whether a local log
    keeps which automatic ones the user takes.
    """

    enabled: Annotated[bool, FLAG] = True
    max_lines: Annotated[int, whole(1, 64)] = 8
    max_tokens: Annotated[int, whole(1, 256)] = 48
    min_confidence: Annotated[float | None, SHARE_OR_NULL] = None
    deadline_ms: Annotated[int, whole(50, 60_000)] = 1500
    delay_ms: Annotated[int, whole(0, 10_000)] = 0
    candidates: Annotated[int, whole(1, 3)] = 3
    accept_log: Annotated[bool, FLAG] = False


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """What the model sees besides the file. "auto": on for instruction-tuned models; others were not trained for it."""

    imports: Annotated[str, one_of("auto", "on", "off")] = "auto"
    open_files: Annotated[str, one_of("auto", "on", "off")] = "auto"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a user can set.

    - `model`: "auto": the small model if it is on this machine, else the embedded one
    - `threads`: CPU threads of the model; 0: all cores but one, which stays free for the editor
    - `idle_minutes`: after so long without a request the model is unloaded from the GPU; 0: never
    - `exclude`: files that the model never sees, and that get no automatic suggestions
    - `languages`: whether automatic suggestions are on, by LSP language id; "*" stands for all others
    - `completion`: suggestions in the editor's completion menu; "auto": for editors without inline completion
    - `next_edit`: whether further changes are proposed unasked after an edit
    """

    model: Annotated[str, MODEL] = "auto"
    device: Annotated[str, DEVICE] = "auto"
    dtype: Annotated[str, one_of(*DTYPES)] = "auto"
    threads: Annotated[int, whole(0, 256)] = 0
    idle_minutes: Annotated[int, whole(0, 1440)] = 15
    exclude: Annotated[tuple[str, ...], GLOBS] = ()
    languages: Annotated[Mapping[str, bool], LANGUAGES] = field(default_factory=dict)
    completion: Annotated[str, one_of("auto", "on", "off")] = "auto"
    next_edit: Annotated[bool, FLAG] = False
    inline_completion: InlineCompletionSettings = field(default_factory=InlineCompletionSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)

    def suggests_in(self, language: str) -> bool:
        """Whether automatic suggestions are on for this LSP language id."""
        return self.inline_completion.enabled and self.languages.get(language, self.languages.get("*", True))


@dataclass(frozen=True, slots=True)
class Problem:
    """An unusable value: the setting's name as the user writes it, and what the setting takes."""

    name: str
    takes: str

    def __str__(self) -> str:
        return f"{self.name} takes {self.takes}, so the default is used"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name that no setting has, and the nearest that one has."""

    name: str
    nearest: str

    def __str__(self) -> str:
        return f"{self.name} is no setting: did you mean {self.nearest}?"


def own_options(options: object) -> Mapping[str, Any]:
    """Our section of a client's options. Some clients send the section itself, some the object around it."""
    if not isinstance(options, Mapping):
        return {}
    section = options.get(SECTION)
    return section if isinstance(section, Mapping) else options


def merge(*layers: Mapping[str, Any], depth: int = _DEEPEST) -> dict[str, Any]:
    """Merge layers of options. The last one wins; null means unset. A dotted name (`"a.b": 1`) stands for nesting. What
    is nested deeper than `depth` is left out."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for dotted, value in layer.items():
            *groups, name = str(dotted).split(".")
            if len(groups) >= depth:
                continue
            place = merged
            for group in groups:
                inner = place.get(group)
                place[group] = place = dict(inner) if isinstance(inner, dict) else {}
            if isinstance(value, Mapping):
                inner = place.get(name)
                below = depth - len(groups) - 1
                place[name] = merge(inner if isinstance(inner, dict) else {}, value, depth=below)
            elif value is not None:
                place[name] = value
    return merged


def read_settings(options: Mapping[str, Any]) -> tuple[Settings, tuple[Problem | Unknown, ...]]:
    """The settings of merged options, with their unusable values and the names that are nearly those of settings. Other
    names are ignored: they may belong to a newer version, or to another tool."""
    unknown = tuple(_unknown(options))
    try:
        return _CONVERTER.structure(options, Settings), unknown
    except ClassValidationError as error:
        problems = tuple(_problems(error, ()))
    usable = merge(options)
    for path, _ in problems:
        place = usable
        for group in path[:-1]:
            place = place[group]
        del place[path[-1]]
    settings = _CONVERTER.structure(usable, Settings)
    return settings, (*(Problem(".".join((SECTION, *path)), takes) for path, takes in problems), *unknown)


def warning_about(problems: tuple[Problem | Unknown, ...]) -> str:
    """One message for all problems."""
    return "; ".join(map(str, problems))


def setting_names(group: type = Settings, above: str = "") -> Iterator[str]:
    """The names of all settings as the user writes them, without the section."""
    for each in fields(group):
        name = above + _camel(each.name)
        inner = each.default_factory
        if isinstance(inner, type) and is_dataclass(inner):
            yield from setting_names(inner, name + ".")
        else:
            yield name


def _unknown(options: Mapping[str, Any]) -> Iterator[Unknown]:
    known = list(setting_names())
    groups = {name.partition(".")[0] for name in known if "." in name}
    short = {name.rpartition(".")[2].lower(): name for name in known}
    alike = short | {name.lower(): name for name in (*known, *groups)}
    for name, value in options.items():
        inside = value if name in groups and isinstance(value, Mapping) else {"": value}
        for inner in inside:
            path = f"{name}.{inner}" if inner else str(name)
            if path in known or path in groups or name in OF_CLIENTS:
                continue
            plain = (inner or path).replace("_", "").replace("-", "").lower()
            possible = short if inner else alike
            if near := get_close_matches(plain, possible, 1, _ALIKE):
                yield Unknown(f"{SECTION}.{path}", f"{SECTION}.{possible[near[0]]}")


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
