"""Pack: put presets, artifacts, images and xaiva itself onto a medium, signed and read back.

Order of the writes, so that pulling the medium out at any moment spoils no shipment: blobs under `<name>.new`, read
back; documents and manifest; its signature, under `.new`; the files in the top folder; the blobs get their names; last
the signature gets its name, which completes the shipment.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from pydantic import JsonValue

from core.artifacts.service_wheel import version
from core.audit import record
from core.carry import signing
from core.carry.earlier_contents import earlier_contents
from core.carry.medium import Medium
from core.carry.open_target import open_target
from core.carry.opened_shipment import CHECKSUMS, checksums_text, open_shipment
from core.carry.pack_images import pack_images
from core.carry.pack_plan import PackPlan, check_fits, shipments_in
from core.carry.parts import Piece, pieces, with_parts
from core.carry.preparation import Preparation, prepare
from core.carry.secret_scan import SecretFound, scanned
from core.carry.shipment import (
    INDEX,
    MANIFEST,
    PART_BYTES,
    SHIPMENTS,
    SIGNATURE,
    UNFINISHED,
    Blob,
    CarriedImage,
    Content,
    Index,
    Manifest,
    blob_path,
    document_text,
    is_shipment_id,
    unique_contents,
)
from core.carry.target import OnBytes, ReadBack, Target
from core.errors import InputError, XaivaError
from core.files import sha256_bytes
from core.findings import Finding
from core.progress import ByteCounter, Progress, stage, stop_if_cancelled
from core.site import Site

_CLOCK_TOLERANCE = timedelta(minutes=5)
_OPTION_NAMES = {"presets", "images", "report"}


def plan_pack(site: Site, medium: str, options: Mapping[str, JsonValue]) -> PackPlan:
    """What a pack would write; writes nothing. Raises XaivaError for what would stop it."""
    signing.public_key(site)
    preparation = prepare(site, options)
    with open_target(medium, site.env) as target:
        names = target.names()
        return preparation.plan(target, names, earlier_contents(target, names))


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Pack onto the medium mounted at `subject`, into that folder, or to `ssh://[user@]host/path`.

    Options: `presets` (names), `images` (also carry their built images), `report` (path of the report of the site that
    it is for: what the site has is left out). The outcome: `shipment`, `safe_to_remove`, `read_back`, the bytes written
    and present, and `findings`. Raises XaivaError; what is complete on the medium stays, and the next run goes on.
    """
    if unknown := options.keys() - _OPTION_NAMES:
        raise InputError(
            f"Pack option {sorted(unknown)[0]}", "there is no such option", "use one of presets, images, report"
        )
    signing.public_key(site)
    with stage(progress, "gather", "list the files"):
        preparation = prepare(site, options)
    with open_target(subject, site.env) as target:
        target.require_writable()
        return _Packing(site, preparation, target, progress).run()


class _Packing:
    """One pack onto an open target."""

    def __init__(self, site: Site, preparation: Preparation, target: Target, progress: Progress) -> None:
        self._site = site
        self._preparation = preparation
        self._target = target
        self._progress = progress
        self._names = target.names()
        self._in_parts = earlier_contents(target, self._names)
        self._contents: dict[str, Content] = {}
        self._pieces: dict[str, Piece] = {}
        self._written = 0

    def run(self) -> dict[str, JsonValue]:
        """All steps; returns the outcome of the operation."""
        plan = self._preparation.plan(self._target, self._names, self._in_parts)
        check_fits(plan)
        self._split()
        self._copy()
        images = pack_images(
            self._site,
            self._preparation.images,
            self._in_parts,
            self._preparation.at_site,
            self._target,
            self._progress,
        )
        self._contents |= images.contents
        index = self._index(images.images)
        read_back = self._read_back(index)
        with stage(self._progress, "materials", "list components and licences"):
            documents = {INDEX: document_text(index), **self._preparation.documents(self._site)}
        with stage(self._progress, "sign", "sign and complete the shipment"):
            manifest = self._complete(index, documents)
        findings = [*self._prove(manifest), *_memory_findings(self._target, read_back)]
        self._record(manifest)
        return {
            "shipment": manifest.shipment,
            "medium": self._target.name,
            "signer": signing.fingerprint(self._site),
            "safe_to_remove": read_back.from_medium,
            "files": len(index.files),
            "images": [image.tag for image in index.images],
            "written_bytes": self._written + images.written_bytes,
            "present_bytes": plan.present_bytes,
            "findings": [finding.model_dump(mode="json") for finding in findings],
        }

    def _split(self) -> None:
        """Find the parts of long files, for which they are read."""
        sources = self._preparation.sources().values()
        total = sum(source.content.size for source in sources if source.content.size > PART_BYTES)
        with ByteCounter(self._progress, "split", "divide long files into parts", total) as counter:
            for source in sources:
                stop_if_cancelled(self._progress)
                content = self._in_parts.get(source.content.sha256)
                split = replace(source, content=content) if content else with_parts(source, counter.add)
                self._contents[split.content.sha256] = split.content
                if split.content.sha256 not in self._preparation.at_site:
                    self._pieces |= {piece.blob.sha256: piece for piece in pieces(split)}

    def _copy(self) -> None:
        """Write every blob that the medium lacks. The count is of what is durable there."""
        missing = [
            piece for piece in self._pieces.values() if self._names.get(blob_path(piece.blob.sha256)) != piece.blob.size
        ]
        self._written = sum(piece.blob.size for piece in missing)
        with ByteCounter(self._progress, "write", "write to the medium", self._written) as counter:
            for piece in missing:
                stop_if_cancelled(self._progress)
                self._put(piece, counter)
            self._target.flush()

    def _put(self, piece: Piece, counter: ByteCounter) -> None:
        path = blob_path(piece.blob.sha256)
        try:
            open_at = scanned(piece.name, piece.open_at)
            self._target.put(path, piece.blob.size, piece.blob.sha256, open_at, self._count(counter))
        except SecretFound:
            self._target.remove([f"{path}{UNFINISHED}"])
            raise

    def _count(self, counter: ByteCounter) -> OnBytes:
        """Counts durable bytes, and stops a long file when the pack is cancelled."""

        def count(size: int) -> None:
            stop_if_cancelled(self._progress)
            counter.add(size)

        return count

    def _index(self, images: Sequence[CarriedImage]) -> Index:
        return Index(
            contents=unique_contents(self._contents.values()),
            files=self._preparation.contents.files,
            images=list(images),
            at_site=sorted(self._preparation.at_site & self._contents.keys()),
        )

    def _read_back(self, index: Index) -> ReadBack:
        """Read every blob from the medium, also those of earlier shipments. One that is damaged is written again."""
        names = self._target.names()
        blobs = {_actual_path(names, sha256): (sha256, size) for sha256, size in index.needed_blobs().items()}
        result = self._check(blobs, "check", "read everything back from the medium")
        if not result.problems:
            return result
        damaged = {path: blobs[path] for path in result.problems}
        for path, (sha256, _) in damaged.items():
            self._progress.log(f"{path}: {result.problems[path]}; it is written again")
            if sha256 not in self._pieces:  # of an image, which only the engine can give again
                raise XaivaError(f"{path} on {self._target.name}", result.problems[path], f"remove it, and {_AGAIN}")
        self._target.remove(damaged)
        with ByteCounter(self._progress, "repair", "write damaged files again", _total(damaged)) as counter:
            for sha256, _ in damaged.values():
                self._put(self._pieces[sha256], counter)
            self._target.flush()
        again = {f"{blob_path(sha256)}{UNFINISHED}": (sha256, size) for sha256, size in damaged.values()}
        repaired = self._check(again, "check-again", "read them back again")
        for path, problem in repaired.problems.items():
            raise XaivaError(f"{path} on {self._target.name}", problem, "use another medium: this one loses data")
        return result

    def _check(self, blobs: Mapping[str, tuple[str, int]], name: str, title: str) -> ReadBack:
        with ByteCounter(self._progress, name, title, _total(blobs)) as counter:
            return self._target.check(blobs, counter.add, self._progress.cancelled)

    def _complete(self, index: Index, documents: Mapping[str, bytes]) -> Manifest:
        """Write the documents, sign, and give everything its name."""
        created = _later_than(self._names)
        shipment = f"{created:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        root = self._preparation.root(shipment, created)
        signers, revoked = signing.signers_for_manifest(self._site)
        earlier = shipments_in(self._names)
        manifest = Manifest(
            shipment=shipment,
            created=created,
            office=self._preparation.office,
            xaiva=version(),
            previous=earlier[-1] if earlier else "",
            presets=self._preparation.presets,
            documents={name: _blob(data) for name, data in documents.items()},
            root={name: _blob(data) for name, data in root.items()},
            signers=signers,
            revoked=revoked,
        )
        text = document_text(manifest)
        signature = signing.sign(self._site, text)
        root[CHECKSUMS] = checksums_text(manifest, text, signature, index)
        folder = f"{SHIPMENTS}/{shipment}"
        for name, data in {**documents, MANIFEST: text, f"{SIGNATURE}{UNFINISHED}": signature}.items():
            self._target.write_small(f"{folder}/{name}", data)
        for name, data in root.items():
            self._target.write_small(name, data)
        names = self._target.names()
        paths = [blob_path(sha256) for sha256 in index.needed_blobs()]
        self._target.finish(path for path in paths if f"{path}{UNFINISHED}" in names)
        self._target.finish([f"{folder}/{SIGNATURE}"])
        self._target.remove(_leftovers(self._target.names()))
        self._target.sync()
        return manifest

    def _prove(self, manifest: Manifest) -> list[Finding]:
        """Open the medium as the site will, and expect this shipment."""
        if not isinstance(self._target, Medium):
            return []  # another machine's files; its own unpack opens them
        with stage(self._progress, "prove", "open it as the site will"):
            opened = open_shipment(self._site, self._target.path, allow_older=True)
            if opened.manifest.shipment != manifest.shipment:
                why = f"it opens as shipment {opened.manifest.shipment}, which says that it is newer"
                raise XaivaError(f"{self._target.name}", why, "check the clock of this machine and of the one before")
            return opened.findings

    def _record(self, manifest: Manifest) -> None:
        """Note the pack in the audit logs of the site and of the medium."""
        details: dict[str, JsonValue] = {"medium": self._target.name, "presets": list(manifest.presets)}
        medium = self._target.path if isinstance(self._target, Medium) else None
        record(self._site, "pack", manifest.shipment, details, medium)
        self._target.sync()


def _later_than(names: Mapping[str, int]) -> datetime:
    """The time of the new shipment, which is the newest of the medium. Raises XaivaError when the clock is wrong."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    folders = {name.split("/")[1] for name in names if name.startswith(f"{SHIPMENTS}/")}
    newest = max((folder[:15] for folder in folders if is_shipment_id(folder)), default="")
    if not newest or f"{now:%Y%m%d-%H%M%S}" > newest:
        return now
    before = datetime.strptime(newest, "%Y%m%d-%H%M%S").replace(tzinfo=timezone.utc)
    if before - now > _CLOCK_TOLERANCE:
        what = f"This machine's clock says {now:%Y-%m-%d %H:%M:%S} UTC"
        why = f"the medium has a shipment of {before:%Y-%m-%d %H:%M:%S} UTC, and the site takes the newest"
        raise XaivaError(what, why, "set the clock; if that shipment's date is the wrong one, use an empty medium")
    return before + timedelta(seconds=1)


def _actual_path(names: Mapping[str, int], sha256: str) -> str:
    """Where a blob lies before the shipment is complete."""
    path = blob_path(sha256)
    return f"{path}{UNFINISHED}" if f"{path}{UNFINISHED}" in names else path


def _leftovers(names: Mapping[str, int]) -> list[str]:
    """What packs that did not finish have left, now that one did."""
    complete = set(shipments_in(names))
    unfinished = {name for name in names if name.endswith(UNFINISHED)}
    return [*unfinished, *(n for n in names if n.startswith(f"{SHIPMENTS}/") and n.split("/")[1] not in complete)]


def _memory_findings(target: Target, read_back: ReadBack) -> list[Finding]:
    """What to say when nobody knows whether the bytes came from the medium."""
    if read_back.from_medium:
        return []
    what = "Everything was written and read back, but perhaps from this machine's memory"
    remedy = f"unplug it, plug it in again, then check it: xaiva medium check {target.name}"
    return [Finding.warning(code="read-back-memory", what=what, why=read_back.why_not, remedy=remedy)]


def _total(blobs: Mapping[str, tuple[str, int]]) -> int:
    return sum(size for _, size in blobs.values())


def _blob(data: bytes) -> Blob:
    return Blob(sha256=sha256_bytes(data), size=len(data))


_AGAIN = "pack again: that writes it again"
