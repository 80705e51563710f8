"""Whether a window shares the model that its settings choose with the user's other windows.

It does if the model is too large to have several copies of it; another server's model is shared already. Knows the
settings that choose a model. Runs on the engine thread: it reads the names of a model's files.
"""

from __future__ import annotations

from collections.abc import Callable

from dgls.server.settings import Settings
from dgls_engine.errors import EngineError
from dgls_engine.sharing.identity import identity_of
from dgls_engine.types import Loading
from dgls_engine.worker import EngineLike, Worker


def between_windows(
    settings: Settings, load: Callable[[Loading], EngineLike], loading: Loading, worker: Worker
) -> EngineLike:
    if settings.engine.url:
        return load(loading)
    try:
        identity = identity_of(settings.model, settings.device, settings.dtype, settings.threads)
    except (EngineError, OSError):
        return load(loading)  # it says what is wrong with the model
    if identity.small:
        return load(loading)
    from dgls_engine.sharing.sharing import Sharing  # its converters take a tenth of a second

    return Sharing(identity).open(load, loading, worker)
