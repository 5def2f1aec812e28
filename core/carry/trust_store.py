"""What a site remembers about trust, below `.xaiva/carry/`: the keys it trusts, those it revoked, what it accepted.

A file that is missing is empty; one that is damaged is an error that names it, because a site that forgets whom it
trusted, or what it accepted, could be deceived. Every file is replaced in one step.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from core import audit
from core.carry.shipment import ShipmentId
from core.carry.signers import Signer, normal_fingerprint, parse_signers, signer_lines
from core.errors import InputError, XaivaError, os_reason
from core.files import read_regular, write_atomic, write_remedy
from core.site import Site
from core.validation_errors import first_problem

SIGNERS_FILE, REVOKED_FILE, ACCEPTED_FILE = "allowed_signers", "revoked", "accepted.json"
_KEPT_SHIPMENTS = 1000
_SIGNERS_HEAD = "# Keys that this site trusts to sign shipments; see `xaiva key list`, `key trust` and `key revoke`\n"
_REVOKED_HEAD = "# Keys that this site never trusts again, by fingerprint, each with the day and the reason\n"


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time has no time zone")
    return moment.astimezone(timezone.utc)


UtcTime = Annotated[datetime, AfterValidator(_in_utc)]


class AcceptedShipment(BaseModel):
    """A shipment that this site has accepted."""

    model_config = ConfigDict(frozen=True)

    shipment: ShipmentId
    created: UtcTime
    """By the clock of the office."""
    accepted: UtcTime
    """By the clock of this machine, right or wrong."""
    signer: str
    """The fingerprint of its key."""


class _Accepted(BaseModel):
    shipments: list[AcceptedShipment]


@dataclass(frozen=True)
class Trust:
    """All that a site remembers."""

    signers: Sequence[Signer]
    revoked: Mapping[str, str]
    """Fingerprint → when and why."""
    accepted: Sequence[AcceptedShipment]

    @property
    def newest(self) -> AcceptedShipment | None:
        """The accepted shipment that the office made last."""
        return max(self.accepted, key=lambda shipment: shipment.created, default=None)

    def signer(self, fingerprint: str) -> Signer | None:
        """The trusted key with that fingerprint."""
        return next((signer for signer in self.signers if signer.fingerprint == fingerprint), None)


def trust_folder(site: Site) -> Path:
    """The folder of keys and trust."""
    return site.state / "carry"


def read_trust(site: Site) -> Trust:
    """Read all three files. Raises InputError that names a damaged one."""
    return Trust(_read_signers(site), _read_revoked(site), _read_accepted(site))


@contextmanager
def changing(site: Site) -> Iterator[Trust]:
    """What the site remembers, while nobody else changes it. Raises as `read_trust`, and XaivaError."""
    folder = trust_folder(site)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise XaivaError(f"{folder}", f"it cannot be written: {os_reason(error)}", write_remedy(error)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield read_trust(site)
    finally:
        os.close(handle)


def add_signer(site: Site, signer: Signer) -> None:
    """Trust a key; one that is trusted already gets the new dates. Raises InputError for a revoked one."""
    with changing(site) as trust:
        refuse_revoked(site, trust, signer.fingerprint)
        others = [one for one in trust.signers if one.fingerprint != signer.fingerprint]
        write_signers(site, [*others, signer])
    until = f"{signer.valid_before:%Y-%m-%dT%H:%M:%SZ}" if signer.valid_before else ""
    audit.record(site, "key trust", signer.fingerprint, {"comment": signer.comment, "valid_before": until})


def revoke_signer(site: Site, text: str, reason: str = "by hand") -> str:
    """Never trust a key again; returns its fingerprint. Raises InputError for the only key that is trusted."""
    fingerprint = normal_fingerprint(text)
    with changing(site) as trust:
        rest = [signer for signer in trust.signers if signer.fingerprint != fingerprint]
        if trust.signers and not rest:
            why = "it is the only key that this site trusts, and without one no shipment can be unpacked"
            raise InputError(f"Key {fingerprint}", why, "trust the new key first: xaiva key trust FILE")
        write_revoked(site, trust.revoked, [fingerprint], reason)
        write_signers(site, rest)
    audit.record(site, "key revoke", fingerprint, {"reason": reason})
    return fingerprint


def refuse_revoked(site: Site, trust: Trust, fingerprint: str) -> None:
    """Raise InputError if the key was revoked."""
    if fingerprint in trust.revoked:
        why = f"it was revoked ({trust.revoked[fingerprint]})"
        remedy = f"use another key; if it was revoked by mistake, remove its line from {_revoked_file(site)}"
        raise InputError(f"Key {fingerprint}", why, remedy)


def write_signers(site: Site, signers: Sequence[Signer]) -> None:
    """Replace the list of trusted keys."""
    _write(trust_folder(site) / SIGNERS_FILE, _SIGNERS_HEAD + "".join(f"{signer.line()}\n" for signer in signers))


def write_revoked(site: Site, before: Mapping[str, str], added: Sequence[str], reason: str) -> None:
    """Add keys to those that were revoked. The reason of an earlier time stays."""
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    revoked = dict.fromkeys(added, f"{today} {reason}") | dict(before)
    lines = "".join(f"{fingerprint} {reason}".rstrip() + "\n" for fingerprint, reason in revoked.items())
    _write(_revoked_file(site), _REVOKED_HEAD + lines)


def write_accepted(site: Site, before: Sequence[AcceptedShipment], added: AcceptedShipment) -> None:
    """Add a shipment to those that were accepted. The newest ones of the office stay."""
    shipments = [one for one in before if one.shipment != added.shipment] + [added]
    newest = sorted(shipments, key=lambda one: one.created)[-_KEPT_SHIPMENTS:]
    text = _Accepted(shipments=newest).model_dump_json(indent=1) + "\n"
    _write(trust_folder(site) / ACCEPTED_FILE, text)


def _revoked_file(site: Site) -> Path:
    return trust_folder(site) / REVOKED_FILE


def _read_signers(site: Site) -> list[Signer]:
    path = trust_folder(site) / SIGNERS_FILE
    text = _read(path)
    try:
        return parse_signers(text or "")
    except InputError as error:
        raise _damaged(path, error.summary) from error


def _read_revoked(site: Site) -> dict[str, str]:
    path = _revoked_file(site)
    revoked = dict[str, str]()
    for number, line in signer_lines(_read(path) or ""):
        fingerprint, _, reason = line.partition(" ")
        try:
            revoked[normal_fingerprint(fingerprint)] = reason.strip()
        except InputError as error:
            raise _damaged(path, f"line {number}: {error.why}") from error
    return revoked


def _read_accepted(site: Site) -> list[AcceptedShipment]:
    path = trust_folder(site) / ACCEPTED_FILE
    text = _read(path)
    if text is None:
        return []
    try:
        return _Accepted.model_validate_json(text).shipments
    except ValidationError as error:
        field, why = first_problem(error)
        raise _damaged(path, f"{field}: {why}" if field else why) from error


def _read(path: Path) -> str | None:
    """The text; None without a file. xaiva writes no empty file, so that an empty one is damaged."""
    try:
        text = read_regular(path).decode()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise _damaged(path, "it is a link to a file that does not exist") from error
        return None
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "correct its owner or permissions") from error
    if not text.strip():
        raise _damaged(path, "it is empty")
    return text


def _damaged(path: Path, why: str) -> InputError:
    remedy = f"restore it from a backup; or move it away, and the site begins without {_LOSSES[path.name]}"
    return InputError(f"{path}", why, remedy)


_LOSSES = {
    SIGNERS_FILE: "any trusted key: compare the next shipment's key with the paper",
    REVOKED_FILE: "any revoked key: revoke those that were in it again, with xaiva key revoke FINGERPRINT",
    ACCEPTED_FILE: "knowing what it accepted: an older shipment is then not noticed",
}


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text)
    except OSError as error:
        raise XaivaError(f"{path}", f"it cannot be written: {os_reason(error)}", write_remedy(error)) from error
