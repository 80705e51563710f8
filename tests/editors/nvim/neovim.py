"""A Neovim of 0.12 or later: the one in $NVIM or on PATH, else Debian's own packages in a folder of the checkout.

The packages come from the archive that this machine's apt is set up with, of a suite that has a new enough Neovim. The
system is left alone: apt and dpkg are given folders of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

CACHE = Path(__file__).resolve().parents[3] / ".cache" / "nvim"
LEAST = (0, 12)
SUITES = ("stable", "testing")
PATIENCE_SECONDS = 300


class NoNeovim(Exception):
    """No Neovim was found or could be fetched; the message says why."""


def find() -> Path:
    """Find one without fetching. Raises `NoNeovim`."""
    for name in (os.environ.get("NVIM", ""), "nvim", str(CACHE / "nvim")):
        path = shutil.which(name) if name else None
        if path is not None and _version(Path(path)) >= LEAST:
            return Path(path)
    raise NoNeovim(f"no Neovim of {'.'.join(map(str, LEAST))} or later in $NVIM or on PATH")


def find_or_fetch() -> Path:
    """Raises `NoNeovim`."""
    try:
        return find()
    except NoNeovim as missing:
        try:
            return _fetch()
        except (OSError, subprocess.SubprocessError, NoNeovim) as error:
            raise NoNeovim(f"{missing}, and none can be fetched: {error}") from error


def _version(nvim: Path) -> tuple[int, ...]:
    try:
        said = subprocess.run([nvim, "--version"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.match(r"NVIM v(\d+)\.(\d+)", said.stdout)
    return tuple(map(int, found.groups())) if found else ()


def _fetch() -> Path:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoNeovim("this is no Debian")
    for archive in _archives():
        for suite in SUITES:
            _download(archive, suite)
            nvim = _unpack()
            if _version(nvim) >= LEAST:
                return nvim
    raise NoNeovim(f"none of the archive's suites {', '.join(SUITES)} has one that runs here")


def _archives() -> Iterator[str]:
    """The Debian archives among apt's sources."""
    asked = subprocess.run(["apt-get", "--print-uris", "update"], capture_output=True, text=True, check=False)
    bases = re.findall(r"'(\S+)/dists/", asked.stdout)
    found = [base for base in dict.fromkeys(bases) if base.endswith("/debian")]
    if not found:
        raise NoNeovim("apt has no archive of Debian among its sources")
    yield from found


def _download(archive: str, suite: str) -> None:
    """Fetch Neovim and its dependencies, including the C library, into the cache. `status`: nothing is installed."""
    shutil.rmtree(CACHE, ignore_errors=True)
    for folder in ("lists/partial", "archives/partial"):
        (CACHE / folder).mkdir(parents=True)
    (CACHE / "status").touch()
    (CACHE / "sources.list").write_text(f"deb [signed-by={_keyring()}] {archive} {suite} main\n")
    settings = {
        "Dir::Etc::sourcelist": CACHE / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": CACHE / "lists",
        "Dir::State::status": CACHE / "status",
        "Dir::Cache": CACHE,
        "Acquire::Languages": "none",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    for command in (["update"], ["--yes", "--download-only", "install", "neovim"]):
        done = subprocess.run(
            ["apt-get", "--quiet", *options, *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise NoNeovim(f"apt-get {command[-1]}: {' '.join(done.stderr.split())}")


def _keyring() -> str:
    for path in ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp"):
        if (Path("/usr/share/keyrings") / path).exists():
            return f"/usr/share/keyrings/{path}"
    raise NoNeovim("the keys of Debian's archive are not installed (debian-archive-keyring)")


def _unpack() -> Path:
    """A script that runs the unpacked Neovim with the unpacked libraries."""
    root = CACHE / "root"
    for package in (CACHE / "archives").glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True, timeout=PATIENCE_SECONDS)
    for folder in ("archives", "lists"):
        shutil.rmtree(CACHE / folder)
    loader = next(path for path in sorted(root.rglob("ld-linux*.so.*")) if path.is_file())
    libraries = ":".join(sorted({str(path.parent) for path in root.rglob("lib*.so.*")}))
    nvim = CACHE / "nvim"
    nvim.write_text(
        "#!/bin/sh\n"
        f"export VIMRUNTIME={root}/usr/share/nvim/runtime\n"
        f"exec {loader} --library-path {libraries} {root}/usr/bin/nvim --cmd 'set rtp+={root}/usr/lib/nvim' \"$@\"\n"
    )
    nvim.chmod(0o755)
    return nvim
