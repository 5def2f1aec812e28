"""Kinds of operations for the tests; each does one thing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from core.errors import ChecksFailed, InputError, TransientError
from core.files import TEMPORARY_PREFIX
from core.progress import Progress, Stage, StageState, stop_if_cancelled
from core.site import Site

Options = Mapping[str, JsonValue]
Result = dict[str, JsonValue]

KINDS = {
    name: f"tests.operations.sample_kinds:{name}"
    for name in (
        "quick",
        "wait",
        "stuck",
        "deaf",
        "nested",
        "careless",
        "broken",
        "refused",
        "checked",
        "pour",
        "die",
        "strays",
        "full",
        "helper",
        "flaky",
        "segfault",
        "silent",
        "chatty",
        "polite",
        "leave",
        "trip",
        "misnamed",
    )
}


def quick(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Two stages and a line."""
    progress.stage(Stage(id="one", title="First", state=StageState.RUNNING, total=2, unit="steps"))
    progress.log(f"hello {subject}", "one")
    print("printed")
    for done in (1, 2):
        progress.stage(Stage(id="one", title="First", state=StageState.RUNNING, done=done, total=2, unit="steps"))
    progress.stage(Stage(id="one", title="First", state=StageState.DONE, done=2, total=2, unit="steps"))
    progress.stage(Stage(id="two", title="Second", state=StageState.CACHED))
    return {"subject": subject, "options": dict(options), "site": os.fspath(site.root)}


def full(_site: Site, _subject: str, _options: Options, _progress: Progress) -> Result:
    """Writes to a device that is always full."""
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")
    return {}


def wait(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Runs until the file `go` exists in the site, and leaves temporary files. Reads the cancel flag."""
    folder = site.artifacts / subject / "layers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{TEMPORARY_PREFIX}half").write_text("half")
    (folder / "whole").write_text("whole")
    tempfile.mkdtemp()
    progress.stage(Stage(id="wait", title="Waiting", state=StageState.RUNNING))
    progress.log(f"waiting as {os.getpid()}", "wait")
    number = 0
    while not (site.root / "go").exists():
        stop_if_cancelled(progress)
        number += 1
        progress.stage(Stage(id="wait", title="Waiting", state=StageState.RUNNING, done=number))
        time.sleep(0.01)
    (folder / f"{TEMPORARY_PREFIX}half").unlink()
    progress.stage(Stage(id="wait", title="Waiting", state=StageState.DONE, done=number))
    return {"waited": True}


def stuck(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Never reads the cancel flag."""
    progress.log(f"stuck as {os.getpid()}")
    while True:
        time.sleep(60)


def deaf(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Neither reads the cancel flag nor ends on SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (site.artifacts / subject).mkdir(parents=True, exist_ok=True)
    (site.artifacts / subject / f"{TEMPORARY_PREFIX}half").write_text("half")
    progress.log(f"deaf as {os.getpid()}")
    while True:
        time.sleep(60)


_DEAF_CHILD = (
    "import os, signal, time; signal.signal(15, signal.SIG_IGN); print("
    "'child', os.getpid(), flush=True); time.sleep(600)"
)


def nested(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Waits for a child that ignores SIGTERM, with its own session and an empty environment."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with subprocess.Popen([sys.executable, "-c", _DEAF_CHILD], start_new_session=True, env={}) as child:
        child.wait()
    return {}


def careless(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Succeeds when its child ends, even if a cancel ended it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with subprocess.Popen([sys.executable, "-c", _DEAF_CHILD.replace("SIG_IGN", "SIG_DFL")]) as child:
        child.wait()
    return {}


def strays(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Succeeds, but leaves a child running."""
    child = subprocess.Popen([sys.executable, "-c", _DEAF_CHILD], start_new_session=True, stdout=subprocess.PIPE)
    assert child.stdout is not None
    return {"child": int(child.stdout.readline().split()[1])}


def broken(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Fails with an unexpected exception."""
    raise KeyError("something")


def refused(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Fails with an error that contains a secret."""
    token = site.env.get("PRIVATE_TOKEN", "")
    progress.log(f"fetching https://user:{token}@example.invalid/simple with {token}")
    raise InputError("Preset x", f"{token} is wrong", "fix it")


def checked(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Fails because a check found errors."""
    raise ChecksFailed("2 files differ")


def pour(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Reports and prints many lines."""
    count = options["lines"]
    assert isinstance(count, int)
    for number in range(count):
        progress.log(f"line {number} " + "x" * 200, "pour")
    print("printed " * 100_000)
    Path(site.root, "poured").touch()
    return {"lines": count}


def die(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Is killed, as when memory runs out."""
    progress.stage(Stage(id="last", title="Last", state=StageState.RUNNING))
    print("my last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _begin_attempt(site: Site, subject: str) -> int:
    """Count the attempts at a subject in a file; the number of this one."""
    path = Path(site.root, f"attempts-{subject}")
    number = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(number))
    return number


def flaky(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Fails as often as the option `failures` says, in a way that may pass, and leaves temporary files."""
    number = _begin_attempt(site, subject)
    tempfile.mkdtemp()
    progress.stage(Stage(id=f"try-{number}", title=f"Try {number}", state=StageState.RUNNING))
    failures = options.get("failures", 1)
    assert isinstance(failures, int)
    if number <= failures:
        raise TransientError("Storage s3://pictures", f"answer 503, number {number}", "try again later")
    progress.stage(Stage(id=f"try-{number}", title=f"Try {number}", state=StageState.DONE))
    return {"attempt": number}


def segfault(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Crashes in native code, as often as the option `failures` says."""
    number = _begin_attempt(site, subject)
    failures = options.get("failures", 1)
    assert isinstance(failures, int)
    if number <= failures:
        os.kill(os.getpid(), signal.SIGSEGV)
    return {"attempt": number}


def silent(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Reports once, then computes without end at the first attempt."""
    if _begin_attempt(site, subject) > 1:
        return {}
    progress.stage(Stage(id="loop", title="Loop", state=StageState.RUNNING))
    progress.log(f"looping as {os.getpid()}")
    while True:
        pass


def chatty(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Reports for longer than its rule lets it be silent."""
    for number in range(30):
        progress.stage(Stage(id="talk", title="Talk", state=StageState.RUNNING, done=number))
        time.sleep(0.1)
    return {}


def polite(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Tells how nice it is and its session (where the kernel has that), and how readily the kernel kills it."""
    group = Path("/proc/self/autogroup")
    session = int(group.read_text().rpartition(" ")[2]) if group.exists() else 7
    score = int(Path("/proc/self/oom_score_adj").read_text())
    return {"niceness": os.nice(0), "session": session, "killed_first": score}


def leave(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Ends its process as if all were well, without a result."""
    os._exit(0)


def trip(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Succeeds, and leaves a process behind that then fails."""
    subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    return {"whole": True}


def helper(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Runs a helper container, which does not end by itself unless it is to be quick."""
    from core.artifacts.helper_container import HelperContainer
    from core.artifacts.orphaned_helpers import remove_orphans
    from core.engine import connect_engine

    client = connect_engine(site)
    remove_orphans(client)
    script = f"echo helping >&2; {'exit 0' if options.get('quick') else 'exec sleep 1000'}"
    with HelperContainer(client, subject, script, {}, {}) as container:
        progress.log(f"pid {os.getpid()}")
        container.run(progress, "helper")
    return {}


def misnamed(site: Site, subject: str, options: Options, progress: Progress) -> Result:
    """Speaks of a file whose name is not valid UTF-8, and of a share of nothing."""
    name = os.fsdecode(b"caf\xe9.png")
    progress.stage(Stage(id="read", title=name, state=StageState.DONE, detail=name))
    progress.log(name)
    if options.get("fail"):
        raise ValueError(name)
    return {"file": name, "share": float("nan")}
