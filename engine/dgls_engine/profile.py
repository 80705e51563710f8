"""How to infill with a model: the `Profile` read beside its weights, and the `ModelInfo` told about it.

Reads JSON files only: it knows neither tensors nor token ids, imports no torch and may be used from any thread.
A profile is our `infill.json` over `generation_config.json` and `config.json` over the defaults below, which are
the published ones of DiffusionGemma.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

from dgls_engine.calibration import Calibration
from dgls_engine.errors import BrokenCheckpoint, UnsupportedModel

PromptFormat = Literal["raw", "chat"]
HolePolicy = Literal["pad", "batch", "fixed"]
PinnedSignal = Literal["always", "after-first", "never"]

INFILL_FILE = "infill.json"
CHAT_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True, slots=True)
class Profile:
    """All that the engine must know of a model beside its weights. Budgets are in tokens, entropies in nats.

    `before_tokens` and `after_tokens` bound the pinned code on each side of the holes; the canvas has room for
    `canvas_tokens` in all. `max_prompt_tokens` bounds the encoder's prompt.
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
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        checks = {
            "prompt_format is 'raw' or 'chat'": self.prompt_format in ("raw", "chat"),
            f"hole_policy is one of {', '.join(get_args(HolePolicy))}": self.hole_policy in get_args(HolePolicy),
            f"pinned_signal is one of {', '.join(get_args(PinnedSignal))}": self.pinned_signal
            in get_args(PinnedSignal),
            "max_steps is at least 1": self.max_steps >= 1,
            "0 < t_min <= t_max": 0 < self.t_min <= self.t_max,
            "entropy_bound and confidence_threshold are not negative": min(
                self.entropy_bound, self.confidence_threshold, self.stability_threshold
            )
            >= 0,
            "the budgets are not negative": min(self.max_prompt_tokens, self.before_tokens, self.after_tokens) >= 0,
            "before_tokens + after_tokens leave room for a hole": self.hole_tokens >= 1,
        }
        for law, holds in checks.items():
            if not holds:
                raise ValueError(f"a profile needs: {law}")

    @property
    def hole_tokens(self) -> int:
        """What the pinned code leaves of the canvas; one more token may close it."""
        return self.canvas_tokens - self.before_tokens - self.after_tokens - 1

    @property
    def takes_instructions(self) -> bool:
        return self.prompt_format == "chat"

    def save(self, folder: Path) -> None:
        """Write `infill.json` into a checkpoint's folder; `read_profile` gives the same profile back."""
        (folder / INFILL_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is told to people about an open model. Tied weights count once; times in ms."""

    name: str
    parameters: int
    weight_bytes: int
    device: str
    device_name: str
    dtype: str
    load_ms: float
    profile: Profile

    @property
    def on_gpu(self) -> bool:
        """Does it hold memory that other programs on this machine may be short of? A server's is no affair of ours."""
        return self.device.split(":")[0] in ("cuda", "mps")


def read_profile(folder: Path) -> Profile:
    """The profile of the checkpoint in `folder`. Raises `BrokenCheckpoint` naming the file and what is wrong in it,
    and `UnsupportedModel` for a model that says nowhere how it wants to be prompted."""
    config = read_json(folder / "config.json")
    values = _defaults(folder, config) | _generation_values(folder)
    if (folder / INFILL_FILE).is_file():
        own = read_json(folder / INFILL_FILE)
        unknown = sorted(set(own) - set(_types()))
        if unknown:
            raise BrokenCheckpoint(f"{folder / INFILL_FILE}: unknown keys {', '.join(unknown)}; remove them")
        values |= own
    if "prompt_format" not in values:
        raise UnsupportedModel(
            f"{folder} has neither a chat template nor an {INFILL_FILE}, so its prompt format is unknown; "
            "take an instruction-tuned checkpoint"
        )
    return _checked(values, folder)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises `BrokenCheckpoint` when there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrokenCheckpoint(f"{path} is missing; fetch the model again") from None
    except (OSError, ValueError) as error:
        raise BrokenCheckpoint(f"{path} cannot be read ({error}); fetch the model again") from None
    if not isinstance(value, dict):
        raise BrokenCheckpoint(f"{path} does not hold a JSON object; fetch the model again")
    return value


def has_chat_template(folder: Path) -> bool:
    """Whether the checkpoint brings a chat template, in a file of its own or in the tokenizer's config."""
    if any((folder / name).is_file() for name in CHAT_TEMPLATE_FILES):
        return True
    config = folder / "tokenizer_config.json"
    return config.is_file() and "chat_template" in read_json(config)


def _defaults(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    canvas = config.get("canvas_length")
    if not isinstance(canvas, int) or canvas < 4:
        raise BrokenCheckpoint(f"{folder / 'config.json'}: canvas_length should be a number of tokens, not {canvas!r}")
    text = config.get("text_config")
    reach = text.get("max_position_embeddings") if isinstance(text, dict) else None
    prompt = 4096 if not isinstance(reach, int) else max(0, min(4096, reach - canvas))
    values: dict[str, Any] = {
        "hole_policy": "batch",
        "canvas_tokens": canvas,
        "max_prompt_tokens": prompt,
        # What stands before tells more than what follows. The prompt shows the rest, and every length that is tried
        # pays for these anew: with a hole of 48 and the token that closes it they are 128, one of `canvas.WIDTHS`.
        "before_tokens": min(canvas * 3 // 8, 48),
        "after_tokens": min(canvas // 4, 31),
    }
    return values | ({"prompt_format": "chat"} if has_chat_template(folder) else {})


def _generation_values(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    if not path.is_file():
        return {}
    config = read_json(path)
    sampler = config.get("sampler_config")
    found = {
        "max_steps": config.get("max_denoising_steps"),
        "entropy_bound": sampler.get("entropy_bound") if isinstance(sampler, dict) else None,
        **{name: config.get(name) for name in ("t_min", "t_max", "stability_threshold", "confidence_threshold")},
    }
    return {name: value for name, value in found.items() if value is not None}


def _checked(values: Mapping[str, Any], folder: Path) -> Profile:
    for name, value in values.items():
        wanted = _types()[name]
        numeric = float if wanted == "float" else int
        right = (
            isinstance(value, (int, numeric)) and not isinstance(value, bool) if wanted in ("int", "float") else True
        )
        if not right:
            raise BrokenCheckpoint(
                f"the settings beside the model in {folder}: {name} should be a number, not {value!r}"
            )
    try:
        return Profile(**cast(Any, dict(values) | _calibration(values)))
    except (ValueError, TypeError) as error:
        raise BrokenCheckpoint(f"the settings beside the model in {folder} do not fit together: {error}") from None


def _calibration(values: Mapping[str, Any]) -> dict[str, Calibration]:
    return {"calibration": Calibration.from_json(values["calibration"])} if "calibration" in values else {}


def _types() -> dict[str, str]:
    return {own.name: str(own.type) for own in fields(Profile)}
