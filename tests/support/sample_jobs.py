"""Kinds of jobs for the tests; each does one thing. `install` puts them in place of the service's own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from core.errors import InputError, TransientError
from core.findings import Finding
from core.inference.inspection import rollback_job
from core.inference.jobs import place
from core.inference.jobs.context import JobContext
from core.inference.jobs.kinds import KINDS, Kind, Option
from core.operations.place import Place
from core.progress import Progress, Stage, StageState, stop_if_cancelled

Options = Mapping[str, JsonValue]
Result = dict[str, JsonValue]


def quick(_context: JobContext, subject: str, options: Options, progress: Progress) -> Result:
    """Says hello."""
    progress.log(f"hello {subject}")
    return {"subject": subject, **options}


def wait(context: JobContext, subject: str, _options: Options, progress: Progress) -> Result:
    """Runs until the file `go-SUBJECT` or `go` exists in the data folder."""
    data = context.settings.data
    progress.stage(Stage(id="wait", title="Waiting", state=StageState.RUNNING, total=2, unit="steps"))
    progress.log(f"waiting for {subject}")
    (data / f"began-{subject}").touch()
    while not ((data / f"go-{subject}").exists() or (data / "go").exists()):
        stop_if_cancelled(progress)
        time.sleep(0.01)
    progress.stage(Stage(id="wait", title="Waiting", state=StageState.DONE, done=2, total=2, unit="steps"))
    return {"waited": True}


def steps(_context: JobContext, _subject: str, options: Options, progress: Progress) -> Result:
    """Reports `count` stages, each with parts and lines."""
    count = int(str(options.get("count", 5)))
    for number in range(count):
        for state in (StageState.RUNNING, StageState.DONE):
            progress.stage(Stage(id=f"s{number}", title=f"Step {number}", state=state, total=1, unit="steps"))
            progress.stage(Stage(id=f"s{number}/p", title="Part", state=state, parent=f"s{number}"))
        progress.log(f"line {number}", f"s{number}")
        time.sleep(0.005)
    return {"steps": count}


def fail(_context: JobContext, subject: str, _options: Options, _progress: Progress) -> Result:
    """Fails because of its input."""
    raise InputError(f"Subject {subject}", "it cannot be worked with", "choose another one")


def shaky(context: JobContext, subject: str, _options: Options, progress: Progress) -> Result:
    """Fails once in a way that may pass."""
    tries = context.settings.data / f"tries-{subject}"
    number = len(tries.read_text()) + 1 if tries.exists() else 1
    tries.write_text("x" * number)
    progress.log(f"try {number}")
    if number < 2:
        raise TransientError("Storage", "it does not answer")
    return {"tries": number}


def picky(_context: JobContext, _subject: str, _options: Options, _progress: Progress) -> Result:
    """Finds fault with two pictures."""
    findings = [Finding.warning("picture", f"Picture {number}", "it is too dark") for number in (1, 2)]
    return {"pictures": 7, "findings": [each.model_dump(mode="json") for each in findings], "findings_total": 2}


def for_each(_context: JobContext, _subject: str, _options: Options, progress: Progress) -> Result:
    """Announces two products, works on both, and says what became of them."""
    for state in (StageState.WAITING, StageState.DONE):
        for number, name in enumerate(("lid", "cap"), start=1):
            started = 0 if state is StageState.WAITING else number
            progress.stage(Stage(id=name, title=name, state=state, started=started, ended=started))
    for name in ("lid", "cap"):
        progress.stage(Stage(id=f"{name}/p", title=f"Part of {name}", state=StageState.DONE, parent=name))
    products: Result = {"lid": {"generation": 3, "published": False, "auroc": None}, "cap": {"failure": "too dark"}}
    return {"products": products, "findings": [], "findings_total": 0}


def killed_rollback(context: JobContext, subject: str, options: Options, progress: Progress) -> Result:
    """A rollback whose process is killed once, after the pointer has moved and before the outcome is reported."""
    result = rollback_job.run(context, subject, options, progress)
    killed = context.settings.data / "killed-rollback"
    if not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def refuse_bad(_context: JobContext, subject: str, _options: Options) -> None:
    """The check of `checked`."""
    if subject == "bad":
        raise InputError("Subject bad", "this one is never accepted", "name another one")


_HERE = __name__
COUNT = {"count": Option("how many", int)}
SAMPLES: dict[str, Kind] = {
    "quick": Kind(f"{_HERE}:quick", "Says hello", "anything", computes=False, options=COUNT),
    "wait": Kind(f"{_HERE}:wait", "Waits for a file", "anything", computes=False),
    "heavy": Kind(f"{_HERE}:wait", "Waits, with the device for itself", "anything"),
    "steps": Kind(f"{_HERE}:steps", "Many stages", "anything", computes=False, options=COUNT),
    "fail": Kind(f"{_HERE}:fail", "Fails", "anything", computes=False),
    "shaky": Kind(f"{_HERE}:shaky", "Fails once", "anything", computes=False),
    "named": Kind(f"{_HERE}:quick", "Says hello", "anything", options={"name": Option("whose", str)}, computes=False),
    "picky": Kind(f"{_HERE}:picky", "Finds faults", "anything", computes=False),
    "for_each": Kind(f"{_HERE}:for_each", "Works on two products", "anything", computes=False),
    "killed_rollback": Kind(f"{_HERE}:killed_rollback", "Is killed once", "as rollback", computes=False),
    "checked": Kind(f"{_HERE}:quick", "Is checked", "a word", pattern="[a-z]*", check=f"{_HERE}:refuse_bad"),
}
TABLE = place.KindTable({**KINDS, **SAMPLES}, f"{_HERE}:open_place")


def open_place(root: str) -> Place:
    """The place of sample jobs in another process. They are not nice: on a busy machine that takes them much longer."""
    place.TABLE = TABLE
    place.NICENESS = 0
    return place.open_job_place(root)


def install(patch: pytest.MonkeyPatch) -> None:
    """Services that are made from now on have the sample kinds as well."""
    patch.setattr(place, "TABLE", TABLE)


def release(data: Path, subject: str = "") -> None:
    """Let a waiting job go on, or all."""
    (data / (f"go-{subject}" if subject else "go")).touch()


def serve() -> None:
    """`xaiva-inference` with the sample kinds."""
    from core.inference.__main__ import main

    place.TABLE = TABLE
    sys.exit(main())


if __name__ == "__main__":
    from tests.support import sample_jobs

    sample_jobs.serve()  # the imported module: this one is called __main__
