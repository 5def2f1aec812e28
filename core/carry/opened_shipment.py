"""Opens the shipment of a medium as a site does: signature, manifest, index, and which blobs lie there.

Nothing on the medium is trusted before its hash is: names are compared with the index and never joined from it, links
and devices are refused, and sizes are bounded before anything is read. The bytes of blobs are checked when they are
read: `check_blobs` reads all, and `OpenedShipment.read` checks what it hands out.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.carry import trust
from core.carry.medium_errors import lost_medium
from core.carry.shipment import (
    BLOBS,
    INDEX,
    MANIFEST,
    MAX_DOCUMENT_BYTES,
    MAX_MANIFEST_BYTES,
    SHIPMENTS,
    SIGNATURE,
    UNFINISHED,
    Blob,
    Index,
    Manifest,
    blob_path,
    is_blob_name,
    is_shipment_id,
    read_document,
)
from core.errors import InputError, XaivaError, os_reason
from core.files import CHUNK_BYTES, sha256_bytes
from core.findings import Finding
from core.site import Site

MAX_SIGNATURE_BYTES = 64 << 10
CHECKSUMS = "SHA256SUMS"
_NO_FILE = -1  # the size of what is not a regular file
_AGAIN = "pack it again at the office; nothing was taken from it"


class MediumProblem(XaivaError):
    """The medium does not hold what its signed manifest says. Nothing was taken from it."""

    def __init__(self, what: str, why: str, remedy: str = _AGAIN) -> None:
        super().__init__(what, why, remedy)


@dataclass(frozen=True)
class OpenedShipment:
    """A shipment whose signature, manifest, index and list of blobs are right."""

    medium: Path
    index: Index
    verified: trust.Verified
    """Its manifest, and who signed it."""
    ignored: list[str] = field(default_factory=list)
    """One line for each file that is not used: the file, and why."""

    @property
    def manifest(self) -> Manifest:
        """The signed manifest."""
        return self.verified.manifest

    @property
    def signer(self) -> str:
        """The fingerprint of the key that signed it."""
        return self.verified.signer.fingerprint

    @property
    def findings(self) -> list[Finding]:
        """Warnings about clocks and keys."""
        return self.verified.findings

    def read(self, blobs: Iterable[Blob]) -> Iterator[bytes]:
        """The bytes of these blobs, joined. Raises MediumProblem at the end of a blob with a wrong hash."""
        for blob in blobs:
            yield from read_blob(self.medium, blob)

    def document(self, name: str) -> bytes:
        """A document of the shipment. Raises MediumProblem when its hash is wrong."""
        return _read_document(self.medium, self.manifest, name)


def shipment_ids(medium: Path) -> list[str]:
    """The ids of the shipments on a medium, the newest last. Raises MediumProblem when it cannot be read."""
    folder = medium / SHIPMENTS
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        remedy = "check the medium and where it is mounted"
        raise lost_medium(error, f"{folder}") or MediumProblem(f"{folder}", os_reason(error), remedy) from error
    return sorted(name for name in names if is_shipment_id(name))


def open_shipment(site: Site, medium: Path, *, trusted: str = "", allow_older: bool = False) -> OpenedShipment:
    """The newest complete shipment of a medium.

    `trusted` is the fingerprint of a key that a person compared with paper; a site that trusts no key needs it.
    `allow_older` accepts one that is older than what the site accepted before. Raises XaivaError, naming the file.
    """
    ignored: list[str] = []
    roots: list[dict[str, str]] = []
    for shipment in reversed(shipment_ids(medium)):
        folder = medium / SHIPMENTS / shipment
        if not os.path.lexists(folder / SIGNATURE):
            ignored.append(f"{SHIPMENTS}/{shipment}: ignored, its packing did not finish")
            roots += _root_of_unfinished(site, medium, folder)
            continue
        if trusted:
            trust.first_trust(site, *_read_signed(folder, SIGNATURE), trusted)
        verified = verify_signed(site, folder, allow_older=allow_older)
        manifest = verified.manifest
        _check_folder(folder, manifest)
        index = read_index(medium, manifest)
        ignored += _check_blobs(medium, shipment, index)
        _check_root(medium, [root_hashes(manifest, *_read_signed(folder, SIGNATURE), index), *roots])
        return OpenedShipment(medium, index, verified, ignored)
    if ignored:
        why = "its packing did not finish"
        raise MediumProblem(
            f"The shipment on {medium}", why, "pack it again at the office, with the same command: it goes on"
        )
    why = f"it has no folder {SHIPMENTS} with a shipment" if medium.is_dir() else "there is no such folder"
    raise InputError(f"Medium {medium}", why, "name the folder where the medium is mounted: findmnt -D shows all")


def root_hashes(manifest: Manifest, manifest_text: bytes, signature: bytes, index: Index) -> dict[str, str]:
    """Name → SHA-256 of the files in the medium's top folder."""
    sums = checksums_text(manifest, manifest_text, signature, index)
    return {**{name: blob.sha256 for name, blob in manifest.root.items()}, CHECKSUMS: sha256_bytes(sums)}


def checksums_text(manifest: Manifest, manifest_text: bytes, signature: bytes, index: Index) -> bytes:
    """`SHA256SUMS`, with which `sha256sum -c` checks a shipment without xaiva."""
    folder = f"{SHIPMENTS}/{manifest.shipment}"
    lines = {name: blob.sha256 for name, blob in manifest.root.items()}
    lines |= {f"{folder}/{name}": blob.sha256 for name, blob in manifest.documents.items()}
    lines |= {f"{folder}/{MANIFEST}": sha256_bytes(manifest_text), f"{folder}/{SIGNATURE}": sha256_bytes(signature)}
    lines |= {blob_path(name): name for name in index.needed_blobs()}
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(lines.items())).encode()


def read_blob(medium: Path, blob: Blob) -> Iterator[bytes]:
    """The bytes of a blob. Raises MediumProblem at its end when size or hash are wrong; XaivaError."""
    path = medium / blob_path(blob.sha256)
    digest, count = hashlib.sha256(), 0
    try:
        with open_regular(path) as file:
            while data := file.read(CHUNK_BYTES):
                count += len(data)
                if count > blob.size:
                    break
                digest.update(data)
                yield data
    except OSError as error:
        why = f"it cannot be read: {os_reason(error)}"
        raise lost_medium(error, f"{path}") or MediumProblem(f"{path}", why) from error
    if count != blob.size:
        raise MediumProblem(f"{path}", f"it has not the {blob.size} bytes that the index says")
    if digest.hexdigest() != blob.sha256:
        raise MediumProblem(f"{path}", "its bytes have changed: their SHA-256 is not its name")


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file without following a link and without blocking on a pipe. Raises OSError for others."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is not a regular file")
    return io.BufferedReader(io.FileIO(handle), CHUNK_BYTES)


def read_small(path: Path, limit: int) -> bytes:
    """A file of at most `limit` bytes. Raises MediumProblem."""
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except OSError as error:
        why = "it is missing" if isinstance(error, FileNotFoundError) else os_reason(error)
        raise lost_medium(error, f"{path}") or MediumProblem(f"{path}", why) from error
    if len(data) > limit:
        raise MediumProblem(f"{path}", f"it is longer than {limit} bytes, and so it is something else")
    return data


def _read_signed(folder: Path, signature: str) -> tuple[bytes, bytes]:
    return read_small(folder / MANIFEST, MAX_MANIFEST_BYTES), read_small(folder / signature, MAX_SIGNATURE_BYTES)


def verify_signed(site: Site, folder: Path, *, allow_older: bool) -> trust.Verified:
    """The manifest of a shipment's folder, if a trusted key signed it. Raises XaivaError."""
    verified = trust.verify_manifest(site, *_read_signed(folder, SIGNATURE), allow_older=allow_older)
    if verified.manifest.shipment != folder.name:
        why = f"it is the manifest of another shipment, {verified.manifest.shipment}"
        raise MediumProblem(f"{folder / MANIFEST}", why)
    return verified


def read_index(medium: Path, manifest: Manifest) -> Index:
    """The index that a manifest names. Raises XaivaError."""
    return read_document(Index, _read_document(medium, manifest, INDEX), f"{SHIPMENTS}/{manifest.shipment}/{INDEX}")


def _root_of_unfinished(site: Site, medium: Path, folder: Path) -> list[dict[str, str]]:
    """The top folder may have the files of a newer shipment already, if that one is signed by a trusted key, too."""
    if not os.path.lexists(folder / f"{SIGNATURE}{UNFINISHED}"):
        return []
    try:
        signed = _read_signed(folder, f"{SIGNATURE}{UNFINISHED}")
        manifest = trust.verify_manifest(site, *signed, allow_older=True).manifest
        return [root_hashes(manifest, *signed, read_index(medium, manifest))]
    except XaivaError:
        return []  # then these files must be those of the complete shipment


def _read_document(medium: Path, manifest: Manifest, name: str) -> bytes:
    blob = manifest.documents.get(name)
    path = medium / SHIPMENTS / manifest.shipment / name
    if blob is None:
        raise MediumProblem(f"{path}", "the manifest does not name it")
    data = read_small(path, min(blob.size, MAX_DOCUMENT_BYTES))
    if len(data) != blob.size or sha256_bytes(data) != blob.sha256:
        raise MediumProblem(f"{path}", "it is not the file that the signed manifest names")
    return data


def _list_blobs(medium: Path) -> dict[str, int]:
    """Path below the store → size; -1 for what is not a regular file. Raises MediumProblem."""
    listing: dict[str, int] = {}
    store = medium / BLOBS
    try:
        with os.scandir(store) as folders:
            for folder in folders:
                if not folder.is_dir(follow_symlinks=False):
                    listing[folder.name] = _NO_FILE
                    continue
                with os.scandir(folder.path) as entries:
                    for entry in entries:
                        regular = entry.is_file(follow_symlinks=False)
                        name = f"{folder.name}/{entry.name}"
                        listing[name] = entry.stat(follow_symlinks=False).st_size if regular else _NO_FILE
    except FileNotFoundError:
        pass  # a shipment without any blob; the index says otherwise if not
    except OSError as error:
        why = f"it cannot be read: {os_reason(error)}"
        raise lost_medium(error, f"{store}") or MediumProblem(f"{store}", why) from error
    return listing


def _check_folder(folder: Path, manifest: Manifest) -> None:
    """Check every file of the shipment's folder."""
    expected = {MANIFEST, SIGNATURE, *manifest.documents}
    try:
        present = {entry.name for entry in os.scandir(folder)}
    except OSError as error:
        raise lost_medium(error, f"{folder}") or MediumProblem(f"{folder}", os_reason(error)) from error
    for name in sorted(present - expected):
        raise MediumProblem(f"{folder / name}", "it is not in the signed manifest")
    for name in sorted(manifest.documents):
        _read_document(folder.parents[1], manifest, name)


def _check_blobs(medium: Path, shipment: str, index: Index) -> list[str]:
    """Compare names and sizes in the store with the index. Returns a line for each file that is not used."""
    listing = _list_blobs(medium)
    for name, size in sorted(index.needed_blobs().items()):
        actual = listing.pop(f"{name[:2]}/{name}", None)
        if actual == size:
            continue
        why = "it is missing" if actual is None else f"it has {actual} bytes instead of {size}"
        raise MediumProblem(f"{medium / blob_path(name)}", "it is not a regular file" if actual == _NO_FILE else why)
    owners = _blobs_of_others(medium, shipment)
    ignored = []
    for name_in_store, size in sorted(listing.items()):
        place = f"{BLOBS}/{name_in_store}"
        folder, _, name = name_in_store.partition("/")
        final = name.removesuffix(UNFINISHED)
        if size == _NO_FILE or not is_blob_name(final) or folder != final[:2]:
            raise MediumProblem(f"{medium / place}", "it is not a file of this store")
        if name != final:
            ignored.append(f"{place}: ignored, its packing did not finish")
        elif name in owners:
            ignored.append(f"{place}: ignored, it belongs to shipment {owners[name]}")
        else:
            raise MediumProblem(f"{medium / place}", "no shipment on this medium names it")
    return ignored


def _blobs_of_others(medium: Path, shipment: str) -> dict[str, str]:
    """Blob → the other shipment that names it. They are not used here, so that no signature matters."""
    owners: dict[str, str] = {}
    for other in shipment_ids(medium):
        path = medium / SHIPMENTS / other / INDEX
        if other == shipment or not os.path.lexists(path):
            continue
        try:
            index = read_document(Index, read_small(path, MAX_DOCUMENT_BYTES), f"{path}")
        except XaivaError:
            continue  # what only a broken index names belongs to nothing, and is refused
        owners |= dict.fromkeys(index.needed_blobs(), other)
    return owners


def _check_root(medium: Path, allowed: list[dict[str, str]]) -> None:
    """Check the files that a person opens and runs; `allowed` begins with those of the shipment itself."""
    for name in sorted(allowed[0]):
        actual = sha256_bytes(read_small(medium / name, MAX_DOCUMENT_BYTES))
        if all(actual != hashes.get(name) for hashes in allowed):
            raise MediumProblem(f"{medium / name}", "it is not the file that the signed manifest names")
