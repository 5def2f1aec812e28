"""The difference between two locks, as readable lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.artifacts.lockfile import FileKind, Lock, LockedFile

KIND_LABELS = {FileKind.WHEEL: "wheel", FileKind.DEB: "deb", FileKind.SOURCE: "source", FileKind.MODEL: "model"}


def diff_locks(old: Lock | None, new: Lock) -> list[str]:
    """The changes from `old` (None without an earlier lock) to `new`, one line each: `~ wheel numpy 1.26.4 → 2.1.0`.

    Lines of what only one side has begin with `+` or `-`.
    """
    lines = _changes("lock", _facts(old), _facts(new))
    for kind, label in KIND_LABELS.items():
        lines += _files(label, old.of_kind(kind) if old else [], new.of_kind(kind))
    before, after = _layer_of(old), _layer_of(new)
    both = before.keys() & after.keys()
    lines += _changes("layer of", {name: before[name] for name in both}, {name: after[name] for name in both})
    return lines + _changes("not locked", _unlocked(old), _unlocked(new))


def _changes(part: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """A line for each name whose text differs: those of `old` first, then those that are new."""
    rows = [(name, old.get(name, ""), new.get(name, "")) for name in {**old, **new}]
    return [_line(part, name, before, after) for name, before, after in rows if before != after]


def _line(part: str, name: str, old: str, new: str) -> str:
    if old and new:
        return f"~ {part} {name} {old} → {new}"
    return f"+ {part} {name} {new}" if new else f"- {part} {name} {old}"


def _facts(lock: Lock | None) -> dict[str, str]:
    if lock is None:
        return {}
    images = {"base image": lock.base_image, "runtime base image": lock.runtime_base_image}
    return {
        **{
            name: f"{image.reference} {image.config_digest[:19]}".strip() if image else ""
            for name, image in images.items()
        },
        "python": f"{lock.python_version} from {lock.python_from}" if lock.python_version else "",
        "platform": lock.platform,
        "layers": ", ".join(layer.name for layer in lock.layers),
    }


def _files(label: str, old: Iterable[LockedFile], new: Iterable[LockedFile]) -> list[str]:
    before = {file.name: file for file in old}
    after = {file.name: file for file in new}
    lines = []
    for name in sorted({*before, *after}):
        old_file, new_file = before.get(name), after.get(name)
        if old_file and new_file and old_file.sha256 == new_file.sha256:
            continue
        same_version = bool(old_file and new_file and old_file.version == new_file.version)
        lines.append(_line(label, name, _version_text(old_file, same_version), _version_text(new_file, same_version)))
    return lines


def _version_text(file: LockedFile | None, with_hash: bool) -> str:
    """The version; if both sides have the same one, with the beginning of the hash."""
    if file is None:
        return ""
    return f"{file.version} ({file.sha256[:12]})".strip() if with_hash or not file.version else file.version


def _layer_of(lock: Lock | None) -> dict[str, str]:
    """Package → name of its layer."""
    by_path = lock.by_path() if lock else {}
    rows = [(by_path[path].name, layer.name) for layer in (lock.layers if lock else ()) for path in layer.wheels]
    return dict(sorted(rows))


def _unlocked(lock: Lock | None) -> dict[str, str]:
    return {part.what: part.why for part in lock.unlocked} if lock else {}
