"""The language server's errors. Each message says what happened and what to do next, in one line.

    DglsError
    |-- BrokenFrame          what the client sends is not the protocol; the connection can't go on
    |-- PortUnavailable      the TCP port can't be listened on
    |-- UnusableToken        the TCP port's token could be guessed
    |-- NothingToDo          the place in the document does not allow the action that was asked for
    |-- StaleDocument        the document is not, or no longer, the one that was asked about
    |-- BadParameters        a client's parameters can't be used
    |-- UnusableSource       no holes can be had from this dataset or folder
    `-- SandboxUnavailable   programs can't be run safely here

Errors of the engine are a tree of their own (`dgls_engine.errors`).
"""


class DglsError(Exception):
    """Base of all errors of the server; `str(error)` is fit to be shown to a user."""


class BrokenFrame(DglsError):
    pass


class PortUnavailable(DglsError):
    pass


class UnusableToken(DglsError):
    pass


class NothingToDo(DglsError):
    pass


class StaleDocument(DglsError):
    pass


class BadParameters(DglsError):
    pass


class UnusableSource(DglsError):
    pass


class SandboxUnavailable(DglsError):
    pass
