"""Cut holes into any folder of source."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from dgls.evaluation.case import Case, Kind

CUT_KINDS: tuple[Kind, ...] = ("single-line", "multi-line", "random-span", "mid-word")
"""What any folder has; `multi-file` is asked for by name."""


def cut(
    folder: Path,
    seed: int,
    count: int,
    kinds: Sequence[Kind] = CUT_KINDS,
    *,
    packages: Collection[str] | None = None,
    exclude: Collection[str] = (),
) -> list[Case]:
    """Up to `count` cases, the kinds in turn; from `packages` only (None: all), and never from `exclude`."""
    raise NotImplementedError
