"""How to infill with one model: its `Profile`, and the `ModelInfo` of an open model.

`weights.profiles` reads a profile from a model's folder. Plain values without tensors, token ids or torch; any thread.
"""

from __future__ import annotations

import json
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from dgls_engine.calibration import Calibration
from dgls_engine.errors import BrokenCheckpoint

PromptFormat = Literal["raw", "chat", "plain"]
HolePolicy = Literal["pad", "batch", "fixed", "draws"]
Health = Literal["", "not answering", "refusing"]
"""How a server that runs the model is; empty if it is well, and for a model in this process."""

PinnedSignal = Literal["always", "after-first", "never"]

INFILL_FILE = "infill.json"

_MAX_JSON = 128 * 2**20
"""The most bytes of a JSON file that are read. The largest tokenizers have 35 MB."""

_LINES_BEFORE, _LINES_AFTER = 48, 31


@dataclass(frozen=True, slots=True)
class Profile:
    """What the engine must know about a model in addition to its weights. Budgets are in tokens, entropies in nats.

    A canvas has at most `canvas_tokens`; `before_tokens` and `after_tokens` bound the pinned code before and after the
    holes. `max_prompt_tokens` bounds the prompt. `mask_token` is the spelling of a masked model's mask token. A masked
    model decides several tokens in one step if their probabilities are above `unmask_threshold`.
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
            "mask_token is a string": isinstance(self.mask_token, str),
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
        for condition, holds in checks.items():
            if not holds:
                raise ValueError(f"invalid profile; make sure that {condition}")

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
    def takes_instructions(self) -> bool:
        return self.prompt_format == "chat"

    def save(self, folder: Path) -> None:
        """Write `infill.json` into a checkpoint's folder. `weights.profiles.read_profile` reads the same profile."""
        (folder / INFILL_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What users see of an open model. Tied weights count once; `load_ms` is in milliseconds."""

    name: str
    parameters: int
    weight_bytes: int
    device: str
    device_name: str
    dtype: str
    load_ms: float
    profile: Profile
    health: Health = ""

    @property
    def on_gpu(self) -> bool:
        """Whether the model uses GPU memory of this machine. A server's model does not."""
        return self.device.split(":")[0] in ("cuda", "mps")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`. Raises `BrokenCheckpoint` if the file does not hold one, is no regular file
    (a FIFO would wait for a writer), is too large or nests too deeply."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        if status.st_size > _MAX_JSON:
            raise ValueError(f"it has {status.st_size} bytes; at most {_MAX_JSON} are read")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrokenCheckpoint(f"{path} is missing; fetch the model again") from None
    except RecursionError:
        raise BrokenCheckpoint(f"{path} nests its values too deeply; fetch the model again") from None
    except (OSError, ValueError) as error:
        raise BrokenCheckpoint(f"{path} cannot be read ({error}); fetch the model again") from None
    if not isinstance(value, dict):
        raise BrokenCheckpoint(f"{path} does not hold a JSON object; fetch the model again")
    return value
