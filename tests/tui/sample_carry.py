"""The sample's media: a stick that is being packed, one of another office, one that does not answer."""

from __future__ import annotations

from core.carry.media_list import NO_ANSWER, ListedMedium
from core.carry.medium_contents import PACKING_UNFINISHED, MediumContents, ShipmentSummary
from core.carry.pack_plan import PackGroup, PackPlan
from tests.tui.sample_machine import GIB, MIB
from tui.carry_source import CarryView

STICK = "/media/ana/XAIVA"
FINGERPRINT = "SHA256:2fVYvS0fQb0tNnQ0nB1m3kD6rXq3m0w9pZ5yJcH1aUE"
SHIPMENT = "20261128-091500-0a1b2c"


def media() -> CarryView:
    """The media as the source gives them."""
    packed = ShipmentSummary(
        id=SHIPMENT,
        state="signed by a trusted key",
        created=1795857300.0,
        office="ana@gpu-box",
        presets=["ubuntu22.04-cuda12.6", "cpu-debian12"],
        images=["xaiva/ubuntu22.04-cuda12.6"],
        files=412,
        bytes=int(11.5 * GIB),
        signer=FINGERPRINT,
    )
    interrupted = ShipmentSummary(id="20261128-084000-77aa01", state=PACKING_UNFINISHED)
    stick = MediumContents(
        medium=f"exFAT (through FUSE) at {STICK} on /dev/sdb1",
        file_system="exFAT",
        free_bytes=46 * GIB,
        total_bytes=58 * GIB,
        shipments=[packed, interrupted],
    )
    why = "Signature of the shipment: its key SHA256:uQ8c… is not one that this site trusts"
    foreign = ShipmentSummary(id="20261101-120000-d0d0d0", state=f"cannot be used: {why}")
    disk = MediumContents(
        medium="ext4 at /run/media/ana/disk on /dev/sdc1",
        file_system="ext4",
        free_bytes=610 * GIB,
        total_bytes=916 * GIB,
        shipments=[foreign],
    )
    return CarryView(
        [
            ListedMedium(STICK, "exFAT", stick),
            ListedMedium("/run/media/ana/disk", "ext4", disk),
            ListedMedium("/mnt/old", "NTFS", None, NO_ANSWER),
            ListedMedium("ssh://site@edge-7/srv/incoming", "ssh"),
        ],
        FINGERPRINT,
    )


def pack_plan() -> PackPlan:
    """A plan that fits."""
    return PackPlan(
        medium=f"exFAT (through FUSE) at {STICK} on /dev/sdb1",
        shipments=[SHIPMENT],
        groups=[
            PackGroup(name="artifacts of ubuntu22.04-cuda12.6", files=171, bytes=int(6.1 * GIB), new_bytes=90 * MIB),
            PackGroup(name="artifacts of cpu-debian12", files=140, bytes=int(2.4 * GIB), new_bytes=0),
            PackGroup(name="presets and settings", files=9, bytes=41_000, new_bytes=41_000),
            PackGroup(name="console", files=123, bytes=390 * MIB, new_bytes=0),
        ],
        bytes=int(8.9 * GIB),
        unique_bytes=int(7.6 * GIB),
        present_bytes=int(7.5 * GIB),
        at_site_bytes=0,
        needed_bytes=106 * MIB,
        free_bytes=46 * GIB,
    )
