"""The commands of `xaiva product` that inspect pictures, and that list, correct and export inspections."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.name_completion import complete, products
from core.cli.service_calls import client, format_number, format_time, print_outcome, refuse_existing
from core.cli.session import CliSession, json_option, option_group
from core.cli.single_use_options import Command
from core.errors import InputError, XaivaError
from core.service_client import text_formats

if TYPE_CHECKING:
    from core.api_schema import Inspection, InspectionQuery
    from core.service_client import ServiceClient

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
DEFECT_EXIT, FAILED_EXIT = 3, 1
_PAGE = 1000

filters = option_group(
    click.option("--product", metavar="NAME", shell_complete=complete(products), help="Only this product's."),
    click.option("--part", metavar="ID", help="Only of this part or lot."),
    click.option("--verdict", type=click.Choice(["normal", "defect"]), help="Only with this verdict."),
    click.option("--corrected/--uncorrected", default=None, help="Only those that a person corrected, or did not."),
    click.option("--since", metavar="TIME", help="From this time on: 2h (ago), today, 2026-01-31, 2026-01-31 12:00."),
    click.option("--until", metavar="TIME", help="Before this time."),
    click.option("--minimum-score", type=float, help="Only with at least this score."),
)


@click.command("inspect", cls=Command)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--product", required=True, metavar="NAME", shell_complete=complete(products), help="What they show.")
@click.option("--part", metavar="ID", help="The part or lot (default: the name of the file).")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@click.pass_obj
def inspect(
    session: CliSession, paths: tuple[Path, ...], product: str, part: str | None, as_csv: bool, as_json: bool
) -> int:
    """Inspect pictures; a folder means all pictures in it. The exit code is 3 if there is a defect."""
    calls = client(session).products
    files = list(_pictures(paths))
    results: list[tuple[Path, Inspection | XaivaError]] = []
    try:
        for file in files:
            try:
                results.append((file, calls.inspect(product, file, part=file.stem[:200] if part is None else part)))
            except InputError as error:  # of this picture; one of the product or of the service ends the command
                if len(files) == 1 or not _is_about_picture(error):
                    raise
                results.append((file, error))
    except (XaivaError, KeyboardInterrupt):
        if results and not as_json:  # with --json, the one document is the error
            _print_results(results, as_csv, as_json)
        raise
    _print_results(results, as_csv, as_json)
    found = [result for _, result in results]
    if any(not isinstance(one, XaivaError) and one.verdict.word == "defect" for one in found):
        return DEFECT_EXIT
    return FAILED_EXIT if any(isinstance(one, XaivaError) for one in found) else 0


@click.command("inspections", cls=Command)
@filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, _PAGE), help="How many.")
@click.option("--cursor", default="", help="Continue after an earlier --json page (its `next`).")
@json_option
@click.pass_obj
def inspections(session: CliSession, /, limit: int, cursor: str, as_json: bool, **options: Any) -> None:
    """List inspections, newest first."""
    page = client(session).products.inspections(_query(options, limit=limit, cursor=cursor))
    if as_json:
        output.print_json(page)
        return
    head = ("ID", "AT", "PRODUCT", "PART", "VERDICT", "SCORE", "OF", "NEAREST DEFECT", "CORRECTED")
    output.print_table(head, map(_row, page.inspections), "no inspections, or none that match these options")
    if page.next:
        click.echo("there are more; use --limit to see them", err=True)


@click.command("correct", cls=Command)
@click.argument("identifier", metavar="ID")
@click.option("--normal", is_flag=True, help="It was a false alarm: the picture goes to the normal ones.")
@click.option("--defect", "defect_type", metavar="TYPE", help="It has a defect of this type, such as scratch.")
@click.option("--note", default="", help="A note to store with it.")
@json_option
@click.pass_obj
def correct(
    session: CliSession, identifier: str, normal: bool, defect_type: str | None, note: str, as_json: bool
) -> None:
    """Correct a verdict; the next rebuild learns from it."""
    from core.api_schema import Correction

    if normal == bool(defect_type):
        why = "it needs --normal, or --defect with its type"
        raise InputError("Correction", why, "give one of --normal and --defect TYPE")
    fields = {"verdict": "normal" if normal else "defect", "defect_type": defect_type or "", "note": note}
    correction = text_formats.build_request(Correction, fields)
    inspection = client(session).products.correct(identifier, correction)
    what = "normal" if normal else f"a defect of type {defect_type}"
    print_outcome(identifier, f"corrected to {what}", as_json, inspection=inspection)


@click.command("export", cls=Command)
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@filters
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), help="Default: the file's extension decides.")
@click.option("--force", is_flag=True, help="Replace the file.")
@json_option
@click.pass_obj
def export(session: CliSession, /, target: Path, kind: Any, force: bool, as_json: bool, **options: Any) -> None:
    """Write all matching inspections to a file as CSV or JSON; - is standard output."""
    from core.service_client.export import format_of
    from core.service_client.output_file import open_output_file

    found = client(session).products.all_inspections(_query(options, limit=_PAGE))
    if str(target) == "-":
        for line in _lines(found, kind or "json"):
            sys.stdout.write(line)
        return
    refuse_existing(target, force)
    count = -1 if (kind or format_of(target)) == "csv" else -2  # lines that are no inspections
    with open_output_file(target) as file:
        for line in _lines(found, kind or format_of(target)):
            file.write(line.encode())
            count += 1
    print_outcome(str(target), f"{count} inspections", as_json, file=str(target), inspections=count)


@click.command("picture", cls=Command)
@click.argument("identifier", metavar="ID")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@click.option("--heat-map", is_flag=True, help="Save the heat map (PNG) in place of the picture (JPEG).")
@json_option
@click.pass_obj
def picture(session: CliSession, identifier: str, target: Path, heat_map: bool, as_json: bool) -> None:
    """Save the kept picture of an inspection, or its heat map; - is standard output."""
    from core.cli.cameras import save_picture

    def fetch(service: ServiceClient) -> bytes:
        calls = service.products
        return calls.heat_map(identifier) if heat_map else calls.inspection_picture(identifier)

    save_picture(fetch, session, target, as_json)


inspection_commands: tuple[click.Command, ...] = (inspect, inspections, correct, export, picture)


def _query(options: dict[str, Any], **more: Any) -> InspectionQuery:
    from core.api_schema import InspectionQuery

    fields = {name: value for name, value in options.items() if value is not None}
    for name in ("since", "until"):
        if options[name] is not None:
            fields[name] = text_formats.parse_time_of_past(options[name])
    return text_formats.build_request(InspectionQuery, {**fields, **more})


def _pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The named files, and the pictures in the named folders. Raises InputError."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise InputError(f"{path}", "there are no pictures in this folder", f"they end with {', '.join(SUFFIXES)}")
        yield from found


def _is_about_picture(error: InputError) -> bool:
    return not error.what.startswith(("Product ", "Inference service"))


def _row(inspection: Inspection) -> tuple[object, ...]:
    nearest = inspection.defects[0] if inspection.defects else None
    corrected = inspection.corrected.word if inspection.corrected else ""
    return (
        inspection.id or "?",
        format_time(inspection.at),
        inspection.product,
        inspection.part,
        inspection.verdict.word,
        format_number(inspection.score, digits=3),
        format_number(inspection.threshold, digits=3),
        f"{nearest.label} {nearest.similarity:.2f}" if nearest else "",
        f"{corrected} {inspection.corrected_type} by {inspection.corrected_by}" if corrected else "",
    )


def _print_results(results: list[tuple[Path, Inspection | XaivaError]], as_csv: bool, as_json: bool) -> None:
    from core.api_schema.inspection_export import INSPECTION_COLUMNS, csv_line, inspection_cells

    if as_json:
        documents = [
            {"file": file, "error" if isinstance(result, XaivaError) else "inspection": result}
            for file, result in results
        ]
        output.print_json({"results": documents})
    elif as_csv:
        sys.stdout.write(csv_line(("file", *INSPECTION_COLUMNS, "error")))
        for file, result in results:
            if isinstance(result, XaivaError):
                sys.stdout.write(csv_line((file, *("" for _ in INSPECTION_COLUMNS), result.summary)))
            else:
                sys.stdout.write(csv_line((file, *inspection_cells(result), "")))
    else:
        head = ("FILE", "VERDICT", "SCORE", "OF", "NEAREST DEFECT", "WHY", "ID")
        output.print_table(head, (_result_row(file, result) for file, result in results))


def _result_row(file: Path, result: Inspection | XaivaError) -> tuple[object, ...]:
    if isinstance(result, XaivaError):
        return file, "failed", "-", "-", "", result.summary, ""
    identifier, _, _, _, verdict, score, threshold, nearest, _ = _row(result)
    return file, verdict, score, threshold, nearest, result.explanation, identifier


def _lines(found: Iterable[Inspection], kind: str) -> Iterator[str]:
    """The lines of an export: for CSV a head, for JSON the first and the last one are no inspections."""
    import json

    from core.api_schema.inspection_export import INSPECTION_COLUMNS, csv_line, inspection_cells

    if kind == "csv":
        yield csv_line(INSPECTION_COLUMNS)
        yield from (csv_line(inspection_cells(inspection)) for inspection in found)
        return
    yield '{"inspections": ['
    for number, inspection in enumerate(found):
        yield f"{',' if number else ''}\n{json.dumps(inspection.model_dump(mode='json'), ensure_ascii=False)}"
    yield "\n]}\n"
