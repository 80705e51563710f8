"""Which files are kept from the model, and why.

An excluded file never becomes context for another file, even while it is open in the editor, and gets no automatic
suggestions. Both the given path and the resolved path count: a link to a secret is a secret. URIs with other schemes
than `file` (notebook cells, unsaved files) are judged by name. No setting lifts an exclusion by name. Reads the disk;
runs on the reading thread.
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
from dgls.context.gitignore import Ignored, Rules, encodable


class Excluded(StrEnum):
    """Why a file is kept from the model."""

    SECRET = "a file that may hold secrets"
    LOCK = "a lock file"
    CHOSEN = "excluded by the settings"
    IGNORED = "ignored by git"
    UNDECIDED = "a file that the disk took too long to tell of"


class Exclusion:
    """`folders` are the workspace folders' URIs; `globs` are the user's patterns, as in a .gitignore in each folder. A
    folder that cannot be resolved holds no file, so it is left out."""

    def __init__(self, folders: Sequence[str] = (), globs: Sequence[str] = ()) -> None:
        paths = [path for uri in folders if (path := path_of(uri)) is not None]
        pairs = [(path, real) for path in paths if (real := _real(path)) is not None]
        self.folders = tuple(dict.fromkeys([*(path for path, _ in pairs), *(real for _, real in pairs)]))
        self._ignored = Ignored(self.folders)
        self._secrets, self._locks = GitIgnoreSpec.from_lines(SECRETS), GitIgnoreSpec.from_lines(LOCKS)
        self._chosen = Rules(globs)
        self._by_name = lru_cache(maxsize=4096)(self._judge_name)

    def of_uri(self, uri: str, *, opened: bool) -> Excluded | None:
        """Why the file is excluded, or None. A file that git ignores is allowed while it is `opened`."""
        for name in _names(uri):
            if (why := self._by_name(name)) is not None:
                return why
        path = path_of(uri)
        return None if path is None else self.of_path(path, opened=opened)

    def of_path(self, path: Path, *, opened: bool) -> Excluded | None:
        """As `of_uri`, for an absolute path. A path that cannot be resolved counts as a secret."""
        if (real := _real(path)) is None:
            return Excluded.SECRET
        both = (path, real) if real != path else (path,)
        for one in both:
            if (why := self._by_name(str(one))) is not None:
                return why
        return Excluded.IGNORED if not opened and any(map(self._ignored.holds, both)) else None

    def _judge_name(self, name: str) -> Excluded | None:
        whole = encodable(name).replace("\\", "/").lstrip("/")
        if self._secrets.match_file(whole.lower()) or self._secrets.match_file(_original(whole.lower())):
            return Excluded.SECRET
        if self._locks.match_file(whole.lower()):
            return Excluded.LOCK
        inside = [Path(name).relative_to(folder).as_posix() for folder in self.folders if folder in Path(name).parents]
        return Excluded.CHOSEN if any(map(self._chosen.ignores, inside or [whole])) else None


def path_of(uri: str) -> Path | None:
    """The path of a local file's URI, or None for any other URI."""
    match = re.match(r"file://(?:localhost)?(/.*)", uri, re.IGNORECASE | re.DOTALL)
    return Path(os.path.normpath(url2pathname(match[1]))) if match is not None else None


def _real(path: Path) -> Path | None:
    """The path with its links resolved, or None if there can be no such path: it has a NUL or a lone surrogate."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return None


def _original(name: str) -> str:
    """The name without the endings of backup copies."""
    while (shorter := BACKUP.sub("", name)) != name and not shorter.endswith("/"):
        name = shorter
    return name


def _names(uri: str) -> tuple[str, ...]:
    """The names that a URI may stand for: # and ? may be part of the name or start a fragment or query. A name without
    a path stands in the place of the authority, as in buffer://id_rsa."""
    parts = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]+:(?://([^/?#]*))?)?(.*)", uri, re.DOTALL)
    assert parts is not None, "each part may be empty"
    authority, path = (parts[1] or "").rpartition("@")[2], parts[2]
    names = [path, re.split("[?#]", path, maxsplit=1)[0]]
    if not names[1].strip("/"):
        names += [authority + path, authority, re.sub(r":\d+$", "", authority)]
    return tuple(dict.fromkeys(map(unquote, names)))
