"""Snapshots of source trees have all files of the tree, or name what they lack."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from core.artifacts.source_snapshots import clone, git_environment, snapshot
from core.artifacts.sources import resolve_path
from core.errors import InputError
from core.progress import NullProgress
from core.site import Site
from tests.support.artifacts import random_file


def git(folder: Path, *words: str) -> None:
    """Run git in the folder; allows local repositories as submodules."""
    always = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always")
    subprocess.run(["git", "-C", str(folder), *always, *words], check=True, capture_output=True)


def repository(folder: Path, *files: str) -> Path:
    """A repository with these files, committed on `master`."""
    for name in files:
        random_file(folder / name, 10)
    git(folder, "init", "-q", "-b", "master")
    git(folder, "add", "-f", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def names_of(tar: Path) -> list[str]:
    with tarfile.open(tar) as archive:
        return archive.getnames()


@pytest.fixture
def with_submodule(tmp_path: Path) -> Path:
    inner = repository(tmp_path / "inner", "inside.c")
    tree = repository(tmp_path / "tree", "main.c")
    git(tree, "submodule", "add", "-q", str(inner), "deps/inner")
    git(tree, "commit", "-q", "-m", "two")
    return tree


def test_a_submodule_is_part_of_its_tree(with_submodule: Path, tmp_path: Path) -> None:
    snapshot(with_submodule, tmp_path / "a.tar", "p", NullProgress())
    assert names_of(tmp_path / "a.tar") == ["p/.gitmodules", "p/deps/inner/inside.c", "p/main.c"]


def test_a_submodule_that_is_not_there_is_named(with_submodule: Path, tmp_path: Path) -> None:
    git(with_submodule, "submodule", "deinit", "-f", "deps/inner")
    with pytest.raises(InputError, match="deps/inner"):
        snapshot(with_submodule, tmp_path / "a.tar", "p", NullProgress())
    git(with_submodule, "checkout", "-q", "--orphan", "empty")
    with pytest.raises(InputError, match="submodules"):
        snapshot(with_submodule, tmp_path / "a.tar", "p", NullProgress(), branch="master")


def test_what_git_tracks_is_taken_whatever_its_name(tmp_path: Path) -> None:
    tree = repository(tmp_path / "tree", "node_modules/kept.js", "venv/kept.py", "main.c")
    expected = ["p/main.c", "p/node_modules/kept.js", "p/venv/kept.py"]
    snapshot(tree, tmp_path / "a.tar", "p", NullProgress())
    clone(str(tree), "master", tmp_path / "b.tar", "p", NullProgress(), "", {})
    git(tree, "checkout", "-q", "--orphan", "empty")
    snapshot(tree, tmp_path / "c.tar", "p", NullProgress(), branch="master")
    assert [names_of(tmp_path / f"{name}.tar") for name in "abc"] == [expected] * 3


def credential(url: str, env: dict[str, str]) -> str:
    """The login that git finds for that URL."""
    command = ["git", "credential", "fill"]
    return subprocess.run(command, input=f"url={url}\n\n", env=env, capture_output=True, text=True).stdout


def test_a_git_token_is_for_its_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "credential.helper")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "!f() { echo username=u; echo password=of-the-machine; }; f")
    env = git_environment("https://git.example/team/tool.git", "our-token", {})
    assert "password=our-token" in credential("https://git.example/team/tool.git", env)
    assert "our-token" not in credential("https://elsewhere.example/sub.git", env)
    assert "of-the-machine" not in credential("https://git.example/team/tool.git", env)


def test_git_goes_by_the_sites_proxies_and_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    env = git_environment("https://git.example/x", "", {"HTTPS_PROXY": "http://proxy:3128", "PIP_CERT": "/etc/ca.pem"})
    assert (env["HTTPS_PROXY"], env["GIT_SSL_CAINFO"]) == ("http://proxy:3128", "/etc/ca.pem")


def test_a_path_by_a_variable_that_is_not_set_is_refused(site: Site) -> None:
    """Otherwise the path would be the site itself, with its secrets."""
    with pytest.raises(InputError, match="MEDIA_TREE is not set"):
        resolve_path(site, "$MEDIA_TREE")
    named = Site(site.root, site.settings, {"MEDIA_TREE": "/srv/media"})
    assert resolve_path(named, "${MEDIA_TREE}/src") == Path("/srv/media/src")
