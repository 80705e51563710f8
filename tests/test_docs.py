"""The documentation names what exists: files, links and terms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PAGES = [
    *(REPO / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "editors/README.md")),
    *sorted((REPO / "docs").rglob("*.md")),
]
TOP = "bench|dgls|docs|editors|engine|examples|fixtures|tests"
# A file has an extension and a folder ends in a slash; `dgls/status` is neither, but a message.
FILE = re.compile(rf"(?<![\w/.-])((?:{TOP})/(?:[\w.-]+/)*(?:[\w-]+\.\w+)?)(?![\w/])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    titles = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_page_names_a_path_that_exists(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`|^    (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = {path for pair in code for text in pair for path in FILE.findall(text)}
    assert sorted(path for path in named if not (REPO / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_page_links_to_a_page_and_heading_that_exist(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_glossary_has_one_short_line_a_term_in_alphabetical_order() -> None:
    text = (REPO / "docs" / "glossary.md").read_text(encoding="utf-8")
    lines = text.split("\n\n", 2)[2].splitlines()
    terms = [re.fullmatch(r"- \*\*([^*]+)\*\*: .{10,110}\.?", line) for line in lines]
    assert [line for line, term in zip(lines, terms, strict=True) if term is None] == []
    names = [term[1].lower() for term in terms if term is not None]
    assert names == sorted(set(names))


def test_experiments_index_names_every_page() -> None:
    folder = REPO / "docs" / "experiments"
    named = set(LINK.findall((folder / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in folder.glob("*.md")} - {"README.md"} <= named


def test_threats_name_a_test_for_every_promise() -> None:
    page = (REPO / "docs" / "threats.md").read_text(encoding="utf-8")
    promises = re.findall(r"^\| (?!promise |---)(.+) \| (.+) \|$", page, re.MULTILINE)
    assert promises
    tests = re.compile(r"`tests/\S+\.py`(,( and in `make \w+`)? `tests/\S+\.py`)*")
    assert [promise for promise, held in promises if not tests.fullmatch(held)] == []


def test_architecture_names_every_room() -> None:
    page = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {
        f"`{folder.relative_to(REPO)}/`"
        for package in (REPO / "dgls", REPO / "engine" / "dgls_engine")
        for folder in package.iterdir()
        if (folder / "__init__.py").exists()
    }
    assert rooms
    assert sorted(room for room in rooms if room not in page) == []


def test_contributing_lists_the_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):.*## ", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    page = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `make ([a-z0-9]+)` \|", page, re.MULTILINE)) == targets
