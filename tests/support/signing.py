"""Sites that sign shipments and sites that trust them, with real keys; and an agent that holds keys."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.carry import signing, trust, verification_time
from core.carry.shipment import INDEX, Blob, Manifest, document_text
from core.carry.signers import NAMESPACE
from core.carry.trust import ShipmentRefused, accept, verify_manifest
from core.carry.trust_store import add_signer
from core.site import Site
from tests.support import require, until

NOON = datetime(2026, 12, 1, 12, tzinfo=timezone.utc)  # a shipment's date, after the release
INDEX_BLOB = Blob(sha256="0" * 64, size=1)


def new_site(folder: Path) -> Site:
    """An empty site."""
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    folder.mkdir(parents=True)
    return Site.open(folder, {})


def manifest(days: float = 0, **values: Any) -> bytes:
    """The text of a manifest that was made so many days after NOON."""
    created = NOON + timedelta(days=days)
    shipment = f"{created:%Y%m%d-%H%M%S}-abcdef"
    fields = {"shipment": shipment, "created": created, "xaiva": "0.1.0", "documents": {INDEX: INDEX_BLOB}}
    return document_text(Manifest.model_validate({**fields, **values}))


def make_key(path: Path, passphrase: str = "") -> Path:
    """A key in a file, with its `.pub` beside it."""
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", path.name, "-f", path]
    subprocess.run(words, check=True)
    return path


def sign_with(key: Path, text: bytes, namespace: str = NAMESPACE) -> bytes:
    """A signature by any key, for any namespace."""
    words = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", key]
    return subprocess.run(words, input=text, check=True, capture_output=True).stdout


@contextmanager
def ssh_agent(folder: Path, *keys: Path) -> Iterator[str]:
    """A real agent that holds these keys; gives the path of its socket. Passphrases are asked for by `askpass`."""
    require(shutil.which("ssh-agent"), "ssh-agent")
    socket = folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    askpass = folder / "askpass"
    askpass.write_text("#!/bin/sh\necho passphrase\n")
    askpass.chmod(0o700)
    env = {**os.environ, "SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
    try:
        until(socket.exists)
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], env=env, check=True, stdin=subprocess.DEVNULL)
        yield str(socket)
    finally:
        agent.terminate()
        agent.wait()


class Pair(NamedTuple):
    """An office that signs, and a site that trusts its key."""

    office: Site
    site: Site

    def pack(self, days: float = 0) -> tuple[bytes, bytes]:
        """A manifest as the office makes it, with its keys, and the signature."""
        lines, revoked = signing.signers_for_manifest(self.office)
        text = manifest(days, signers=lines, revoked=revoked)
        return text, signing.sign(self.office, text)

    def take(self, days: float = 0) -> None:
        """The site accepts a shipment of the office."""
        accept(self.site, verify_manifest(self.site, *self.pack(days)))


SetClock = Callable[[datetime], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the clock that xaiva reads; it begins at NOON."""

    def set_to(moment: datetime) -> None:
        monkeypatch.setattr(verification_time, "now", lambda: moment)
        monkeypatch.setattr(trust, "now", lambda: moment)

    set_to(NOON)
    return set_to


@pytest.fixture
def pair(tmp_path: Path, set_clock: SetClock) -> Pair:
    office, site = new_site(tmp_path / "office"), new_site(tmp_path / "factory")
    add_signer(site, signing.create_key(office, "the office"))
    return Pair(office, site)


def refused(site: Site, text: bytes, signature: bytes, *, allow_older: bool = False) -> ShipmentRefused:
    """Why the site refuses it. Nothing of what it remembers may change by that."""
    before = files(site)
    with pytest.raises(ShipmentRefused) as refusal:
        verify_manifest(site, text, signature, allow_older=allow_older)
    assert files(site) == before
    return refusal.value


def files(site: Site) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (site.state / "carry").glob("*") if path.is_file()}
