"""What the table of faults says of tests holds, and nothing waits by the clock that people set."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.e2e.wire import REPO
from tests.stress.faults import TESTED, TRIED

EXAMPLES = REPO / "dgls" / "cli" / "examples"
MAY_USE_THE_TIME_OF_DAY = {
    "dgls/server/acceptance.py": "the date of a line of a log",
    "engine/dgls_engine/prompt/rendering.py": "tells a chat template the date",
    "engine/dgls_engine/weights/expert_cache.py": "the age of files",
    "engine/dgls_engine/remote/transport.py": "a date in HTTP's Retry-After",
}


@pytest.mark.parametrize("test", TESTED.values())
def test_test_that_the_table_names_is_there(test: str) -> None:
    file, name = test.split("::")
    module = ast.parse((REPO / file).read_text(encoding="utf-8"))
    assert name in [each.name for each in module.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_each_fault_says_what_must_hold() -> None:
    assert all(fault.__doc__ for fault in TRIED)
    assert len({fault.__name__ for fault in TRIED}) == len(TRIED)


def test_no_wait_depends_on_the_time_of_day() -> None:
    files = [file for folder in ("dgls", "engine/dgls_engine") for file in (REPO / folder).rglob("*.py")]
    ours = [file for file in files if EXAMPLES not in file.parents]
    users = {file.relative_to(REPO).as_posix() for file in ours if _uses_the_time_of_day(file)}
    assert users == MAY_USE_THE_TIME_OF_DAY.keys(), "use time.monotonic"


def _uses_the_time_of_day(file: Path) -> bool:
    """Whether the file calls `time.time`, `datetime.now` or the like, by whatever name it imports them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "time.time_ns"):
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "time" and {"time", "time_ns"} & _names(node):
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "datetime" and "datetime" in _names(node):
            return True
    return False


def _names(node: ast.ImportFrom) -> set[str]:
    return {alias.name for alias in node.names}
