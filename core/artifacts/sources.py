"""Locks sources and models: archives and files by URL, repositories by commit, trees as snapshots."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.artifacts import source_snapshots
from core.artifacts.index_settings import uv_environment
from core.artifacts.lockfile import FileKind, Lock, LockedFile, Unlocked
from core.artifacts.network import Network
from core.artifacts.remote_metadata import SourceUnreachable, check_head, download_for_hash, with_size
from core.content import WrongContent, check_content
from core.errors import InputError, XaivaError
from core.files import TEMPORARY_PREFIX, move_into_place, sha256_file
from core.presets.model import MEDIA_SOURCE as MEDIA
from core.presets.model import MEDIA_VARIABLE, Model, Preset, Source
from core.progress import Progress
from core.site import Site
from core.subprocesses import run_child

NAME_DIGITS = 12  # of the SHA-256 in the file names of sources, so that a changed content gets another name
PYTHON_SOURCE = "python"
# Where the projects publish their releases; used when the preset names no source.
RELEASE_URLS = {
    "ffmpeg": "https://ffmpeg.org/releases/ffmpeg-{version}.tar.xz",
    "opencv": "https://github.com/opencv/opencv/archive/refs/tags/{version}.tar.gz",
    "nv-codec-headers": (
        "https://github.com/FFmpeg/nv-codec-headers/releases/download/n{version}/nv-codec-headers-{version}.tar.gz"
    ),
}
ARCHIVE_SUFFIX = re.compile(r"(\.tar(\.[a-z0-9]+)?|\.tgz|\.tbz2|\.txz|\.zip)$")


@dataclass
class LockedParts:
    """The locked files of one part of the lock, and what could not be locked."""

    files: list[LockedFile] = field(default_factory=list)
    unlocked: list[Unlocked] = field(default_factory=list)


@dataclass(frozen=True)
class LockContext:
    """The surroundings of locking a source or model."""

    site: Site
    preset: str
    folder: Path
    network: Network
    previous: Lock | None
    """The lock to keep files from; None to resolve everything again."""
    progress: Progress

    def previous_file(self, kind: FileKind, name: str, same: Callable[[LockedFile], bool]) -> LockedFile | None:
        """The file of that name in the previous lock, if `same` accepts it."""
        files = self.previous.of_kind(kind) if self.previous else []
        return next((file for file in files if file.name == name and same(file)), None)


def lock_sources(context: LockContext, preset: Preset, standalone_python: bool) -> LockedParts:
    """Lock all sources: those of the preset, and those that its build options imply."""
    parts = LockedParts()
    sources = [*preset.sources, *_implied_sources(context, preset, standalone_python, parts)]
    for source in sources:
        try:
            parts.files.append(_lock_source(context, preset, source))
        except SourceUnreachable as error:
            remedy = (
                f"lock again from a network that reaches it, or give source {source.name} a url with sha256, or a path"
            )
            parts.unlocked.append(Unlocked(what=f"source {source.name}", why=error.summary, remedy=remedy))
        except WrongContent as error:
            parts.unlocked.append(_unlocked_wrong_content(f"source {source.name}", error))
    return parts


def lock_models(context: LockContext, preset: Preset) -> LockedParts:
    """Lock the models of the preset, by URL or from local files."""
    parts = LockedParts()
    for model in preset.models:
        try:
            parts.files.append(_lock_model(context, model))
        except SourceUnreachable as error:
            remedy = f"lock again where it is reachable, or give model {model.name} as a file"
            parts.unlocked.append(Unlocked(what=f"model {model.name}", why=error.summary, remedy=remedy))
        except WrongContent as error:
            parts.unlocked.append(_unlocked_wrong_content(f"model {model.name}", error))
    return parts


def _unlocked_wrong_content(what: str, error: WrongContent) -> Unlocked:
    return Unlocked(what=what, why=error.summary, remedy=f"{error.remedy}; then lock again")


def _implied_sources(context: LockContext, preset: Preset, standalone_python: bool, parts: LockedParts) -> list[Source]:
    options = preset.build_options
    versions = {
        "ffmpeg": options.ffmpeg_version,
        "opencv": options.opencv_version,
        "nv-codec-headers": options.nv_codec_headers_version.removeprefix("n"),
    }
    sources = []
    for name, version in versions.items():
        if version and preset.source(name) is None:
            sources.append(Source.model_construct(name=name, url=RELEASE_URLS[name].format(version=version)))
    if options.xaiva_media_branch and preset.source(MEDIA) is None:
        if context.site.env.get(MEDIA_VARIABLE):
            sources.append(Source.model_construct(name=MEDIA, path=f"${MEDIA_VARIABLE}"))
        else:
            remedy = f"set {MEDIA_VARIABLE} in .env to its checkout, or give source {MEDIA} a path"
            parts.unlocked.append(
                Unlocked(what=f"source {MEDIA}", why="the preset does not say where its source tree is", remedy=remedy)
            )
    if standalone_python and preset.source(PYTHON_SOURCE) is None:
        python = _python_source(context, preset.python_version, parts)
        sources += [python] if python else []
    return sources


def _python_source(context: LockContext, version: str, parts: LockedParts) -> Source | None:
    """The standalone build of that Python in the previous lock, or the newest that uv knows."""
    previous = context.previous_file(FileKind.SOURCE, PYTHON_SOURCE, lambda file: f"cpython-{version}." in file.url)
    if previous is not None:
        return Source.model_construct(name=PYTHON_SOURCE, url=previous.url, sha256=previous.sha256)
    import uv

    argv = [uv.find_uv_bin(), "python", "list", version, "--all-versions", "--all-platforms", "--only-downloads"]
    process = run_child([*argv, "--output-format", "json"], context.progress, uv_environment(context.site.env, []))
    if process.code != 0:
        what, why = f"Python {version}", f"uv cannot list the available builds: {' '.join(process.err.split())}"
        remedy = "correct that, then lock again; or give source python (a standalone build) a url with sha256"
        parts.unlocked.append(Unlocked(what=what, why=why, remedy=remedy))
        return None
    for row in json.loads(process.out):
        matches = row["implementation"] == "cpython" and row["variant"] == "default" and row["libc"] == "gnu"
        if matches and row["os"] == "linux" and row["arch"] == "x86_64" and row["url"]:
            return Source.model_construct(name=PYTHON_SOURCE, url=row["url"])
    why = f"neither the base image's distribution nor uv has Python {version}"
    remedy = "choose another python_version, or give source python (a standalone build) a url with sha256"
    parts.unlocked.append(Unlocked(what=f"Python {version}", why=why, remedy=remedy))
    return None


def _lock_source(context: LockContext, preset: Preset, source: Source) -> LockedFile:
    context.progress.log(f"source {source.name}")
    if source.url:
        return _by_url(context, source)
    if source.git:
        return _by_git(context, source)
    return _by_path(context, source, preset.build_options.xaiva_media_branch if source.name == MEDIA else "")


def _by_url(context: LockContext, source: Source) -> LockedFile:
    previous = context.previous_file(
        FileKind.SOURCE, source.name, lambda file: file.url == source.url and source.sha256 in (None, file.sha256)
    )
    if previous is not None:
        return _check_previous(context, previous)
    filename = unquote(urlsplit(source.url).path.rpartition("/")[2])
    suffix = _suffix(filename, source.url)
    draft = LockedFile(
        path=f"sources/{source.name}",
        size=0,
        sha256=source.sha256 or "",
        kind=FileKind.SOURCE,
        url=source.url,
        name=source.name,
        version=_version_in(filename),
        token_variable=source.token_variable,
    )
    if source.sha256:
        placed = draft.model_copy(update={"path": _source_path(source.name, source.sha256, suffix)})
        check_head(placed, context.network)
        return with_size(placed, context.folder, context.network, context.progress)
    context.progress.log(f"source {source.name}: downloading it once to compute its SHA-256")
    path, sha256, size = download_for_hash(
        draft, lambda sha: context.folder / _source_path(source.name, sha, suffix), context.network, context.progress
    )
    return draft.model_copy(
        update={"size": size, "sha256": sha256, "path": path.relative_to(context.folder).as_posix()}
    )


def _by_git(context: LockContext, source: Source) -> LockedFile:
    address = f"git+{source.git}@{source.ref}"
    previous = context.previous_file(FileKind.SOURCE, source.name, lambda file: file.url.partition("#")[0] == address)
    if previous is not None and previous.under(context.folder).is_file():
        return previous
    token = context.site.env.get(source.token_variable, "") if source.token_variable else ""
    draft = _temporary_path(context, source.name)
    try:
        commit = source_snapshots.clone(
            source.git, source.ref, draft, source.name, context.progress, token, context.site.env
        )
        return _put_in_place(context, draft, source, f"{address}#{commit}", commit[:NAME_DIGITS])
    except XaivaError as error:
        if type(error) is not XaivaError:
            raise
        raise SourceUnreachable(f"{source.git} at {source.ref}", error.why, error.remedy) from error
    finally:
        draft.unlink(missing_ok=True)


def _by_path(context: LockContext, source: Source, branch: str) -> LockedFile:
    """Copy a file, or take a snapshot of a tree."""
    path = resolve_path(context.site, source.path)
    draft = _temporary_path(context, source.name)
    suffix = ".tar"
    try:
        if path.is_file():
            suffix = _suffix(path.name, str(path))
            check_content(path, path.name)
            shutil.copyfile(path, draft)
        else:
            source_snapshots.snapshot(path, draft, source.name, context.progress, branch)
        return _put_in_place(context, draft, source, f"file:{source.path}", "", suffix)
    finally:
        draft.unlink(missing_ok=True)


def resolve_path(site: Site, path: str) -> Path:
    """A path of a preset: relative to the site; may begin with a variable of `.env` (`$NAME`, `${NAME}`).

    Raises InputError when the variable is not set.
    """
    match = re.match(r"^\$(?:\{(\w+)\}|(\w+))", path)
    if match:
        name = match[1] or match[2]
        if not site.env.get(name):
            raise InputError(f"Path {path}", f"{name} is not set", f"put {name} into .env")
        path = site.env[name] + path[match.end() :]
    return site.root / Path(path).expanduser()


def _temporary_path(context: LockContext, name: str) -> Path:
    folder = context.folder / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{TEMPORARY_PREFIX}{name}"


def _put_in_place(
    context: LockContext, draft: Path, source: Source, url: str, version: str, suffix: str = ".tar"
) -> LockedFile:
    sha256 = sha256_file(draft)
    path = _source_path(source.name, sha256, suffix)
    size = draft.stat().st_size
    move_into_place(draft, context.folder / path)
    return LockedFile(
        path=path,
        size=size,
        sha256=sha256,
        kind=FileKind.SOURCE,
        url=url,
        name=source.name,
        version=version,
        token_variable=source.token_variable,
    )


def _lock_model(context: LockContext, model: Model) -> LockedFile:
    origin = model.url or f"file:{model.file}"
    previous = context.previous_file(
        FileKind.MODEL, model.name, lambda file: file.url == origin and file.sha256 == model.sha256
    )
    if previous is not None:
        return _check_previous(context, previous)
    suffix = Path(urlsplit(model.url).path if model.url else model.file).suffix
    draft = LockedFile(
        path=f"models/{model.name}{suffix if not model.name.endswith(suffix) else ''}",
        size=0,
        sha256=model.sha256,
        kind=FileKind.MODEL,
        url=origin,
        name=model.name,
        token_variable=model.token_variable,
    )
    if model.url:
        check_head(draft, context.network)
        return with_size(draft, context.folder, context.network, context.progress)
    path = resolve_path(context.site, model.file)
    if path.is_symlink():
        check_content(path, draft.path)  # git-annex leaves a dangling link for a file that it has not fetched
    if not path.is_file():
        raise InputError(f"Model {model.name}: {path}", "there is no such file", "correct `file` in the preset")
    check_content(path, draft.path)
    if sha256_file(path) != model.sha256:
        raise InputError(
            f"Model {model.name}: {path}", "its SHA-256 is not the one in the preset", "correct one of the two"
        )
    target = draft.under(context.folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    shutil.copyfile(path, temporary)
    move_into_place(temporary, target)
    return draft.model_copy(update={"size": path.stat().st_size})


def _check_previous(context: LockContext, previous: LockedFile) -> LockedFile:
    """The previous file, after a check of its content on disk. Raises WrongContent."""
    path = previous.under(context.folder)
    if path.is_file():
        check_content(path, previous.path, previous.url)
    return previous


def _source_path(name: str, sha256: str, suffix: str) -> str:
    return f"sources/{name}-{sha256[:NAME_DIGITS]}{suffix}"


def _suffix(filename: str, whole: str) -> str:
    match = ARCHIVE_SUFFIX.search(filename) or re.search(r"\.tar\.\w+|\.zip", whole)
    return match[0] if match else Path(filename).suffix


def _version_in(filename: str) -> str:
    match = re.search(r"(\d+(?:\.\d+)+)", filename)
    return match[1] if match else ""
