"""Tells which files git ignores: nested .gitignore files and .git/info/exclude (not the user's global file).

Reloads rules when their file changes. Outside a repository, the .gitignore files of the workspace folder apply. Reads
files; runs on the reading thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

Stamp = tuple[int, int] | None
"""A file's modification time and size, or None if there is no file."""

_RULES_BYTES = 256_000
_DEEPEST = 64
_KEPT = 4096


@dataclass(slots=True)
class Ignored:
    """`folders` are the resolved workspace folders."""

    folders: Sequence[Path]
    _rules: dict[str, tuple[Stamp, GitIgnoreSpec]] = field(default_factory=dict)
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
        files = [str(_exclude_file(root)), *(str(place / ".gitignore") for place in places)]
        stamps = tuple(map(_stamp, files))
        decided = self._decided.get(str(path))
        if decided is None or decided[0] != stamps:
            levels = [self._read(file, stamp) for file, stamp in zip(files, stamps, strict=True)]
            decided = stamps, _ignores(levels, parts)
            if len(self._decided) >= _KEPT:
                self._decided.clear()
            self._decided[str(path)] = decided
        return decided[1]

    def _root(self, path: Path) -> Path | None:
        """The root of the file's repository, else the outermost workspace folder that contains it."""
        for parent in path.parents:
            if os.path.lexists(parent / ".git"):
                return parent
        holding = [folder for folder in self.folders if folder in path.parents]
        return min(holding, key=lambda folder: len(folder.parts), default=None)

    def _read(self, file: str, stamp: Stamp) -> GitIgnoreSpec | None:
        if stamp is None:
            return None
        known = self._rules.get(file)
        if known is None or known[0] != stamp:
            if len(self._rules) >= _KEPT:
                self._rules.clear()
            known = self._rules[file] = stamp, _parse(file)
        return known[1]


def _ignores(levels: Sequence[GitIgnoreSpec | None], parts: Sequence[str]) -> bool:
    """`levels` are the rules of the repository, then of each folder down to the file's. No rule can include a file
    of an ignored folder again."""
    for depth in range(1, len(parts) + 1):
        folder = "/" if depth < len(parts) else ""
        if _matches(levels, parts[:depth], folder):
            return True
    return False


def _matches(levels: Sequence[GitIgnoreSpec | None], parts: Sequence[str], folder: str) -> bool:
    """The nearest level with a matching rule decides; the repository's exclude file comes last."""
    for level in range(len(parts), -1, -1):
        rules = levels[level]
        if rules is not None:
            ignored = rules.check_file("/".join(parts[max(0, level - 1) :]) + folder).include
            if ignored is not None:
                return ignored
    return False


def _exclude_file(root: Path) -> Path:
    """The repository's exclude file. In a worktree or submodule, .git is a file that names the folder."""
    git = root / ".git"
    try:
        if git.is_file():
            named = git.read_text(encoding="utf-8", errors="replace")[:4096].removeprefix("gitdir:").strip()
            git = root / named
            common = git / "commondir"
            git = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    except (OSError, ValueError):
        pass
    return git / "info" / "exclude"


def _stamp(file: str) -> Stamp:
    try:
        status = os.stat(file)  # noqa: PTH116 (a Path for each file doubles the time of a decision)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def _parse(file: str) -> GitIgnoreSpec:
    try:
        with Path(file).open("rb") as rules:
            text = rules.read(_RULES_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""
    return GitIgnoreSpec(pattern for line in text.splitlines() for pattern in _patterns(line))


def _patterns(line: str) -> Iterator[GitIgnoreSpecPattern]:
    """The rule in one line; like git, skips invalid lines."""
    try:
        yield from GitIgnoreSpec.from_lines([line]).patterns
    except ValueError:
        return
