"""Holes cut into a folder: their places, their reproducibility, and the files they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dgls.code.languages import language_of
from dgls.code.parsing import grammar_of
from dgls.errors import UnusableSource
from dgls.evaluation.cases.case import Case
from dgls.evaluation.cases.cutting import CUT_KINDS, cut
from dgls.evaluation.cases.holes import Code, mid_word, multi_line, random_span, single_line

ALL_KINDS = (*CUT_KINDS, "multi-file")

SHAPES = '''"""Prose about shapes, which no hole is cut into."""

from __future__ import annotations


class Square:
    """A square's docstring: prose as well."""

    def __init__(self, side_length: float) -> None:
        # a comment of some length
        self.side_length = side_length
        self.corners = 4

    def area(self) -> float:
        size = self.side_length
        return size * size


def doubled(square: Square) -> Square:
    larger = square.side_length * 2
    if larger > 1_000:
        raise ValueError("too large")
    return Square(larger)


UNIT = Square(1.0)
TEXT = """
neither is a hole cut into this
"""
'''

DRAWING = '''"""Draws shapes."""

from .shapes import Square, doubled
from .absent import Nothing
import os


def draw(path: str, side: float) -> str:
    square = Square(side)
    os.makedirs(path, exist_ok=True)
    bigger = doubled(square)
    unused = Nothing
    return f"{path}: {bigger.area()}"
'''

SCRIPT = """// what it says
export function greet(name) {
  const words = ["hello", name];
  if (name.length > 3) {
    words.push("again");
  }
  return words.join(" ");
}

export function parting(name, evening) {
  const wish = evening ? "good night" : "good bye";
  return `${wish}, ${name}`;
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, "shop/__init__.py", "")
    write(tmp_path, "shop/shapes.py", SHAPES)
    write(tmp_path, "shop/drawing.py", DRAWING)
    write(tmp_path, "web/greet.js", SCRIPT)
    return tmp_path


def write(folder: Path, name: str, text: str | bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def line_of(case: Case) -> str:
    return (case.prefix + case.answer + case.suffix).split("\n")[case.prefix.count("\n")]


def test_cut_case_parts_join_to_the_file(project: Path) -> None:
    for case in cut(project, 1, 200, ALL_KINDS):
        assert case.root is not None
        assert (Path(case.root) / case.path).read_text() == case.prefix + case.answer + case.suffix


def test_cut_same_seed_repeats_cases_and_larger_count_appends(project: Path) -> None:
    longer = cut(project, 7, 40, ALL_KINDS)
    assert cut(project, 7, 40, ALL_KINDS) == longer
    assert cut(project, 7, 15, ALL_KINDS) == longer[:15]
    assert [case.id for case in cut(project, 8, 40, ALL_KINDS)] != [case.id for case in longer]


def test_cut_one_kind_gives_same_cases_as_among_others(project: Path) -> None:
    among = [case for case in cut(project, 3, 24) if case.kind == "mid-word"]
    assert cut(project, 3, len(among), ["mid-word"]) == among


def test_cut_alternates_kinds_and_packages(project: Path) -> None:
    cases = cut(project, 1, 24)
    assert Counter(case.kind for case in cases) == dict.fromkeys(CUT_KINDS, 6)
    assert set(Counter((case.kind, case.package) for case in cases).values()) == {3}


def test_cut_huge_count_ends_without_duplicates(project: Path) -> None:
    cases = cut(project, 1, 100_000, ["single-line"])
    assert len({case.id for case in cases}) == len(cases) < 500
    assert len({(case.path, case.prefix, case.answer) for case in cases}) == len(cases)


def test_cut_copied_file_adds_no_duplicate(project: Path) -> None:
    write(project, "copy/shapes.py", SHAPES)
    cases = [case for case in cut(project, 1, 1000, ["multi-line"]) if case.path.endswith("shapes.py")]
    assert len({case.path for case in cases}) == 2
    assert len({(case.prefix, case.answer) for case in cases}) == len(cases)


@pytest.mark.parametrize("seed", range(3))
def test_cut_each_kind_makes_its_shape_of_hole(project: Path, seed: int) -> None:
    for case in cut(project, seed, 300, ALL_KINDS):
        line = line_of(case)
        assert case.answer == case.answer.rstrip() or case.kind == "random-span"
        assert not case.answer.lstrip().startswith(("#", "//", '"""'))
        assert "prose" not in case.answer.lower()
        assert "neither is a hole" not in case.answer
        if case.kind in ("single-line", "multi-file"):
            assert "\n" not in case.answer
            assert case.suffix.startswith("\n")
            assert len(case.answer.strip()) >= 4
            assert len(line.strip()) <= 90
        elif case.kind == "multi-line":
            assert 2 <= case.answer.count("\n") + 1 <= 8
            assert case.prefix.rpartition("\n")[2].strip() == ""
            assert case.suffix.startswith("\n")
        elif case.kind == "random-span":
            assert case.answer.count("\n") <= 3
            assert len(case.answer.strip()) >= 4
        else:
            assert case.prefix[-1].isidentifier()
            assert case.answer[0].isidentifier() or case.answer[0].isdigit()
            assert case.suffix.startswith("\n") or not (case.answer[-1] + case.suffix[0]).isidentifier()


def test_cut_multi_file_uses_names_from_other_files(project: Path) -> None:
    cases = cut(project, 1, 100, ["multi-file"])
    assert {case.path for case in cases} == {"shop/drawing.py"}
    assert all("Square(" in case.answer or "doubled(" in case.answer for case in cases)
    assert all("import" not in line_of(case) for case in cases)
    assert {"square = Square(side)", "bigger = doubled(square)"} <= {case.answer for case in cases}


def test_cut_folder_inside_package_resolves_absolute_imports(project: Path) -> None:
    write(project, "shop/drawing.py", DRAWING.replace("from .shapes", "from shop.shapes"))
    cases = cut(project / "shop", 1, 100, ["multi-file"])
    assert {(case.root, case.path) for case in cases} == {(str(project), "shop/drawing.py")}


def test_cut_crlf_file_keeps_line_breaks(tmp_path: Path) -> None:
    text = SHAPES.replace("\n", "\r\n").replace("Square", "Größe")
    write(tmp_path, "shapes.py", text)
    cases = cut(tmp_path, 1, 60)
    assert {case.kind for case in cases} == set(CUT_KINDS)
    for case in cases:
        assert case.prefix + case.answer + case.suffix == text
        assert case.kind == "random-span" or case.suffix[0] != "\n"


@pytest.mark.parametrize("cutter", [single_line, multi_line, random_span, mid_word])
def test_cutter_file_without_code_returns_none(cutter: Callable[..., object]) -> None:
    from random import Random

    for text in ("", "\n\n", "# only a comment here\n", '"""Only prose."""\n', "def f(:\n", "(1, 2, 3)\n"):
        code = Code.parse(text, "python")
        assert code is not None
        assert cutter(code, Random(1)) is None


@pytest.mark.parametrize(
    "name",
    [
        *(".hidden/a.py", "node_modules/a.js", "env/lib/a.py", "build/a.py", "pkg/_vendor/a.py", "__pycache__/a.py"),
        *("ignored/a.py", "settings.json", "notes.md", "lib/python3.11/site-packages/a.py"),
    ],
)
def test_cut_hidden_vendored_or_ignored_file_is_skipped(name: str, tmp_path: Path) -> None:
    write(tmp_path, name, SHAPES)
    write(tmp_path, "env/pyvenv.cfg", "")
    write(tmp_path, ".gitignore", "ignored/\n")
    with pytest.raises(UnusableSource):
        cut(tmp_path, 1, 1)
    write(tmp_path, "kept.py", SHAPES)
    assert {case.path for case in cut(tmp_path, 1, 20)} == {"kept.py"}


@pytest.mark.parametrize(
    "content",
    [
        "# auto-generated, do not edit\n" + SHAPES,
        SHAPES.encode("utf-16"),
        b"\xe4\xf6\xfc = 1\n" * 100,
        "x = " + "1 + " * 1000 + "1\n",
        "x = 1\n",
        SHAPES * 1000,
    ],
)
def test_cut_generated_or_unreadable_file_is_skipped(content: str | bytes, tmp_path: Path) -> None:
    write(tmp_path, "a.py", content)
    with pytest.raises(UnusableSource):
        cut(tmp_path, 1, 1)


def test_cut_symbolic_link_is_skipped(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write(outside, "secret.py", SHAPES)
    (project / "loop").symlink_to(project, target_is_directory=True)
    (project / "away").symlink_to(outside, target_is_directory=True)
    (project / "file.py").symlink_to(outside / "secret.py")
    assert {case.package for case in cut(project, 1, 100)} == {"shop", "web"}


def test_cut_site_packages_names_distributions(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    for name, module in (("Some_Thing", "thing"), ("other", "different")):
        write(site, f"{module}/code.py", SHAPES.replace("Square", module.title()))
        write(site, f"{name}-1.0.dist-info/RECORD", f"{module}/code.py,sha256=x,1\n{name}-1.0.dist-info/RECORD,,\n")
    packages = {case.package for case in cut(site, 1, 20)}
    assert packages == {"some-thing", "other"}
    assert {case.package for case in cut(site, 1, 20, exclude=["other"])} == {"some-thing"}
    assert {case.package for case in cut(site, 1, 20, packages=["other"])} == {"other"}
    assert {case.package for case in cut(site / "thing", 1, 20)} == {"some-thing"}
    with pytest.raises(UnusableSource, match=r"some-thing\) are left out"):
        cut(site / "thing", 1, 20, exclude=["some-thing"])


def test_cut_ignored_folder_named_explicitly_has_cases(tmp_path: Path) -> None:
    write(tmp_path, ".gitignore", "/private/\n")
    write(tmp_path, "private/a.py", SHAPES)
    (tmp_path / ".git").mkdir()
    assert cut(tmp_path / "private", 1, 4)


def test_cut_absent_or_empty_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(UnusableSource, match="is no folder"):
        cut(tmp_path / "absent", 1, 1)
    with pytest.raises(UnusableSource, match="holds no source files"):
        cut(tmp_path, 1, 1)


def test_cut_broken_code_gets_no_hole(project: Path) -> None:
    """In broken code nobody can tell whether a fill breaks it."""
    from tree_sitter import Parser

    write(project, "broken/a.py", SHAPES + "\ndef f(:\n    nothing = of_this\n")
    for case in cut(project, 1, 200):
        if case.package != "broken":
            grammar = grammar_of(language_of(case.language))
            assert grammar is not None
            assert not Parser(grammar).parse((case.prefix + case.answer + case.suffix).encode()).root_node.has_error
        else:
            assert "nothing" not in case.answer
