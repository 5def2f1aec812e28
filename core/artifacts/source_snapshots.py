"""Reproducible snapshots of source trees: a tar with names, contents and execute bits only."""

from __future__ import annotations

import os
import re
import tarfile
import tempfile
from collections.abc import Mapping, Set
from pathlib import Path
from urllib.parse import urlsplit

from core.artifacts.index_settings import PROXY_VARIABLES, ca_file
from core.content import POINTER_LIMIT, Placeholder, WrongContent, recognise_pointer
from core.errors import InputError, XaivaError, os_reason
from core.files import TEMPORARY_PREFIX
from core.progress import Progress, stop_if_cancelled
from core.subprocesses import run_child

GIT_FOLDER = ".git"
IGNORED_NAMES = {
    GIT_FOLDER,
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "__pycache__",
    "node_modules",
    ".tox",
    ".mypy_cache",
    ".pytest_cache",
}
EXECUTABLE, REGULAR = 0o755, 0o644


def snapshot(tree: Path, target: Path, prefix: str, progress: Progress, branch: str = "") -> None:
    """Write the tree as a tar at `target`, below a folder `prefix`.

    The snapshot of a git checkout has the tracked files and new files that are not ignored. With a `branch` that is
    not checked out, it has the committed files of that branch. Raises InputError when the tree does not exist or has a
    submodule that is not checked out, Cancelled.
    """
    if not tree.is_dir():
        raise InputError(f"Source tree {tree}", "there is no such folder", "correct the path, or set XAIVA_SOURCE_PATH")
    if branch and _is_other_branch(tree, branch, progress):
        _write_branch(tree, branch, target, prefix, progress)
        return
    _write_tar(tree, _git_files(tree, progress) or _all_files(tree), target, prefix, progress)


def clone(
    url: str, ref: str, target: Path, prefix: str, progress: Progress, token: str, site_env: Mapping[str, str]
) -> str:
    """Fetch `ref` of a repository with its submodules and write it as a tar at `target`; returns the commit.

    git gets the token through its environment and never prompts. Raises XaivaError.
    """
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as scratch:
        env = git_environment(url, token, site_env)
        folder = Path(scratch) / "tree"
        _git(["init", "--quiet", str(folder)], progress, env)
        _git(
            ["-C", str(folder), "fetch", "--quiet", "--depth=1", "--", url, ref], progress, env, f"Git repository {url}"
        )
        _git(["-C", str(folder), "checkout", "--quiet", "FETCH_HEAD"], progress, env)
        if (folder / ".gitmodules").is_file():
            _git(["-C", str(folder), "remote", "add", "origin", url], progress, env)  # base of relative submodule URLs
            _git(["-C", str(folder), "submodule", "update", "--init", "--recursive", "--depth=1"], progress, env)
        commit = _git(["-C", str(folder), "rev-parse", "HEAD"], progress, env).strip()
        _write_tar(folder, _all_files(folder, {GIT_FOLDER}), target, prefix, progress)
        return commit


def git_environment(url: str, token: str, site_env: Mapping[str, str]) -> dict[str, str]:
    """The environment of git: no prompts, the site's proxies and certificate authorities, and the token.

    A credential helper passes the token only to the host of `url`, because submodules may be on other hosts.
    """
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    env |= {name: value for name, value in site_env.items() if name.lower() in PROXY_VARIABLES}
    if authorities := ca_file(site_env):
        env.setdefault("GIT_SSL_CAINFO", authorities)
    parts = urlsplit(url)
    if token and parts.scheme in ("http", "https"):
        helper = '!f() { echo username=oauth2; echo "password=$XAIVA_GIT_TOKEN"; }; f'
        name = f"credential.{parts.scheme}://{parts.netloc}.helper"
        count = int(env.get("GIT_CONFIG_COUNT", "0"))
        env |= {"XAIVA_GIT_TOKEN": token, "GIT_CONFIG_COUNT": str(count + 2)}
        for at, value in enumerate(["", helper], count):  # the empty value removes the machine's own helpers
            env |= {f"GIT_CONFIG_KEY_{at}": name, f"GIT_CONFIG_VALUE_{at}": value}
    return env


def _git(arguments: list[str], progress: Progress, env: dict[str, str] | None = None, what: str = "git") -> str:
    try:
        process = run_child(["git", *arguments], progress, env)
    except FileNotFoundError as error:
        raise XaivaError("git", "it is not installed", "install git, or give the source as an archive") from error
    if process.code:
        raise XaivaError(what, " ".join(process.err.split()), git_remedy(process.err))
    return process.out.decode(errors="surrogateescape")


def git_remedy(error_text: str) -> str:
    """The remedy for an error of git."""
    for pattern, remedy in (
        (r"couldn't find remote ref|not our ref|no such remote ref", "correct the ref"),
        (r"Authentication failed|could not read Username|HTTP 40[13]|error: 40[13]", "check the token in .env"),
        (
            r"not found|does not exist|does not appear to be a git repo",
            "correct the address; a private repository needs a token",
        ),
        (r"certificate", "name your network's certificate authority in SSL_CERT_FILE"),
        (r"[Rr]esolve|timed out|refused|unreachable|Failed to connect", "check the address, the network and the proxy"),
        (r"No space left", "free space on the disk of the temporary files (TMPDIR)"),
    ):
        if re.search(pattern, error_text):
            return remedy
    return "try it by hand: git fetch"


def _is_other_branch(tree: Path, branch: str, progress: Progress) -> bool:
    """Whether `branch` exists in the repository and is not checked out."""
    if not (tree / ".git").exists():
        return False
    git = ["git", "-C", str(tree)]
    current = run_child([*git, "symbolic-ref", "--short", "HEAD"], progress).out.decode().strip()
    branch_commit = run_child([*git, "rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}"], progress)
    return current != branch and branch_commit.code == 0


def _write_branch(tree: Path, ref: str, target: Path, prefix: str, progress: Progress) -> None:
    if re.search(r"(?m)^160000 ", _git(["-C", str(tree), "ls-tree", "-r", ref], progress)):
        raise InputError(f"Branch {ref} of {tree}", "it has submodules", "check that branch out, with its submodules")
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as scratch:
        archive = Path(scratch) / "tree.tar"
        _git(["-C", str(tree), "archive", "--format=tar", f"--output={archive}", ref], progress)
        folder = Path(scratch) / "tree"
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        _write_tar(folder, _all_files(folder, {GIT_FOLDER}), target, prefix, progress)


def _git_files(tree: Path, progress: Progress) -> list[str]:
    """Tracked files, and new files that are not ignored; empty when the tree is not a git checkout."""
    if not (tree / ".git").exists():
        return []
    arguments = ["-C", str(tree), "ls-files", "-z"]
    listing = _git([*arguments, "--cached", "--recurse-submodules"], progress)
    listing += _git([*arguments, "--others", "--exclude-standard"], progress)
    return sorted({name for name in listing.split("\0") if name and os.path.lexists(tree / name)})


def _all_files(tree: Path, ignored: Set[str] = IGNORED_NAMES) -> list[str]:
    paths = []
    for root, folders, names in os.walk(tree, onerror=_unreadable):
        folders[:] = [name for name in folders if name not in ignored]
        base = Path(root)
        linked = [name for name in folders if (base / name).is_symlink()]
        paths += [(base / name).relative_to(tree).as_posix() for name in [*names, *linked] if name not in ignored]
    return sorted(paths)


def _unreadable(error: OSError) -> None:
    raise InputError(f"Source tree: {error.filename}", os_reason(error), "check its permissions") from error


def _write_tar(tree: Path, names: list[str], target: Path, prefix: str, progress: Progress) -> None:
    _refuse_pointers(tree, names, prefix)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            stop_if_cancelled(progress)
            path = tree / name
            entry = tarfile.TarInfo(f"{prefix}/{name}")
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
                tar.addfile(entry)
            elif path.is_file():
                entry.mode = EXECUTABLE if os.access(path, os.X_OK) else REGULAR
                with open(path, "rb") as file:
                    entry.size = os.fstat(file.fileno()).st_size
                    tar.addfile(entry, file)
            elif path.is_dir():  # git lists only nested repositories as folders
                what = f"{path} is a nested repository that is not checked out"
                raise InputError(f"Source tree {tree}", what, "git submodule update --init --recursive, or remove it")
            else:
                progress.log(f"skipped {path}: it is neither a file nor a link")


def _refuse_pointers(tree: Path, names: list[str], source: str) -> None:
    """Raise WrongContent when the tree has pointers in place of files."""
    pointers: list[tuple[str, Placeholder]] = []
    for path in (tree / name for name in names):
        if path.is_file() and not path.is_symlink() and 0 < path.stat().st_size <= POINTER_LIMIT:
            pointer = recognise_pointer(path.read_bytes())
            pointers += [(path.relative_to(tree).as_posix(), pointer)] if pointer else []
    if pointers:
        (first, pointer), count = pointers[0], len(pointers)
        others = f" (and {count - 1} more such files)" if count > 1 else ""
        why = f"{first}: {pointer.description}{others}"
        remedy = f"run `{pointer.pull_command}` in its checkout, and give that checkout as the path of the source"
        raise WrongContent(f"Files of {source}", why, remedy)
