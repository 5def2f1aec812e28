"""`xaiva engine`: the engine itself, its images, volumes, networks and build cache, and its events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.engine import EngineError
    from core.engine_objects.description import EngineDescription
    from core.engine_objects.model import DiskUsage, EngineObject, Inventory, KindTotal


@click.group("engine", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def engine_command(context: click.Context, as_json: bool) -> None:
    """The engine: its version and place, and what it holds. Only `remove` changes anything.

    Sizes come from the engine, which may read all its volumes for them and take minutes.
    """
    if context.invoked_subcommand is not None:
        return
    from core.engine_objects.description import describe_engine
    from core.engine_objects.disk_usage import EVERYTHING
    from core.engine_objects.listing import kind_totals

    session: CliSession = context.obj
    description = describe_engine(session.site, session.engine)
    inventory, usage = _read(session, EVERYTHING)
    totals = kind_totals(inventory, usage)
    if as_json:
        output.print_json({"engine": description, "totals": totals, "containers_size": usage.containers})
    else:
        _print_description(description)
        click.echo()
        _print_totals(totals, description.containers, usage.containers)


def _read(session: CliSession, parts: tuple[str, ...]) -> tuple[Inventory, DiskUsage]:
    """What the engine holds, with these parts of its disk usage."""
    from contextlib import closing

    from core.engine import connect_with_long_timeout
    from core.engine_objects.disk_usage import disk_usage
    from core.engine_objects.listing import read_inventory, with_usage

    inventory = read_inventory(session.engine)
    with closing(connect_with_long_timeout(session.site)) as client:
        usage = disk_usage(client, parts)
    return with_usage(inventory, usage), usage


def _print_description(engine: EngineDescription) -> None:
    where = f"{engine.machine}, {engine.os}, Linux {engine.kernel}, {engine.architecture}"
    facts = (
        ("engine", f"{engine.product} {engine.version}, API {engine.api_version}"),
        ("address", f"{engine.host} (named by {engine.named_by})"),
        ("machine", where),
        ("", f"{_count(engine.cpus)} CPUs, {_size(engine.memory)} memory"),
        ("data", f"{engine.root_dir or '-'} ({engine.storage_driver or '-'})"),
        ("runtimes", ", ".join(engine.runtimes)),
        ("containers", f"{_count(engine.containers)}, {_count(engine.running)} running"),
        *(("warning", warning) for warning in engine.warnings),
    )
    for name, text in facts:
        output.print_line(f"{name:<12}{text}")


def _print_totals(totals: Iterable[KindTotal], containers: int | None, written: int | None) -> None:
    from core.engine_objects.model import ObjectKind

    rows: list[tuple[object, ...]] = [
        (total.kind.value, _count(total.count), _total_size(total), _count(total.unused), _size(total.unused_size))
        if total.kind is not ObjectKind.NETWORK
        else (total.kind.value, _count(total.count), "", _count(total.unused), "")
        for total in totals
    ]
    rows.append(("container", _count(containers), _size(written), "", ""))
    output.print_table(("KIND", "COUNT", "SIZE", "UNUSED", "UNUSED SIZE"), rows)


def _total_size(total: KindTotal) -> str:
    return _size(total.size) + (" + ?" if total.unmeasured and total.size is not None else "")


@engine_command.command("images")
@json_option
@click.pass_obj
def images(session: CliSession, as_json: bool) -> None:
    """List images: all layers, the part that no other image has, the preset, and the containers that use them."""
    from core.engine_objects.disk_usage import IMAGES

    inventory, _ = _read(session, (IMAGES,))
    if as_json:
        output.print_json(
            {
                "images": [
                    _document(image, "unique_size", "dangling", "preset", "lock_sha256", "build")
                    for image in inventory.images
                ]
            }
        )
        return
    output.print_table(
        ("NAME", "SIZE", "UNIQUE", "CREATED", "PRESET", "USED BY"),
        (
            (i.name, _size(i.size), _size(i.unique_size), _moment(i.created), i.preset or "-", _used_by(i))
            for i in inventory.images
        ),
        "no images on this engine; build one with: xaiva build PRESET",
    )


@engine_command.command("remove")
@click.argument("image")
@yes_option
@json_option
@click.pass_obj
def remove(session: CliSession, image: str, yes: bool, as_json: bool) -> None:
    """Remove one image, by tag or id, with all its tags. One that a container uses is refused."""
    from contextlib import closing

    from core.engine import connect_with_long_timeout
    from core.engine_objects.listing import read_inventory
    from core.engine_objects.removal import find_image, remove_image

    with closing(connect_with_long_timeout(session.site)) as client:
        item = find_image(read_inventory(client), image)
        confirm(f"Remove the image {item.name}?", yes)
        remove_image(client, item)
    if as_json:
        output.print_json({"removed": item.id})
    else:
        output.print_line(f"{item.name} removed")


@engine_command.command("volumes")
@json_option
@click.pass_obj
def volumes(session: CliSession, as_json: bool) -> None:
    """List volumes with their size and the containers that use them."""
    from core.engine_objects.disk_usage import VOLUMES

    inventory, _ = _read(session, (VOLUMES,))
    if as_json:
        output.print_json({"volumes": [_document(volume, "anonymous") for volume in inventory.volumes]})
        return
    output.print_table(
        ("NAME", "SIZE", "CREATED", "DRIVER", "USED BY"),
        ((v.name, _size(v.size), _moment(v.created), v.driver, _used_by(v)) for v in inventory.volumes),
        "no volumes on this engine",
    )


@engine_command.command("networks")
@json_option
@click.pass_obj
def networks(session: CliSession, as_json: bool) -> None:
    """List networks with the containers that are connected to them."""
    from core.engine_objects.listing import read_inventory

    inventory = read_inventory(session.engine)
    if as_json:
        output.print_json({"networks": [_document(network, "built_in") for network in inventory.networks]})
        return
    output.print_table(
        ("NAME", "DRIVER", "SUBNETS", "CREATED", "USED BY"),
        ((n.name, n.driver, ", ".join(n.subnets) or "-", _moment(n.created), _used_by(n)) for n in inventory.networks),
        "no networks on this engine",
    )


@engine_command.command("cache")
@json_option
@click.pass_obj
def cache(session: CliSession, as_json: bool) -> None:
    """List the records of the build cache. The data of a shared one belongs to an image or another record, too."""
    from core.engine import EngineError
    from core.engine_objects.disk_usage import CACHE

    inventory, _ = _read(session, (CACHE,))
    if inventory.cache is None:
        raise EngineError("Build cache", "this engine gives no information about one")
    if as_json:
        output.print_json({"cache": [_document(record) for record in inventory.cache]})
        return
    output.print_table(
        ("ID", "TYPE", "SIZE", "LAST USED", "TIMES", "USED BY", "STEP"),
        (
            (r.id[:12], r.type.word, _size(r.size), _moment(r.last_used), _count(r.usage_count), _cache_use(r), r.name)
            for r in sorted(inventory.cache, key=lambda record: -(record.size or 0))
        ),
        "the build cache is empty",
    )


@engine_command.command("events")
@click.option("--since", default="", help="Also earlier ones: 10m, 2h, or a time like 2026-01-31T12:00.")
@json_option
@click.pass_obj
def events(session: CliSession, since: str, as_json: bool) -> None:
    """Print the engine's events as they come, until Ctrl-C. With --json, each is one document.

    The engine keeps its last 256 events for --since. After a lost connection the stream continues where it was.
    """
    from core.containers.container_logs import parse_time
    from core.engine import connect_engine
    from core.engine_objects.events import EventStream

    moment = parse_time(since) if since else None
    session.engine.close()  # connected once, so that a missing engine is an error at once
    for event in EventStream(lambda: connect_engine(session.site), since=moment, state_changed=_print_state):
        if as_json:
            output.print_json(event, one_line=True)
        else:
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
            line = f"{clock}  {event.type:<9}  {event.action:<12}  {event.name}"
            output.print_line(f"{line}  ({event.details})" if event.details else line)


def _print_state(problem: EngineError | None) -> None:
    output.print_line(f"{problem.summary}; trying again" if problem else "connected again", err=True)


def _document(item: EngineObject, *properties: str) -> dict[str, Any]:
    """The JSON document of an object, with these properties of its model."""
    return {**output.plain(item), "unused": item.unused, **{name: getattr(item, name) for name in properties}}


def _used_by(item: EngineObject) -> str:
    if item.unreadable:
        return f"unknown: {item.unreadable}"
    return ", ".join(use.container if use.running else f"{use.container} (stopped)" for use in item.used_by) or "-"


def _cache_use(record: Any) -> str:
    return "a build" if record.in_use else "shared" if record.shared else "-"


def _size(number: int | None) -> str:
    return "?" if number is None else output.size(number)


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)


def _moment(unix: float | None) -> str:
    return output.moment(unix or 0)
