"""The engine's errors. Each message says what happened and what to do next, in one line.

    EngineError
    |-- ModelNotFound            no such folder, and not in the local cache
    |-- UnsupportedModel         an unknown architecture, or a refused format (pickled weights, remote code)
    |-- BrokenCheckpoint         a damaged file, or tensors that are missing, unknown or of the wrong shape
    |-- NotEnoughMemory          the message says how much memory is needed and how much is free
    |-- RequestTooLarge          the segments do not fit into the canvas
    |-- ServerUnreachable        a server does not answer, or not in time; it may answer later
    |-- ServerUnfit              a server rejects the request or lacks a feature; the message says what to change
    |-- HolderSilent             the process that holds a shared model does not answer; it may answer later
    |-- EngineLost               the process that ran the engine ended during the request; another can be opened
    |-- Cancelled                the request's CancelToken was set; this is no failure, so show nothing to the user
    `-- EngineClosed             the engine or its worker was closed before the request could run

Every module may import this one: it needs no torch.
"""


class EngineError(Exception):
    """Base of all errors of the engine. Editors show `str(error)` to the user: one line, without characters that act on
    a terminal, whatever a file or a server has put into it."""

    def __str__(self) -> str:
        return "".join(character if character.isprintable() else " " for character in super().__str__())


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


class HolderSilent(EngineError):
    pass


class EngineLost(EngineError):
    pass


class Cancelled(EngineError):
    def __init__(self, message: str = "the request was cancelled") -> None:
        super().__init__(message)


class EngineClosed(EngineError):
    pass


MAY_PASS = (BrokenCheckpoint, NotEnoughMemory, ServerUnfit)
"""Errors of opening whose cause the user can fix while the server runs (a damaged model, memory, a team server). So a
retry can succeed."""


def reason_of(error: BaseException) -> str:
    """The first line of what an error of another library says, or its kind if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
