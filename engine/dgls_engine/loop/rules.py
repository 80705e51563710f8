"""The rules by which a step of mask diffusion decides rows: which of the undecided rows get their likeliest token now.

    rule = rule_of(profile)
    rule.decided(predictions, step)      # the rows that are decided after the step

Each rule decides a row at least, so that steps come to an end. Plain numbers, no tensors; runs on the engine thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from dgls_engine.profile import Profile


@dataclass(frozen=True, slots=True)
class Prediction:
    """A row's token at a step: its log-probability, the row's entropy in nats, and the `margin`, by which the likeliest
    token's probability exceeds the next one's."""

    token: int
    log_probability: float
    entropy: float
    margin: float


class Rule(Protocol):
    @property
    def remasks(self) -> bool:
        """Whether a decided row may become undecided again. Then `decided` gets the predictions of decided rows, too:
        their own tokens, as likely as they are now."""
        ...

    def decided(self, predictions: Mapping[int, Prediction], step: int) -> Collection[int]:
        """Which of the rows are decided after the `step`-th step of their canvas, from 1. There is at least one row."""
        ...


class Surest:
    """One row in each step: that with the highest `score`."""

    remasks = False

    def __init__(self, score: Callable[[Prediction], float]) -> None:
        self._score = score

    def decided(self, predictions: Mapping[int, Prediction], step: int) -> Collection[int]:
        return [max(predictions, key=lambda row: self._score(predictions[row]))]


class Threshold:
    """All rows whose token is likelier than `least`, or else the surest one (confidence-aware parallel decoding of
    Fast-dLLM, Wu et al., arXiv 2505.22618)."""

    remasks = False

    def __init__(self, least: float) -> None:
        self._least = least

    def decided(self, predictions: Mapping[int, Prediction], step: int) -> Collection[int]:
        likely = [row for row, each in predictions.items() if math.exp(each.log_probability) > self._least]
        return likely or Surest(_confidence).decided(predictions, step)


class EntropyBound:
    """As many rows of low entropy as keep the sum of their entropies, without the largest one, within `bound` nats
    (Ben-Hamu et al., arXiv 2505.24857)."""

    remasks = False

    def __init__(self, bound: float) -> None:
        self._bound = bound

    def decided(self, predictions: Mapping[int, Prediction], step: int) -> Collection[int]:
        rows = sorted(predictions, key=lambda row: predictions[row].entropy)
        total, kept = 0.0, []
        for row in rows:
            if total > self._bound:
                break
            kept.append(row)
            total += predictions[row].entropy
        return kept


class Remask:
    """One row more in each step: the surest ones, as they now are. A decided row that is not among them is masked
    again (path planning, Peng et al., arXiv 2502.03540; as in ReMDM, Wang et al., arXiv 2503.00307)."""

    remasks = True

    def decided(self, predictions: Mapping[int, Prediction], step: int) -> Collection[int]:
        return sorted(predictions, key=lambda row: _confidence(predictions[row]), reverse=True)[:step]


def _confidence(prediction: Prediction) -> float:
    return prediction.log_probability


def rule_of(profile: Profile) -> Rule:
    """The rule that the profile names, with its bounds. `left` is no rule of this module: `loop.masked`."""
    match profile.decoding:
        case "confidence":
            return Surest(_confidence)
        case "margin":
            return Surest(lambda prediction: prediction.margin)
        case "entropy":
            return Surest(lambda prediction: -prediction.entropy)
        case "threshold":
            return Threshold(profile.unmask_threshold)
        case "bound":
            return EntropyBound(profile.entropy_bound)
        case "remask":
            return Remask()
        case "left":
            raise AssertionError("`loop.masked` decides from the left")
