"""Cut holes into any folder of source, reproducibly.

The same folder, seed and kinds give the same cases in the same order, and a larger count only appends cases. Each kind
is a separate stream: it takes packages in turn, and the files of a package in turn, in shuffled order. The kinds
alternate. Reads the folder's files; runs on any thread.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from dgls.code.document import Span
from dgls.errors import UnusableSource
from dgls.evaluation.cases.case import Case, Kind
from dgls.evaluation.cases.holes import Code, mid_word, multi_line, random_span, single_line
from dgls.evaluation.cases.multi_file import ImportedNames
from dgls.evaluation.cases.sources import PackageFile, Sources, normalised

CUT_KINDS: tuple[Kind, ...] = ("single-line", "multi-line", "random-span", "mid-word")
"""The default kinds; `multi-file` must be named."""

Cutter = Callable[[Code, Random], Span | None]

_CUTTERS: Mapping[Kind, Cutter] = {
    "single-line": single_line,
    "multi-line": multi_line,
    "random-span": random_span,
    "mid-word": mid_word,
}
_TRIES = 12
"""Draws from a file without a new hole before the file is dropped."""
_SURROUNDINGS = 80
"""Characters on each side that identify a hole, so that copies of a file give no duplicates."""


def cut(
    folder: Path,
    seed: int,
    count: int,
    kinds: Sequence[Kind] = CUT_KINDS,
    *,
    packages: Collection[str] | None = None,
    exclude: Collection[str] = (),
) -> list[Case]:
    """Up to `count` cases with alternating kinds, only from `packages` (None: all) and never from `exclude`.

    Raises `UnusableSource` if there is no case.
    """
    sources = Sources(folder)
    files = [
        file
        for file in sources.files
        if (packages is None or file.package in packages) and normalised(file.package) not in exclude
    ]
    if not files:
        names = _listed({file.package for file in sources.files})
        raise UnusableSource(
            f"{folder}: all its packages ({names}) are left out, because the model was trained on them; "
            "name another folder"
        )
    waiting = deque(_stream(kind, seed, sources, files) for kind in kinds)
    cases: list[Case] = []
    while waiting and len(cases) < count:
        stream = waiting.popleft()
        case = next(stream, None)
        if case is not None:
            cases.append(case)
            waiting.append(stream)
    if not cases:
        raise UnusableSource(
            f"{folder} has no place for a hole of kind {', '.join(kinds)}; name another folder or kind"
        )
    return cases


def _stream(kind: Kind, seed: int, sources: Sources, files: Sequence[PackageFile]) -> Iterator[Case]:
    """The cases of one kind, until no file has a new hole."""
    rng = Random(f"{seed} {kind}")
    imported_names = ImportedNames(sources.root)
    seen: set[tuple[str, str, str]] = set()
    packages = _shuffled_packages(files, rng)
    while packages:
        package = packages.popleft()
        file = package.popleft()
        text = sources.read(file)
        code = Code.parse(text, file.language) if text is not None else None
        if code is not None:
            cutter = imported_names.cutter(file.path) if kind == "multi-file" else _CUTTERS[kind]
            case = _case(kind, file, code, sources.root, cutter, rng, seen)
            if case is not None:
                package.append(file)
                yield case
        if package:
            packages.append(package)


def _shuffled_packages(files: Sequence[PackageFile], rng: Random) -> deque[deque[PackageFile]]:
    grouped: dict[str, list[PackageFile]] = {}
    for file in files:
        grouped.setdefault(file.package, []).append(file)
    packages = [deque(rng.sample(group, len(group))) for group in grouped.values()]
    rng.shuffle(packages)
    return deque(packages)


def _case(
    kind: Kind, file: PackageFile, code: Code, root: Path, cutter: Cutter, rng: Random, seen: set[tuple[str, str, str]]
) -> Case | None:
    text = code.document.text
    for _ in range(_TRIES):
        span = cutter(code, rng)
        if span is None:
            continue
        prefix, answer, suffix = text[: span.start], text[span.start : span.end], text[span.end :]
        near = prefix[-_SURROUNDINGS:], answer, suffix[:_SURROUNDINGS]
        if near in seen:
            continue
        seen.add(near)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]  # an edited file must not reuse old results
        name = f"{kind}/{file.name}:{span.start}-{span.end}@{digest}"
        return Case(name, kind, file.name, file.language, prefix, answer, suffix, file.package, str(root))
    return None


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (" ..." if len(names) > len(shown) else "")
