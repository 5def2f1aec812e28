"""What a pack would put on a medium: sizes before and after equal contents are stored once, and whether it fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from core.carry.contents import Contents
from core.carry.shipment import SHIPMENTS, SIGNATURE, Content, Kind, blob_path
from core.carry.target import Target
from core.errors import XaivaError

_RESERVE_BYTES = 16 << 20  # for index, manifest, folders and the file system itself


class PackGroup(BaseModel):
    """One row of the plan: a preset's artifacts, the images, the console."""

    model_config = ConfigDict(frozen=True)

    name: str
    files: int
    bytes: int
    """Its files, equal ones counted each time."""
    new_bytes: int
    """What it adds: contents that neither the medium nor a group above it has."""


class PackPlan(BaseModel):
    """The numbers of a pack. All sizes are in bytes."""

    model_config = ConfigDict(frozen=True)

    medium: str
    """What it is, in words: `exFAT (through FUSE) at /media/stick on /dev/sdb1`."""
    shipments: list[str]
    """Shipments that lie there already, the oldest first."""
    groups: list[PackGroup]
    bytes: int
    unique_bytes: int
    """Every content once."""
    present_bytes: int
    """Of these, what the medium holds already."""
    at_site_bytes: int
    """What the site has already, by its report."""
    needed_bytes: int
    """The space that the rest takes, in whole clusters of the file system, and a reserve."""
    free_bytes: int | None
    """None when nobody can tell, as on some machines over ssh."""

    @property
    def fits(self) -> bool:
        """Whether the free space is sufficient."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes


class PlanCounter:
    """Adds up groups; a content counts as new only the first time."""

    def __init__(
        self, names: Mapping[str, int], in_parts: Mapping[str, Content], at_site: set[str], cluster: int
    ) -> None:
        self._names = names
        self._in_parts = in_parts
        self._at_site = at_site
        self._cluster = max(cluster, 1)
        self._counted: set[str] = set()
        self.groups: list[PackGroup] = []
        self.unique = self.present = self.left_out = self.space = 0

    def add(self, name: str, contents: list[Content]) -> None:
        """Add a group; a content may be in it several times."""
        new = 0
        for content in contents:
            if content.sha256 in self._counted:
                continue
            self._counted.add(content.sha256)
            self.unique += content.size
            if content.sha256 in self._at_site:
                self.left_out += content.size
                continue
            for blob in self._in_parts.get(content.sha256, content).blobs():
                if self._names.get(blob_path(blob.sha256)) == blob.size:
                    self.present += blob.size
                else:
                    new += blob.size
                    self.space += -(-blob.size // self._cluster) * self._cluster
        total = sum(content.size for content in contents)
        self.groups.append(PackGroup(name=name, files=len(contents), bytes=total, new_bytes=new))

    def add_estimate(self, name: str, count: int, size: int) -> None:
        """Add a group of which only the size is known: images, whose layers the engine names when it sends them."""
        self.unique += size
        self.space += size
        self.groups.append(PackGroup(name=name, files=count, bytes=size, new_bytes=size))

    def plan(self, target: Target) -> PackPlan:
        """The plan for that target. Raises XaivaError."""
        return PackPlan(
            medium=target.summary,
            shipments=shipments_in(self._names),
            groups=self.groups,
            bytes=sum(group.bytes for group in self.groups),
            unique_bytes=self.unique,
            present_bytes=self.present,
            at_site_bytes=self.left_out,
            needed_bytes=self.space + _RESERVE_BYTES,
            free_bytes=target.free_bytes(),
        )


def check_fits(plan: PackPlan) -> None:
    """Raise XaivaError, with numbers, when the medium is too small."""
    if plan.free_bytes is not None and not plan.fits:
        lacking = (plan.needed_bytes - plan.free_bytes) / 1e6
        raise XaivaError(
            f"Not enough space on {plan.medium}",
            f"{plan.needed_bytes / 1e6:.0f} MB are needed, {plan.free_bytes / 1e6:.0f} MB are free",
            f"free at least {lacking:.0f} MB on it, use a larger medium, or pack fewer presets",
        )


def shipments_in(names: Iterable[str]) -> list[str]:
    """The complete shipments among the files of a medium, the oldest first."""
    parts = (name.split("/") for name in names)
    return sorted(part[1] for part in parts if part[0] == SHIPMENTS and part[2:] == [SIGNATURE])


def count_contents(counter: PlanCounter, contents: Contents) -> None:
    """Add the files of presets and site, one group each."""
    groups = Counter(_group(file.kind, file.preset) for file in contents.files)
    for name in groups:
        files = [file for file in contents.files if _group(file.kind, file.preset) == name]
        counter.add(name, [contents.sources[file.sha256].content for file in files])


def _group(kind: Kind, preset: str) -> str:
    return f"artifacts of {preset}" if kind is Kind.ARTIFACT else "presets and settings"
