"""Opens a model that all windows of a user share: in this process if it gets the lock, else through the holder's.

    Sharing(identity).open(load, on_loading, worker)

Where there can be no lock or socket, this process loads a copy of its own. Runs on the worker's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from dgls_engine.errors import EngineClosed
from dgls_engine.profile import ModelInfo
from dgls_engine.sharing.guest import Guest
from dgls_engine.sharing.holder import Holder
from dgls_engine.sharing.identity import Identity
from dgls_engine.sharing.patience import Patience
from dgls_engine.sharing.place import Place, own_folder
from dgls_engine.sharing.wire import Failed, Left
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import CancelToken, Infill, InfillRequest, Loading, Score, ScoreRequest, Step
from dgls_engine.weights.profiles import read_profile
from dgls_engine.worker import EngineLike, Worker

logger = logging.getLogger(__name__)

Load = Callable[[Loading], EngineLike]
"""Loads the model into this process and reports its progress."""


class Sharing:
    """`folder` finds the folder of the user's sockets. It raises `OSError` if there is none that is safe."""

    def __init__(
        self, identity: Identity, folder: Callable[[], Path] = own_folder, patience: Patience | None = None
    ) -> None:
        self._identity, self._folder, self._patience = identity, folder, patience or Patience()

    def open(self, load: Load, loading: Loading, worker: Worker) -> EngineLike:
        """Raises the errors of `load`, the holder's too, and `EngineClosed` when the worker closes."""
        while not worker.closing:
            try:
                place = Place(self._folder(), self._identity.digest)
                holder = Holder.elected(place, worker, self._patience)
            except OSError as trouble:
                logger.warning("This window loads a model of its own, because none can be shared: %s", trouble)
                return load(loading)
            if holder is not None:
                return _held(holder, load, loading, worker)
            if (guest := self._guest(place, loading, worker)) is not None:
                return guest
            time.sleep(self._patience.again)
        raise EngineClosed("The engine was closed while it waited for another window's.")

    def _guest(self, place: Place, loading: Loading, worker: Worker) -> Guest | None:
        """None if the holder ended before it had a model."""
        guest = Guest(place, self._known, self._count, worker.drop, loading, self._patience)
        try:
            if guest.settled(lambda: worker.closing):
                return guest
        except BaseException:
            guest.close()
            raise
        guest.close()
        return None

    @cached_property
    def _count(self) -> Callable[[str], int]:
        tokenizer = Tokenizer(self._identity.folder / "tokenizer.json")
        return lambda text: len(tokenizer.encode(text))

    @cached_property
    def _known(self) -> ModelInfo:
        """What the model's files say without its weights, for a guest whose holder does not answer."""
        return ModelInfo(self._identity.name, 0, 0, "", "", "", 0.0, read_profile(self._identity.folder))


class Held:
    """The model of this process, which the windows share. Closed, it is free for another process."""

    def __init__(self, engine: EngineLike, holder: Holder, worker: Worker) -> None:
        self._engine, self._holder, self._worker = engine, holder, worker

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    def infill(self, request: InfillRequest, cancel: CancelToken | None = None) -> Iterator[Step | Infill]:
        return self._engine.infill(request, cancel)

    def scores(self, request: ScoreRequest, cancel: CancelToken | None = None) -> Sequence[Score]:
        return self._engine.scores(request, cancel)

    def warm(self) -> Iterator[None]:
        return self._engine.warm()

    def count(self, text: str) -> int:
        return self._engine.count(text)

    def close(self) -> None:
        self._holder.close(Left(wanted=self._worker.closing))
        try:
            self._engine.close()
        finally:
            self._holder.release()  # last: until then, the model is in memory


def _held(holder: Holder, load: Load, loading: Loading, worker: Worker) -> Held:
    def told(done: int, total: int) -> None:
        loading(done, total)
        holder.loading(done, total)

    try:
        engine = load(told)
    except BaseException as error:
        holder.close(Failed.of(None, error))
        holder.release()
        raise
    holder.opened(engine.info)
    return Held(engine, holder, worker)
