"""Tells which files git ignores: by nested .gitignore files, .git/info/exclude, and the user's own file of rules.

Reloads rules when their file changes. Outside a repository, the .gitignore files of the workspace folder apply. Anybody
may have written the rules, so RE2 matches them: in time that grows linearly, where Python's expressions may take years.
Reads files; runs on the reading thread.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import re2
from pathspec import GitIgnoreSpec

from dgls.context.reading import read_start

Stamp = tuple[int, int] | None
"""A file's modification time and size, or None if there is no file."""

_RULES_BYTES = 256_000
_GIT_FILE_BYTES = 4096  # of a .git file and the files that it leads to: each holds one path
_TOGETHER = 256  # rules that RE2 compiles at once; with thousands it runs out of the memory that it allows itself
_DEEPEST = 64
_KEPT = 4096
_GIT_SECONDS = 2.0


class Rules:
    """The rules of one file. `lines` are as in a .gitignore; like git, invalid ones are skipped."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._parts = [
            part for start in range(0, len(lines), _TOGETHER) for part in _compiled(lines[start : start + _TOGETHER])
        ]

    def ignores(self, path: str) -> bool | None:
        """Whether the path is ignored, relative to the rules' folder, with a "/" behind a folder's; None: no rule
        matches."""
        name = encodable(path)
        decisions = (part.check_file(name).include for part in reversed(self._parts))  # the last rule decides
        return next((decision for decision in decisions if decision is not None), None)


def encodable(path: str) -> str:
    """The path with "?" for what UTF-8 cannot say, such as the bytes of a name in another encoding. RE2 reads UTF-8."""
    return path.encode("utf-8", "replace").decode("utf-8")


def _compiled(lines: Sequence[str]) -> list[GitIgnoreSpec]:
    try:
        return [GitIgnoreSpec.from_lines(lines, backend="re2")]
    except (ValueError, re.error, re2.error):
        half = len(lines) // 2
        return [*_compiled(lines[:half]), *_compiled(lines[half:])] if half else []


@dataclass
class Ignored:
    """`folders` are the resolved workspace folders."""

    folders: Sequence[Path]
    _rules: dict[str, tuple[Stamp, Rules]] = field(default_factory=dict)
    _decided: dict[str, tuple[tuple[Stamp, ...], bool]] = field(default_factory=dict)

    def holds(self, path: Path) -> bool:
        """Whether git ignores this file (an absolute path). Files deeper than `_DEEPEST` count as ignored."""
        root = self._root(path)
        if root is None:
            return False
        parts = path.relative_to(root).parts
        if len(parts) > _DEEPEST:
            return True
        places = [root.joinpath(*parts[:depth]) for depth in range(len(parts))]
        everywhere = [] if self._users_file is None else [str(self._users_file)]
        files = [*everywhere, str(_exclude_file(root)), *(str(place / ".gitignore") for place in places)]
        stamps = tuple(map(_stamp, files))
        decided = self._decided.get(str(path))
        if decided is None or decided[0] != stamps:
            rules = [self._read(file, stamp) for file, stamp in zip(files, stamps, strict=True)]
            top = len(rules) - len(parts)
            decided = stamps, _ignores([(max(0, number - top), own) for number, own in enumerate(rules)], parts)
            if len(self._decided) >= _KEPT:
                self._decided.clear()
            self._decided[str(path)] = decided
        return decided[1]

    @cached_property
    def _users_file(self) -> Path | None:
        """The user's file of rules for all repositories."""
        command = ["git", "config", "--global", "--type=path", "--get", "core.excludesFile"]
        try:
            answer = subprocess.run(command, cwd=Path.home(), capture_output=True, timeout=_GIT_SECONDS)
            if named := os.fsdecode(answer.stdout).strip():
                return Path(named)
            return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "git" / "ignore"
        except (OSError, RuntimeError, ValueError, subprocess.SubprocessError):  # no git, or no home
            return None

    def _root(self, path: Path) -> Path | None:
        """The root of the file's repository, else the outermost workspace folder that contains it."""
        for parent in path.parents:
            if os.path.lexists(parent / ".git"):
                return parent
        holding = [folder for folder in self.folders if folder in path.parents]
        return min(holding, key=lambda folder: len(folder.parts), default=None)

    def _read(self, file: str, stamp: Stamp) -> Rules | None:
        if stamp is None:
            return None
        known = self._rules.get(file)
        if known is None or known[0] != stamp:
            if len(self._rules) >= _KEPT:
                self._rules.clear()
            known = self._rules[file] = stamp, _parse(file)
        return known[1]


Level = tuple[int, Rules | None]
"""Rules, and the number of folders between the root and theirs."""


def _ignores(levels: Sequence[Level], parts: Sequence[str]) -> bool:
    """`levels` are the rules for the file, the weakest first. No rule can include a file of an ignored folder again."""
    for depth in range(1, len(parts) + 1):
        folder = "/" if depth < len(parts) else ""
        if _matches(levels, parts[:depth], folder):
            return True
    return False


def _matches(levels: Sequence[Level], parts: Sequence[str], folder: str) -> bool:
    """The strongest level with a matching rule decides."""
    for depth, rules in reversed(levels):
        if rules is not None and depth < len(parts):
            ignored = rules.ignores("/".join(parts[depth:]) + folder)
            if ignored is not None:
                return ignored
    return False


def _exclude_file(root: Path) -> Path:
    """The repository's exclude file. In a worktree or submodule, .git is a file that names the folder."""
    git = root / ".git"
    try:
        if git.is_file():
            git = root / read_start(git, _GIT_FILE_BYTES).removeprefix("gitdir:").strip()
            common = git / "commondir"
            git = git / read_start(common, _GIT_FILE_BYTES).strip() if common.is_file() else git
    except (OSError, ValueError):
        pass
    return git / "info" / "exclude"


def _stamp(file: str) -> Stamp:
    try:
        status = os.stat(file)  # noqa: PTH116 (a Path for each file doubles the time of a decision)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def _parse(file: str) -> Rules:
    try:
        return Rules(read_start(Path(file), _RULES_BYTES).splitlines())
    except OSError:
        return Rules([])
