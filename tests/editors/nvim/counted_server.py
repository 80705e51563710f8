"""The real server, with a journal of its fills: `counted_server.py JOURNAL`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dgls.server.lsp_server import open_engine, serve
from dgls.server.settings import Settings
from dgls_engine.types import CancelToken, Infill, InfillRequest, Loading, Step
from dgls_engine.worker import EngineLike


class CountedEngine:
    """Records the start and the end of each fill, including cancelled ones."""

    def __init__(self, engine: EngineLike, journal: Path) -> None:
        self._engine, self._journal = engine, journal
        self.info = engine.info

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        self._note("begin")
        try:
            yield from self._engine.infill(request, cancel)
        finally:
            self._note("end")

    def warm(self) -> Iterator[None]:
        return self._engine.warm()

    def close(self) -> None:
        self._engine.close()

    def _note(self, event: str) -> None:
        with self._journal.open("a") as journal:
            journal.write(json.dumps({"event": event, "at": time.monotonic()}) + "\n")


def main() -> int:
    journal = Path(sys.argv[1])

    def open_counted(settings: Settings, on_loading: Loading) -> EngineLike:
        return CountedEngine(open_engine(settings, on_loading), journal)

    return serve(None, open_counted)


if __name__ == "__main__":
    sys.exit(main())
