"""Who may meet: one lock, whatever lies around it, and a folder of one user alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dgls_engine.sharing import place
from dgls_engine.sharing.identity import Identity, identity_of
from dgls_engine.sharing.place import Lock, Place, own_folder, require_own
from dgls_engine.sharing.sharing import Sharing
from dgls_engine.worker import Worker
from tests.engine.test_worker import ScriptedEngine

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and users of POSIX")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
NOBODY = 65534


def test_take_lock_that_is_taken_returns_none(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock.take(path)
    assert lock is not None
    assert Lock.take(path) is None
    assert not Lock.free(path)
    lock.release()
    assert Lock.free(path)
    assert Lock.free(path), "a look at it does not keep it"


@posix
def test_take_lock_through_a_link_raises(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Lock.take(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()


def test_pass_of_a_new_holder_replaces_the_old(tmp_path: Path) -> None:
    there = Place(tmp_path, "model")
    keys = [there.write_pass(f"process {number}") for number in range(2)]
    assert keys[0] != keys[1]
    assert there.read_pass() == (keys[1], "process 1")
    if sys.platform != "win32":
        assert (tmp_path / "model.pass").stat().st_mode & 0o777 == 0o600


@posix
def test_own_folder_is_made_for_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(place, "user_runtime_path", lambda *_, **__: tmp_path / "runtime" / "dgls")
    folder = own_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert own_folder() == folder


@posix
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_require_own_folder_that_others_may_enter_raises(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(PermissionError, match="alone"):
        require_own(tmp_path)


@posix
def test_require_own_folder_that_is_a_link_raises(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        require_own(tmp_path / "link")


@posix
def test_require_own_folder_below_one_that_others_write_in_raises(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "shared" / "dgls").mkdir(mode=0o700)
    with pytest.raises(PermissionError, match="replace"):
        require_own(tmp_path / "shared" / "dgls")
    (tmp_path / "shared").chmod(0o1777)  # as /tmp: only its owner can rename a folder in it
    require_own(tmp_path / "shared" / "dgls")


@as_root
def test_require_own_folder_of_another_user_raises(tmp_path: Path) -> None:
    folder = tmp_path / "dgls"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="alone"):
        require_own(folder)


@as_root
def test_socket_and_pass_are_out_of_reach_for_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "dgls"
    folder.mkdir(mode=0o700)
    for above in tmp_path.parents:
        if above != Path("/tmp") and above.is_relative_to("/tmp"):
            above.chmod(0o755)
    tmp_path.chmod(0o755)
    program = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
for attempt in (lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[1]), lambda: open(sys.argv[1] + ".pass"),
                lambda: os.unlink(sys.argv[1]), lambda: open(sys.argv[1] + ".lock", "a")):
    try:
        attempt()
    except PermissionError:
        continue
    sys.exit("reached")
"""
    there = Place(folder, "model")
    there.write_pass("me")
    Path(there.socket).touch()
    done = subprocess.run([sys.executable, "-c", program, there.socket], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_open_without_a_safe_folder_loads_a_copy_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def unsafe() -> Path:
        raise PermissionError("others can get in")

    engine = ScriptedEngine()
    sharing = Sharing(Identity("m", tmp_path, "digest", 2**40), unsafe)
    worker = Worker(lambda worker: sharing.open(lambda loading: engine, lambda done, total: None, worker))
    try:
        while worker.state == "loading":
            pass
        assert worker.state == "ready"
        assert "others can get in" in caplog.text
    finally:
        assert worker.close(5)


def test_identity_tells_apart_what_makes_answers_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1234")
    told = {identity_of(str(tmp_path), "cpu", "auto").digest}
    assert identity_of(str(tmp_path), "cpu", "auto").digest in told
    told.add(identity_of(str(tmp_path), "cuda", "auto").digest)
    told.add(identity_of(str(tmp_path), "cpu", "int4").digest)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    told.add(identity_of(str(tmp_path), "cpu", "auto").digest)
    monkeypatch.setattr("dgls_engine.sharing.identity.version", lambda _: "9.9.9")
    told.add(identity_of(str(tmp_path), "cpu", "auto").digest)
    weights.write_bytes(b"12345")
    told.add(identity_of(str(tmp_path), "cpu", "auto").digest)
    assert len(told) == 6


def test_identity_of_a_model_that_fits_many_times_is_small() -> None:
    assert identity_of("embedded").small
    assert not Identity("large", Path(), "digest", 17_000_000_000).small
