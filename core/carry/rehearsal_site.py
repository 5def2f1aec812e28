"""The site of a rehearsal: a process without a network that does what a person does there, with an engine of its own.

`core.carry.rehearsal` starts it in new namespaces with a `Request` as its argument. Stages and the lines of the
programs go to its error output as they come, the `Outcome` to its standard output at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.carry.rehearsal_engine import RehearsalEngine
from core.errors import XaivaError
from core.findings import Finding, Level, read_finding
from core.labels import image_tag
from core.progress import Stage, StageState

INSTALL, VERIFY, CHECK, BUILD, IMAGE, LAUNCH = "install", "verify", "check", "build", "image", "launch"
ENGINE_STEPS = {BUILD, IMAGE, LAUNCH}
STAGE_MARK = "\x1estage "  # before a stage; programs do not print this character
_IMAGES_NOT_DELIVERED = "images-not-delivered"  # the code of unpack's finding
_SHARED_VARIABLES = ("PATH", "LANG", "LC_ALL")  # of the office's environment: those that every site has, too
_HARMLESS = (Level.WARNING, Level.NOTE)
_LAST_LINES = 6  # before the remedy, of a program that gave its reason in no other form
_MOUNT_FLAGS = {
    "nosuid": os.ST_NOSUID,
    "nodev": os.ST_NODEV,
    "noexec": os.ST_NOEXEC,
    "noatime": os.ST_NOATIME,
    "nodiratime": os.ST_NODIRATIME,
    "relatime": os.ST_RELATIME,
}
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


class Request(BaseModel):
    """What to rehearse, and where."""

    folder: str
    """Everything is written below it."""
    medium: str
    """Empty when the medium lies in the folder."""
    fingerprint: str
    preset: str
    images: bool
    """Whether the medium brings the image, which is then not built."""
    skipped: dict[str, str]
    """Step → why it cannot be rehearsed."""
    hidden: list[str]
    """Folders of the office that the site must not see."""


class Outcome(BaseModel):
    """How far it came."""

    passed: list[str] = []
    skipped: dict[str, str] = {}
    findings: list[Finding] = []


def steps_of(images: bool) -> list[str]:
    """The steps, in order."""
    return [INSTALL, VERIFY, CHECK, IMAGE if images else BUILD, LAUNCH]


class StepFailed(Exception):
    """A step failed; `findings` say how, in the words of the program that failed."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = list(findings)
        super().__init__(findings)


def main() -> None:
    """Rehearse what the argument requests, and print the outcome."""
    request = Request.model_validate_json(sys.argv[1])
    _hide_the_office(request)
    _start_loopback()
    sys.stdout.write(_Rehearsal(request).run().model_dump_json())


def _hide_the_office(request: Request) -> None:
    """Mount empty folders over what only the office has. /run has the sockets of its engine."""
    if request.medium:
        _mount_read_only(request.medium, f"{request.folder}/medium")
    for path in [*request.hidden, "/run", *([] if os.path.samefile("/run", "/var/run") else ["/var/run"])]:
        _mount("-t", "tmpfs", "none", path)


def _mount_read_only(source: str, target: str) -> None:
    """Show a folder at another place, where nothing can be written. A user's namespace must keep the other options."""
    _mount("--rbind", source, target)
    flags = os.statvfs(target).f_flag
    options = ["remount", "bind", "ro", *(name for name, flag in _MOUNT_FLAGS.items() if flags & flag)]
    _mount("-o", ",".join(options), target)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _start_loopback() -> None:
    """The only interface of a machine without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


class _Rehearsal:
    """The steps, one after another."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._folder = Path(request.folder)
        self._site = self._folder / "site"
        self._engine: RehearsalEngine | None = None
        self._outcome = Outcome(skipped=request.skipped)

    def run(self) -> Outcome:
        """All steps that are possible."""
        for name in ("home", "tmp"):
            (self._folder / name).mkdir()
        actions: dict[str, tuple[str, Callable[[], None]]] = {
            INSTALL: ("install xaiva from the medium, and unpack it", self._install),
            VERIFY: ("check every byte of the artifacts", lambda: self._operation(VERIFY, self._request.preset)),
            CHECK: ("check the preset", lambda: self._command(CHECK, "preset", "check", self._request.preset)),
            BUILD: ("build with no network", lambda: self._operation(BUILD, self._request.preset)),
            IMAGE: ("look for the image that the medium brings", self._find_image),
            LAUNCH: ("start the container, and wait until it is healthy", self._launch),
        }
        self._start_engine()
        try:
            for step in steps_of(self._request.images):
                self._step(step, *actions[step])
        finally:
            if self._engine:
                self._engine.stop()
        return self._outcome

    def _start_engine(self) -> None:
        """Start the engine before the install, which may bring images. Without one its steps are skipped."""
        if ENGINE_STEPS & {*steps_of(self._request.images)} <= self._outcome.skipped.keys():
            return
        try:
            self._engine = RehearsalEngine.start(self._folder)
        except XaivaError as error:
            self._skip(ENGINE_STEPS, error.summary)

    def _skip(self, steps: set[str], reason: str) -> None:
        for step in steps_of(self._request.images):
            if step in steps:
                self._outcome.skipped.setdefault(step, reason)

    def _step(self, name: str, title: str, action: Callable[[], None]) -> None:
        """Do a step. After some, others make no sense when it has failed."""
        if name in self._outcome.skipped:
            return
        stage = Stage(id=name, title=title, state=StageState.RUNNING, started=time.time())
        _report(stage)
        state = StageState.DONE
        try:
            action()
            self._outcome.passed.append(name)
        except StepFailed as failure:
            state = StageState.FAILED
            self._outcome.findings += [
                finding.model_copy(update={"where": finding.where or f"step {name}"}) for finding in failure.findings
            ]
            needs_it = {INSTALL: {*steps_of(self._request.images)}, BUILD: {LAUNCH}, IMAGE: {LAUNCH}}.get(name, set())
            self._skip(needs_it - {name}, f"step {name} failed")
        _report(stage.model_copy(update={"state": state, "ended": time.time()}))

    def _install(self) -> None:
        """`sh MEDIUM/xaiva`, as START-HERE.txt says, with the fingerprint from paper."""
        medium = f"{self._folder}/medium/xaiva"
        words = ["sh", medium, "--to", f"{self._site}", "--trust", self._request.fingerprint]
        code, lines = self._follow(words)
        if code == 0:
            return
        # An installed console has a ledger, which has the failure of the unpack in its parts.
        if (self._site / "xaiva").exists():
            self._judge_operation(INSTALL, "unpack", lines)
        else:
            raise StepFailed([_printed_error(INSTALL, lines)])

    def _operation(self, kind: str, *arguments: str) -> None:
        code, lines = self._follow([f"{self._site}/xaiva", kind, *arguments])
        if code:
            self._judge_operation(kind, kind, lines)

    def _judge_operation(self, step: str, kind: str, lines: list[str]) -> None:
        """Raise StepFailed with what the site's ledger has of the newest operation."""
        done = self._capture("ops", "list", "--limit", "1", "--json")
        operations = _document(done.stdout).get("operations") or [{}]
        newest: dict[str, Any] = operations[0] if operations[0].get("kind") == kind else {}
        findings = _errors_of({"error": newest.get("failure"), **(newest.get("result") or {})}, step)
        if self._engine is None and findings and all(item.code == _IMAGES_NOT_DELIVERED for item in findings):
            return  # there is an engine at the site; the steps that need one are skipped
        raise StepFailed(findings or [_printed_error(step, lines)])

    def _command(self, step: str, *words: str) -> None:
        """A command that is no operation: it prints its reasons as JSON."""
        done = self._capture(*words, "--json")
        if done.returncode:
            lines = f"{done.stdout}\n{done.stderr}".splitlines()
            raise StepFailed(_errors_of(_document(done.stdout), step) or [_printed_error(step, lines)])

    def _find_image(self) -> None:
        tag = image_tag(self._request.preset)
        done = self._run(["docker", "image", "inspect", tag])
        if done.returncode:
            why, remedy = "the medium did not bring it", "pack it with --images"
            raise StepFailed([Finding.error("rehearsal-image", f"Image {tag}", why, remedy)])

    def _launch(self) -> None:
        self._command(LAUNCH, "launch", self._request.preset, "--create-folders", "--wait")

    def _capture(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run([f"{self._site}/xaiva", *words])

    def _run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=self._env, cwd=self._cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def _follow(self, words: list[str]) -> tuple[int, list[str]]:
        """Exit code and lines of a program, which are passed on as they come."""
        lines = []
        with subprocess.Popen(
            words,
            env=self._env,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                lines.append(line.rstrip("\n"))
                _tell(lines[-1])
        return process.returncode, lines

    @property
    def _cwd(self) -> Path:
        return self._site if self._site.is_dir() else self._folder

    @property
    def _env(self) -> dict[str, str]:
        """What a site's shell has: nothing of the office's proxies, indexes, engines and settings."""
        office = {name: os.environ[name] for name in _SHARED_VARIABLES if name in os.environ}
        return {**office, "HOME": f"{self._folder}/home", "TMPDIR": f"{self._folder}/tmp"}


def _report(stage: Stage) -> None:
    _tell(f"{STAGE_MARK}{stage.model_dump_json()}")


def _tell(line: str) -> None:
    """Pass a line on at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _document(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        data = json.loads(text)
        return data if isinstance(data, dict) else {}
    return {}


def _errors_of(document: dict[str, Any], step: str) -> list[Finding]:
    """The error, or else the findings that are errors."""
    if error := document.get("error"):
        words = {name: str(error.get(name) or "") for name in ("what", "why", "remedy")}
        return [Finding.error(code=f"rehearsal-{step}", **words)]
    return [item for item in map(read_finding, document.get("findings") or []) if item.level not in _HARMLESS]


def _printed_error(step: str, lines: list[str]) -> Finding:
    """What launcher and console print at the end: the reason, and after an arrow the remedy."""
    texts = [line.removeprefix("xaiva: ").removeprefix("error: ") for line in lines]
    arrow = max((number for number, text in enumerate(texts) if text.lstrip().startswith("→ ")), default=len(texts))
    why = "\n".join(texts[:arrow][-_LAST_LINES:])
    remedy = " ".join(text.strip().removeprefix("→ ") for text in texts[arrow:])
    return Finding.error(f"rehearsal-{step}", "The command failed", why, remedy)


if __name__ == "__main__":
    main()
