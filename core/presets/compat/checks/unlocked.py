"""What is not known before a lock: versions that only the resolver knows; and wheels named by address."""

from __future__ import annotations

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext
from core.presets.compat.checks.onnxruntime import rows_for_python
from core.presets.compat.facts import minor
from core.presets.compat.image_packages import PINS, Package

_COME_WITH_OTHERS = ("torch", "tensorflow", "tensorrt")


def unlocked(context: CheckContext) -> list[Finding]:
    """Packages for which several rows of the tables are possible until a lock fixes the version."""
    findings = []
    for package in context.packages.values():
        rows = _rows(context, package)
        if package.version or not rows or _one_answer(package, rows):
            continue
        why = f"the check assumes {rows[0][0]}, the newest in the tables"
        findings.append(
            _not_known(context, f"{package.text}: its release is not known before a lock", why, package.where)
        )
    return [*findings, *_brought(context), *_not_locked(context)]


def _rows(context: CheckContext, package: Package) -> list[tuple[str, str]]:
    """First and last release of each row that a package may match, newest first."""
    facts, python = context.facts, context.preset.python_version
    if package.name == "torch":
        return [(key, key) for key in dict.fromkeys(minor(version) for version in context.torch_versions)]
    if package.name == "tensorflow":
        rows = [(row.key, row.key) for row in facts.tensorflow.values()]
    elif package.name == "onnxruntime-gpu":
        rows = [(row.first, row.last) for row in rows_for_python(facts, python)]
    elif package.name == "tensorrt" or package.name.startswith("tensorrt-cu"):
        rows = [(row.first, row.last) for row in facts.tensorrt.values()]
    else:
        releases = [row for row in facts.releases.values() if row.package == package.name and row.cuda]
        rows = [(row.first, row.last) for row in releases if python in row.python]
    return [row for row in reversed(rows) if package.may_match(f">={row[0]},<{_next_minor(row[1])}")]


def _next_minor(version: str) -> str:
    """The first minor release after a version: `2.7.1` → `2.8`."""
    major, second = (*Version(version).release, 0)[:2]
    return f"{major}.{second + 1}"


def _one_answer(package: Package, rows: list[tuple[str, str]]) -> bool:
    """Whether every possible version is in the same row."""
    return len(rows) == 1 and not package.may_match(f">={_next_minor(rows[0][1])}") and not package.allows("9999")


def _brought(context: CheckContext) -> list[Finding]:
    """Packages that are only known to come as dependencies."""
    findings = []
    for name in _COME_WITH_OTHERS:
        bringers = [
            package
            for package in context.packages.values()
            if package.where != PINS and name in getattr(context.facts.brings.get(package.name), "brings", ())
        ]
        is_requested = any(package.partition("-cu")[0] == name for package in context.packages)
        if not bringers or is_requested or (context.resolved and context.resolved.complete):
            continue
        what = f"{name} comes with {bringers[0].text}: its release is not known before a lock"
        why = "its CUDA, Python and GPUs were not checked"
        findings.append(_not_known(context, what, why, bringers[0].where))
    return findings


def _not_known(context: CheckContext, what: str, why: str, where: str) -> Finding:
    level = Finding.warning if context.target and (context.target.gpus or context.target.driver) else Finding.note
    return level("version-unlocked", what, why, "lock the preset, then check it again; or pin the version", where)


def _not_locked(context: CheckContext) -> list[Finding]:
    gpus = bool(context.target and context.target.gpus) or bool(context.cuda)
    if not context.preset.layers or not gpus or (context.resolved and context.resolved.complete):
        return []
    what = "there is no current lock: only what the preset itself names was checked"
    if context.resolved:
        what = "the lock is incomplete: the packages that it lacks were not checked"
    return [
        Finding.note(
            "not-locked", what, "which packages they bring is known only after a lock", "lock it, then check it again"
        )
    ]


def wheel_files(context: CheckContext) -> list[Finding]:
    """A wheel that is named by its address must be one for the image's Python and processor."""
    findings = []
    for package in context.packages.values():
        if not package.wheel or package.locked:
            continue
        problem = _unfit(package.wheel, context.preset.python_version)
        if problem:
            remedy = f"name the wheel for Python {context.preset.python_version} on x86_64 Linux"
            findings.append(
                Finding.error(
                    "wheel-platform",
                    f"{package.wheel} cannot be installed in the image",
                    problem,
                    remedy,
                    package.where,
                )
            )
    return findings


def _unfit(wheel: str, python: str) -> str:
    try:
        tags = parse_wheel_filename(wheel)[3]
    except InvalidWheelFilename:
        return "it is not the name of a wheel"
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
        minor_version = int(interpreter[3:] or 0)
        return minor_version <= number if abi in ("abi3", "none") else minor_version == number
    return False
