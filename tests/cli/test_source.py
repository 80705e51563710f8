"""Files keep their bytes when read and written back, and a text that cannot be written fails before any write."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.cli import source
from dgls.cli.source import UnusableFile, read_source


@given(text=st.text(), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_write_of_read_text_keeps_bytes(tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str) -> None:
    content = text.replace("\0", "").encode(encoding, "ignore")
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        file = read_source(str(path))
    except UnusableFile as error:  # such as a text that starts with what is another encoding's mark
        assert "neither UTF-8" in str(error) or "binary" in str(error)  # noqa: PT017
        return
    file.write(file.text)
    assert path.read_bytes() == content


def test_read_source_declared_encoding_is_used(tmp_path: Path) -> None:
    path = tmp_path / "cyrillic.py"
    path.write_bytes("# -*- coding: koi8-r -*-\n# \u043f\u0440\u0438\n".encode("koi8-r"))
    file = read_source(str(path))
    assert file.encoding == "koi8-r"
    assert file.text.endswith("\u043f\u0440\u0438\n")


def test_write_character_outside_encoding_raises(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(UnusableFile, match="convert it to UTF-8"):
        read_source(str(path)).write("\u20ac\n")
    assert path.read_bytes() == b"caf\xe9\n"


def test_write_changed_file_raises(tmp_path: Path) -> None:
    path = tmp_path / "shared.py"
    path.write_text("old\n")
    file = read_source(str(path))
    path.write_text("theirs\n")
    with pytest.raises(UnusableFile, match="has changed"):
        file.write("ours\n")
    assert path.read_text() == "theirs\n"


def test_read_source_pipe_raises(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnusableFile, match="no regular file"):
        read_source(str(tmp_path / "pipe"))


def test_write_hard_link_keeps_its_other_name(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_bytes(b"a long line\n")
    other.hardlink_to(one)
    read_source(str(one)).write("b\n")
    assert (one.read_bytes(), other.read_bytes()) == (b"b\n", b"b\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.py", "other.py"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_write_file_of_somebody_else_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_bytes(b"a\n")
    path.chmod(0o640)
    os.chown(path, 12345, 23456)
    read_source(str(path)).write("longer than before\n")
    there = path.stat()
    assert path.read_bytes() == b"longer than before\n"
    assert (there.st_uid, there.st_gid, stat.S_IMODE(there.st_mode)) == (12345, 23456, 0o640)


def test_write_in_place_on_a_full_disk_keeps_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_bytes(b"old\n")
    other.hardlink_to(one)
    synced, fsync = [], os.fsync

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:  # after the new file, the old one
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnusableFile, match="No space left"):
        read_source(str(one)).write("new and longer\n")
    assert (one.read_bytes(), other.read_bytes()) == (b"old\n", b"old\n")


def test_write_link_keeps_target(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("a\n")
    link.symlink_to(real)
    read_source(str(link)).write("b\n")
    assert link.is_symlink()
    assert real.read_text() == "b\n"


def test_write_failing_keeps_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.py"
    path.write_text("old\n")
    file = read_source(str(path))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnusableFile, match="No space left"):
        file.write("new\n")
    assert path.read_text() == "old\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.py"]


def test_write_read_only_file_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.py"
    path.write_text("old\n")
    monkeypatch.setattr(source.os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(UnusableFile, match="cannot be written"):
        read_source(str(path)).write("new\n")
    assert path.read_text() == "old\n"
