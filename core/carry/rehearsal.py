"""Rehearsal: the whole procedure of a site at the office, from a medium, where no network can be reached.

A child process gets namespaces of its own: no network, and mounts that hide the office's artifacts, caches and engine.
In it `core.carry.rehearsal_site` does what a person does at a site. When that process ends, for whatever reason, the
kernel ends everything that it started and undoes its mounts; only the folder of the rehearsal is left to remove.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from core.artifacts.lock_store import read_lock
from core.carry import pack, signing
from core.carry.rehearsal_site import ENGINE_STEPS, LAUNCH, STAGE_MARK, Outcome, Request, steps_of
from core.containers.run_settings import read_run_settings
from core.disk_space import check_space
from core.errors import InputError, XaivaError
from core.findings import Finding
from core.presets.store import load_named
from core.progress import Progress, Stage
from core.site import Site
from core.subprocesses import run_child

_OPTION_NAMES = {"images", "medium"}
_CONSOLE_BYTES = 512 << 20  # the installed console, its wheels, and the engine's own files
_SITE_FACTOR = 4  # the artifacts once unpacked, and about three times as much in the engine
_END_SECONDS = 30.0  # until the kernel has ended every process of a namespace
_POLL_SECONDS = 0.1
_TOOLS = ("unshare", "setpriv", "mount", "sh")
_CACHES = (".cache", ".docker", ".config/pip", ".config/uv")  # below a home
_LAST_WORDS = 1000  # characters of a program's output that an error repeats


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Rehearse preset `subject` as a site would meet it.

    Options: `images` (carry the built image instead of building it there), `medium` (a medium that is packed already).
    The outcome: `medium`, `passed` (the steps that passed), `complete` (whether these are all), and `findings`: an
    error for each step that would fail at the site, a warning for what could not be rehearsed here. Raises XaivaError
    when nothing could be rehearsed; Cancelled.
    """
    if unknown := options.keys() - _OPTION_NAMES:
        why = "there is no such option"
        raise InputError(f"Rehearsal option {sorted(unknown)[0]}", why, "use one of images, medium")
    images, medium = bool(options.get("images")), str(options.get("medium") or "")
    impossible = _why_skipped(site, subject, images)
    fingerprint = signing.fingerprint(site)
    _require_namespaces()
    remove_leftovers(site)
    folder = _rehearsals(site) / secrets.token_hex(4)
    (folder / "medium").mkdir(parents=True)
    try:
        _provide_medium(site, subject, folder, medium, images, progress)
        needed = [folder, Path(sys.prefix), *([Path(medium)] if medium else [])]
        request = Request(
            folder=f"{folder}",
            medium=medium,
            fingerprint=fingerprint,
            preset=subject,
            images=images,
            skipped=impossible,
            hidden=[f"{path}" for path in _office_folders(site) if not _contains_one_of(path, needed)],
        )
        outcome = _rehearse(request, progress)
    finally:
        _remove(folder)
    skipped = {step: outcome.skipped[step] for step in steps_of(images) if step in outcome.skipped}
    findings = [_with_lasting_paths(finding, folder, medium) for finding in outcome.findings] + _skip_findings(skipped)
    return {
        "medium": medium or "packed for this rehearsal",
        "passed": list(outcome.passed),
        "complete": outcome.passed == steps_of(images),
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }


def remove_leftovers(site: Site) -> None:
    """Remove the folders of rehearsals that were killed. Their processes ended with them."""
    for folder in _rehearsals(site).glob("*"):
        _remove(folder)


def _rehearsals(site: Site) -> Path:
    return site.state / "rehearsal"


def _remove(folder: Path) -> None:
    """Remove the folder of a rehearsal; the last of its processes may still be ending and writing."""
    deadline = time.monotonic() + _END_SECONDS
    while True:
        try:
            shutil.rmtree(folder)
            return
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError as error:
            if time.monotonic() > deadline:
                why = f"it cannot be removed: {error}"
                raise XaivaError(f"Folder {folder}", why, "remove it by hand, as the user who rehearsed") from error
        time.sleep(_POLL_SECONDS)


def _require_namespaces() -> None:
    """Raise XaivaError unless this user may start a process that has no network. There is no rehearsal with one."""
    what = "A rehearsal without a network"
    for tool in _TOOLS:
        if not shutil.which(tool):
            raise XaivaError(what, f"there is no {tool} here", "install it (Debian, Ubuntu: util-linux, mount)")
    done = subprocess.run(_in_namespaces(["true"]), capture_output=True, text=True, check=False)
    if done.returncode:
        why = f"this user may make no namespaces here: {done.stderr.strip()[-_LAST_WORDS:]}"
        remedy = "run it as root" if os.geteuid() else "run it on a machine where root may make namespaces"
        raise XaivaError(what, why, f"{remedy}; nothing is rehearsed with a network")


def _in_namespaces(command: Sequence[str]) -> list[str]:
    """The command with namespaces of its own, which end when the process that started it does.

    The shell is there because the first process of a namespace has to collect those that lost their parent.
    """
    user = ["--user", "--map-root-user"] if os.geteuid() else []
    namespaces = [*user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *shell, *command]


def _why_skipped(site: Site, subject: str, images: bool) -> dict[str, str]:
    """The steps that cannot be rehearsed here, each with the reason. Raises InputError for a broken preset."""
    preset = load_named(site, subject)
    settings = read_run_settings(site, subject, preset, dev=False)
    outside = [mount.source for mount in settings.mounts if not mount.named and not _is_below(mount.source, site.root)]
    reason = ""
    if not preset.inference_service:
        reason = "the preset has no inference service; nothing but the smoke test of a build starts its image"
    elif settings.gpus or preset.run.devices:
        reason = "its container needs a GPU or a device of the machine, which a namespace cannot stand in for"
    elif outside:
        reason = f"its container uses {outside[0]}, which belongs to this machine and not to the site"
    skipped = {LAUNCH: reason} if reason else {}
    if no_engine := _why_no_engine():
        skipped |= dict.fromkeys(ENGINE_STEPS & set(steps_of(images)), no_engine)
    return skipped


def _why_no_engine() -> str:
    """Why no engine can be started here; empty when one can."""
    if os.geteuid():
        return "an engine of its own needs root, and this user is not"
    missing = [tool for tool in ("dockerd", "docker") if not shutil.which(tool)]
    return f"an engine of its own needs {missing[0]}, which is not on PATH" if missing else ""


def _provide_medium(site: Site, subject: str, folder: Path, medium: str, images: bool, progress: Progress) -> None:
    """Check that there is room for everything, and pack unless there is a medium. Raises XaivaError."""
    options: dict[str, JsonValue] = {"presets": [subject], "images": images}
    packed = 0 if medium else pack.plan_pack(site, f"{folder}/medium", options).needed_bytes
    artifacts = sum(file.size for file in read_lock(site, subject).files)
    check_space({folder: packed + _SITE_FACTOR * artifacts + _CONSOLE_BYTES}, f"the rehearsal of {subject}")
    if not medium:
        pack.run(site, f"{folder}/medium", options, progress)


def _office_folders(site: Site) -> list[Path]:
    """What a site does not have, and therefore must not see."""
    caches = [Path.home() / name for name in _CACHES]
    return [path.resolve() for path in (site.artifacts, site.presets, site.docker, *caches) if path.is_dir()]


def _contains_one_of(folder: Path, paths: Sequence[Path]) -> bool:
    return any(_is_below(path, folder) for path in paths)


def _is_below(path: str | Path, folder: Path) -> bool:
    return Path(path).resolve().is_relative_to(folder.resolve())


def _rehearse(request: Request, progress: Progress) -> Outcome:
    """Run the steps in the namespaces. Raises XaivaError when they did not come to an end; Cancelled."""
    command = [sys.executable, "-I", "-m", "core.carry.rehearsal_site", request.model_dump_json()]
    reporter = _Reporter(progress)
    done = run_child(_in_namespaces(command), progress, on_line=reporter.report)
    if done.code:
        why = done.err.strip()[-_LAST_WORDS:] or f"its process ended with code {done.code}"
        raise XaivaError(f"Rehearsal of {request.preset}", why)
    return Outcome.model_validate_json(done.out)


class _Reporter:
    """Passes on what the child writes to its error output: stages as JSON, and lines of the programs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._running = Stage(id="", title="")

    def report(self, line: str) -> None:
        """Pass on one line."""
        if not line.startswith(STAGE_MARK):
            self._progress.log(line, self._running.id)
            return
        stage = Stage.model_validate_json(line.removeprefix(STAGE_MARK))
        self._running = stage
        self._progress.stage(stage)


def _with_lasting_paths(finding: Finding, folder: Path, medium: str) -> Finding:
    """The finding without paths that end with the rehearsal."""

    def lasting(text: str) -> str:
        return text.replace(f"{folder}/medium", medium or "MEDIUM").replace(f"{folder}/site", "SITE")

    texts = {name: lasting(getattr(finding, name)) for name in ("what", "why", "remedy", "where")}
    return finding.model_copy(update=texts)


def _skip_findings(skipped: Mapping[str, str]) -> list[Finding]:
    """A warning for each reason, with the steps that it kept from being rehearsed."""
    steps: dict[str, list[str]] = {}
    for step, reason in skipped.items():
        steps.setdefault(reason, []).append(step)
    return [
        Finding.warning("not-rehearsed", f"Not rehearsed: {', '.join(names)}", reason)
        for reason, names in steps.items()
    ]
