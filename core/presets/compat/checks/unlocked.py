"""What is not judged before a lock: versions that only the resolver knows; and wheels named by address."""

from __future__ import annotations

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.checks.onnxruntime import rows_for_python
from core.presets.compat.facts import minor
from core.presets.compat.installed import PINS, Package
from core.presets.compat.subject import Subject, error, note, warning

_COME_WITH_OTHERS = ("torch", "tensorflow", "tensorrt")


def unlocked(subject: Subject) -> list[Finding]:
    """Say for which packages the tables give several answers, until a lock names the version."""
    found = []
    for package in subject.packages.values():
        rows = _rows(subject, package)
        if package.version or not rows or _one_answer(package, rows):
            continue
        why = f"it was judged as {rows[0][0]}, the newest that the tables know"
        found.append(_not_known(subject, f"{package.text}: which release comes is not known", why, package.where))
    return [*found, *_brought(subject), *_not_locked(subject)]


def _rows(subject: Subject, package: Package) -> list[tuple[str, str]]:
    """First and last release of the rows of its table that a package may fall into, newest first."""
    facts, python = subject.facts, subject.preset.python_version
    if package.name == "torch":
        return [(key, key) for key in dict.fromkeys(minor(version) for version in subject.torch_versions)]
    if package.name == "tensorflow":
        rows = [(row.key, row.key) for row in facts.tensorflow.values()]
    elif package.name == "onnxruntime-gpu":
        rows = [(row.first, row.last) for row in rows_for_python(facts, python)]
    elif package.name == "tensorrt" or package.name.startswith("tensorrt-cu"):
        rows = [(row.first, row.last) for row in facts.tensorrt.values()]
    else:
        releases = [row for row in facts.releases.values() if row.package == package.name and row.cuda]
        rows = [(row.first, row.last) for row in releases if python in row.python]
    return [row for row in reversed(rows) if package.may_be(f">={row[0]},<{_after(row[1])}")]


def _after(version: str) -> str:
    """The first minor release after a version: `2.7.1` → `2.8`."""
    major, second = (*Version(version).release, 0)[:2]
    return f"{major}.{second + 1}"


def _one_answer(package: Package, rows: list[tuple[str, str]]) -> bool:
    """Whether every version that may come is in the same row."""
    return len(rows) == 1 and not package.may_be(f">={_after(rows[0][1])}") and not package.allows("9999")


def _brought(subject: Subject) -> list[Finding]:
    """Packages that others are known to bring."""
    found = []
    for name in _COME_WITH_OTHERS:
        bringers = [
            package
            for package in subject.packages.values()
            if package.where != PINS and name in getattr(subject.facts.brings.get(package.name), "brings", ())
        ]
        named = any(package.partition("-cu")[0] == name for package in subject.packages)
        if not bringers or named or (subject.resolved and subject.resolved.complete):
            continue
        what = f"{name} comes with {bringers[0].text}: which release is not known"
        why = "its CUDA, its Python and its GPUs were not checked"
        found.append(_not_known(subject, what, why, bringers[0].where))
    return found


def _not_known(subject: Subject, what: str, why: str, where: str) -> Finding:
    level = warning if subject.target and (subject.target.gpus or subject.target.driver) else note
    return level("version-unlocked", what, why, "lock the preset, then check it again; or fix the version", where)


def _not_locked(subject: Subject) -> list[Finding]:
    gpus = bool(subject.target and subject.target.gpus) or bool(subject.cuda)
    if not subject.preset.layers or not gpus or (subject.resolved and subject.resolved.complete):
        return []
    what = "there is no current lock: only what the preset itself names was checked"
    if subject.resolved:
        what = "the lock is not complete: what it lacks was not checked"
    return [note("not-locked", what, "what its packages bring is known after a lock", "lock it, then check it again")]


def wheel_files(subject: Subject) -> list[Finding]:
    """A wheel that is named by its address must be one for the image's Python and processor."""
    found = []
    for package in subject.packages.values():
        if not package.wheel or package.locked:
            continue
        problem = _unfit(package.wheel, subject.preset.python_version)
        if problem:
            remedy = f"name the wheel for Python {subject.preset.python_version} on x86_64 Linux"
            found.append(
                error("wheel-platform", f"{package.wheel} does not fit the image", problem, remedy, package.where)
            )
    return found


def _unfit(wheel: str, python: str) -> str:
    try:
        tags = parse_wheel_filename(wheel)[3]
    except InvalidWheelFilename:
        return "its name is not that of a wheel"
    number = int(python.partition(".")[2])
    platforms = [tag for tag in tags if tag.platform == "any" or _runs_here(tag.platform)]
    if not platforms:
        return f"it is for {', '.join(sorted({tag.platform for tag in tags}))}"
    if not any(_for_python(tag.interpreter, tag.abi, number) for tag in platforms):
        return f"it is for {', '.join(sorted({tag.interpreter for tag in tags}))}, the preset has Python {python}"
    return ""


def _runs_here(platform: str) -> bool:
    return platform.endswith("_x86_64") and platform.startswith(("linux", "manylinux"))


def _for_python(interpreter: str, abi: str, number: int) -> bool:
    if interpreter.startswith("py3") or interpreter == "py2.py3":
        return int(interpreter[3:] or 0) <= number
    if interpreter.startswith("cp3"):
        wanted = int(interpreter[3:] or 0)
        return wanted <= number if abi in ("abi3", "none") else wanted == number
    return False
