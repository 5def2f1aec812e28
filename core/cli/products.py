"""`xaiva product`: what the service inspects, with indexes and memory banks, and its inspections."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.inspections import inspection_commands
from core.cli.name_completion import complete, products
from core.cli.service_calls import client, format_number, format_time, print_outcome
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group
from core.errors import InputError
from core.service_client import text_formats

if TYPE_CHECKING:
    from core.api_schema import Generation, Job, Product, Products, ProductSettings, ScoreHistogram

BARS = " ▁▂▃▄▅▆▇█"
INDEX = click.Choice(["normal", "defect"])
_REBUILD_FORM = "write it as 03:00, or with days: mo-fr 03:00"


@click.group("product", cls=Group)
def product_command() -> None:
    """Products: inspect pictures, correct verdicts, rebuild memory banks and indexes."""


for _command in inspection_commands:
    product_command.add_command(_command)


@product_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the products, and both indexes."""
    answer = client(session).products.all()
    if as_json:
        output.print_json(answer)
    else:
        _print_products(answer)


@product_command.command("show")
@click.argument("name", shell_complete=complete(products))
@json_option
@click.pass_obj
def show(session: CliSession, name: str, as_json: bool) -> None:
    """Show a product: its pictures, memory bank, settings, and the scores that the threshold divides."""
    calls = client(session).products
    product = calls.get(name)
    histogram = calls.histogram(name) if product.bank else None
    if as_json:
        output.print_json({"product": product, "histogram": histogram})
        return
    for title, value in _details(product):
        if value:
            output.print_line(f"{title + ':':<12}{value}")
    for trouble in product.trouble:
        output.print_line(f"trouble:    {trouble}")
    if histogram is not None:
        _print_histogram(histogram)


@product_command.command("set")
@click.argument("name", shell_complete=complete(products))
@click.option("--threshold", type=float, help="From which score on it is a defect, 0 to 1.")
@click.option("--measured-threshold", is_flag=True, help="Use the threshold that the memory bank measured.")
@click.option("--region", metavar="L,T,R,B", help="The part that is inspected, as fractions: 0.1,0,0.9,1.")
@click.option("--tiles", metavar="COLUMNSxROWS", help="Divide the region for small defects: 2x2.")
@click.option("--events/--no-events", default=None, help="Whether a defect becomes an event.")
@click.option("--flow", metavar="NAME", help="The flow of these events.")
@click.option(
    "--rebuild",
    metavar="TIMES",
    help="When its memory bank is rebuilt, with both indexes: 03:00, mo-fr 03:00; none: never.",
)
@json_option
@click.pass_obj
def set_command(session: CliSession, /, name: str, as_json: bool, **options: Any) -> None:
    """Change the named settings of a product; the others stay."""
    calls = client(session).products
    before = calls.settings(name)
    settings = calls.set_settings(name, _changed(before, options))
    print_outcome(name, "changed", as_json, settings=settings)
    if (settings.region, settings.tiles) != (before.region, before.tiles) and not as_json:
        click.echo(
            f"the new region and tiles apply after a rebuild: xaiva product rebuild {shlex.quote(name)}", err=True
        )


@product_command.command("rebuild")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete(products))
@click.option("--all", "every", is_flag=True, help="The memory banks of all products.")
@click.option("--index", "indexes", type=INDEX, multiple=True, help="The index of all normal or all defect pictures.")
@click.option("--force", is_flag=True, help="Publish the result even if it is worse than what it replaces.")
@json_option
@click.pass_obj
def rebuild(
    session: CliSession, names: tuple[str, ...], every: bool, indexes: tuple[str, ...], force: bool, as_json: bool
) -> None:
    """Start jobs that rebuild memory banks or indexes; the old ones answer until the new ones are whole."""
    if not (names or every or indexes) or (names and every):
        why = "it needs names of products, --all or --index"
        raise InputError("xaiva product rebuild", why, "see: xaiva product rebuild --help")
    calls = client(session).products
    starts = [partial(calls.rebuild, name, force=force) for name in names]
    starts += [partial(calls.rebuild_all, force=force)] if every else []
    starts += [partial(calls.rebuild_index, index, force=force) for index in indexes]
    _start_jobs(starts, as_json)


@product_command.command("rollback")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete(products))
@click.option("--index", "indexes", type=INDEX, multiple=True, help="The index of all normal or all defect pictures.")
@yes_option
@json_option
@click.pass_obj
def rollback(session: CliSession, names: tuple[str, ...], indexes: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Go back to the memory banks or indexes before the current ones."""
    if not names and not indexes:
        why = "it needs names of products, or --index"
        raise InputError("xaiva product rollback", why, "see: xaiva product rollback --help")
    subjects = [*names, *(f"the index of {index} pictures" for index in indexes)]
    confirm(f"Go back to what was before for {', '.join(subjects)}?", yes)
    calls = client(session).products
    starts = [partial(calls.rollback, name) for name in names]
    _start_jobs([*starts, *(partial(calls.rollback_index, index) for index in indexes)], as_json)


def _changed(settings: ProductSettings, options: dict[str, Any]) -> ProductSettings:
    """The settings with the given options. Raises InputError."""
    from core.api_schema import ProductSettings

    fields = settings.model_dump()
    fields |= {name: options[name] for name in ("threshold", "events", "flow") if options[name] is not None}
    if options["measured_threshold"]:
        if options["threshold"] is not None:
            raise InputError("--threshold", "--measured-threshold is given, too", "give one of them")
        fields["threshold"] = None
    if options["region"] is not None:
        numbers = _numbers(options["region"], ",", 4, "--region", "write it as 0.1,0,0.9,1", float)
        fields["region"] = dict(zip(("left", "top", "right", "bottom"), numbers, strict=True))
    if options["tiles"] is not None:
        fields["tiles"] = _numbers(options["tiles"].lower(), "x", 2, "--tiles", "write it as 2x2", int)
    if options["rebuild"] is not None:
        fields["rebuild"] = _schedule(options["rebuild"])
    return text_formats.build_request(ProductSettings, fields)


def _numbers(text: str, separator: str, count: int, option: str, remedy: str, kind: Any) -> tuple[Any, ...]:
    try:
        numbers = tuple(kind(part) for part in text.split(separator))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise InputError(f"{option} {text}", f"it is not {count} numbers", remedy)
    return numbers


def _schedule(text: str) -> dict[str, Any] | None:
    """A schedule of rebuilds. Raises InputError."""
    words = text.split()
    if text == "none":
        return None
    if not 1 <= len(words) <= 2 or "-" in words[-1]:
        raise InputError(f"--rebuild {text}", "it is no time of day", _REBUILD_FORM)
    days = text_formats.parse_schedule(words[0])[0].days if len(words) == 2 else tuple(range(7))
    return {"days": days, "at": words[-1]}


def _print_products(answer: Products) -> None:
    output.print_table(
        ("NAME", "NORMAL", "DEFECT", "BANK", "MADE", "THRESHOLD", "INSPECTED", "DEFECTS", "TROUBLE"),
        (
            (
                product.name or "?",
                "?" if product.normal is None else product.normal,
                "?" if product.defect is None else product.defect,
                product.bank.number if product.bank else "-",
                format_time(product.bank.made) if product.bank else "",
                format_number(product.threshold),
                product.inspected,
                product.defective,
                "; ".join(product.trouble) or product.unreadable,
            )
            for product in answer.products
        ),
        "no products yet: put pictures into the storage, below normal/PRODUCT/; they are counted once a minute",
    )
    for index in answer.indexes:
        words = [_generation(index.current), *index.trouble]
        output.print_line(f"index {index.name}: {'; '.join(words)}")
    if answer.storage_trouble:
        output.print_line(f"storage {answer.storage}: {answer.storage_trouble}", err=True)


def _details(product: Product) -> list[tuple[str, str]]:
    settings, region = product.settings, product.settings.region
    types = ", ".join(f"{name} {count}" for name, count in product.defect_types.items())
    unknown = "not known, because the storage does not answer"
    rebuild = settings.rebuild
    return [
        ("product", product.name),
        ("normal", unknown if product.normal is None else f"{product.normal} pictures"),
        ("defect", unknown if product.defect is None else f"{product.defect} pictures{f': {types}' if types else ''}"),
        ("bank", _generation(product.bank)),
        ("previous", _generation(product.previous_bank) if product.previous_bank else ""),
        ("threshold", f"{product.threshold:.3f}{', as measured' if settings.threshold is None else ''}"),
        ("region", f"{region.left:g},{region.top:g},{region.right:g},{region.bottom:g}"),
        ("tiles", f"{settings.tiles[0]}x{settings.tiles[1]}"),
        ("events", f"yes, flow {settings.flow}" if settings.events else "no"),
        ("schedule", text_formats.format_rebuild(rebuild) if rebuild else "by hand"),
        ("inspected", f"{product.inspected}, {product.defective} with a defect"),
        ("last", format_time(product.last_inspection)),
        ("unreadable", product.unreadable),
    ]


def _generation(generation: Generation | None) -> str:
    if generation is None:
        return "none"
    parts = f"{generation.entries} entries of {generation.pictures} pictures"
    return f"generation {generation.number} of {format_time(generation.made)}, {parts} ({generation.model})"


def _print_histogram(histogram: ScoreHistogram) -> None:
    """Two rows of bars, and a mark at the threshold."""
    for title, counts in (("normal", histogram.normal), ("defect", histogram.defect)):
        most = max([*counts, 1])
        bars = "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)
        output.print_line(f"{title + ':':<12}|{bars}| {sum(counts)} pictures")
    place = min(int(histogram.threshold * len(histogram.normal)), max(0, len(histogram.normal) - 1))
    output.print_line(f"{'score:':<12}0{' ' * place}^ threshold {histogram.threshold:.3f}")


def _start_jobs(starts: Iterable[Callable[[], Job]], as_json: bool) -> None:
    """Start jobs, and name each at once, as a later one may be refused."""
    jobs = []
    for start in starts:
        jobs.append(job := start())
        if not as_json:
            why = f", {job.why_queued}" if job.why_queued else ""
            output.print_line(f"job {job.id} ({job.title}): {job.state.word}{why}")
    if as_json:
        output.print_json({"jobs": jobs})
