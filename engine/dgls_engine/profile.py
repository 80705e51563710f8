"""How to infill with one model: its `Profile`, and the `ModelInfo` of an open model.

`weights.profiles` reads a profile from a model's folder. Plain values without tensors, token ids or torch; any thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from dgls_engine.calibration import Calibration
from dgls_engine.model_files import shown

PromptFormat = Literal["raw", "chat", "plain", "around"]
HolePolicy = Literal["pad", "batch", "fixed", "draws", "grow", "search"]
Decoding = Literal["left", "confidence", "margin", "entropy", "threshold", "bound", "remask"]
Health = Literal["", "not answering", "refusing"]
"""How a server that runs the model is; empty if it is well, and for a model in this process."""

PinnedSignal = Literal["always", "after-first", "never"]

INFILL_FILE = "infill.json"

_LINES_BEFORE, _LINES_AFTER = 48, 31


_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "canvas_tokens": (2, 8192),
        "max_prompt_tokens": (0, 2**20),
        "before_tokens": (0, 8192),
        "after_tokens": (0, 8192),
        "max_steps": (1, 8192),
        "entropy_bound": (0.0, 1000.0),
        "t_min": (1e-6, 100.0),
        "t_max": (1e-6, 100.0),
        "stability_threshold": (0, 1000),
        "confidence_threshold": (0.0, 1000.0),
        "unmask_threshold": (1e-6, 1.0),
        "refresh_steps": (1, 8192),
    }
)
"""The smallest and the largest value of each number in a profile."""

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prompt_format": get_args(PromptFormat),
        "hole_policy": get_args(HolePolicy),
        "decoding": get_args(Decoding),
        "pinned_signal": get_args(PinnedSignal),
    }
)

_LONGEST_TOKEN = 200
"""Characters of a special token's spelling."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the engine must know about a model in addition to its weights. Budgets are in tokens, entropies in nats.

    A canvas has at most `canvas_tokens`; `before_tokens` and `after_tokens` bound the pinned code before and after the
    holes. `max_prompt_tokens` bounds the prompt.

    Of masked models: `mask_token` is the mask token, by its spelling or id; so are `expand_token` and `delete_token`,
    which make a hole longer and shorter under the policy `grow`. `decoding` names the rule that decides a step's tokens
    (`loop.rules`). It decides several if their probabilities are above `unmask_threshold` (`left`, `threshold`), or if
    their entropies are within `entropy_bound` (`bound`). In the format `around`, an `enclosed` prompt stands between
    the tokenizer's start and end token, and the prompt's keys and values are computed anew every `refresh_steps` steps.

    `languages` are the languages, by their LSP ids, that the model was trained or measured on; in others it suggests
    nothing unasked. Empty: it may in all.
    """

    prompt_format: PromptFormat
    hole_policy: HolePolicy
    canvas_tokens: int
    max_prompt_tokens: int
    before_tokens: int
    after_tokens: int
    max_steps: int = 48
    entropy_bound: float = 0.1
    t_min: float = 0.4
    t_max: float = 0.8
    stability_threshold: int = 1
    confidence_threshold: float = 0.005
    pinned_signal: PinnedSignal = "after-first"
    mask_token: str | int = ""
    expand_token: str | int = ""
    delete_token: str | int = ""
    decoding: Decoding = "left"
    unmask_threshold: float = 0.9
    enclosed: bool = False
    refresh_steps: int = 1
    languages: tuple[str, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if (value := getattr(self, name)) not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, not {shown(value)}")
        for name, (least, most) in _RANGES.items():
            value, whole = getattr(self, name), isinstance(least, int)
            number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not number or not least <= value <= most:  # NaN, too
                raise ValueError(
                    f"{name} must be a {'whole ' if whole else ''}number from {least} to {most}, not {shown(value)}"
                )
        for name in ("mask_token", "expand_token", "delete_token"):
            if not _names_a_token(value := getattr(self, name)):
                raise ValueError(
                    f"{name} must be an id, or a string of at most {_LONGEST_TOKEN} characters, not {shown(value)}"
                )
        if not isinstance(self.enclosed, bool):
            raise ValueError(f"enclosed must be true or false, not {shown(self.enclosed)}")
        object.__setattr__(self, "languages", _names(self.languages))  # JSON has a list
        if self.t_min > self.t_max:
            raise ValueError(f"t_min must be at most t_max, which is {self.t_max}, not {self.t_min}")
        if self.hole_tokens < 1:
            raise ValueError(
                f"before_tokens and after_tokens must leave room for a hole in canvas_tokens, which is "
                f"{self.canvas_tokens}, not be {self.before_tokens} and {self.after_tokens}"
            )

    @property
    def hole_tokens(self) -> int:
        """Tokens of the canvas that holes can use: all but the budgets of pinned code and one closing token."""
        return self.canvas_tokens - self.before_tokens - self.after_tokens - 1

    @property
    def around_tokens(self) -> tuple[int, int]:
        """How much code before and after the holes a request should pin. A prompt in the format `plain` shows what the
        canvas has no room for, so there it is at least a few lines."""
        if self.prompt_format != "plain":
            return self.before_tokens, self.after_tokens
        return max(self.before_tokens, _LINES_BEFORE), max(self.after_tokens, _LINES_AFTER)

    @property
    def continues(self) -> bool:
        """Whether the model continues the code before a hole from left to right, so that its fill ends only at the
        hole's stop."""
        return self.prompt_format == "plain"

    @property
    def in_one_sequence(self) -> bool:
        """Whether the canvas stands in the middle of its prompt, as in the file, so that each sees the other."""
        return self.prompt_format == "around"

    @property
    def takes_instructions(self) -> bool:
        return self.prompt_format == "chat"

    def save(self, folder: Path) -> None:
        """Write `infill.json` into a checkpoint's folder. `weights.profiles.read_profile` reads the same profile."""
        (folder / INFILL_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What users see of an open model. Tied weights count once; `load_ms` is in milliseconds. `pins`: text around and
    between holes can be pinned, so a part of a text can be changed; a chat server can only be asked to. `holder`: the
    process that has the model in memory, for people; empty if it is this one, or a server. `scores`: it says how
    surprising a given text is."""

    name: str
    parameters: int
    weight_bytes: int
    device: str
    device_name: str
    dtype: str
    load_ms: float
    profile: Profile
    health: Health = ""
    pins: bool = True
    holder: str = ""
    scores: bool = True

    @property
    def on_gpu(self) -> bool:
        """Whether the model uses GPU memory of this machine. A server's model does not."""
        return self.device.split(":")[0] in ("cuda", "mps")


def _names(languages: object) -> tuple[str, ...]:
    """Raises `ValueError` if these are no names of languages."""
    if not isinstance(languages, list | tuple) or not all(isinstance(name, str) for name in languages):
        raise ValueError(f"languages must be a list of LSP's language ids, not {shown(languages)}")
    return tuple(languages)


def _names_a_token(value: object) -> bool:
    """Whether the value can be a token: its spelling, or its id."""
    if isinstance(value, str):
        return len(value) <= _LONGEST_TOKEN
    return type(value) is int and 0 <= value < 2**31
