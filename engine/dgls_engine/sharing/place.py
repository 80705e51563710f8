"""Where the processes that share a model meet: its lock, its pass and its socket, in a folder of the user alone.

    folder = own_folder()                       # raises OSError where others could get in
    lock = Lock.take(Place(folder, digest).lock)        # None: another process has it

Who has the lock is the holder; the socket's file says nothing, so one that a killed process left behind does no harm.
The system frees a lock when its process ends, however it ends. Any thread.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_runtime_path

_KEY_BYTES, _LONGEST = 32, 1000


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    digest: str

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.digest}.lock"

    @property
    def socket(self) -> str:
        """The socket's path; on Windows the name of a pipe."""
        return rf"\\.\pipe\dgls-{self.digest}" if sys.platform == "win32" else str(self.folder / self.digest)

    def write_pass(self, holder: str) -> bytes:
        """Make a key, which proves to the holder and to a guest that the other one reads this folder, too, and note who
        is the `holder`, for people. Only the holder may."""
        key, fresh = secrets.token_bytes(_KEY_BYTES), self.folder / f"{self.digest}.new"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key + holder.encode("utf-8", "replace")[:_LONGEST])
        fresh.replace(self._pass)
        return key

    def read_pass(self) -> tuple[bytes, str]:
        """The key, and who is the holder. Raises `OSError` if there is none."""
        with self._pass.open("rb") as stream:
            key, holder = stream.read(_KEY_BYTES), stream.read(_LONGEST)
        return key, holder.decode("utf-8", "replace")

    @property
    def _pass(self) -> Path:
        return self.folder / f"{self.digest}.pass"


class Lock:
    """A lock of this process on a file that is never removed: a second file would have a second lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Lock | None:
        """None if another process has the lock. Raises `OSError` if there can be none here."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if _locked(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat()):
                return cls(descriptor)
        except FileNotFoundError:  # somebody has cleaned up here: the next try makes the file anew
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @classmethod
    def free(cls, path: Path) -> bool:
        if (lock := cls.take(path)) is None:
            return False
        lock.release()
        return True

    def renew(self) -> None:
        """Make the file look used, to programs that remove what is old."""
        if os.utime in os.supports_fd:
            os.utime(self._descriptor)

    def release(self) -> None:
        os.close(self._descriptor)


if sys.platform == "win32":
    import msvcrt

    def _locked(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _locked(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def own_folder() -> Path:
    """The folder of this user's sockets. Raises `OSError` if another user could write in it, or read it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where it falls back to a folder in /tmp
        folder = user_runtime_path("dgls", appauthor=False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "geteuid"):
        require_own(folder)
    return folder


def require_own(folder: Path) -> None:
    """Raises `PermissionError` unless the folder is this user's alone, and nobody else can put another in its place."""
    status, me = folder.lstat(), os.geteuid()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != me or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")
    for above in folder.resolve().parents:
        status = above.stat()
        open_to_others = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
        if status.st_uid not in (0, me) or open_to_others:
            raise PermissionError(f"{folder} lies in {above}, where other users can replace it")
