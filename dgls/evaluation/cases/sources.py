"""The source files of a folder, by package, for cutting holes.

Skips files that git ignores (unless it ignores the folder itself), secrets, hidden folders, virtual environments,
build output, vendored, generated, very small and very large files, and files that are not UTF-8. A file's package is
the distribution that installed it, if the folder is or lies in a site-packages; `python` in a standard library; else
the top folder under the given one. Reads the disk; runs on any thread.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dgls.code.languages import LANGUAGES, language_of
from dgls.code.parsing import grammar_of
from dgls.context.exclusion import Exclusion
from dgls.errors import UnusableSource

_KINDS = ("code", "markup")  # a folder may hold more JSON than code
_SKIPPED = frozenset(
    [
        *("node_modules", "bower_components", "__pycache__", "site-packages", "build", "dist", "target"),
        *("_vendor", "_vendored", "vendor", "vendored", "_vendored_packages", "third_party", "extern"),
    ]
)
_GENERATED = re.compile(r"do not edit|auto-?generated|automatically generated", re.IGNORECASE)
_HEAD = 3000  # characters in which a generated file declares itself
_SIZES = range(200, 300_000)
_LONGEST_MEAN_LINE = 100


@dataclass(frozen=True, slots=True)
class PackageFile:
    """`name` is the path relative to the root of its imports."""

    package: str
    language: str
    name: str
    path: Path


class Sources:
    """The files of `folder`, sorted by name. Raises `UnusableSource` if there is no folder, or no file in it.

    `root` is where imports start: the folder itself, or the parent of the outermost Python package around it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UnusableSource(f"{folder} is no folder; name one with source files in it")
        folder = folder.resolve()
        self.root = folder
        while (self.root / "__init__.py").is_file() and self.root != self.root.parent:
            self.root = self.root.parent
        package_of = _packages(folder)
        named = ((path, path.relative_to(self.root).as_posix()) for path in _walk(folder))
        unsorted = [PackageFile(package_of(path), language_of("", name).id, name, path) for path, name in named]
        self.files = sorted(unsorted, key=lambda file: file.name)
        self._exclusion = Exclusion([folder.as_uri()])
        # If git ignores the folder itself, the user still named it.
        self._is_ignored = self._exclusion.of_path(folder / "any.py", opened=False) is not None
        if not unsorted:
            raise UnusableSource(
                f"{folder} holds no source files to parse, except hidden, vendored, built, very small or very large "
                "ones; name another folder"
            )

    def read(self, file: PackageFile) -> str | None:
        """The text, or None to skip the file. Checked only here, as most files are never drawn."""
        try:
            if self._exclusion.of_path(file.path, opened=self._is_ignored) is not None:
                return None
            text = file.path.read_bytes().decode("utf-8")
        except (OSError, ValueError):
            return None
        generated = _GENERATED.search(text[:_HEAD]) or len(text) > _LONGEST_MEAN_LINE * (text.count("\n") + 1)
        return None if generated else text


def _walk(folder: Path) -> Iterator[Path]:
    """Does not follow links: they may form cycles or leave the folder."""
    suffixes = {
        suffix
        for language in LANGUAGES
        if language.kind in _KINDS and grammar_of(language) is not None
        for suffix in language.extensions
    }
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not _is_skipped(here / name)]
        for name in names:
            if os.path.splitext(name)[1] in suffixes:  # noqa: PTH122 (a Path a file takes most of the time)
                path = here / name
                with suppress(OSError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode) and status.st_size in _SIZES:
                        yield path


def _is_skipped(folder: Path) -> bool:
    name = folder.name
    return (
        name.startswith(".")
        or name in _SKIPPED
        or name.endswith((".dist-info", ".egg-info"))
        or (folder / "pyvenv.cfg").is_file()
    )


def _packages(folder: Path) -> Callable[[Path], str]:
    """A function from a file to its package's name, for the kind of `folder` that this is."""
    for place in (folder, *folder.parents):
        if any(place.glob("*.dist-info")):
            return partial(_installed_by, place, _distributions(place))
        if (place / "os.py").is_file() and (place / "encodings").is_dir():
            return lambda path: "python"
    return partial(_top, folder)


def _top(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else folder.name


def _installed_by(site: Path, owners: Mapping[str, str], path: Path) -> str:
    return owners.get(path.relative_to(site).as_posix()) or normalised(_top(site, path))


def _distributions(site: Path) -> dict[str, str]:
    """Maps installed files to their distributions. Reads RECORD files as text: with a hundred thousand files, importlib
    takes minutes, this a second."""
    owners = {}
    for record in site.glob("*.dist-info/RECORD"):
        owner = normalised(record.parent.name.partition("-")[0])
        with suppress(OSError, ValueError):
            for line in record.read_text(encoding="utf-8").splitlines():
                owners[line.partition(",")[0]] = owner
    return owners


def normalised(name: str) -> str:
    """A distribution's name in the normalised form that registries compare."""
    return re.sub(r"[-_.]+", "-", name).lower()
