"""`xaiva storage`: the object storage of the inference service."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.service_calls import client, format_time, print_outcome
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group
from core.errors import InputError

if TYPE_CHECKING:
    from core.api_schema import ObjectPage
    from core.service_client.storage_calls import StorageCalls


class _KeyType(click.ParamType):  # type: ignore[type-arg]  # generic in newer click alone
    name = "key"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _is_text(value):
            self.fail("it is not UTF-8", param, ctx)
        return value


_KEY = _KeyType()


@click.group("storage", cls=Group)
def storage_command() -> None:
    """The bucket or folder in which the inference service finds its pictures."""


@storage_command.command("ls")
@click.argument("prefix", default="", metavar="[PREFIX]", type=_KEY)
@click.option("--recursive", is_flag=True, help="All objects below, not only one level.")
@json_option
@click.pass_obj
def list_command(session: CliSession, prefix: str, recursive: bool, as_json: bool) -> None:
    """List the objects and folders below PREFIX, such as normal/."""
    storage = client(session).storage
    pages = list(storage.pages(prefix, level=not recursive))
    if as_json:
        parts = ("objects", "folders", "findings")
        output.print_json({part: [each for page in pages for each in getattr(page, part)] for part in parts})
        return
    empty = f"nothing lies below {prefix}" if prefix else f"nothing lies in {storage.status().url}"
    output.print_table(("KEY", "SIZE", "MODIFIED"), _rows(pages), empty)
    for finding in (each for page in pages for each in page.findings):
        output.print_line(f"cannot be used: {finding.key}: {finding.why}", err=True)


def _rows(pages: list[ObjectPage]) -> Iterator[tuple[object, ...]]:
    for page in pages:
        yield from ((folder, "", "") for folder in page.folders)
        yield from ((each.key, output.size(each.size), format_time(each.modified)) for each in page.objects)


@storage_command.command("put")
@click.argument("sources", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("key", metavar="KEY", type=_KEY)
@json_option
@click.pass_obj
def put(session: CliSession, sources: tuple[Path, ...], key: str, as_json: bool) -> None:
    """Store files as objects: in the folder KEY/, or one file as KEY. A folder is stored with all that is in it."""
    files, links = _files(sources, key)
    storage = client(session).storage
    for number, (source, name) in enumerate(files, 1):
        storage.put(name, source, _progress(f"{number} of {len(files)}", as_json))
    _end_progress(as_json)
    for link in links:
        output.print_line(f"skipped: {link}: it is a link", err=True)
    what = files[0][1] if len(files) == 1 else key
    print_outcome(what, f"{len(files)} stored", as_json, stored=[name for _, name in files], skipped=links)


def _files(sources: tuple[Path, ...], key: str) -> tuple[list[tuple[Path, str]], list[Path]]:
    """Each file with its key, and the links that were found in folders.

    Raises InputError for a missing file, and for one whose name is no key, before any of them is stored.
    """
    many = len(sources) > 1 or sources[0].is_dir()
    if many and not key.endswith("/"):
        raise InputError(f"Key {key}", "several files cannot have one key", f"write {key}/ for a folder")
    files: list[tuple[Path, str]] = []
    links: list[Path] = []
    for source in sources:
        if source.is_dir():
            name = source.resolve().name
            for path in _below(source, links):
                files.append((path, f"{key}{name}/{path.relative_to(source).as_posix()}"))
        elif source.exists():
            files.append((source, f"{key}{source.name}" if key.endswith("/") else key))
        else:
            raise InputError(f"{source}", "there is no such file")
    if not files:
        raise InputError(f"{sources[0]}", "there is no file in it")
    for path, name in files:
        if not _is_text(name):
            raise InputError(f"{path}", "its name is not UTF-8", "rename it")
    return files, links


def _is_text(name: str) -> bool:
    """Whether it is UTF-8; names of files and arguments may be any bytes."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def _below(folder: Path, links: list[Path]) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders.sort()
        links += [path for name in folders if (path := Path(above, name)).is_symlink()]
        for name in sorted(names):
            path = Path(above, name)
            if path.is_symlink():
                links.append(path)
            else:
                yield path


@storage_command.command("get")
@click.argument("key", metavar="KEY", type=_KEY)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file.")
@json_option
@click.pass_obj
def get(session: CliSession, key: str, target: Path, force: bool, as_json: bool) -> None:
    """Fetch an object into FILE, or into a folder under its own name. An incomplete download leaves no file."""
    if target.is_dir():
        name = key.rpartition("/")[2]
        if name in ("", ".", ".."):
            raise InputError(f"Key {key}", "it names no object", "name one object")
        target = target / name
    if target.exists() and not force:
        raise InputError(f"{target}", "it exists", "use --force to replace it, or name another file")
    client(session).storage.get(key, target, _progress(key, as_json))
    _end_progress(as_json)
    size = target.stat().st_size
    print_outcome(str(target), output.size(size), as_json, file=str(target), bytes=size)


@storage_command.command("rm")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, type=_KEY)
@click.option("--recursive", is_flag=True, help="Everything below keys that end with /.")
@yes_option
@json_option
@click.pass_obj
def remove(session: CliSession, keys: tuple[str, ...], recursive: bool, yes: bool, as_json: bool) -> None:
    """Delete objects; with --recursive also all objects below KEY/."""
    storage = client(session).storage
    doomed = [each for key in keys for each in _matching(storage, key, recursive)]
    if not doomed:
        raise InputError(keys[0], "nothing lies there", "see: xaiva storage ls")
    confirm(f"Delete {doomed[0] if len(doomed) == 1 else f'{len(doomed)} objects'}?", yes)
    for key in doomed:
        storage.delete(key)
    print_outcome(keys[0] if len(keys) == 1 else f"{len(keys)} keys", f"{len(doomed)} deleted", as_json, deleted=doomed)


def _matching(storage: StorageCalls, key: str, recursive: bool) -> list[str]:
    """The objects that a key names; the folder itself if it is empty. Raises InputError for one without --recursive."""
    if not key.endswith("/"):
        return [key] if any(key in _keys(page) for page in storage.pages(key)) else []
    if not recursive:
        raise InputError(f"Key {key}", "it is a folder", "use --recursive to delete everything below it")
    if objects := [each.key for page in storage.pages(key) for each in page.objects]:
        return objects
    beside = storage.pages(key.rstrip("/"), level=True)
    return [folder for page in beside for folder in page.folders if folder == key]


def _keys(page: ObjectPage) -> set[str]:
    """All keys of a page, also of what can only be deleted, such as a link."""
    return {each.key for each in page.objects} | {each.key for each in page.findings}


@storage_command.command("url")
@click.argument("key", metavar="KEY", type=_KEY)
@click.option("--hours", default=1.0, show_default=True, type=click.FloatRange(0.01, 168), help="How long it is valid.")
@json_option
@click.pass_obj
def url(session: CliSession, key: str, hours: float, as_json: bool) -> None:
    """Print an address that gives the object to anybody until it expires."""
    signed = client(session).storage.url(key, round(hours * 3600))
    if as_json:
        output.print_json(signed)
        return
    output.print_line(signed.url)
    output.print_line(f"valid until {format_time(signed.expires)}", err=True)


def _progress(what: str, as_json: bool) -> Callable[[int, int], None] | None:
    if not sys.stderr.isatty() or as_json:
        return None

    def show(done: int, total: int) -> None:
        share = f"{done / total:4.0%} of {output.size(total)}" if total else output.size(done)
        click.echo(f"\r{what}: {share}  ", nl=False, err=True)

    return show


def _end_progress(as_json: bool) -> None:
    if sys.stderr.isatty() and not as_json:
        click.echo(err=True)
