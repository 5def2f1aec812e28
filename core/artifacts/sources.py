"""Sources and models: archives and files by URL, repositories by commit, trees as snapshots."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.artifacts import trees
from core.artifacts.child import run_child
from core.artifacts.indexes import uv_environment
from core.artifacts.lockfile import Kind, Lock, LockedFile, Unlocked
from core.artifacts.network import Network
from core.artifacts.remote import Unreachable, fetch_unknown, look_at, measured
from core.content import WrongContent, check
from core.errors import InputError, XaivaError
from core.files import TEMPORARY_PREFIX, move_into_place, sha256_file
from core.presets.model import MEDIA_SOURCE as MEDIA
from core.presets.model import MEDIA_VARIABLE, Model, Preset, Source
from core.progress import Progress
from core.site import Site

NAME_DIGITS = 12  # of the SHA-256, in the file names of sources: another content is another file
PYTHON = "python"
# Where the projects themselves publish their releases; asked only when the preset names no source of its own.
RELEASES = {
    "ffmpeg": "https://ffmpeg.org/releases/ffmpeg-{version}.tar.xz",
    "opencv": "https://github.com/opencv/opencv/archive/refs/tags/{version}.tar.gz",
    "nv-codec-headers": (
        "https://github.com/FFmpeg/nv-codec-headers/releases/download/n{version}/nv-codec-headers-{version}.tar.gz"
    ),
}
ARCHIVE_SUFFIX = re.compile(r"(\.tar(\.[a-z0-9]+)?|\.tgz|\.tbz2|\.txz|\.zip)$")


@dataclass
class Provided:
    """Files that are locked, and what could not be."""

    files: list[LockedFile] = field(default_factory=list)
    unlocked: list[Unlocked] = field(default_factory=list)


@dataclass(frozen=True)
class Desk:
    """What locking a source or model works with. `previous` is None where everything is to be looked up anew."""

    site: Site
    preset: str
    folder: Path
    network: Network
    previous: Lock | None
    progress: Progress

    def before(self, kind: Kind, name: str, same: Callable[[LockedFile], bool]) -> LockedFile | None:
        """The file of that name in the previous lock, if it still answers what is asked."""
        known = self.previous.of_kind(kind) if self.previous else []
        return next((file for file in known if file.name == name and same(file)), None)


def lock_sources(desk: Desk, preset: Preset, standalone_python: bool) -> Provided:
    """Lock all sources: those of the preset, and those that its build options ask for without naming them."""
    provided = Provided()
    wanted = [*preset.sources, *_implied(desk, preset, standalone_python, provided)]
    for source in wanted:
        try:
            provided.files.append(_lock_source(desk, preset, source))
        except Unreachable as error:
            remedy = f"lock again where it can be reached, or give source {source.name} as url with sha256, or a path"
            provided.unlocked.append(
                Unlocked(what=f"source {source.name}", why=f"{error.what}: {error.why}", remedy=remedy)
            )
        except WrongContent as error:
            provided.unlocked.append(_not_the_file(f"source {source.name}", error))
    return provided


def lock_models(desk: Desk, preset: Preset) -> Provided:
    """Lock all models."""
    provided = Provided()
    for model in preset.models:
        try:
            provided.files.append(_lock_model(desk, model))
        except Unreachable as error:
            remedy = f"lock again where it can be reached, or give model {model.name} as a file"
            provided.unlocked.append(
                Unlocked(what=f"model {model.name}", why=f"{error.what}: {error.why}", remedy=remedy)
            )
        except WrongContent as error:
            provided.unlocked.append(_not_the_file(f"model {model.name}", error))
    return provided


def _not_the_file(what: str, error: WrongContent) -> Unlocked:
    return Unlocked(what=what, why=f"{error.what}: {error.why}", remedy=f"{error.remedy}; then lock again")


def _implied(desk: Desk, preset: Preset, standalone_python: bool, provided: Provided) -> list[Source]:
    options = preset.build_options
    versions = {
        "ffmpeg": options.ffmpeg_version,
        "opencv": options.opencv_version,
        "nv-codec-headers": options.nv_codec_headers_version.removeprefix("n"),
    }
    found = []
    for name, version in versions.items():
        if version and preset.source(name) is None:
            found.append(Source.model_construct(name=name, url=RELEASES[name].format(version=version)))
    if options.xaiva_media_branch and preset.source(MEDIA) is None:
        if desk.site.env.get(MEDIA_VARIABLE):
            found.append(Source.model_construct(name=MEDIA, path=f"${MEDIA_VARIABLE}"))
        else:
            remedy = f"set {MEDIA_VARIABLE} in .env to its checkout, or give source {MEDIA} a path"
            provided.unlocked.append(
                Unlocked(what=f"source {MEDIA}", why="the preset does not say where its tree lies", remedy=remedy)
            )
    if standalone_python and preset.source(PYTHON) is None:
        python = _python_source(desk, preset.python_version, provided)
        found += [python] if python else []
    return found


def _python_source(desk: Desk, version: str, provided: Provided) -> Source | None:
    """The newest standalone build of that Python that uv knows, or the one locked before."""
    before = desk.before(Kind.SOURCE, PYTHON, lambda file: f"cpython-{version}." in file.url)
    if before is not None:
        return Source.model_construct(name=PYTHON, url=before.url, sha256=before.sha256)
    import uv

    argv = [uv.find_uv_bin(), "python", "list", version, "--all-versions", "--all-platforms", "--only-downloads"]
    done = run_child([*argv, "--output-format", "json"], desk.progress, uv_environment(desk.site.env, []))
    if done.code != 0:
        what, why = f"Python {version}", f"uv does not say which builds there are: {' '.join(done.err.split())}"
        remedy = "correct what it names; then lock again, or give source python (a standalone build) a url with sha256"
        provided.unlocked.append(Unlocked(what=what, why=why, remedy=remedy))
        return None
    for row in json.loads(done.out):
        right = row["implementation"] == "cpython" and row["variant"] == "default" and row["libc"] == "gnu"
        if right and row["os"] == "linux" and row["arch"] == "x86_64" and row["url"]:
            return Source.model_construct(name=PYTHON, url=row["url"])
    why = f"neither the base image's distribution nor uv has Python {version}"
    remedy = "choose another python_version, or give source python (a standalone build) a url with sha256"
    provided.unlocked.append(Unlocked(what=f"Python {version}", why=why, remedy=remedy))
    return None


def _lock_source(desk: Desk, preset: Preset, source: Source) -> LockedFile:
    desk.progress.log(f"source {source.name}")
    if source.url:
        return _by_url(desk, source)
    if source.git:
        return _by_git(desk, source)
    return _by_path(desk, source, preset.build_options.xaiva_media_branch if source.name == MEDIA else "")


def _by_url(desk: Desk, source: Source) -> LockedFile:
    before = desk.before(
        Kind.SOURCE, source.name, lambda file: file.url == source.url and source.sha256 in (None, file.sha256)
    )
    if before is not None:
        return _still_the_file(desk, before)
    filename = unquote(urlsplit(source.url).path.rpartition("/")[2])
    suffix = _suffix(filename, source.url)
    draft = LockedFile(
        path=f"sources/{source.name}",
        size=0,
        sha256=source.sha256 or "",
        kind=Kind.SOURCE,
        url=source.url,
        name=source.name,
        version=_version_in(filename),
        token_variable=source.token_variable,
    )
    if source.sha256:
        placed = draft.model_copy(update={"path": _path(source.name, source.sha256, suffix)})
        look_at(placed, desk.network)
        return measured(placed, desk.folder, desk.network, desk.progress)
    desk.progress.log(f"source {source.name}: downloading it once to learn its SHA-256")
    path, sha256, size = fetch_unknown(
        draft, lambda sha: desk.folder / _path(source.name, sha, suffix), desk.network, desk.progress
    )
    return draft.model_copy(update={"size": size, "sha256": sha256, "path": path.relative_to(desk.folder).as_posix()})


def _by_git(desk: Desk, source: Source) -> LockedFile:
    address = f"git+{source.git}@{source.ref}"
    before = desk.before(Kind.SOURCE, source.name, lambda file: file.url.partition("#")[0] == address)
    if before is not None and before.under(desk.folder).is_file():
        return before
    token = desk.site.env.get(source.token_variable, "") if source.token_variable else ""
    draft = _draft(desk, source.name)
    try:
        commit = trees.clone(source.git, source.ref, draft, source.name, desk.progress, token, desk.site.env)
        return _adopt(desk, draft, source, f"{address}#{commit}", commit[:NAME_DIGITS])
    except XaivaError as error:
        if type(error) is not XaivaError:
            raise
        raise Unreachable(f"{source.git} at {source.ref}", error.why, error.remedy) from error
    finally:
        draft.unlink(missing_ok=True)


def _by_path(desk: Desk, source: Source, branch: str) -> LockedFile:
    """A file is taken as it is, a tree as a snapshot. `$NAME` at the beginning of the path is a variable."""
    path = resolve_path(desk.site, source.path)
    draft = _draft(desk, source.name)
    suffix = ".tar"
    try:
        if path.is_file():
            suffix = _suffix(path.name, str(path))
            check(path, path.name)
            shutil.copyfile(path, draft)
        else:
            trees.snapshot(path, draft, source.name, desk.progress, branch)
        return _adopt(desk, draft, source, f"file:{source.path}", "", suffix)
    finally:
        draft.unlink(missing_ok=True)


def resolve_path(site: Site, path: str) -> Path:
    """A path of a preset: relative to the site, with one variable of `.env` allowed at its beginning.

    Raises InputError when that is not set.
    """
    match = re.match(r"^\$(?:\{(\w+)\}|(\w+))", path)
    if match:
        name = match[1] or match[2]
        if not site.env.get(name):
            raise InputError(f"Path {path}", f"{name} is not set", f"put {name} into .env")
        path = site.env[name] + path[match.end() :]
    return site.root / Path(path).expanduser()


def _draft(desk: Desk, name: str) -> Path:
    folder = desk.folder / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{TEMPORARY_PREFIX}{name}"


def _adopt(desk: Desk, draft: Path, source: Source, url: str, version: str, suffix: str = ".tar") -> LockedFile:
    sha256 = sha256_file(draft)
    path = _path(source.name, sha256, suffix)
    size = draft.stat().st_size
    move_into_place(draft, desk.folder / path)
    return LockedFile(
        path=path,
        size=size,
        sha256=sha256,
        kind=Kind.SOURCE,
        url=url,
        name=source.name,
        version=version,
        token_variable=source.token_variable,
    )


def _lock_model(desk: Desk, model: Model) -> LockedFile:
    origin = model.url or f"file:{model.file}"
    before = desk.before(Kind.MODEL, model.name, lambda file: file.url == origin and file.sha256 == model.sha256)
    if before is not None:
        return _still_the_file(desk, before)
    suffix = Path(urlsplit(model.url).path if model.url else model.file).suffix
    draft = LockedFile(
        path=f"models/{model.name}{suffix if not model.name.endswith(suffix) else ''}",
        size=0,
        sha256=model.sha256,
        kind=Kind.MODEL,
        url=origin,
        name=model.name,
        token_variable=model.token_variable,
    )
    if model.url:
        look_at(draft, desk.network)
        return measured(draft, desk.folder, desk.network, desk.progress)
    path = resolve_path(desk.site, model.file)
    if path.is_symlink():
        check(path, draft.path)  # it may lead to what git-annex has not brought
    if not path.is_file():
        raise InputError(f"Model {model.name}: {path}", "there is no such file", "correct `file` in the preset")
    check(path, draft.path)
    if sha256_file(path) != model.sha256:
        raise InputError(
            f"Model {model.name}: {path}", "its SHA-256 is not the one in the preset", "correct one of the two"
        )
    target = draft.under(desk.folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    shutil.copyfile(path, temporary)
    move_into_place(temporary, target)
    return draft.model_copy(update={"size": path.stat().st_size})


def _still_the_file(desk: Desk, before: LockedFile) -> LockedFile:
    """A file that stays locked, if what lies there is what its name promises. Raises WrongContent."""
    path = before.under(desk.folder)
    if path.is_file():
        check(path, before.path, before.url)
    return before


def _path(name: str, sha256: str, suffix: str) -> str:
    return f"sources/{name}-{sha256[:NAME_DIGITS]}{suffix}"


def _suffix(filename: str, whole: str) -> str:
    match = ARCHIVE_SUFFIX.search(filename) or re.search(r"\.tar\.\w+|\.zip", whole)
    return match[0] if match else Path(filename).suffix


def _version_in(filename: str) -> str:
    match = re.search(r"(\d+(?:\.\d+)+)", filename)
    return match[1] if match else ""
