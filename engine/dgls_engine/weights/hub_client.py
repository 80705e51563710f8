"""The Hugging Face hub: its list of a model's files, its downloads, and its cache on this machine.

Only `HubTransport` uses the network. Imports no torch; runs on the calling thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgls_engine.errors import EngineError, ModelNotFound

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling


@dataclass(frozen=True, slots=True)
class RemoteFile:
    name: str
    bytes: int
    cached: bool


def cache_folder() -> Path:
    """The hub client's cache on this machine. HF_HOME and HF_HUB_CACHE change it."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


class HubTransport:
    """The Hugging Face hub. Its client resumes downloads and verifies them, but takes any file in its cache for whole.
    So a cached file of another size, and a small one of other content, is downloaded again."""

    def __init__(self) -> None:
        self._damaged: set[str] = set()

    def list_files(self, name: str) -> tuple[str, Sequence[RemoteFile]]:
        from huggingface_hub import HfApi, try_to_load_from_cache

        with _translated_errors(name):
            info = HfApi().model_info(name, files_metadata=True)
        revision, files = info.sha or "main", list[RemoteFile]()
        for remote in info.siblings or []:
            cached = try_to_load_from_cache(name, remote.rfilename, cache_folder(), revision)
            whole = isinstance(cached, str) and _is_whole(Path(cached), remote)
            if isinstance(cached, str) and not whole:
                self._damaged.add(remote.rfilename)
            files.append(RemoteFile(remote.rfilename, remote.size or 0, whole))
        return revision, files

    def fetch(self, name: str, revision: str, file: str, on_bytes: Callable[[int], None]) -> Path:
        from huggingface_hub import hf_hub_download

        with _translated_errors(name):
            # A download by branch writes the reference in the cache that `locate` follows, so the config is downloaded
            # by branch. The other files are downloaded by revision, so that all belong to one version of the model.
            version = None if file == "config.json" else revision
            bar, again = _bar_class(on_bytes), file in self._damaged
            return Path(
                hf_hub_download(
                    name, file, revision=version, cache_dir=cache_folder(), tqdm_class=bar, force_download=again
                )
            )


def _is_whole(cached: Path, remote: RepoSibling) -> bool:
    """By its size, and by git's hash, which the hub gives for files outside LFS."""
    if remote.size not in (None, cached.stat().st_size):
        return False
    if remote.lfs is not None or remote.blob_id is None:
        return True
    content = cached.read_bytes()
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest() == remote.blob_id


class _translated_errors:
    """Raises `EngineError`s, which say what to do, in place of the hub client's errors."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, GatedRepoError):
            raise EngineError(
                f"{self._name} is gated; accept its terms on its page, then log in with `hf auth login`"
            ) from error
        if isinstance(error, RepositoryNotFoundError):
            raise ModelNotFound(f"the hub has no model {self._name!r} that you can read; check its spelling") from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineError(
            f"the download of {self._name} failed ({reason}); run the same command again to resume it"
        ) from error


def _bar_class(on_bytes: Callable[[int], None]) -> Any:
    """A progress bar class that reports bytes and draws nothing: the hub client offers no other callback."""

    class Reporter:
        def __init__(self, *args: object, initial: int = 0, total: int | None = None, **options: object) -> None:
            self.total = total
            on_bytes(initial or 0)

        def __enter__(self) -> Reporter:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            on_bytes(int(n or 0))

        def update_transfer(self, n: float | None = 1) -> None:
            """Exists so that the client makes no second bar for the bytes on the network."""

        def set_postfix_str(self, *args: object, **options: object) -> None:
            pass

        set_transfer_postfix_str = set_postfix_str

        def close(self) -> None:
            pass

    return Reporter
