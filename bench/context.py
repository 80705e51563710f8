"""Measures the value of each source of snippets, on holes whose answer uses a name imported from another file.

    python bench/context.py [--holes 400] [--seed 0] [--fill 0]

The holes are lines of packages outside the training corpus; each package is a workspace. Without a model: the share of
the answer's identifiers that occur in the prompt or the canvas, and the prompt's length, for the budgets of the full
and the embedded model (both counted with the embedded tokenizer). The four nearest files by name in the hole's folder
count as open in the editor. `--fill N` also fills N of the holes with the embedded model. The last line is JSON.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import io
import json
import keyword
import random
import shutil
import sysconfig
import tempfile
import time
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain, zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

from dgls.code.document import Document
from dgls.code.syntax import parse
from dgls.context.exclusion import Exclusion
from dgls.context.files import Files
from dgls.context.outline import Outline, outline
from dgls.context.surroundings import Source, Surroundings
from dgls.suggest.exchange import request_of, suggestion_of
from dgls.suggest.plan import Budget, Region, plan
from dgls.suggest.suggestion import Suggestion
from dgls_engine import Engine
from dgls_engine.prompt.formats import RawPrompt
from dgls_engine.text.tokenizer import Tokenizer
from dgls_engine.types import Context, Infill, Limits, Snippet

EMBEDDED = Path(__file__).parents[1] / "engine" / "dgls_engine" / "models" / "embedded"
WORKSPACES = (
    *(("anyio",), ("attr", "attrs"), ("cattr", "cattrs"), ("click",), ("h11",), ("httpcore",), ("httpx",), ("jinja2",)),
    *(("packaging",), ("pluggy",), ("pygls",), ("pytest_lsp",), ("rich",), ("typer",)),
)
"""The packages of the held-out distributions."""
BUDGETS = {
    "full": (4096, Budget(96, 64, 32, 64)),
    "embedded": (128, Budget(36, 20, 32, 32)),
}
"""The tokens of the prompt, and the budget of the canvas."""
SOURCES: tuple[tuple[Source, ...], ...] = ((), ("imports",), ("open files",), ("imports", "open files"))
_COMMON = frozenset([*keyword.kwlist, *dir(builtins), "self", "cls"])


@dataclass(frozen=True, slots=True)
class Hole:
    """A line of a file without its indentation."""

    around: Surroundings
    path: Path
    prefix: str
    answer: str
    suffix: str
    identifiers: frozenset[str]

    def region(self, budget: Budget) -> Region:
        document = self.document
        region = plan(document, len(self.prefix), budget, parse(document, len(self.prefix)), invoked=True, max_lines=1)
        assert isinstance(region, Region), "an invoked suggestion always has a region"
        return region

    @property
    def document(self) -> Document:
        return Document(self.path.as_uri(), 0, "python", self.prefix + self.suffix)


def holes(root: Path, packages: tuple[str, ...]) -> Iterator[Hole]:
    """Each indented line that uses a name imported from the same workspace."""
    for package in packages:
        shutil.copytree(Path(sysconfig.get_paths()["purelib"]) / package, root / package)
    files, around = Files(Exclusion([root.as_uri()])), Surroundings((root.as_uri(),))
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        imported = imported_names(files, path, outline(text))
        starts = [0, *(at + 1 for at, char in enumerate(text) if char == "\n")]
        for line, names in names_by_line(text).items():
            start = starts[line - 1]
            end = start + len(text[start:].split("\n", 1)[0])
            answer = text[start:end].strip()
            if names & imported and text[start].isspace() and len(answer) <= 120:
                prefix = text[start:end][: -len(text[start:end].lstrip())]
                yield Hole(around, path, text[:start] + prefix, answer, text[end:], frozenset(names - _COMMON))


def imported_names(files: Files, path: Path, file_outline: Outline) -> set[str]:
    """The names that a file binds to imports from its own workspace."""
    return {
        statement.bound.split(".")[0]
        for statement in file_outline.imports
        if statement.bound != "*"
        and any(files.outline(target, {}) is not None for target in files.resolve(statement, path))
    }


def names_by_line(text: str) -> dict[int, set[str]]:
    """The identifiers of each line, without import statements."""
    names: dict[int, set[str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            names.setdefault(token.start[0], set()).add(token.string)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                names.pop(line, None)
    return names


def sample(pools: list[list[Hole]], count: int, seed: int) -> list[Hole]:
    """`count` holes, from the packages in turn, so that no package dominates."""
    order = random.Random(seed)
    for pool in pools:
        order.shuffle(pool)
    return [hole for hole in chain.from_iterable(zip_longest(*pools)) if hole is not None][:count]


def sources(hole: Hole, region: Region) -> Mapping[str, tuple[Snippet, ...]]:
    documents = {
        path.as_uri(): Document(path.as_uri(), 0, "python", path.read_text(encoding="utf-8"))
        for path in neighbours(hole.path)
    }
    return {
        " and ".join(sorted(chosen)) or "none": hole.around.snippets(
            hole.document, region.above, region.below, documents, frozenset(chosen)
        )
        for chosen in SOURCES
    }


def neighbours(path: Path) -> list[Path]:
    """The four nearest files by name in the same folder."""
    names = sorted(path.parent.glob("*.py"))
    at = names.index(path)
    return sorted(sorted((other for other in names if other != path), key=lambda one: abs(names.index(one) - at))[:4])


def seen_share(hole: Hole, region: Region, shown: str) -> float:
    words = set(tokenize_words(shown + "\n" + region.before + "\n" + region.after))
    return len(hole.identifiers & words) / len(hole.identifiers)


def tokenize_words(text: str) -> list[str]:
    return "".join(char if char.isalnum() or char == "_" else " " for char in text).split()


def covered(holes: list[Hole], tokenizer: Tokenizer) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, (tokens, budget) in BUDGETS.items():
        prompt = RawPrompt(tokenizer, tokens)
        shares: dict[str, list[float]] = {}
        lengths: dict[str, list[int]] = {}
        for hole in holes:
            region = hole.region(budget)
            for source, snippets in sources(hole, region).items():
                ids = prompt.encode(Context("", "python", region.above, region.below, snippets))
                shares.setdefault(source, []).append(seen_share(hole, region, tokenizer.decode(ids)))
                lengths.setdefault(source, []).append(len(ids))
        figures[name] = {
            source: {
                "identifiers_seen": round(fmean(shares[source]), 4),
                "prompt_tokens": round(fmean(lengths[source])),
            }
            for source in shares
        }
    return figures


def filled(holes: list[Hole]) -> dict[str, Any]:
    engine = Engine.open("embedded", "cpu", "auto", 1)
    results: dict[str, list[tuple[bool, float]]] = {}
    for hole in holes:
        region = hole.region(Budget.of(engine.profile))
        for source, snippets in sources(hole, region).items():
            request = request_of(region, hole.path.name, "python", Limits(), 0, snippets=snippets)
            *_, infill = engine.infill(request)
            assert isinstance(infill, Infill)
            shown = suggestion_of(hole.document, region, infill, engine.profile.calibration)
            text = shown.new_text.strip() if isinstance(shown, Suggestion) else ""
            ratio = SequenceMatcher(None, text, hole.answer, autojunk=False).ratio()
            results.setdefault(source, []).append((text == hole.answer, ratio))
    engine.close()
    return {
        source: {
            "n": len(pairs),
            "exact_match": round(fmean(exact for exact, _ in pairs), 4),
            "edit_similarity": round(fmean(ratio for _, ratio in pairs), 4),
        }
        for source, pairs in results.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--holes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fill", type=int, default=0, help="number of holes to fill with the embedded model")
    options = parser.parse_args()
    tokenizer = Tokenizer(EMBEDDED / "tokenizer.json")
    with tempfile.TemporaryDirectory() as folder:
        pools = [list(holes(Path(folder) / packages[0], packages)) for packages in WORKSPACES]
        chosen = sample(pools, options.holes, options.seed)
        started = time.perf_counter()
        figures: dict[str, Any] = {"n": len(chosen), "seed": options.seed, **covered(chosen, tokenizer)}
        print(figures, flush=True)
        figures["seconds"] = round(time.perf_counter() - started, 1)
        if options.fill:
            figures["filled"] = filled(chosen[: options.fill])
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
