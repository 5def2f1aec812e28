"""Follows an operation: bars on a terminal, plain lines in a pipe, one document with `--json`.

Ctrl-C in the command that started the operation cancels it (exit code 130). `--detach`, a closed terminal or a lost
connection leave it running. In `xaiva ops follow`, Ctrl-C only stops watching.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.session import CliSession, CommandT, json_option
from core.cli.streams import OutputFailed

if TYPE_CHECKING:
    from core.operations.model import Operation, Update
    from core.progress import Stage

_LAST_LINES = 15  # of the log, printed after a failure if its lines were not shown
_MOST_LINES = 20  # of one list in an outcome
_BAR_WIDTH = 24
_STATE_AND_TIME = 9 + 7 + 4  # columns of a bar's line: the state, the time and the blanks between them
_FINISHED_SHOWN = 12  # finished stages that keep their bar


def operation_options(command: CommandT) -> CommandT:
    """Add `--detach` and `--json` to a command that starts an operation."""
    detach = click.option("--detach", "-d", is_flag=True, help="Start it in the background; see: xaiva ops follow ID.")
    return json_option(detach(command))


def run_operation(
    session: CliSession,
    kind: str,
    subject: str,
    options: dict[str, Any],
    *,
    detach: bool,
    as_json: bool,
    key: str | None = None,
) -> None:
    """Start an operation and follow it until it ends; `key` as in `Ledger.start`. Raises its error if it failed."""
    operation = session.ledger.start(kind, subject, options, key=key)
    if detach:
        if as_json:
            output.print_json({"operation": operation})
        else:
            click.echo(f"operation {operation.id} has started; follow it with: xaiva ops follow {operation.id}")
        return
    try:
        operation = watch(session, operation.id, as_json=as_json)
    except (BrokenPipeError, OutputFailed):
        click.echo(f"operation {operation.id} goes on; follow it with: xaiva ops follow {operation.id}", err=True)
        raise
    except KeyboardInterrupt:
        click.echo("cancelling…", err=True)
        session.ledger.cancel(operation.id)
        operation = session.ledger.wait(operation.id, timeout=10)
    finish(session, operation, as_json=as_json)


def watch(session: CliSession, identifier: int, *, as_json: bool) -> Operation:
    """Show the operation until it ends, and return its final state."""
    updates = session.ledger.follow(identifier)
    if as_json:
        return _last_operation(updates, lambda _: None)
    if sys.stdout.isatty() and sys.stderr.isatty():
        return _show_bars(updates)
    printed: dict[str, str] = {}
    outcome_lines: list[str] = []
    operation = _last_operation(updates, lambda update: _print_update(update, printed, outcome_lines))
    if operation.result is None:
        output.print_text(
            "\n".join(outcome_lines), nl=bool(outcome_lines)
        )  # without an outcome they would not be printed
    return operation


def finish(session: CliSession, operation: Operation, *, as_json: bool) -> None:
    """Print the outcome. Raises the operation's error if it failed."""
    from core.operations.ledger import raise_for_failure

    if as_json:
        output.print_json({"operation": operation, "stages": session.ledger.stages(operation.id)})
        if operation.failure or found_errors(operation):
            raise click.exceptions.Exit(operation.failure.exit_code if operation.failure else 3)
        return
    if operation.state.value in ("failed", "crashed") and sys.stdout.isatty():
        from core.operations.log import tail

        for line in tail(session.ledger.log_path(operation.id), _LAST_LINES):
            output.print_line(f"  {line}", err=True)
        click.echo(f"  (full log: {operation.log})", err=True)
    raise_for_failure(operation)
    print_result(operation, _MOST_LINES)
    if found_errors(operation):
        raise click.exceptions.Exit(3)


def found_errors(operation: Operation) -> bool:
    """Whether a finished check found errors, or a lock is incomplete."""
    result = operation.result or {}
    findings = result.get("findings")
    if operation.kind == "lock" and result.get("unlocked"):
        return True
    return isinstance(findings, list) and any(isinstance(f, dict) and f.get("level") == "error" for f in findings)


def print_result(operation: Operation, most: int = sys.maxsize) -> None:
    """Print the outcome, with at most `most` lines of each list."""
    from core.findings import read_finding
    from core.operations.outcome import format_value, result_label, summarize_outcome

    summary = f"; {summarize_outcome(operation)}" if operation.result and summarize_outcome(operation) else ""
    output.print_line(f"{operation.title()}: {operation.state.word} in {output.seconds(operation.seconds)}{summary}")
    for name, value in (operation.result or {}).items():
        if name == "findings" and isinstance(value, list):
            output.print_findings(map(read_finding, value))
        elif isinstance(value, list):
            for item in value[:most]:
                output.print_text(f"  {result_label(name)}: " + format_value(item).replace("\n", "\n  "))
            if len(value) > most:
                rest = f"… and {len(value) - most} more; list them all with: xaiva ops show {operation.id}"
                click.echo(f"  {result_label(name)}: {rest}")
        elif value not in (None, "", {}):
            output.print_line(f"  {result_label(name)}: {_format_amount(name, value)}")


def _format_amount(name: str, value: object) -> str:
    from core.operations.outcome import format_value

    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and name.endswith("bytes"):
        return output.size(value)
    if isinstance(value, (int, float)) and name.endswith("seconds"):
        return output.seconds(value)
    return format_value(value)


def _last_operation(updates: Iterable[Update], show: Callable[[Update], None]) -> Operation:
    operation = None
    for update in updates:
        operation = update.operation
        show(update)
    assert operation is not None  # the first update comes immediately
    return operation


def _print_update(update: Update, printed: dict[str, str], outcome_lines: list[str]) -> None:
    from core.operations.model import TRACEBACK
    from core.progress import OUTCOME

    for line in update.lines:
        if line.stage == OUTCOME:
            outcome_lines.append(line.text)
        elif line.stage != TRACEBACK:
            output.print_line(f"{line.stage}: {line.text}" if line.stage else line.text)
    for stage in update.stages:
        if printed.get(stage.id) != stage.state.value and stage.state.value != "waiting":
            detail = f" ({stage.detail})" if stage.detail else ""
            output.print_line(f"[{stage.state.word}] {stage.title}{detail}")
        printed[stage.id] = stage.state.value


def _show_bars(updates: Iterable[Update]) -> Operation:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[state]:>9}"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=_BAR_WIDTH),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    room = console.width - _STATE_AND_TIME - _BAR_WIDTH
    title, amount = room // 2, room - room // 2
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        tasks: dict[str, TaskID] = {}

        def show(update: Update) -> None:
            started = [stage for stage in update.stages if stage.state.value != "waiting"]
            finished = [stage.id for stage in started if stage.state.value != "running"]
            folded = set(finished[:-_FINISHED_SHOWN])
            for stage in started:
                if stage.id not in tasks:
                    tasks[stage.id] = progress.add_task("", total=None, state="", amount="")
                task = tasks[stage.id]
                progress.update(
                    task,
                    description=output.cut(stage.title, title).replace("[", "\\["),
                    completed=_completed(stage),
                    total=stage.total or (1 if stage.id in finished else None),
                    state=stage.state.value,
                    amount=output.cut(_format_done(stage), amount).replace("[", "\\["),
                    visible=stage.id not in folded,
                )
                if stage.id in finished:
                    progress.stop_task(task)

        return _last_operation(updates, show)


def _completed(stage: Stage) -> float:
    return (stage.total or 1) if stage.state.value in ("done", "cached") else stage.done


def _format_done(stage: Stage) -> str:
    if stage.unit == "bytes":
        amount = f"{output.size(stage.done)} of {output.size(stage.total)}" if stage.total else output.size(stage.done)
    elif stage.total:
        amount = f"{stage.done:.0f} of {stage.total:.0f} {stage.unit}"
    else:
        amount = ""
    return f"{amount} {stage.detail}".strip()
