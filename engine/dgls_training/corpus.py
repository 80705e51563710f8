"""The training corpus: permissively licensed Python from the standard library and installed packages.

If asked to, also C and C++ from installed Python packages, and JavaScript and TypeScript from `node_modules` folders.

Whole packages are held out: the model is never trained on `HELD_OUT`, nor on copies of it in other packages. Files are
deduplicated by hash and by shingles of their lines; generated, vendored and test files are dropped. Reads only files of
the running interpreter and of the given folders; no network.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import random
import re
import sysconfig
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dgls.evaluation.cases.held_out import HELD_OUT

PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|0BSD|CC0)\b", re.IGNORECASE)
COPYLEFT = re.compile(r"\b([AL]?GPL|MPL|Mozilla|EUPL|CDDL)", re.IGNORECASE)
DROPPED = re.compile(r"(^|/)(_?vendor(ed)?|_?vendored_packages|third_party|extern|externals?|_click|tests?|testing|"
                     r"idlelib/idle_test|lib2to3/tests|encodings|lexers|unicode_data|site-packages)(/|$)")  # fmt: skip
GENERATED = re.compile(r"do not edit|auto-?generated|automatically generated|@generated", re.IGNORECASE)

PYTHON = frozenset([".py"])
OTHERS = frozenset([".c", ".h", ".cc", ".cpp", ".hpp", ".js", ".mjs", ".cjs", ".ts", ".tsx"])
HELD_OUT_OTHERS = frozenset(
    [
        "greenlet",
        "markupsafe",
        "ajv",
        "commander",
        "lodash",
        "lru-cache",
        "markdown-it",
        "semver",
        "vscode-languageclient",
    ]
)
"""Packages whose files in `OTHERS` are held out."""


@dataclass(frozen=True, slots=True)
class Source:
    """One kept file. `package` is a distribution's name, or `python` for the standard library."""

    package: str
    licence: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Package:
    """The size of a package in a corpus; it is stored even if the corpus is not."""

    name: str
    licence: str
    files: int
    characters: int


def gather(
    seed: int, limit: int = 8_000_000, suffixes: frozenset[str] = PYTHON, node_modules: Sequence[Path] = ()
) -> tuple[list[Source], list[Source]]:
    """All (training, held-out) sources with these `suffixes` on this machine, deduplicated. Takes at most `limit`
    characters of Python, and as many of the other languages, from one package, so that no style dominates."""
    seen_hashes: set[str] = set()
    seen_shingles: set[int] = set()
    kept: dict[bool, list[Source]] = {True: [], False: []}
    # Held-out files come first, so that copies in other packages are dropped as duplicates.
    for held_out in (True, False):
        by_package: defaultdict[tuple[str, bool], list[Source]] = defaultdict(list)
        for source in _candidates(held_out, suffixes, node_modules):
            by_package[source.package, Path(source.path).suffix in PYTHON].append(source)
        for package in sorted(by_package):
            kept[held_out] += _distinct(by_package[package], seen_hashes, seen_shingles, seed, limit)
    return kept[False], kept[True]


def gather_into(
    run: Path,
    seed: int = 0,
    limit: int = 8_000_000,
    suffixes: frozenset[str] = PYTHON,
    node_modules: Sequence[Path] = (),
) -> None:
    """Write `training.jsonl`, `held_out.jsonl` and `corpus.json` into the folder `run`."""
    run.mkdir(parents=True, exist_ok=True)
    training, held_out = gather(seed, limit, suffixes, node_modules)
    summarise(training, run)
    for name, sources in (("training", training), ("held_out", held_out)):
        save(sources, run / f"{name}.jsonl")
        print(f"{name}: {len(sources)} files, {sum(len(source.text) for source in sources) / 1e6:.1f} MB", flush=True)


def save(sources: list[Source], path: Path) -> None:
    """Write one JSON object for each source, one a line."""
    with path.open("w", encoding="utf-8") as file:
        for source in sources:
            record = {"package": source.package, "licence": source.licence, "path": source.path, "text": source.text}
            file.write(json.dumps(record) + "\n")


def load(path: Path) -> list[Source]:
    with path.open(encoding="utf-8") as file:
        return [Source(**json.loads(line)) for line in file]


def summarise(sources: list[Source], run: Path) -> None:
    """Write `corpus.json`: the packages of a training corpus, the largest first."""
    sizes_by_package: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for source in sources:
        sizes_by_package[source.package, source.licence].append(len(source.text))
    rows = [Package(*key, len(sizes), sum(sizes)) for key, sizes in sizes_by_package.items()]
    rows.sort(key=lambda row: -row.characters)
    (run / "corpus.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def packages(run: Path) -> list[Package]:
    """The packages of a run's corpus. Writes `corpus.json` if the run is too old to have one."""
    if not (run / "corpus.json").exists():
        summarise(load(run / "training.jsonl"), run)
    return [Package(**row) for row in json.loads((run / "corpus.json").read_text(encoding="utf-8"))]


def _candidates(held_out: bool, suffixes: frozenset[str], node_modules: Sequence[Path]) -> Iterator[Source]:
    if not held_out and suffixes >= PYTHON:
        root = Path(sysconfig.get_paths()["stdlib"])
        for path in sorted(root.rglob("*.py")):
            yield from _read("python", "PSF-2.0", root, path)
    for distribution in sorted(importlib.metadata.distributions(), key=lambda installed: installed.name.lower()):
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()
        licence = _licence(distribution)
        if not _permissive(licence):
            continue
        root = Path(str(distribution.locate_file("")))  # packages can lie outside this environment
        for file in distribution.files or ():
            if file.suffix in suffixes and _is_held_out(name, file.suffix) is held_out:
                yield from _read(name, licence, root, root / file)
    for folder in node_modules:
        yield from _node_candidates(folder, held_out, suffixes)


def _node_candidates(folder: Path, held_out: bool, suffixes: frozenset[str]) -> Iterator[Source]:
    for description in sorted(folder.rglob("package.json")):
        try:
            fields = json.loads(description.read_text(encoding="utf-8"))
        except ValueError:  # a test case of some package
            continue
        name, licence = (fields.get(key) if isinstance(fields, dict) else None for key in ("name", "license"))
        if not isinstance(name, str) or not isinstance(licence, str) or not _permissive(licence):
            continue
        root = description.parent
        for path in sorted(root.rglob("*")):
            part = path.relative_to(root).parts
            if path.suffix not in suffixes or path.name.endswith(".d.ts") or "node_modules" in part:
                continue
            if _is_held_out(name, path.suffix) is held_out:
                yield from _read(f"npm:{name}", licence, root, path)


def _permissive(licence: str) -> bool:
    return bool(PERMISSIVE.search(licence)) and not COPYLEFT.search(licence)


def _is_held_out(package: str, suffix: str) -> bool:
    return package in (HELD_OUT if suffix in PYTHON else HELD_OUT_OTHERS)


def _licence(distribution: importlib.metadata.Distribution) -> str:
    fields = distribution.metadata.json
    declared = str(fields.get("license_expression") or fields.get("license") or "")
    classifiers = [line for line in fields.get("classifier", ()) if line.startswith("License")]
    return declared if 0 < len(declared) <= 120 else "; ".join(line.split(" :: ")[-1] for line in classifiers)


def _read(package: str, licence: str, root: Path, path: Path) -> Iterator[Source]:
    try:
        relative = path.relative_to(root).as_posix()
        if DROPPED.search(relative) or not 400 <= path.stat().st_size <= 300_000:
            return
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):  # outside the root, absent, or not UTF-8
        return
    lines = text.splitlines()
    if GENERATED.search(text[:3000]) or not lines or len(text) / len(lines) > 100:
        return
    yield Source(package, licence, relative, text)


def _distinct(sources: list[Source], hashes: set[str], shingles: set[int], seed: int, limit: int) -> list[Source]:
    """The sources without exact copies, and without files of which most runs of 5 code lines have been seen."""
    kept, size = [], 0
    random.Random(seed).shuffle(sources)
    for source in sources:
        digest = hashlib.sha256(source.text.encode()).hexdigest()
        lines = [line.strip() for line in source.text.splitlines() if line.strip() and not line.strip().startswith("#")]
        runs = {hash(tuple(lines[i : i + 5])) for i in range(len(lines) - 4)}
        if digest in hashes or (runs and len(runs & shingles) > 0.5 * len(runs)):
            continue
        hashes.add(digest)
        shingles |= runs
        if size + len(source.text) <= limit:
            size += len(source.text)
            kept.append(source)
    return kept
