"""The difference between two locks, in lines a person reads."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from core.artifacts.lockfile import Kind, Lock, LockedFile

LABELS = {Kind.WHEEL: "wheel", Kind.DEB: "deb", Kind.SOURCE: "source", Kind.MODEL: "model"}


class Change(BaseModel):
    """One part that differs. An empty `old` or `new`: it was not there, or is no more."""

    model_config = ConfigDict(frozen=True)

    part: str
    name: str
    old: str = ""
    new: str = ""

    def line(self) -> str:
        """`wheel numpy 1.26.4 → 2.1.0`; `+` and `-` where one side is missing."""
        if self.old and self.new:
            return f"~ {self.part} {self.name} {self.old} → {self.new}"
        return f"+ {self.part} {self.name} {self.new}" if self.new else f"- {self.part} {self.name} {self.old}"


class LockDiff(BaseModel):
    """All changes, grouped by part. `bytes_before` and `bytes_after` are the sizes of all files."""

    model_config = ConfigDict(frozen=True)

    changes: list[Change] = []
    bytes_before: int = 0
    bytes_after: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not self.changes

    def lines(self) -> list[str]:
        """One line a change."""
        return [change.line() for change in self.changes]


def compare(old: Lock | None, new: Lock) -> LockDiff:
    """What changed from `old` to `new`. None as `old`: everything is new."""
    changes: list[Change] = []
    changes += _facts(old, new)
    for kind, label in LABELS.items():
        changes += _files(label, old.of_kind(kind) if old else [], new.of_kind(kind))
    changes += _moved(old, new)
    changes += _unlocked(old, new)
    return LockDiff(changes=changes, bytes_before=_bytes(old.files if old else []), bytes_after=_bytes(new.files))


def _facts(old: Lock | None, new: Lock) -> list[Change]:
    rows = [
        ("base image", _image(old), _image(new)),
        ("runtime base image", _image(old, runtime=True), _image(new, runtime=True)),
        (
            "python",
            f"{old.python_version} from {old.python_from}" if old else "",
            f"{new.python_version} from {new.python_from}",
        ),
        ("platform", old.platform if old else "", new.platform),
        ("layers", ", ".join(layer.name for layer in old.layers) if old else "", ", ".join(x.name for x in new.layers)),
    ]
    return [Change(part="lock", name=name, old=before, new=after) for name, before, after in rows if before != after]


def _image(lock: Lock | None, runtime: bool = False) -> str:
    image = (lock.runtime_base_image if runtime else lock.base_image) if lock else None
    return f"{image.reference} {image.config_digest[:19]}".strip() if image else ""


def _files(label: str, old: Iterable[LockedFile], new: Iterable[LockedFile]) -> list[Change]:
    before = {file.name: file for file in old}
    after = {file.name: file for file in new}
    changes = []
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one and other and one.sha256 == other.sha256:
            continue
        same_version = bool(one and other and one.version == other.version)
        changes.append(Change(part=label, name=name, old=_said(one, same_version), new=_said(other, same_version)))
    return changes


def _said(file: LockedFile | None, with_hash: bool) -> str:
    """The version; where both sides have the same one, the beginning of the hash tells them apart."""
    if file is None:
        return ""
    return f"{file.version} ({file.sha256[:12]})".strip() if with_hash or not file.version else file.version


def _moved(old: Lock | None, new: Lock) -> list[Change]:
    """Wheels that are now in another layer."""
    before, after = _layer_of(old), _layer_of(new)
    both = sorted(set(before) & set(after))
    return [Change(part="layer of", name=n, old=before[n], new=after[n]) for n in both if before[n] != after[n]]


def _layer_of(lock: Lock | None) -> dict[str, str]:
    if lock is None:
        return {}
    by_path = lock.by_path()
    return {by_path[path].name: layer.name for layer in lock.layers for path in layer.wheels}


def _unlocked(old: Lock | None, new: Lock) -> list[Change]:
    before = {part.what: part.why for part in old.unlocked} if old else {}
    after = {part.what: part.why for part in new.unlocked}
    names = sorted({*before, *after})
    rows = [(name, before.get(name, ""), after.get(name, "")) for name in names]
    return [Change(part="not locked", name=name, old=one, new=other) for name, one, other in rows if one != other]


def _bytes(files: Iterable[LockedFile]) -> int:
    return sum(file.size for file in files)
