"""Packages of the layers that carry CUDA of their own, and known conflicts between packages."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.facts import Facts, minor
from core.presets.compat.machine import Gpu, TargetMachine, runs
from core.presets.compat.rows import OnnxRuntimeRow, PackageRow, TensorflowRow
from core.presets.compat.subject import Subject, Wish, error, listed, note, warning


def tensorflow(subject: Subject) -> list[Finding]:
    """TensorFlow's Pythons and driver."""
    target = subject.target
    wish = subject.wish("tensorflow")
    if wish is None:
        return []
    rows = [row for row in subject.facts.tensorflow.values() if _allows_minor(wish, row.key)]
    if not rows:
        known = listed(list(subject.facts.tensorflow))
        what = f"{wish.requirement} is not in the tables"
        return [note("tensorflow-unknown", what, f"known releases: {known}", "", wish.where)]
    row = rows[-1]
    return [*_tensorflow_python(subject, wish, row), *_tensorflow_driver(wish, row, target)]


def _allows_minor(wish: Wish, release: str) -> bool:
    specifier = wish.requirement.specifier
    return any(specifier.contains(f"{release}.{patch}") for patch in range(6))


def _tensorflow_python(subject: Subject, wish: Wish, row: TensorflowRow) -> list[Finding]:
    python = subject.preset.python_version
    if python in row.python:
        return []
    why = f"it was built for Python {row.python[0]} to {row.python[-1]}"
    what = f"TensorFlow {row.key} has no wheels for Python {python}"
    return [error("tensorflow-python", what, why, f"take Python {row.python[-1]}", wish.where, row.source)]


def _tensorflow_driver(wish: Wish, row: TensorflowRow, target: TargetMachine | None) -> list[Finding]:
    if target is None or not target.driver or Version(target.driver) >= Version(row.min_driver):
        return []
    return [
        error(
            "tensorflow-cuda",
            f"TensorFlow {row.key} (CUDA {row.cuda}, cuDNN {row.cudnn}) does not work with driver {target.driver}",
            f"CUDA {row.cuda} needs driver {row.min_driver} or newer",
            f"install driver {row.min_driver} or newer on site",
            wish.where,
            row.source,
        )
    ]


def onnxruntime(subject: Subject) -> list[Finding]:
    """onnxruntime-gpu carries code for a few architectures and links to one CUDA major version."""
    target = subject.target
    wish = subject.wish("onnxruntime-gpu")
    newest = _newest_allowed(subject) if wish else None
    if wish is None or newest is None:
        return []
    return [*_onnxruntime_gpus(subject, wish, newest, target), *_onnxruntime_cuda(subject, wish, newest)]


def _newest_allowed(subject: Subject) -> OnnxRuntimeRow | None:
    """The newest range that the requirements and pins allow: what the resolver will take."""
    specifier = SpecifierSet()
    for wish in subject.constraints("onnxruntime-gpu"):
        specifier &= wish.requirement.specifier
    rows = [row for row in subject.facts.onnxruntime.values() if _allows_range(specifier, row)]
    return rows[-1] if rows else None


def _allows_range(specifier: SpecifierSet, row: OnnxRuntimeRow) -> bool:
    first, last = Version(row.first), Version(row.last)
    candidates = [
        f"{first.major}.{number}.{patch}" for number in range(first.minor, last.minor + 1) for patch in range(6)
    ]
    return any(specifier.contains(candidate) for candidate in candidates)


def _onnxruntime_gpus(
    subject: Subject, wish: Wish, newest: OnnxRuntimeRow, target: TargetMachine | None
) -> list[Finding]:
    found = []
    for gpu in target.gpus if target else ():
        if gpu.sm and not runs(gpu.sm, newest.sm, []):
            what = f"{wish.requirement} brings {newest.key} or newer, which holds no code for {gpu.name}"
            why = f"its wheels hold {', '.join(newest.sm)} (CUDA {newest.cuda})"
            found.append(
                error("onnxruntime-gpu", what, why, _onnxruntime_remedy(gpu, subject.facts), wish.where, newest.source)
            )
        elif gpu.sm and _is_before_turing(gpu) and not subject.constraints("nvidia-cudnn-cu12"):
            what = f"{gpu.name} needs cuDNN before 9.11 with onnxruntime-gpu"
            why = "cuDNN 9.10 is the last with Maxwell, Pascal and Volta"
            found.append(
                note("onnxruntime-gpu", what, why, 'add "nvidia-cudnn-cu12<9.11" to pins', "pins", newest.source)
            )
    return found


def _is_before_turing(gpu: Gpu) -> bool:
    return Version(gpu.sm) < Version("7.5")


def _onnxruntime_remedy(gpu: Gpu, facts: Facts) -> str:
    wanted = onnxruntime_range(gpu.sm, "", facts)
    return f'write "{wanted}"' if wanted else "use the CPU build, onnxruntime"


def onnxruntime_range(sm: str, cuda_major: str, facts: Facts) -> str:
    """The newest onnxruntime-gpu requirement for an architecture (and a CUDA major version); empty for none."""
    rows = [
        row for row in facts.onnxruntime.values() if runs(sm, row.sm, []) and (not cuda_major or row.cuda == cuda_major)
    ]
    if not rows:
        return ""
    last = Version(rows[-1].last)
    return f"onnxruntime-gpu>={rows[-1].key},<{last.major}.{last.minor + 1}"


def _onnxruntime_cuda(subject: Subject, wish: Wish, newest: OnnxRuntimeRow) -> list[Finding]:
    cuda = subject.wheel_cuda or subject.base_cuda
    if not cuda or cuda.split(".")[0] == newest.cuda:
        return []
    what = f"{wish.requirement} brings a build for CUDA {newest.cuda}, the image has {cuda}"
    fitting = [row.key for row in subject.facts.onnxruntime.values() if row.cuda == cuda.split(".")[0]]
    remedy = f"take onnxruntime-gpu {fitting[-1]}" if fitting else f"add the CUDA {newest.cuda} libraries as wheels"
    why = "it does not find its CUDA libraries and falls back to the CPU"
    return [warning("onnxruntime-gpu", what, why, remedy, wish.where, newest.source)]


def known_conflicts(subject: Subject) -> list[Finding]:
    """What packages ask of others, as far as the tables know; the lock finds the rest."""
    found = []
    by_package: dict[str, list[PackageRow]] = {}
    for row in subject.facts.packages.values():
        wish = subject.wish(row.package)
        if wish and _ranges_meet(wish.requirement.specifier, SpecifierSet(row.versions)):
            by_package.setdefault(row.package, []).append(row)
    for package, rows in by_package.items():
        quarrels, row = min(((_quarrels(subject, row), row) for row in rows), key=lambda one: len(one[0]))
        if quarrels:  # else some release of the range gets along with everything
            wish = subject.wish(package)
            found.append(
                warning(
                    "package-conflict",
                    f"no release allowed by {wish.requirement if wish else package} goes with this preset",
                    "; ".join(f"{package} {row.versions} needs {need}, {has}" for need, has, _ in quarrels),
                    f"{' and '.join(remedy for _, _, remedy in quarrels)}; or give what quarrels a preset each",
                    wish.where if wish else "",
                    row.source,
                )
            )
    return found


def _ranges_meet(wanted: SpecifierSet, known: SpecifierSet) -> bool:
    lower = [specifier.version for specifier in known if specifier.operator == ">="]
    start = Version(lower[0])
    candidates = [f"{start.major}.{start.minor}.{patch}" for patch in range(start.micro, start.micro + 10)]
    return any(wanted.contains(version) and known.contains(version) for version in candidates)


def _quarrels(subject: Subject, row: PackageRow) -> list[tuple[str, str, str]]:
    """What a row's needs have against the preset: the need, what the preset has, what to do."""
    found = []
    for need in row.needs:
        wanted = Requirement(need)
        if wanted.name in ("torch", "torchaudio") and subject.preset.pytorch:
            if not wanted.specifier.contains(subject.preset.pytorch.release):
                found.append((need, f"the preset has {subject.preset.pytorch.version}", f"take {need}"))
            continue
        for wish in subject.constraints(canonicalize_name(wanted.name)):
            if not _overlap(wanted.specifier, wish.requirement.specifier):
                found.append((need, f"{wish.where} has {wish.requirement}", f"write {need} into {wish.where}"))
    return found


def _overlap(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether any version satisfies both: tried on the limits of both and just beside them."""
    limits = {Version(specifier.version.removesuffix(".*")) for specifier in (*one, *other)}
    candidates = {str(limit) for limit in limits} | {f"{minor(str(limit))}.{limit.micro + 1}" for limit in limits}
    return any(one.contains(candidate) and other.contains(candidate) for candidate in candidates)
