"""Fill a job's passages with an engine, and count the time and steps.

The model loads at the first passage. On a terminal, standard error shows the drafts at each step, and clears them at
the end.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner

from dgls.change.passage import Passage
from dgls.cli.terminal import drawn
from dgls.code.document import Span
from dgls_engine.types import Fill, Infill, Limits

if TYPE_CHECKING:
    from dgls_engine import Engine


@dataclass(slots=True)
class Spent:
    """The model, and the work it did. `origins` are the spans of all holes: no other text may change."""

    model: str = ""
    device: str = ""
    origins: list[Span] = field(default_factory=list)
    canvases: int = 0
    steps: int = 0
    load_ms: float = 0.0
    prefill_ms: float = 0.0
    denoise_ms: float = 0.0


class PassageFiller:
    """Called with a passage, returns its infill. As a context manager it unloads the model at the end. `threads`:
    None leaves a core free."""

    def __init__(self, model: str, dtype: str, threads: int | None, limits: Limits, seed: int) -> None:
        self.spent = Spent()
        self._model, self._dtype, self._threads = model, dtype, threads
        self._limits, self._seed = limits, seed
        self._open = ExitStack()
        self._engine: Engine | None = None
        self._spinner = Spinner("dots", "Loading the model ...")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def __call__(self, passage: Passage) -> Infill:
        engine = self._engine or self._load()
        spent = self.spent
        spent.canvases += 1
        request = passage.request(Path(passage.document.uri).name, self._limits, self._seed)
        for event in engine.infill(request):
            if isinstance(event, Infill):
                break
            spent.steps += 1
            self._draw(event.fills)
        assert isinstance(event, Infill), "the last event is the infill"
        spent.origins += [gap.origin for gap in passage.gaps]
        spent.prefill_ms += event.timings.prefill_ms
        spent.denoise_ms += event.timings.denoise_ms
        return event

    def _load(self) -> Engine:
        console = Console(stderr=True)
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = self._open.enter_context(Live(self._spinner, console=console, transient=True))
        started = time.perf_counter()
        from dgls_engine import Engine  # imports torch; mistakes in the arguments are reported before
        from dgls_engine.device import spare_threads

        engine = Engine.open(self._model, dtype=self._dtype, threads=self._threads or spare_threads())
        self._engine = self._open.enter_context(engine)
        self.spent.load_ms = (time.perf_counter() - started) * 1000
        self.spent.model, self.spent.device = self._engine.info.name, self._engine.info.device
        return self._engine

    def _draw(self, drafts: tuple[Fill, ...]) -> None:
        if self._live is not None:
            self._spinner.update(text=f"canvas {self.spent.canvases}, step {self.spent.steps}")
            self._live.update(Group(self._spinner, *map(drawn, drafts)))
