"""A file that is read and written back is the same, and what can't be written is said before anything is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgls.cli import source
from dgls.cli.source import UnusableFile, read_source


@given(text=st.text(), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_text_comes_back_byte_for_byte(tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str) -> None:
    content = text.replace("\0", "").encode(encoding, "ignore")
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        found = read_source(str(path))
    except UnusableFile as error:  # such as a text that starts with what is another encoding's mark
        assert "neither UTF-8" in str(error) or "binary" in str(error)  # noqa: PT017
        return
    found.write(found.text)
    assert path.read_bytes() == content


def test_a_declared_encoding_is_used(tmp_path: Path) -> None:
    path = tmp_path / "cyrillic.py"
    path.write_bytes("# -*- coding: koi8-r -*-\n# \u043f\u0440\u0438\n".encode("koi8-r"))
    found = read_source(str(path))
    assert found.encoding == "koi8-r"
    assert found.text.endswith("\u043f\u0440\u0438\n")


def test_what_the_encoding_has_not_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(UnusableFile, match="convert it to UTF-8"):
        read_source(str(path)).write("\u20ac\n")
    assert path.read_bytes() == b"caf\xe9\n"


def test_what_somebody_saved_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "shared.py"
    path.write_text("old\n")
    found = read_source(str(path))
    path.write_text("theirs\n")
    with pytest.raises(UnusableFile, match="has changed"):
        found.write("ours\n")
    assert path.read_text() == "theirs\n"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnusableFile, match="no regular file"):
        read_source(str(tmp_path / "pipe"))


def test_a_link_keeps_pointing_to_its_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("a\n")
    link.symlink_to(real)
    read_source(str(link)).write("b\n")
    assert link.is_symlink()
    assert real.read_text() == "b\n"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.py"
    path.write_text("old\n")
    found = read_source(str(path))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnusableFile, match="No space left"):
        found.write("new\n")
    assert path.read_text() == "old\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.py"]


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.py"
    path.write_text("old\n")
    monkeypatch.setattr(source.os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(UnusableFile, match="cannot be written"):
        read_source(str(path)).write("new\n")
    assert path.read_text() == "old\n"
