"""The engine's errors. Each message says what happened and what to do next, in one line.

    EngineError
    |-- ModelNotFound            no such folder, and not in the local cache
    |-- UnsupportedModel         another architecture, or a format we refuse (pickled weights, remote code)
    |-- BrokenCheckpoint         tensors missing, left over, or of the wrong shape
    |-- NotEnoughMemory          says how much is needed and how much there is
    |-- RequestTooLarge          the segments do not fit the canvas
    |-- ServerUnreachable        a server does not answer, or not in time: it may do so later
    |-- ServerUnfit              a server that can't do what is needed, or won't: says what to change
    |-- Cancelled                the request's CancelToken was set (not a failure: nothing to tell the user)
    `-- EngineClosed             the engine or its worker was closed before the request could run

No torch here: every layer may import it.
"""


class EngineError(Exception):
    """Base of all errors of the engine; `str(error)` is fit to be shown to a user."""


class ModelNotFound(EngineError):
    pass


class UnsupportedModel(EngineError):
    pass


class BrokenCheckpoint(EngineError):
    pass


class NotEnoughMemory(EngineError):
    pass


class RequestTooLarge(EngineError):
    pass


class ServerUnreachable(EngineError):
    pass


class ServerUnfit(EngineError):
    pass


class Cancelled(EngineError):
    pass


class EngineClosed(EngineError):
    pass


MAY_PASS = (NotEnoughMemory, ServerUnfit)
"""What may be set right while we run: the memory, the server. Where opening failed for it, asking again tries again."""
