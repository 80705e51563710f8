"""How to infill with a model: the `Profile` read beside its weights, and the `ModelInfo` told about it.

`weights.profiles` reads a profile. Plain values: no tensors, no token ids, no torch; any thread.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from dgls_engine.calibration import Calibration
from dgls_engine.errors import BrokenCheckpoint

PromptFormat = Literal["raw", "chat", "plain"]
HolePolicy = Literal["pad", "batch", "fixed"]
PinnedSignal = Literal["always", "after-first", "never"]

INFILL_FILE = "infill.json"


@dataclass(frozen=True, slots=True)
class Profile:
    """All that the engine must know of a model beside its weights. Budgets are in tokens, entropies in nats.

    `before_tokens` and `after_tokens` bound the pinned code on each side of the holes; the canvas has room for
    `canvas_tokens` in all. `max_prompt_tokens` bounds the prompt. Models with a mask token say which
    special token it is; a token that is likelier than `unmask_threshold` is decided together with those in front of it.
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
    mask_token: str = ""
    unmask_threshold: float = 0.9
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        checks = {
            f"prompt_format is one of {', '.join(get_args(PromptFormat))}": self.prompt_format
            in get_args(PromptFormat),
            "0 < unmask_threshold <= 1": 0 < self.unmask_threshold <= 1,
            "mask_token is a text": isinstance(self.mask_token, str),
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
