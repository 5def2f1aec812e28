"""Whether a shipment is to be believed: its signature, its signer, its age; and what its acceptance changes here.

Nothing of a manifest is read before `ssh-keygen -Y verify` accepted its signature. Only that decides; the file of the
signature is looked into by xaiva itself in order to say why it was refused.
"""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from core import audit
from core.carry import ssh_keygen
from core.carry.shipment import MANIFEST, MAX_MANIFEST_BYTES, SIGNATURE, Manifest, read_document
from core.carry.signers import (
    NAMESPACE,
    PRINCIPAL,
    Signer,
    key_fingerprint,
    normal_fingerprint,
    parse_signer,
    signer_lines,
)
from core.carry.trust_store import (
    AcceptedShipment,
    Trust,
    add_signer,
    changing,
    read_trust,
    refuse_revoked,
    write_accepted,
    write_revoked,
    write_signers,
)
from core.carry.verification_time import VerificationTime, format_moment, now, verification_time
from core.errors import ChecksFailed, InputError, XaivaError, os_reason
from core.files import write_remedy
from core.findings import Finding
from core.site import Site

MAX_SIGNATURE_BYTES = 16 << 10
_GOOD = re.compile(r'^Good ".*" signature .*\bkey (SHA256:\S+)$', re.MULTILINE)
_WHAT = "Signature of the shipment"
_NOTHING_TAKEN = "nothing was taken from it"


class ShipmentRefused(ChecksFailed):
    """A shipment that is not believed. `cause` is a word for programs, `fingerprint` that of its key if it has one."""

    def __init__(self, cause: str, what: str, why: str, remedy: str, fingerprint: str = "") -> None:
        self.cause = cause
        self.fingerprint = fingerprint
        super().__init__(what, why, remedy)


@dataclass(frozen=True)
class Verified:
    """A manifest whose signature is good, of a key that this site trusts."""

    manifest: Manifest
    signer: Signer
    findings: list[Finding]
    """Warnings: about the clock, and keys of the manifest that are not taken over."""


@dataclass(frozen=True)
class _Envelope:
    """What the file of a signature says about itself; nothing of it is proved."""

    key: bytes
    key_type: str
    namespace: str


def verify_manifest(site: Site, text: bytes, signature: bytes, *, allow_older: bool = False) -> Verified:
    """Check a manifest against what this site trusts, and parse it. Changes nothing.

    Raises ShipmentRefused, which says why; InputError for a manifest that cannot be read and for damaged files of the
    site; XaivaError when there is no `ssh-keygen`.
    """
    _check_sizes(text, signature)
    trust = read_trust(site)
    if not trust.signers:
        raise _no_signers(text, signature)
    # Twice: the date of the shipment counts, too, but only once its text is known to be genuine. Until then a key may
    # be younger than everything else that has a date here, but not expired.
    of_any_age = replace(trust, signers=[replace(signer, valid_after=None) for signer in trust.signers])
    _verify(of_any_age, text, signature, verification_time(trust.newest))
    manifest = read_document(Manifest, text, MANIFEST)
    at = verification_time(trust.newest, manifest.created)
    signer = _verify(trust, text, signature, at)
    _check_age(trust, manifest, allow_older=allow_older)
    *_, findings = _after(trust, manifest)
    return Verified(manifest, signer, [*at.findings(), *findings])


def accept(site: Site, verified: Verified) -> None:
    """Remember the shipment, and take over its keys. Can be repeated. Raises InputError, XaivaError.

    Keys that it revokes are never trusted again; keys that were revoked earlier do not come back.
    """
    manifest = verified.manifest
    with changing(site) as trust:
        signers, revoked, _ = _after(trust, manifest)
        # The keys come first: a kill in between must not leave a site that trusts nothing but revoked ones.
        if signers != list(trust.signers):
            write_signers(site, signers)
        if revoked:
            write_revoked(site, trust.revoked, revoked, f"by shipment {manifest.shipment}")
        entry = AcceptedShipment(
            shipment=manifest.shipment, created=manifest.created, accepted=now(), signer=verified.signer.fingerprint
        )
        write_accepted(site, trust.accepted, entry)
    before = {signer.fingerprint for signer in trust.signers}
    for fingerprint in {signer.fingerprint for signer in signers} - before:
        audit.record(site, "key trust", fingerprint, {"shipment": manifest.shipment})
    for fingerprint in revoked:
        audit.record(site, "key revoke", fingerprint, {"shipment": manifest.shipment})


def first_trust(site: Site, text: bytes, signature: bytes, fingerprint: str) -> Signer:
    """Trust the key that signed this manifest, because a person compared its fingerprint with the paper.

    For a site that trusts no key yet, and for one whose office lost its key. Raises ShipmentRefused when the
    fingerprint is empty or another one, and InputError when it is none, or of a revoked key.
    """
    _check_sizes(text, signature)
    envelope = _read_envelope(signature)
    actual = _without_trust(text, signature, envelope)
    if not fingerprint or normal_fingerprint(fingerprint) != actual:
        other = f", and not {normal_fingerprint(fingerprint)}" if fingerprint else ""
        raise ShipmentRefused(
            "unknown", "Key of the shipment", f"its fingerprint is {actual}{other}", _paper(actual), actual
        )
    trust = read_trust(site)
    refuse_revoked(site, trust, actual)
    trusted = trust.signer(actual)
    if trusted is None:
        trusted = parse_signer(f"{envelope.key_type} {base64.b64encode(envelope.key).decode()}")
        add_signer(site, trusted)
    return trusted


def _check_sizes(text: bytes, signature: bytes) -> None:
    for name, data, limit in ((MANIFEST, text, MAX_MANIFEST_BYTES), (SIGNATURE, signature, MAX_SIGNATURE_BYTES)):
        if len(data) > limit:
            why = f"it has {len(data)} bytes, and {limit} are the most that such a file has"
            raise ShipmentRefused("damaged", name, why, _NOTHING_TAKEN)


def _verify(trust: Trust, text: bytes, signature: bytes, at: VerificationTime) -> Signer:
    """The signer, if `ssh-keygen` accepts the signature at that time. Raises ShipmentRefused."""
    with _scratch_folder() as folder:
        allowed = folder / "allowed"
        allowed.write_text("".join(signer.line(utc_mark="") + "\n" for signer in trust.signers), encoding="utf-8")
        (folder / "signature").write_bytes(signature)
        words = ["-Y", "verify", "-f", f"{allowed}", "-I", PRINCIPAL, "-n", NAMESPACE, "-s", f"{folder}/signature"]
        words += ["-O", f"verify-time={at.moment:%Y%m%d%H%M%S}"]
        if trust.revoked:
            words += ["-r", _revocation_list(folder, trust)]
        done = ssh_keygen.call(*words, stdin=text)
    good = _GOOD.search(done.out)
    signer = trust.signer(good[1]) if good and not done.code else None
    if signer is None:
        raise _refusal(trust, text, signature, at, done)
    return signer


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A folder for the files that `ssh-keygen` reads. Raises XaivaError where there is no room for them."""
    try:
        with tempfile.TemporaryDirectory(prefix="xaiva-trust-") as name:
            yield Path(name)
    except OSError as error:
        remedy = f"{write_remedy(error)}, or name another one in TMPDIR"
        raise XaivaError(f"Temporary folder {tempfile.gettempdir()}", os_reason(error), remedy) from error


def _revocation_list(folder: Path, trust: Trust) -> str:
    """The revoked keys in the form that `ssh-keygen -r` takes: it knows fingerprints only in a binary list."""
    (folder / "list").write_text("".join(f"hash: {fingerprint}\n" for fingerprint in trust.revoked))
    done = ssh_keygen.call("-k", "-f", f"{folder}/revoked", f"{folder}/list")
    if done.code:
        raise InputError("List of revoked keys", " / ".join(done.errors[-2:]), "see that ssh-keygen is 7.9 or newer")
    return f"{folder}/revoked"


def _refusal(
    trust: Trust, text: bytes, signature: bytes, at: VerificationTime, done: ssh_keygen.Result
) -> ShipmentRefused:
    """Why `ssh-keygen` did not accept the signature."""
    fingerprint = _without_trust(text, signature, _read_envelope(signature))
    if fingerprint in trust.revoked:
        why = f"its key {fingerprint} was revoked ({trust.revoked[fingerprint]})"
        remedy = "ask the office for a shipment signed with its new key"
        return ShipmentRefused("revoked", _WHAT, why, remedy, fingerprint)
    signer = trust.signer(fingerprint)
    if signer is None:
        why = f"its key {fingerprint} is not one that this site trusts"
        return ShipmentRefused("unknown", _WHAT, why, _paper(fingerprint), fingerprint)
    if not signer.is_valid_at(at.moment):
        return _expired(signer, at)
    why = " / ".join(done.errors[-2:]) or f"ssh-keygen ended with code {done.code}"
    return ShipmentRefused("failed", _WHAT, why, _NOTHING_TAKEN, fingerprint)


def _expired(signer: Signer, at: VerificationTime) -> ShipmentRefused:
    remedy = "ask the office for a shipment signed with a newer key"
    limit = f"counts until {format_moment(signer.valid_before)}" if signer.valid_before else ""
    if signer.valid_after is not None and at.moment < signer.valid_after:
        limit = f"counts from {format_moment(signer.valid_after)}"
        remedy = "wait until then, or ask the office for a shipment signed with another key"
    name = f"{signer.fingerprint} ({signer.comment})" if signer.comment else signer.fingerprint
    why = f"its key {name} {limit}, and it is {format_moment(at.moment)} by {at.origin}"
    if at.clock_far_ahead:
        why += f"; {at.evidence_origin} is {format_moment(at.evidence)}"
        remedy = "if the clock is wrong, set it: date -s 'YYYY-MM-DD HH:MM:SS'; otherwise " + remedy
    return ShipmentRefused("expired", _WHAT, why, remedy, signer.fingerprint)


def _no_signers(text: bytes, signature: bytes) -> ShipmentRefused:
    fingerprint = _without_trust(text, signature, _read_envelope(signature))
    why = f"this site trusts no key yet; the key of the shipment is {fingerprint}"
    return ShipmentRefused("no-keys", _WHAT, why, _paper(fingerprint), fingerprint)


def _paper(fingerprint: str) -> str:
    return (
        f"compare {fingerprint} with the paper from the office; only if both are equal, unpack again with "
        f"--trust {fingerprint}"
    )


def _without_trust(text: bytes, signature: bytes, envelope: _Envelope) -> str:
    """The fingerprint of the key whose signature fits the text, trusted or not. Raises ShipmentRefused."""
    if envelope.namespace != NAMESPACE:
        why = f"{SIGNATURE} was made for {envelope.namespace}, and that of a shipment is made for {NAMESPACE}"
        raise ShipmentRefused("namespace", _WHAT, why, _NOTHING_TAKEN)
    with _scratch_folder() as folder:
        (folder / "signature").write_bytes(signature)
        done = ssh_keygen.call("-Y", "check-novalidate", "-n", NAMESPACE, "-s", f"{folder}/signature", stdin=text)
    good = _GOOD.search(done.out)
    if done.code or good is None or good[1] != key_fingerprint(envelope.key):
        why = (
            "manifest.json and manifest.sig do not fit together: one of them was changed, "
            "or belongs to another shipment"
        )
        raise ShipmentRefused("changed", _WHAT, why, f"copy the shipment again, or pack it again; {_NOTHING_TAKEN}")
    return good[1]


def _read_envelope(signature: bytes) -> _Envelope:
    """Key and namespace of a signature. Raises ShipmentRefused for what is not one."""
    match = re.search(rb"-----BEGIN SSH SIGNATURE-----([\w+/=\s]+)-----END SSH SIGNATURE-----", signature)
    try:
        data = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
    except binascii.Error:
        data = b""
    parts, position = list[bytes](), len(b"SSHSIG") + 4
    while data.startswith(b"SSHSIG") and len(parts) < 2 and position + 4 <= len(data):
        end = position + 4 + int.from_bytes(data[position : position + 4], "big")
        parts.append(data[position + 4 : end])
        position = end
    if len(parts) < 2:
        why = f"{SIGNATURE} is not a signature of ssh-keygen, or it is damaged"
        raise ShipmentRefused("damaged", _WHAT, why, f"copy the shipment again, or pack it again; {_NOTHING_TAKEN}")
    key_type = parts[0][4 : 4 + int.from_bytes(parts[0][:4], "big")]
    return _Envelope(parts[0], key_type.decode(errors="replace"), parts[1].decode(errors="replace")[:100])


def _check_age(trust: Trust, manifest: Manifest, *, allow_older: bool) -> None:
    newest = trust.newest
    if allow_older or newest is None or manifest.created >= newest.created:
        return
    why = (
        f"it is of {format_moment(manifest.created)}, and this site has accepted {newest.shipment} of "
        f"{format_moment(newest.created)}"
    )
    remedy = "take the newest shipment; if you do want the older one, unpack again with --allow-older"
    raise ShipmentRefused("older", f"Shipment {manifest.shipment} is older", why, remedy)


def _after(trust: Trust, manifest: Manifest) -> tuple[list[Signer], Sequence[str], list[Finding]]:
    """The trusted keys after the shipment, those that it revokes, and warnings. Raises ShipmentRefused."""
    try:
        revoked = [normal_fingerprint(text) for text in manifest.revoked]
    except InputError as error:
        raise ShipmentRefused("damaged", f"{MANIFEST}: revoked", error.why, _NOTHING_TAKEN) from error
    signers = {signer.fingerprint: signer for signer in trust.signers}
    findings = list[Finding]()
    older = trust.newest is not None and manifest.created < trust.newest.created  # its keys may be outdated
    for number, line in signer_lines("" if older else manifest.signers):
        try:
            signer = parse_signer(line)
        except InputError as error:
            what = f"Line {number} of the shipment's keys is not taken over"
            findings.append(Finding.warning("signer-unreadable", what, error.why))
            continue
        if signer.fingerprint in trust.revoked:
            what = f"The shipment's key {signer.fingerprint} is not taken over"
            why = f"this site has revoked it ({trust.revoked[signer.fingerprint]})"
            findings.append(Finding.warning("signer-revoked", what, why))
            continue
        signers[signer.fingerprint] = signer
    for fingerprint in (*revoked, *trust.revoked):
        signers.pop(fingerprint, None)
    if not signers:
        why = "it revokes every key that this site trusts, and brings none"
        raise ShipmentRefused("no-keys", f"Shipment {manifest.shipment}", why, "ask the office for another shipment")
    return list(signers.values()), [one for one in revoked if one not in trust.revoked], findings
