"""Which files are kept from the model: by name, by git, by the user's globs, through links and by any URI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dgls.context.exclusion import Excluded, Exclusion, path_of
from tests.context.workspace import plant

SECRETS = [
    ".env",
    ".env.local",
    ".env.production",
    "api.env",
    ".envrc",
    "conf/.ENV",
    "server.pem",
    "tls.key",
    "old/cert.p12",
    "ca.crt",
    "a.jks",
    ".netrc",
    ".npmrc",
    ".pypirc",
    "id_rsa",
    "id_rsa.bak",
    ".ssh/config",
    "deploy_ed25519",
    ".aws/config",
    ".aws/credentials",
    "credentials.json",
    "my-service-account-7.json",
    "terraform.tfstate",
    "terraform.tfstate.backup",
    "prod.tfvars",
    ".kube/config",
    "kubeconfig.yaml",
    ".git/config",
    ".git-credentials",
    ".docker/config.json",
    "secrets.yaml",
    "app-secrets.json",
    ".streamlit/secrets.toml",
    ".htpasswd",
    ".bash_history",
    ".config/gcloud/access_tokens.db",
    "AppData/Roaming/gcloud/access_tokens.db",
    "crypto_rsa/.env",
    "crypto_rsa/deploy_rsa",
    "id_rsa/x",
    ".dev.vars",
    "release.keystore",
    ".terraform/x.json",
    "master.key",
    ".env~",
    ".env.bak.2",
    "secrets.json.bak",
    "server.key.bak",
    "server.pem.orig",
    "credentials.json.old",
    ".envrc.local",
    "key.asc",
    "private-key.asc",
    "id_rsa_work",
    ".ssh/id_rsa.py",
    ".composer/auth.json",
]
PLAIN = [
    ".env.example",
    ".env.local.example",
    ".env.sample",
    "environment.py",
    "env.py",
    "keys.py",
    "key.py",
    "main.tf",
    "secrets.py",
    "src/credentials.py",
    "docker-compose.yml",
    ".gitignore",
    "tokens.json",
    "config.json",
    "monkey",
    "id_rs",
    "pem.py",
    ".github/workflows/ci.yml",
    "credentials/store.py",
    "gcloud/storage.py",
    "crypto_rsa/keys.py",
    "id_rsa_utils.py",
    "auth.json",
    "web/auth.json",
    "book/01-introduction.asc",
    "main.py~",
    "env.py.bak",
    "~",
    "keys.py.1",
]


@pytest.mark.parametrize("name", SECRETS)
def test_exclusion_secret_name_is_excluded_even_when_open(tmp_path: Path, name: str) -> None:
    exclusion = Exclusion([tmp_path.as_uri()])
    assert exclusion.of_path(tmp_path / name, opened=False) is Excluded.SECRET
    assert exclusion.of_uri((tmp_path / name).as_uri(), opened=True) is Excluded.SECRET


@pytest.mark.parametrize("name", PLAIN)
def test_exclusion_code_about_secrets_is_allowed(tmp_path: Path, name: str) -> None:
    assert Exclusion([tmp_path.as_uri()]).of_uri((tmp_path / name).as_uri(), opened=False) is None


@pytest.mark.parametrize("name", ["poetry.lock", "web/package-lock.json", "go.sum", "Cargo.lock"])
def test_exclusion_lock_file_is_excluded(tmp_path: Path, name: str) -> None:
    assert Exclusion().of_path(tmp_path / name, opened=True) is Excluded.LOCK


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("untitled:.env", Excluded.SECRET),
        ("untitled:Untitled-1", None),
        ("inmemory://.env", Excluded.SECRET),
        ("inmemory://.env/", Excluded.SECRET),
        ("buffer://%2Eenv?x=1", Excluded.SECRET),
        ("buffer://me@id_rsa:1", Excluded.SECRET),
        ("inmemory://model/1", None),
        ("vscode-notebook-cell:/project/.env/note.ipynb#W0sZmlsZQ", Excluded.SECRET),
        ("vscode-notebook-cell:/project/note.ipynb#W0sZmlsZQ", None),
        ("vscode-remote://ssh-remote+host/home/u/.ssh/config", Excluded.SECRET),
        ("vscode-remote://host.pem/home/u/a.py", None),
        ("file:///project/%2Eenv", Excluded.SECRET),
        ("file:///project/a#b/.env", Excluded.SECRET),
        ("file:///project/.env#L3", Excluded.SECRET),
        ("file:///project/.env?x=1", Excluded.SECRET),
        ("file:///c%3A/project/.env", Excluded.SECRET),
        ("file:///project/a%00b.py", Excluded.SECRET),
        ("FILE:///project/.env", Excluded.SECRET),
        (".env", Excluded.SECRET),
        ("a.py", None),
        ("", None),
        ("file://[/x", None),
    ],
)
def test_exclusion_uri_of_any_scheme_is_judged_by_name(uri: str, why: Excluded | None) -> None:
    assert Exclusion().of_uri(uri, opened=True) is why


@pytest.mark.parametrize("folder", ["file:///%00", "file:///a%00b/c", "file:///\ud800"])
def test_exclusion_folder_that_cannot_be_is_left_out(folder: str) -> None:
    exclusion = Exclusion((folder, "file:///project"), ["*.csv"])
    assert exclusion.folders == (Path("/project"),)
    assert exclusion.of_uri("file:///project/a.py", opened=True) is None
    assert exclusion.of_uri("file:///project/a.csv", opened=True) is Excluded.CHOSEN


def test_exclusion_link_is_judged_by_name_and_target(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1")
    (tmp_path / "plain.py").write_text("")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "settings.py").symlink_to(tmp_path / ".env")
    (tmp_path / "twice.py").symlink_to(tmp_path / "settings.py")
    (tmp_path / "x.pem").symlink_to(tmp_path / "plain.py")
    (tmp_path / "folder").symlink_to(tmp_path / ".ssh")
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    exclusion = Exclusion([tmp_path.as_uri()])
    for name in ("settings.py", "twice.py", "x.pem", "folder/a.py"):
        assert exclusion.of_path(tmp_path / name, opened=True) is Excluded.SECRET, name
    assert exclusion.of_path(tmp_path / "plain.py", opened=True) is None


def test_exclusion_globs_are_relative_to_each_folder(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    exclusion = Exclusion([one.as_uri(), two.as_uri()], ["/build", "*.csv", "!.env"])
    chosen = ["one/build/a.py", "two/build/a.py", "one/x/a.csv", "elsewhere/a.csv"]
    assert {exclusion.of_path(tmp_path / name, opened=True) for name in chosen} == {Excluded.CHOSEN}
    assert exclusion.of_path(one / "x" / "build" / "a.py", opened=True) is None
    assert exclusion.of_path(one / ".env", opened=True) is Excluded.SECRET, "nothing lifts an exclusion by name"


IGNORE_FILES = {
    ".gitignore": "*.log\nbuild/\n/top.py\n!keep.log\nlogs/*\n!logs/kept.txt\n\\#odd\n!\n",
    "a/.gitignore": "!b.log\nlocal.py\n/only.py\n",
    "a/deep/.gitignore": "*\n!.gitignore\n!wanted.py\n",
    ".git/info/exclude": "mine.py\n",
}
FILES = [
    "x.log",
    "keep.log",
    "top.py",
    "a/top.py",
    "build/x.py",
    "build/keep.log",
    "a/build/x.py",
    "a/b.log",
    "a/c.log",
    "a/local.py",
    "local.py",
    "a/only.py",
    "a/z/only.py",
    "a/deep/x.py",
    "a/deep/wanted.py",
    "a/deep/more/x.py",
    "mine.py",
    "a/mine.py",
    "a/deep/mine.py",
    "logs/kept.txt",
    "logs/lost.txt",
    "logs/deep/kept.txt",
    "#odd",
    "plain.py",
    "src/plain.py",
]


def test_ignored_holds_agrees_with_git(tmp_path: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is the judge here")
    subprocess.run([git, "init", "-q", str(tmp_path)], check=True)
    plant(tmp_path, IGNORE_FILES)
    judged = subprocess.run(
        [git, "-C", str(tmp_path), "-c", "core.excludesFile=", "check-ignore", "-z", "--no-index", "--stdin"],
        input="\0".join(FILES).encode(),
        capture_output=True,
    )
    ignored = set(judged.stdout.decode().rstrip("\0").split("\0"))
    assert {"x.log", "a/only.py"} < ignored
    exclusion = Exclusion([tmp_path.as_uri()])
    assert {name for name in FILES if exclusion.of_path(tmp_path / name, opened=False) is Excluded.IGNORED} == ignored


def test_exclusion_open_ignored_file_is_allowed(tmp_path: Path) -> None:
    plant(tmp_path, {".git/HEAD": "", ".gitignore": "local.py\n.env\n"})
    exclusion = Exclusion([tmp_path.as_uri()])
    uri = (tmp_path / "local.py").as_uri()
    assert exclusion.of_uri(uri, opened=False) is Excluded.IGNORED
    assert exclusion.of_uri(uri, opened=True) is None
    assert exclusion.of_uri((tmp_path / ".env").as_uri(), opened=True) is Excluded.SECRET


def test_ignored_worktree_reads_common_rules(tmp_path: Path) -> None:
    plant(tmp_path, {"main/.git/info/exclude": "mine.py\n", "main/.git/worktrees/w/commondir": "../..\n"})
    plant(tmp_path, {"tree/.git": f"gitdir: {tmp_path / 'main/.git/worktrees/w'}\n"})
    assert Exclusion().of_path(tmp_path / "tree/a/mine.py", opened=False) is Excluded.IGNORED


def test_ignored_outside_repository_reads_folder_rules(tmp_path: Path) -> None:
    plant(tmp_path, {"w/.gitignore": "x.py\n", ".gitignore": "y.py\n"})
    exclusion = Exclusion([(tmp_path / "w").as_uri()])
    judged = [exclusion.of_path(tmp_path / "w" / name, opened=False) for name in ("x.py", "y.py")]
    assert judged == [Excluded.IGNORED, None]
    assert exclusion.of_path(tmp_path / "x.py", opened=False) is None


@pytest.mark.parametrize("name", ["caf\udce9.log", "\ud800.log"], ids=ascii)
def test_exclusion_name_that_is_no_utf_8_is_judged(tmp_path: Path, name: str) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n", encoding="utf-8")
    exclusion = Exclusion([tmp_path.as_uri()])
    assert exclusion.of_path(tmp_path / name, opened=False) in (Excluded.IGNORED, Excluded.SECRET)
    assert exclusion.of_uri(f"untitled:{name}", opened=True) is None


def test_ignored_changed_rules_apply_at_once(tmp_path: Path) -> None:
    plant(tmp_path, {".git/HEAD": "", ".gitignore": "a.py\n"})
    exclusion = Exclusion([tmp_path.as_uri()])
    assert exclusion.of_path(tmp_path / "b.py", opened=False) is None
    (tmp_path / ".gitignore").write_text("a.py\nb.py\n")
    assert exclusion.of_path(tmp_path / "b.py", opened=False) is Excluded.IGNORED
    (tmp_path / ".gitignore").unlink()
    assert exclusion.of_path(tmp_path / "a.py", opened=False) is None


@pytest.mark.skipif(os.name != "posix", reason="POSIX paths")
def test_path_of_uri_is_normalised() -> None:
    assert path_of("file:///a/../b/c%20d.py") == Path("/b/c d.py")
    assert path_of("file://localhost/b") == Path("/b")
    assert path_of("file://host/b") is None
    assert path_of("untitled:x") is None
