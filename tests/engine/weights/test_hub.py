"""Models by name: `locate` reads the local cache without the network; `pull` asks before it downloads."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.hf_api import BlobLfsInfo, RepoSibling

from dgls_engine import Engine
from dgls_engine.errors import BrokenCheckpoint, EngineError, ModelNotFound, UnsupportedModel
from dgls_engine.weights import hub, hub_client
from dgls_engine.weights.hub import PullPlan, installed, locate, pull
from dgls_engine.weights.hub_client import RemoteFile
from dgls_engine.weights.loader import load
from tests.engine.checkpoints import chat_checkpoint

NAME = "somebody/small-diffusion"
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model on the hub, with files that `pull` must not download."""
    folder = chat_checkpoint(tmp_path_factory.mktemp("remote"))
    (folder / "modeling_own.py").write_text("raise SystemExit\n")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no embedded model."""
    for module in (hub, hub_client):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "hub")
    monkeypatch.setattr(hub, "embedded_folder", lambda: tmp_path / "none")
    return tmp_path / "hub"


class FakeHub:
    """A hub in a local folder. Writes files into the cache as the client does; can fail after `fail_after` files."""

    def __init__(self, remote: Path, cache: Path, fail_after: int = 100) -> None:
        self.remote, self.fetched, self.fail_after = remote, list[str](), fail_after
        self.repository = cache / ("models--" + NAME.replace("/", "--"))
        self.snapshot = self.repository / "snapshots" / REVISION

    def list_files(self, name: str) -> tuple[str, Sequence[RemoteFile]]:
        files = sorted(self.remote.iterdir())
        return REVISION, [RemoteFile(f.name, f.stat().st_size, (self.snapshot / f.name).exists()) for f in files]

    def fetch(self, name: str, revision: str, file: str, on_bytes: Callable[[int], None]) -> Path:
        if len(self.fetched) == self.fail_after:
            raise EngineError("the connection broke; run the same command again")
        self.fetched.append(file)
        self.snapshot.mkdir(parents=True, exist_ok=True)
        (self.repository / "refs").mkdir(exist_ok=True)
        (self.repository / "refs" / "main").write_text(REVISION)
        shutil.copyfile(self.remote / file, self.snapshot / file)
        size = (self.remote / file).stat().st_size
        on_bytes(size // 2)
        on_bytes(size)  # more than the file has, as after a retry
        return self.snapshot / file


def yes(plan: PullPlan) -> bool:
    return True


def test_pull_model_loads_by_name(remote: Path, cache: Path) -> None:
    folder = pull(NAME, yes, transport=FakeHub(remote, cache))
    assert folder == locate(NAME)
    assert load(NAME, "cpu").info.name == NAME
    (model,) = installed()
    assert (model.name, model.folder, model.problem) == (NAME, folder, None)
    assert model.bytes == sum(file.stat().st_size for file in locate(NAME).iterdir())
    assert model.parameters > 60_000


def test_pull_downloads_only_weights_json_and_template(remote: Path, cache: Path) -> None:
    fake = FakeHub(remote, cache)
    pull(NAME, yes, transport=fake)
    assert {Path(file).suffix for file in fake.fetched} == {".safetensors", ".json", ".jinja"}


def test_pull_not_confirmed_downloads_nothing(remote: Path, cache: Path) -> None:
    fake = FakeHub(remote, cache)
    plans: list[PullPlan] = []

    def no(plan: PullPlan) -> bool:
        assert fake.fetched == []
        plans.append(plan)
        return False

    assert pull(NAME, no, transport=fake) is None
    assert fake.fetched == []
    pulled = [file for file in remote.iterdir() if file.suffix in (".safetensors", ".json", ".jinja")]
    assert plans[0].total_bytes == plans[0].missing_bytes == sum(file.stat().st_size for file in pulled)
    assert plans[0].disk_free > 0


def test_pull_after_broken_connection_plans_missing_files_only(remote: Path, cache: Path) -> None:
    with pytest.raises(EngineError, match="the connection broke"):
        pull(NAME, yes, transport=FakeHub(remote, cache, fail_after=3))
    plans: list[PullPlan] = []
    pull(NAME, lambda plan: plans.append(plan) is None, transport=FakeHub(remote, cache))
    assert 0 < plans[0].missing_bytes < plans[0].total_bytes
    assert sum(file.cached for file in plans[0].files) == 3


def blob_id(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()


@pytest.fixture
def downloads(remote: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The hub's client over a local folder. Returns its downloads: (file, even if it is in the cache)."""
    siblings = [
        RepoSibling(
            file.name,
            file.stat().st_size,
            blob_id(file),
            BlobLfsInfo(size=file.stat().st_size, sha256="", pointer_size=0) if file.suffix == ".safetensors" else None,
        )
        for file in remote.iterdir()
    ]
    info = SimpleNamespace(sha=REVISION, siblings=siblings)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    fake, done = FakeHub(remote, cache), list[tuple[str, bool]]()

    def download(name: str, file: str, *, force_download: bool, **_: object) -> str:
        done.append((file, force_download))
        if force_download or not (fake.snapshot / file).exists():
            fake.fetch(name, REVISION, file, lambda count: None)
        return str(fake.snapshot / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return done


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", lambda whole: whole[:-100]),
        ("tokenizer.json", lambda whole: whole[:-100]),
        ("tokenizer.json", lambda whole: bytes(len(whole))),
        ("chat_template.jinja", lambda whole: b""),
    ],
    ids=["weights cut", "tokenizer cut", "tokenizer zeroed", "template emptied"],
)
def test_pull_damaged_model_downloads_the_damaged_file_again(
    downloads: list[tuple[str, bool]], remote: Path, name: str, content: Callable[[bytes], bytes]
) -> None:
    folder = pull(NAME, yes)
    assert folder is not None
    (folder / name).write_bytes(content((folder / name).read_bytes()))
    plans: list[PullPlan] = []
    downloads.clear()
    assert pull(NAME, lambda plan: plans.append(plan) is None) == folder
    assert [file for file, again in downloads if again] == [name]
    assert plans[0].missing_bytes == (remote / name).stat().st_size
    assert (folder / name).read_bytes() == (remote / name).read_bytes()


def test_open_damaged_model_says_how_to_repair_it(remote: Path, cache: Path) -> None:
    folder = pull(NAME, yes, transport=FakeHub(remote, cache))
    assert folder is not None
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BrokenCheckpoint, match=rf": `dgls models pull {NAME}` repairs it$"):
        Engine.open(NAME, "cpu")
    (model,) = installed()
    assert model.problem is not None
    assert model.problem.endswith(f": `dgls models pull {NAME}` repairs it")


def test_open_damaged_folder_names_no_pull(remote: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(remote, tmp_path / "own"))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BrokenCheckpoint, match=r"fetch the model again$"):
        Engine.open(folder, "cpu")


def test_pull_progress_ascends_to_total(remote: Path, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    pull(NAME, yes, lambda done, total: seen.append((done, total)), FakeHub(remote, cache))
    total = seen[-1][1]
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_pull_full_disk_raises_before_download(remote: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    fake = FakeHub(remote, cache)
    with pytest.raises(EngineError, match="GB are free; make room"):
        pull(NAME, yes, transport=fake)
    assert fake.fetched == []


def test_pull_unknown_architecture_raises_before_weights(remote: Path, cache: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(remote, tmp_path / "other"))
    (other / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}))
    fake = FakeHub(other, cache)
    with pytest.raises(UnsupportedModel, match="GPT2LMHeadModel"):
        pull(NAME, yes, transport=fake)
    assert fake.fetched == ["config.json"]
    assert installed() == []


def test_pull_pickled_weights_raises(remote: Path, cache: Path, tmp_path: Path) -> None:
    pickled = Path(shutil.copytree(remote, tmp_path / "pickled"))
    (pickled / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match="no safetensors"):
        pull(NAME, yes, transport=FakeHub(pickled, cache))


def test_installed_incomplete_model_has_problem(remote: Path, cache: Path) -> None:
    with pytest.raises(EngineError, match="the connection broke"):
        pull(NAME, yes, transport=FakeHub(remote, cache, fail_after=3))
    (model,) = installed()
    assert model.problem is not None
    assert "holds no weights" in model.problem


def test_installed_lists_embedded_model_first(remote: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "embedded_folder", lambda: remote)
    pull(NAME, yes, transport=FakeHub(remote, cache))
    assert [model.name for model in installed()] == ["embedded", NAME]
    assert locate("embedded") == remote


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("embedded", "not in this installation"),
        ("nobody/nothing", "dgls models pull nobody/nothing"),
        ("/no/such/folder", "no such folder"),
        ("", "no such folder"),
        ("a/../b", "no such folder"),
        ("../etc", "no such folder"),
        ("a--b/c..d", "no hub name"),
    ],
)
def test_locate_unknown_name_raises_with_advice(name: str, words: str) -> None:
    with pytest.raises(ModelNotFound, match=words):
        locate(name)


@pytest.mark.parametrize("name", ["plain", "../../etc", "a/b/c", "https://example.org/a/b"])
def test_pull_invalid_name_raises(name: str, remote: Path, cache: Path) -> None:
    with pytest.raises(ModelNotFound, match="no hub name"):
        pull(name, yes, transport=FakeHub(remote, cache))


def test_installed_and_locate_need_no_torch_and_no_network() -> None:
    code = (
        "import socket, sys\n"
        "socket.socket.connect = lambda *a: (_ for _ in ()).throw(AssertionError('network'))\n"
        "from dgls_engine.errors import ModelNotFound\n"
        "from dgls_engine.weights.hub import installed, locate\n"
        "installed()\n"
        "try: locate('nobody/nothing')\n"
        "except ModelNotFound: pass\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
