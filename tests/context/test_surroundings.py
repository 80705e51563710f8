"""Snippets of other files: imported definitions, unchanged while the user types, and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgls.code.document import Document
from dgls.context.exclusion import Excluded
from dgls.context.surroundings import Source, Surroundings
from dgls.suggest.exchange import request_of
from dgls.suggest.plan import Budget, Quiet, plan
from dgls_engine.types import InfillRequest, Limits, Snippet
from tests.context.workspace import plant

ALL: frozenset[Source] = frozenset({"imports", "open files"})
PACKAGE = {
    "pkg/__init__.py": "from .core import Engine\nfrom ._more import *\nfrom . import tools\n",
    "pkg/core.py": 'from .base import Base\n\nclass Engine(Base):\n    """Runs."""\n    def start(self, key): ...\n',
    "pkg/base.py": "class Base: ...\n",
    "pkg/_more.py": "from .base import Base as Ground\n\ndef extra(a): ...\n",
    "pkg/tools/__init__.py": "def hammer(nail): ...\ndef saw(wood): ...\n",
    "pkg/tools/deep.py": "def drill(): ...\n",
    "pkg/circle.py": "from .circle import nothing\nfrom .square import round_\n",
    "pkg/square.py": "from .circle import round_\n",
    "src/lib.py": "def from_src(): ...\n",
}


def snippets_of(
    root: Path, text: str, name: str = "pkg/user.py", opened: dict[str, str] | None = None, below: str = ""
) -> tuple[Snippet, ...]:
    """The snippets for a region between `text` and `below`."""
    documents = {
        (root / other).as_uri(): Document((root / other).as_uri(), 1, "python", own)
        for other, own in (opened or {}).items()
    }
    document = Document((root / name).as_uri(), 1, "python", text + below)
    return Surroundings((root.as_uri(),)).snippets(document, text, below, documents, ALL)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from pkg.base import Base\n", "class Base:\n"),
        ("from .base import Base\n", "class Base:\n"),
        ("from . import base\nbase.Base\n", "class Base:\n"),
        ("import pkg.base\npkg.base.Base\n", "class Base:\n"),
        ("import pkg.base as b\nb.Base\n", "class Base:\n"),
        ("from pkg import Engine\n", 'class Engine(Base):\n    """Runs."""\n    def start(self, key):\n'),
        ("from pkg import Ground\n", "class Base:\n"),
        ("from pkg import extra\n", "def extra(a):\n"),
        ("from pkg import tools\ntools.saw(1)\n", "def saw(wood):\n"),
        ("from pkg.tools import deep\ndeep.drill()\n", "def drill():\n"),
        ("from .tools.deep import drill\n", "def drill():\n"),
        ("from lib import from_src\n", "def from_src():\n"),
        ("import os\nfrom typing import Any\nfrom nowhere import x\nfrom .... import y\n", ""),
        ("from .circle import round_\n", ""),
        ("from .user import me\n", ""),
    ],
)
def test_snippets_follow_imports_to_definitions(tmp_path: Path, text: str, shown: str) -> None:
    plant(tmp_path, {**PACKAGE, "pkg/user.py": "def me(): ...\n"})
    assert "".join(snippet.text for snippet in snippets_of(tmp_path, text)) == shown


@pytest.mark.parametrize("half_typed", ["from . import,; x", "from . import (x/\nfrom a import b\n", "from pkg import"])
def test_snippets_half_typed_import_keeps_others(tmp_path: Path, half_typed: str) -> None:
    plant(tmp_path, PACKAGE)
    shown = snippets_of(tmp_path, f"from .base import Base\n{half_typed}")
    assert [snippet.path for snippet in shown] == ["pkg/base.py"]


def test_snippets_put_used_names_first_with_workspace_paths(tmp_path: Path) -> None:
    plant(tmp_path, PACKAGE)
    text = "from .base import Base\nfrom ._more import extra\n\nextra(1)\n"
    assert [snippet.path for snippet in snippets_of(tmp_path, text)] == ["pkg/_more.py", "pkg/base.py"]


def test_snippets_read_open_file_from_editor(tmp_path: Path) -> None:
    plant(tmp_path, PACKAGE)
    snippets = snippets_of(tmp_path, "from .base import New\n", opened={"pkg/base.py": "class New(int): ...\n"})
    assert snippets == (Snippet("pkg/base.py", "class New(int):\n"),)


def test_snippets_from_open_files_keep_opening_order(tmp_path: Path) -> None:
    plant(tmp_path, PACKAGE)
    other = {"z.py": "def zed(): ...\ndef unused(): ...\n", "a.py": "class Ay: ...\n", "n.txt": "class Ay: ...\n"}
    plant(tmp_path, other)
    snippets = snippets_of(tmp_path, "zed\n", opened=other, below="Ay\n")
    assert snippets[:2] == (Snippet("z.py", "def zed():\n"), Snippet("a.py", "class Ay:\n"))


def test_snippets_imported_open_file_appears_once(tmp_path: Path) -> None:
    plant(tmp_path, PACKAGE)
    snippets = snippets_of(tmp_path, "from .base import Base\n", opened={"pkg/base.py": PACKAGE["pkg/base.py"]})
    assert snippets == (Snippet("pkg/base.py", "class Base:\n"),)


def test_snippets_without_a_source_omit_it(tmp_path: Path) -> None:
    plant(tmp_path, PACKAGE)
    text = "from .base import Base\nsaw\n"
    uri, name = (tmp_path / "pkg/user.py").as_uri(), (tmp_path / "pkg/tools/__init__.py").as_uri()
    document, tools = Document(uri, 1, "python", text), Document(name, 1, "python", PACKAGE["pkg/tools/__init__.py"])
    around = Surroundings((tmp_path.as_uri(),))
    sources: list[frozenset[Source]] = [frozenset(), frozenset({"imports"}), frozenset({"open files"}), ALL]
    shown = [[one.text for one in around.snippets(document, text, "", {name: tools}, chosen)] for chosen in sources]
    base, saw = "class Base:\n", "def saw(wood):\n"
    assert shown == [[], [base], [saw], [base, saw]]


def test_snippets_reread_changed_file_at_once_and_others_rarely(tmp_path: Path) -> None:
    plant(tmp_path, PACKAGE)
    now = 0.0
    around = Surroundings((tmp_path.as_uri(),), clock=lambda: now)
    document = Document((tmp_path / "pkg/user.py").as_uri(), 1, "python", "")

    def shown() -> str:
        return "".join(snippet.text for snippet in around.snippets(document, "from .base import Base\n", "", {}, ALL))

    first = shown()
    (tmp_path / "pkg/base.py").write_text("class Base(object): ...\n")
    assert shown() == first
    now = 3.0
    assert shown() == "class Base(object):\n"


def test_snippets_outside_workspace_are_not_read(tmp_path: Path) -> None:
    plant(tmp_path, {"w/a.py": "", "other.py": "def secret(): ...\n", "lib/pack/__init__.py": "def secret(): ...\n"})
    (tmp_path / "w" / "link.py").symlink_to(tmp_path / "other.py")
    (tmp_path / "w" / "pack").symlink_to(tmp_path / "lib" / "pack")
    text = "from link import secret\nfrom pack import secret\nfrom ..other import secret\n"
    assert snippets_of(tmp_path / "w", text, "a.py") == ()


def test_snippets_of_remote_or_non_python_file_are_empty(tmp_path: Path) -> None:
    plant(tmp_path, PACKAGE)
    around = Surroundings((tmp_path.as_uri(),))
    text = "from pkg import Engine\n"
    for uri, language in (("untitled:a.py", "python"), ((tmp_path / "a.ts").as_uri(), "typescript")):
        assert around.snippets(Document(uri, 1, language, text), text, "", {}, ALL) == ()


def test_snippets_large_file_is_not_read(tmp_path: Path) -> None:
    plant(tmp_path, {"big.py": "def big(): ...\n" + "#" * 300_000, "a.py": ""})
    assert snippets_of(tmp_path, "from big import big\n", "a.py") == ()


@given(typed=st.text(alphabet="from pkg.tools import saw, Engine()\n    =", max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_snippets_typing_inside_region_stay_equal(tmp_path: Path, typed: str) -> None:
    plant(tmp_path, PACKAGE)
    head = "from pkg import Engine, extra\n" + "filler = 1\n" * 200
    around = Surroundings((tmp_path.as_uri(),))
    uri = (tmp_path / "pkg/user.py").as_uri()

    def context(text: str, version: int) -> tuple[str, str, tuple[Snippet, ...]]:
        document = Document(uri, version, "python", head + text + "\n" + "tail = 1\n" * 200)
        region = plan(document, len(head + text), Budget(), invoked=True)
        assert not isinstance(region, Quiet)
        snippets = around.snippets(document, region.above, region.below, {uri: document}, ALL)
        return region.above, region.below, snippets

    before, after = context("", 1), context(typed, 2)
    assert before[2], "the test is about something"
    if before[:2] == after[:2]:
        assert before[2] == after[2]


SECRETS = [".env", ".env.local", "tls.pem", "id_rsa", ".npmrc", "credentials.json", "terraform.tfstate", "poetry.lock"]
"""Each is planted as a file, under a Python name that leads to it, and as an open document."""


def leak(number: int) -> str:
    return f"leaked_{number}"


def secret_workspace(root: Path) -> list[str]:
    """Modules from which a secret could be imported; number n defines `leak(n)`."""
    modules = []
    for number, name in enumerate(SECRETS):
        plant(root, {name: f"def {leak(number)}(): ...\n"})
        (root / f"link_{number}.py").symlink_to(root / name)
        modules.append(f"link_{number}")
    more = {"secrets_env": "secrets_env.py", "build.made": "build/made.py", "pack.chosen": "pack/chosen.py"}
    for module, path in more.items():
        plant(root, {path: f"def {leak(len(modules))}(): ...\n"})
        modules.append(module)
    plant(root, {"keys.pem/__init__.py": f"def {leak(len(modules))}(): ...\n"})
    (root / "keys").symlink_to(root / "keys.pem")
    plant(
        root, {".gitignore": "secrets_env.py\nbuild/\n", "pack/__init__.py": "from .chosen import *\n", ".git/HEAD": ""}
    )
    return [*modules, "keys"]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_snippets_never_contain_secrets(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("workspace")
    modules = secret_workspace(root)
    plant(root, {"plain.py": "def harmless(): ...\n"})
    numbers = data.draw(st.lists(st.sampled_from(range(len(modules))), unique=True))
    lines = [f"from {modules[number]} import {leak(number)} as own_{number}" for number in numbers]
    lines += [f"import {modules[number]} as m{number}" for number in numbers]
    lines += [f"m{number}.leaked = own_{number}" for number in numbers]
    lines += ["from pack import *", "from plain import harmless"]
    text = "\n".join(data.draw(st.permutations(lines))) + "\n" + "filler = 1\n" * 100
    opened = data.draw(st.lists(st.sampled_from([*SECRETS, "pack/chosen.py", *(f"link_{n}.py" for n in (0, 3))])))
    request = requested(root, text, opened)
    assert "harmless" in "".join(snippet.text for snippet in request.context.snippets)
    assert "def leaked" not in repr(request)


def requested(root: Path, text: str, opened: list[str]) -> InfillRequest:
    """The request at the end of `text`, with the files `opened` in the editor."""
    documents = {}
    for name in opened:
        uri = (root / name).as_uri()
        documents[uri] = Document(uri, 1, "python", (root / name).read_text())
    document = Document((root / "main.py").as_uri(), 1, "python", text)
    region = plan(document, len(text), Budget(), invoked=True)
    assert not isinstance(region, Quiet)
    around = Surroundings((root.as_uri(),), ("chosen.py",))
    snippets = around.snippets(document, region.above, region.below, {document.uri: document, **documents}, ALL)
    return request_of(region, "main.py", "python", Limits(), 0, snippets=snippets)


def test_snippets_without_exclusion_contain_secrets(tmp_path: Path) -> None:
    """The test above can fail: the same workspace, with plain names."""
    modules = secret_workspace(tmp_path)
    (tmp_path / ".gitignore").unlink()
    (tmp_path / "link_0.py").unlink()
    (tmp_path / "link_0.py").write_text(f"def {leak(0)}(): ...\n")
    text = "".join(f"from {module} import {leak(number)}\n" for number, module in enumerate(modules))
    shown = repr(requested(tmp_path, text + "filler = 1\n" * 100, []))
    assert [number for number in range(len(modules)) if f"def {leak(number)}(" in shown] == [0, 8, 9]


def test_snippets_ignored_file_appears_while_open(tmp_path: Path) -> None:
    plant(tmp_path, {".gitignore": "local.py\n", "local.py": "def local(): ...\n", ".git/HEAD": ""})
    text = "from local import local\n" + "filler = 1\n" * 100
    assert requested(tmp_path, text, []).context.snippets == ()
    assert [snippet.path for snippet in requested(tmp_path, text, ["local.py"]).context.snippets] == ["local.py"]


def test_excluded_open_file_is_judged_by_name_only(tmp_path: Path) -> None:
    around = Surroundings((tmp_path.as_uri(),))
    plant(tmp_path, {".gitignore": "local.py\n", ".git/HEAD": ""})
    assert around.excluded((tmp_path / ".env").as_uri()) is Excluded.SECRET
    assert around.excluded((tmp_path / "local.py").as_uri()) is None
