"""Signs site reports with the site's key, and says at the office whose key signed one.

A signature proves that the report has not changed since and which key made it. Whose key that is, the list of trusted
keys says, or the person who compares the fingerprint.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.carry import ssh_keygen
from core.carry.signing import sign, signing_key
from core.carry.trust_store import read_trust
from core.open_enum import OpenEnum
from core.site import Site
from core.site_report.files import MAX_REPORT_BYTES, NAMESPACE, Signer, read_bounded, signature_path

_MAX_SIGNATURE_BYTES = 16 << 10
_GOOD = re.compile(r'^Good ".*" signature .*\bkey (SHA256:\S+)$', re.MULTILINE)


class SignatureState(OpenEnum):
    """Whose signature a report has. WRONG: text and signature do not fit together."""

    NONE = "none"
    WRONG = "wrong"
    UNKNOWN = "unknown key"
    REVOKED = "revoked key"
    TRUSTED = "trusted key"


class ReportSignature(BaseModel):
    """The signature of a report, and the key that made it."""

    model_config = ConfigDict(frozen=True)

    state: SignatureState
    fingerprint: str = ""
    comment: str = ""


def report_signer(site: Site) -> Signer | None:
    """What signs the reports of this site; None for a site without a key."""
    return partial(sign, site) if signing_key(site).exists() else None


def check_signature(site: Site, report: Path) -> ReportSignature:
    """The signature that lies beside a report. Raises XaivaError when it cannot be read or checked."""
    path = signature_path(report)
    if not path.exists():
        return ReportSignature(state=SignatureState.NONE)
    read_bounded(path, _MAX_SIGNATURE_BYTES)
    text = read_bounded(report, MAX_REPORT_BYTES)
    done = ssh_keygen.call("-Y", "check-novalidate", "-n", NAMESPACE, "-s", f"{path}", stdin=text)
    good = _GOOD.search(done.out)
    if done.code or good is None:
        return ReportSignature(state=SignatureState.WRONG)
    trust, fingerprint = read_trust(site), good[1]
    if fingerprint in trust.revoked:
        return ReportSignature(state=SignatureState.REVOKED, fingerprint=fingerprint)
    signer = trust.signer(fingerprint)
    if signer is None:
        return ReportSignature(state=SignatureState.UNKNOWN, fingerprint=fingerprint)
    return ReportSignature(state=SignatureState.TRUSTED, fingerprint=fingerprint, comment=signer.comment)
