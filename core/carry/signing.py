"""The key that signs a site's shipments: creating it, signing with it, and changing it for a new one."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from core import audit
from core.carry import ssh_keygen
from core.carry.signers import NAMESPACE, Signer, parse_signer
from core.carry.trust_store import add_signer, read_trust, refuse_revoked, revoke_signer, trust_folder
from core.errors import InputError, XaivaError, os_reason
from core.files import fsync_folder, read_regular, write_remedy
from core.operations.ledger import current_user
from core.site import Site

_CREATE = "create one: xaiva key create"
_REMEDIES = (  # what ssh-keygen says, why it says so, and what to do about it
    ("passphrase", "the key has a passphrase", "load it into an agent first: ssh-add {key}"),
    ("are too open", "others may read the key", "chmod 600 {key}; if others did read it: xaiva key rotate"),
    ("no such file", "there is no such key", _CREATE),
    ("no private key found", "no agent has its private key", "load it into an agent: ssh-add, and see SSH_AUTH_SOCK"),
    ("agent refused", "the agent refuses to sign with it", "unlock the agent, or confirm its question"),
    ("device not found", "the security key is not plugged in", "plug it in, and touch it when it blinks"),
    ("doesn't match private", "the file {key}.pub is of another key", "ssh-keygen -y -f {key} > {key}.pub"),
)


def signing_key(site: Site) -> Path:
    """The file of the key that signs; one that ends in `.pub` stands for a key in an agent."""
    return site.root / Path(site.settings.carry.signing_key).expanduser()


def next_key(site: Site) -> Path:
    """The file of the key that will sign once the sites trust it."""
    return signing_key(site).with_name(f"next_{signing_key(site).name}")


def public_key(site: Site) -> Signer:
    """The public key of the signing key. Raises InputError when there is none."""
    return _read_public(_public_file(signing_key(site)))


def fingerprint(site: Site) -> str:
    """The fingerprint of the signing key, `SHA256:…`."""
    return public_key(site).fingerprint


def create_key(site: Site, comment: str = "") -> Signer:
    """Create the site's signing key, without a passphrase, and trust it here. Never replaces a key."""
    path = signing_key(site)
    if path.suffix == ".pub":
        why = f"[carry] signing_key names {path}, which is that of a key in an agent"
        raise InputError("Signing key", why, "create that key with ssh-keygen -t ed25519, or reset the setting")
    signer = _generate(path, comment)
    add_signer(site, signer)
    return signer


def sign(site: Site, text: bytes, namespace: str = NAMESPACE) -> bytes:
    """The signature of a text, armored as OpenSSH writes it. Asks nobody; an agent may. Raises XaivaError."""
    path = signing_key(site)
    done = ssh_keygen.call("-Y", "sign", "-n", namespace, "-f", str(path), stdin=text)
    if done.code or "BEGIN SSH SIGNATURE" not in done.out:
        raise _sign_error(path, done)
    return done.out.encode()


def signers_for_manifest(site: Site) -> tuple[str, list[str]]:
    """What a manifest says about keys: lines of those that the sites are to trust, and fingerprints of the revoked.

    It is what this site trusts and revoked itself, with the key that signs. Raises InputError if that was revoked.
    """
    own, trust = public_key(site), read_trust(site)
    refuse_revoked(site, trust, own.fingerprint)
    signers = list(trust.signers) if trust.signer(own.fingerprint) else [*trust.signers, own]
    return "".join(f"{signer.line()}\n" for signer in signers), list(trust.revoked)


def begin_rotation(site: Site, comment: str = "") -> Signer:
    """Create the next key, and trust it: shipments that the old key signs bring it to the sites.

    Raises InputError when that was done already, or the signing key is not a file of xaiva's.
    """
    _refuse_foreign(site)
    signer = _generate(next_key(site), comment or public_key(site).comment)
    add_signer(site, signer)
    audit.record(site, "key rotate", signer.fingerprint, {"state": "begun"})
    return signer


def finish_rotation(site: Site) -> Signer:
    """Sign with the next key from now on, and revoke the old one. Goes on where an earlier call was interrupted."""
    _refuse_foreign(site)
    path, following = signing_key(site), next_key(site)
    public = _public_file(following)
    if not following.exists() and not public.exists():
        why = "no next key was created"
        raise InputError("Rotation of the signing key", why, "begin it: xaiva key rotate")
    new, old = _read_public(public), public_key(site)
    if read_trust(site).signer(new.fingerprint) is None:
        add_signer(site, new)
    # First of all: whatever happens now, nothing that the old key signs is believed here.
    revoke_signer(site, old.fingerprint, f"replaced by {new.fingerprint}")
    try:
        if following.exists():
            os.replace(following, path)
        os.replace(public, _public_file(path))
        fsync_folder(path.parent)
    except OSError as error:
        raise XaivaError(f"{path}", f"it cannot be replaced: {os_reason(error)}", write_remedy(error)) from error
    audit.record(site, "key rotate", new.fingerprint, {"state": "finished", "old": old.fingerprint})
    return new


def _refuse_foreign(site: Site) -> None:
    """xaiva replaces only a key that it created: another one may be somebody's login, too, or be in an agent."""
    path = signing_key(site)
    if path.suffix == ".pub" or path.parent != trust_folder(site):
        why = f"{path} is not a key of this site alone, and xaiva does not replace it"
        remedy = "xaiva key trust NEW.pub, pack for each site, set [carry] signing_key, then revoke the old key"
        raise InputError("Rotation of the signing key", why, remedy)


def _public_file(path: Path) -> Path:
    return path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")


def _read_public(path: Path) -> Signer:
    try:
        text = read_regular(path).decode()
    except FileNotFoundError as error:
        private = path.with_suffix("")
        if private.exists():
            remedy = f"write it again: ssh-keygen -y -f {private} > {path}"
            raise InputError(f"Public key {path}", "there is no such file", remedy) from error
        raise InputError("Signing key", f"there is no {path}", _CREATE) from error
    except (OSError, UnicodeDecodeError) as error:
        why = os_reason(error) if isinstance(error, OSError) else "it is not text"
        raise InputError(f"Public key {path}", why, "correct the file, or its permissions") from error
    return replace(parse_signer(text.strip()), valid_after=None, valid_before=None)


def _generate(path: Path, comment: str) -> Signer:
    if path.exists() or path.is_symlink() or _public_file(path).exists():
        remedy = "see it: xaiva key show; for a new one: xaiva key rotate, and xaiva key rotate --finish"
        raise InputError(f"Signing key {path}", "it exists already", remedy)
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True)
    comment = comment or f"{current_user().split(' ')[0]}@{socket.gethostname()}"
    done = ssh_keygen.call("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    if done.code:
        why = done.errors[0] if done.errors else f"ssh-keygen ended with code {done.code}"
        raise XaivaError(f"Signing key {path}", why, "see whether its folder may be written to")
    fsync_folder(path.parent)
    return _read_public(_public_file(path))


def _sign_error(path: Path, done: ssh_keygen.Result) -> XaivaError:
    words = "\n".join(done.errors).lower()
    for sign, why, remedy in _REMEDIES:
        if sign in words:
            return XaivaError(f"Signing with {path}", why.format(key=path), remedy.format(key=path))
    return XaivaError(f"Signing with {path}", " / ".join(done.errors[-3:]) or f"ssh-keygen ended with code {done.code}")
