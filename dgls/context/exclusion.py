"""Which files are kept from the model, and why.

An excluded file is never read for another one's sake, not even when it is open in the editor, and nothing is
suggested in it unless the user asks. A file is judged by the path it was asked for and by the one that this resolves
to: a link to a secret is a secret. URIs of other schemes than `file` (notebook cells, unsaved files) are judged
by name. Nothing lifts an exclusion by name. Reads the disk; belongs to the reading thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote
from urllib.request import url2pathname

from pathspec import GitIgnoreSpec

from dgls.context.excluded_names import BACKUP, LOCKS, SECRETS
from dgls.context.gitignore import Ignored


class Excluded(StrEnum):
    """Why a file is kept from the model."""

    SECRET = "a file that may hold secrets"
    LOCK = "a lock file"
    CHOSEN = "excluded by the settings"
    IGNORED = "ignored by git"
    UNDECIDED = "a file that the disk took too long to tell of"


class Exclusion:
    """`folders` are the workspace folders' URIs; `globs` the user's own, as in a .gitignore at each of them."""

    def __init__(self, folders: Sequence[str] = (), globs: Sequence[str] = ()) -> None:
        found = [path for uri in folders if (path := path_of(uri)) is not None]
        self.folders = tuple(dict.fromkeys([*found, *(Path(os.path.realpath(path)) for path in found)]))
        self._ignored = Ignored(self.folders)
        self._secrets, self._locks = GitIgnoreSpec.from_lines(SECRETS), GitIgnoreSpec.from_lines(LOCKS)
        self._chosen = GitIgnoreSpec.from_lines(globs)
        self._by_name = lru_cache(maxsize=4096)(self._judge_name)

    def of_uri(self, uri: str, *, opened: bool) -> Excluded | None:
        """Why the file is excluded; None if it is not. What git ignores is not while it is `opened`."""
        for name in _names(uri):
            if (why := self._by_name(name)) is not None:
                return why
        path = path_of(uri)
        return None if path is None else self.of_path(path, opened=opened)

    def of_path(self, path: Path, *, opened: bool) -> Excluded | None:
        """As `of_uri`, of an absolute path. What can't be resolved is taken for a secret."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            return Excluded.SECRET
        both = (path, real) if real != path else (path,)
        for one in both:
            if (why := self._by_name(str(one))) is not None:
                return why
        return Excluded.IGNORED if not opened and any(map(self._ignored.holds, both)) else None

    def _judge_name(self, name: str) -> Excluded | None:
        whole = name.replace("\\", "/").lstrip("/")
        if self._secrets.match_file(whole.lower()) or self._secrets.match_file(_original(whole.lower())):
            return Excluded.SECRET
        if self._locks.match_file(whole.lower()):
            return Excluded.LOCK
        inside = [Path(name).relative_to(folder).as_posix() for folder in self.folders if folder in Path(name).parents]
        return Excluded.CHOSEN if any(map(self._chosen.match_file, inside or [whole])) else None


def path_of(uri: str) -> Path | None:
    """The path of a local file's URI; None of any other."""
    match = re.match(r"file://(?:localhost)?(/.*)", uri, re.IGNORECASE | re.DOTALL)
    return Path(os.path.normpath(url2pathname(match[1]))) if match is not None else None


def _original(name: str) -> str:
    """The name of the file that this is a copy of, if it is one."""
    while (shorter := BACKUP.sub("", name)) != name and not shorter.endswith("/"):
        name = shorter
    return name


def _names(uri: str) -> tuple[str, ...]:
    """What a URI may be the name of: a client may or may not have meant a fragment or query by # or ?."""
    rest = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]+:(//[^/]*)?", "", uri)
    return tuple(dict.fromkeys((unquote(rest), unquote(re.split("[?#]", rest, maxsplit=1)[0]))))
