"""A repository that nobody vouches for: whatever its files are, reading them ends soon."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dgls.code.document import Document
from dgls.context.exclusion import Exclusion
from dgls.context.gitignore import Rules
from dgls.context.outline import outline
from dgls.context.reading import read_start
from dgls.context.surroundings import Surroundings
from tests.context.workspace import plant

SOON = 2.0
"""Seconds of computing; what is tried takes years, or for ever, if its time grows faster than linearly."""

NAME = "a" * 80


@pytest.mark.parametrize(
    "rule", ["*a" * 8 + "*b", "[a-z]*" * 20 + "!", "**/*a" * 12 + "*b", "?*" * 40 + "b", "*" * 200 + "b"]
)
def test_rules_for_any_pattern_decide_soon(rule: str) -> None:
    started = time.thread_time()
    assert Rules([rule]).ignores(f"{NAME}/{NAME}/{NAME}.py") is None
    assert time.thread_time() - started < SOON


def test_rules_in_thousands_decide_by_the_last_match() -> None:
    rules = Rules(["*.log", *(f"folder{number}/*.x{number}" for number in range(3000)), "!kept.log", "[z-a]", "\\"])
    assert rules.ignores("a.log") is True
    assert rules.ignores("kept.log") is False
    assert rules.ignores("folder2999/a.x2999") is True
    assert rules.ignores("folder2999/a.x2998") is None


def test_ignored_follows_the_users_own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    plant(home, {".config/git/ignore": "*.local\n", "mine": "*.own\n"})
    plant(work, {".gitignore": "!kept.local\n", "a.local": "", "kept.local": "", "a.own": ""})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    subprocess.run(["git", "init", "-q", str(work)], check=True)

    def ignored() -> list[str]:
        exclusion = Exclusion((work.as_uri(),))
        names = ("a.local", "kept.local", "a.own")
        return [name for name in names if exclusion.of_path(work / name, opened=False) is not None]

    assert ignored() == ["a.local"]
    (home / ".gitconfig").write_text("[core]\n\texcludesFile = ~/mine\n")
    assert ignored() == ["a.own"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in folders")
@pytest.mark.parametrize("name", [".gitignore", ".git", ".git/info/exclude", "helper.py", "deep/.gitignore"])
def test_surroundings_do_not_wait_for_a_fifo(tmp_path: Path, name: str) -> None:
    plant(tmp_path, {"main.py": "import helper\n\nhelper.load(1)\n"})
    main = tmp_path / "main.py"
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / name)
    reading = subprocess.run([sys.executable, "-c", _READ, str(tmp_path), str(main)], timeout=30, capture_output=True)
    assert reading.stdout.split() == [b"None", b"()"], reading.stderr


_READ = """
import sys
from pathlib import Path
from dgls.code.document import Document
from dgls.context.surroundings import Surroundings
folder, main = map(Path, sys.argv[1:])
around = Surroundings((folder.as_uri(),))
document = Document(main.as_uri(), 1, "python", main.read_text())
print(around.excluded((folder / "deep" / "a.py").as_uri()))
print(around.snippets(document, document.text, "", {}, {"imports"}))
"""


def test_read_start_reads_no_more_than_asked(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.write(b"ab\xff")
        file.truncate(1 << 40)
    assert read_start(large, 4) == "ab\ufffd\0"
    for other in (tmp_path, tmp_path / "missing", Path(os.devnull)):
        with pytest.raises(OSError, match=r"regular|No such file|cannot find"):
            read_start(other, 4)


def test_git_file_of_terabytes_is_read_in_part(tmp_path: Path) -> None:
    with (tmp_path / ".git").open("wb") as file:
        file.truncate(1 << 40)
    assert Exclusion((tmp_path.as_uri(),)).of_path(tmp_path / "a.py", opened=False) is None


@pytest.mark.parametrize(
    "text", ["\n" * 90_000, "from " * 18_000, "import a; " * 9_000, " " * 90_000, "from a import b\n" * 6_000]
)
def test_snippets_take_linear_time(tmp_path: Path, text: str) -> None:
    plant(tmp_path, {"main.py": ""})
    main = tmp_path / "main.py"
    around = Surroundings((tmp_path.as_uri(),))
    started = time.thread_time()
    around.snippets(Document(main.as_uri(), 1, "python", text), text, text, {}, frozenset({"imports"}))
    assert time.thread_time() - started < 2 * SOON


@pytest.mark.parametrize(
    "text",
    ["if 1:\n" + " " * 2 + "(" * 5000, "".join(f"{' ' * depth}if 1:\n" for depth in range(900)), "x: " + "[" * 5000],
)
def test_outline_of_deep_nesting_ends(text: str) -> None:
    assert outline(text).imports == ()
