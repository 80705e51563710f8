"""Keeps the accept log: notes which automatic suggestions are shown, and logs what becomes of them.

Only with the setting `inlineCompletion.acceptLog`, and for a model on this machine. Follows the texts of documents on
the asyncio loop. `write` is called on the reading thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dgls.code.document import Document
from dgls.server.memory import Memory
from dgls.suggest.acceptance import Shown, Verdict
from dgls.suggest.suggestion import Suggestion
from dgls_engine.errors import EngineError
from dgls_engine.weights.accept_log import AcceptLog, Outcome
from dgls_engine.weights.hub import locate

logger = logging.getLogger(__name__)

Log = Callable[[str, Outcome], None]
"""Logs an outcome of the model with this name. Does not block."""


def note(memory: Memory, document: Document, suggestion: Suggestion, model: str, log: Log) -> None:
    """The suggestion is shown in this text. The rest of one that the user types through is still that one."""
    before = memory.shown
    if before is not None and before.rest(document) == suggestion.new_text:
        return
    if before is not None:
        _log(before, before.closed(), log)
    memory.shown = Shown(document, suggestion, model)


def follow(memory: Memory, now: Document | None, log: Log) -> None:
    """The document has this text now; None: it is closed."""
    shown = memory.shown
    if shown is None:
        return
    memory.shown, verdict = shown.follow(now) if now is not None else (None, shown.closed())
    if verdict != "open":
        memory.shown = None
    _log(shown, verdict, log)


def _log(shown: Shown, verdict: Verdict, log: Log) -> None:
    suggestion = shown.suggestion
    if verdict == "open" or suggestion.probability is None:
        return
    lines = len(suggestion.new_text.strip().splitlines())
    taken = verdict == "taken"
    log(shown.model, Outcome(int(time.time()), shown.document.language, lines, suggestion.probability, taken))


class Writer:
    """Writes outcomes to the logs of their models. After a failure it writes nothing more: the disk may be full."""

    def __init__(self) -> None:
        self._logs: dict[str, AcceptLog] = {}
        self._failed = False

    def write(self, model: str, outcome: Outcome) -> None:
        if self._failed:
            return
        try:
            if model not in self._logs:
                self._logs[model] = AcceptLog(locate(model))
            self._logs[model].append(outcome)
        except (OSError, EngineError) as error:
            self._failed = True
            logger.warning("The accept log cannot be written (%s), so it ends here", error)
