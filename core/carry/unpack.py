"""Unpack: take a shipment from a medium into the site, whole or not at all.

Everything is verified and copied beside the site first, then the engine pulls the images, then the files are moved to
their places in one short step that a crash does not leave half done.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from core.artifacts.generated_files import generated_files
from core.artifacts.inventory import MANAGED_FOLDERS
from core.artifacts.lock_store import LOCK_NAME, artifacts_folder, read_lock
from core.artifacts.verification_cache import VerificationCache
from core.audit import record
from core.carry import trust
from core.carry.console_files import read_console_list
from core.carry.console_update import current_release, update_console
from core.carry.incoming import Incoming, link_or_copy
from core.carry.opened_shipment import OpenedShipment, open_regular, open_shipment
from core.carry.shipment import CONSOLE_LIST, Kind, blob_path
from core.carry.shipment_blobs import ShipmentBlobs
from core.carry.unpack_plan import FileState, PlannedFile, UnpackPlan, plan_unpack
from core.disk_space import check_space
from core.engine import EngineError
from core.findings import Finding
from core.images.delivery import Delivery, deliver_images
from core.images.image_blobs import DeliveredImage
from core.operations.ledger import Ledger
from core.operations.place import open_place
from core.progress import OUTCOME, ByteCounter, Progress, stage, stop_if_cancelled
from core.site import Site

KEY = "unpack"  # what an unpack needs exclusively: its site
_ORDER = {Kind.ARTIFACT: 0, Kind.SITE: 1, Kind.PRESET: 2}  # a preset appears when everything that it needs is there


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Unpack the medium mounted at `subject`.

    Options: `trust` (the fingerprint of a key, compared with paper) and `allow_older` (take a shipment that is older
    than the last). The outcome: `shipment`, `signer`, `files`, `new`, `changed`, `bytes`, `images`, `console` and
    `findings`. Raises XaivaError naming what is wrong with the medium, and then the site is as it was; Cancelled.
    """
    Incoming(site).finish()
    with stage(progress, "signature", "check signature, manifest and names"):
        shipment = open_shipment(
            site, Path(subject), trusted=str(options.get("trust") or ""), allow_older=bool(options.get("allow_older"))
        )
    for finding in shipment.findings:
        progress.log(f"{finding.level.value}: {finding.summary}", OUTCOME)
    for line in shipment.ignored:
        progress.log(line)
    with stage(progress, "compare", "compare with what is here"):
        plan = plan_unpack(site, shipment, progress.cancelled)
        check_space({site.artifacts: plan.needed_bytes}, f"shipment {shipment.manifest.shipment}")
    incoming = Incoming(site)
    _copy(shipment, plan, incoming, progress)
    image_findings, images = _deliver(site, shipment, progress)
    with stage(progress, "place", "put the files into their places"):
        _place(site, shipment, plan, incoming)
    trust.accept(site, shipment.verified)
    medium = shipment.medium if os.access(shipment.medium, os.W_OK) else None  # it may be mounted read-only
    record(site, "unpack", shipment.manifest.shipment, {"medium": subject, "signer": shipment.signer}, medium)
    missing = plan.missing
    findings = [*shipment.findings, *image_findings]
    return {
        "shipment": shipment.manifest.shipment,
        "signer": shipment.signer,
        "files": len(plan.files),
        "new": sum(item.state is FileState.NEW for item in missing),
        "changed": [item.file.path for item in missing if item.state is FileState.CHANGED],
        "bytes": sum(item.content.size for item in missing),
        "images": images,
        "console": _update_console(site, shipment, progress),
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }


def _copy(shipment: OpenedShipment, plan: UnpackPlan, incoming: Incoming, progress: Progress) -> None:
    """Bring every missing content into `incoming`, verified. Logs one line a file."""
    complete = incoming.verified(progress.cancelled) if plan.missing else set()
    contents = {item.content.sha256: item.content for item in plan.missing}
    paths = {item.content.sha256: item.file.path for item in plan.missing}
    total = sum(content.size for content in contents.values())
    with ByteCounter(progress, "copy", "copy from the medium, and check every byte", total) as counter:
        for sha256, content in contents.items():
            stop_if_cancelled(progress)
            if sha256 in complete or (sha256 in plan.twins and incoming.link(content, plan.twins[sha256])):
                counter.add(content.size)
            else:
                for count in incoming.copy(shipment, content):
                    stop_if_cancelled(progress)
                    counter.add(count, paths[sha256])
    for item in plan.files:
        progress.log(f"{item.file.path}: {item.state.value}")


def _deliver(site: Site, shipment: OpenedShipment, progress: Progress) -> tuple[list[Finding], list[JsonValue]]:
    """Bring the images into the engine. An engine that is not there is a finding: the files do not need it."""
    images = [
        DeliveredImage(image.tag, image.config, image.manifest, tuple(image.layers), image.platform)
        for image in shipment.index.images
    ]
    if not images:
        return [], []
    try:
        deliveries = deliver_images(site, images, ShipmentBlobs(shipment), progress)
    except EngineError as error:
        remedy = f"{error.remedy}; then unpack again: only the images are left to do"
        tags = ", ".join(image.tag for image in images)
        what = f"{tags} {'was' if len(images) == 1 else 'were'} not brought into the engine"
        return [Finding.error(code="images-not-delivered", what=what, why=error.summary, remedy=remedy)], []
    return [], [_image_line(delivery) for delivery in deliveries]


def _image_line(delivery: Delivery) -> str:
    moved = "already in the engine" if delivery.already_there else f"{delivery.moved / 1e6:.1f} MB moved to the engine"
    return f"{delivery.tag}: {moved}"


def _place(site: Site, shipment: OpenedShipment, plan: UnpackPlan, incoming: Incoming) -> None:
    """Move the files to their places; what people changed here is copied aside before it is replaced."""
    missing = sorted(plan.missing, key=lambda item: _ORDER.get(item.file.kind, 0))
    for item in missing:
        if item.state is FileState.CHANGED and item.file.kind is not Kind.ARTIFACT:
            aside = site.state / "replaced" / shipment.manifest.shipment / item.file.path
            aside.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(item.path, aside)
    if missing:
        incoming.move_into_place([(item.content.sha256, item.path) for item in missing])
    else:
        incoming.remove()
    paths = {item.file.path for item in plan.files}
    for preset in sorted({item.file.preset for item in plan.files}):
        if f"artifacts/{preset}/{LOCK_NAME}" in paths:
            _settle(site, preset, plan.files)


def _settle(site: Site, preset: str, files: list[PlannedFile]) -> None:
    """Note that the artifacts are verified, and remove files that an earlier lock had."""
    lock, folder = read_lock(site, preset), artifacts_folder(site, preset)
    cache = VerificationCache(site, preset)
    names = {item.file.path.removeprefix(f"artifacts/{preset}/"): item for item in files if item.file.preset == preset}
    locked = lock.by_path()
    for name in locked.keys() & names.keys():
        cache.remember(name, os.lstat(folder / name), locked[name].sha256)
    cache.save(set(locked))
    expected = {*locked, *generated_files(lock), LOCK_NAME}
    for path in _managed_files(folder):
        if path.relative_to(folder).as_posix() not in expected:
            path.unlink()


def _update_console(site: Site, shipment: OpenedShipment, progress: Progress) -> str:
    """Install the console of the shipment, if this one came from a medium, too. Returns what changed, if anything."""
    if CONSOLE_LIST not in shipment.manifest.documents or not current_release(site):
        return ""
    files = read_console_list(shipment.document(CONSOLE_LIST), partial(_open_blob, shipment))
    ledger = Ledger(open_place("core.site_operations:open_site_place", f"{site.root}"))
    version = shipment.manifest.xaiva
    update = update_console(site, ledger, version, files, calling_kind="unpack", progress=progress)
    if update.release == update.previous:
        return ""
    return f"{update.release} is installed; start it again to use it, or go back: xaiva console back"


def _open_blob(shipment: OpenedShipment, sha256: str, _size: int) -> io.BufferedReader:
    return open_regular(shipment.medium / blob_path(sha256))


def _managed_files(folder: Path) -> Iterator[Path]:
    for name in MANAGED_FOLDERS:
        yield from (path for path in sorted((folder / name).rglob("*")) if path.is_file() or path.is_symlink())
