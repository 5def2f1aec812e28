"""The key that signs: created, used through files and agents, never asking anybody, and changed for a new one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from core.carry import signing, ssh_keygen
from core.carry.signers import normal_fingerprint, parse_date, parse_signer, parse_signers
from core.carry.trust_store import read_trust, revoke_signer
from core.errors import InputError, XaivaError
from core.site import CarrySettings, Site, SiteSettings
from tests.support.signing import make_key, new_site, ssh_agent

PASSPHRASE = "passphrase"


@pytest.fixture
def office(tmp_path: Path) -> Site:
    return new_site(tmp_path / "office")


def _with_key(office: Site, key: Path | str) -> Site:
    return Site(office.root, SiteSettings(carry=CarrySettings(signing_key=str(key))), office.env)


def test_a_signature_is_one_that_ssh_keygen_verifies_with_the_sites_own_file(office: Site, tmp_path: Path) -> None:
    signer = signing.create_key(office, "the office")
    (tmp_path / "sig").write_bytes(signing.sign(office, b"text"))
    allowed = office.state / "carry/allowed_signers"
    words = ["-Y", "verify", "-f", allowed, "-I", "office", "-n", "carry@xaiva", "-s", tmp_path / "sig"]
    done = subprocess.run(["ssh-keygen", *words], input=b"text", capture_output=True, check=False)
    assert done.returncode == 0
    assert signer.fingerprint in done.stdout.decode()
    assert signing.fingerprint(office) == signer.fingerprint
    assert signing.public_key(office).public_line == (office.state / "carry/signing_key.pub").read_text().strip()
    assert (office.state / "carry/signing_key").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_replaced(office: Site) -> None:
    before = signing.create_key(office)
    with pytest.raises(InputError, match="it exists already"):
        signing.create_key(office)
    assert signing.public_key(office) == before


def test_a_key_with_a_passphrase_signs_through_an_agent_only(
    office: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = _with_key(office, make_key(tmp_path / "locked", PASSPHRASE))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(XaivaError, match="the key has a passphrase") as refusal:
        signing.sign(site, b"text")
    assert refusal.value.remedy.endswith(f"ssh-add {tmp_path / 'locked'}")
    with ssh_agent(tmp_path, tmp_path / "locked") as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        assert signing.sign(site, b"text").startswith(b"-----BEGIN SSH SIGNATURE-----")


def test_a_public_file_stands_for_a_key_in_an_agent(
    office: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path / "inside")
    other = make_key(tmp_path / "other")
    alone = tmp_path / "alone.pub"
    alone.write_bytes(key.with_suffix(".pub").read_bytes())
    site = _with_key(office, alone)
    with ssh_agent(tmp_path, key, other) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        assert signing.sign(site, b"text").startswith(b"-----BEGIN SSH SIGNATURE-----")
        alone.write_bytes(make_key(tmp_path / "third").with_suffix(".pub").read_bytes())
        with pytest.raises(XaivaError, match="no agent has its private key"):
            signing.sign(site, b"text")
    with pytest.raises(InputError, match="key in an agent"):
        signing.create_key(site)


def _exchange_public_file(key: Path) -> None:
    make_key(key.with_name("b")).with_suffix(".pub").replace(f"{key}.pub")


@pytest.mark.parametrize(
    ("spoil", "why", "remedy"),
    [
        (lambda key: key.chmod(0o644), "others may read the key", "chmod 600"),
        (lambda key: (key.unlink(), key.with_suffix(".pub").unlink()), "there is no such key", "xaiva key create"),
        (
            lambda key: make_key(key.with_name("b")).with_suffix(".pub").replace(f"{key}.pub"),
            "is of another key",
            "-y -f",
        ),
    ],
    ids=["permissions", "missing", "pair"],
)
def test_a_key_that_cannot_sign_says_why(office: Site, spoil: object, why: str, remedy: str) -> None:
    signing.create_key(office)
    assert callable(spoil)
    spoil(signing.signing_key(office))
    with pytest.raises(XaivaError, match=why) as refusal:
        signing.sign(office, b"text")
    assert remedy in refusal.value.remedy


def test_nobody_is_asked_for_a_passphrase_even_on_a_terminal(office: Site, tmp_path: Path) -> None:
    key = make_key(tmp_path / "locked", PASSPHRASE)
    code = (
        "import sys; from core.carry import signing; from core.site import *\n"
        "settings = SiteSettings(carry=CarrySettings(signing_key=sys.argv[2]))\n"
        "site = Site(site_folder(sys.argv[1]), settings, {})\n"
        "try: signing.sign(site, b'text')\n"
        "except Exception as error: print('refused:', error)\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.environ.pop("SSH_AUTH_SOCK", None)
        os.execv(sys.executable, [sys.executable, "-c", code, str(office.root), str(key)])
    output = b""
    try:
        while block := os.read(terminal, 4096):
            output += block
    except OSError:
        pass  # the child has closed the terminal
    os.waitpid(child, 0)
    os.close(terminal)
    assert b"refused: Signing with" in output
    assert b"Enter passphrase" not in output


def test_a_machine_without_ssh_keygen_is_told_what_to_install(office: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(office.root))
    with pytest.raises(XaivaError, match="no ssh-keygen on PATH") as refusal:
        signing.create_key(office)
    assert "OpenSSH client" in refusal.value.remedy


def test_rotation_keeps_the_old_key_as_signer_until_it_is_finished(office: Site) -> None:
    old = signing.create_key(office, "the office")
    new = signing.begin_rotation(office)
    assert new.comment == "the office"
    assert signing.fingerprint(office) == old.fingerprint
    lines, revoked = signing.signers_for_manifest(office)
    assert {signer.fingerprint for signer in parse_signers(lines)} == {old.fingerprint, new.fingerprint}
    assert revoked == []
    with pytest.raises(InputError, match="it exists already"):
        signing.begin_rotation(office)

    assert signing.finish_rotation(office) == new
    assert signing.fingerprint(office) == new.fingerprint
    lines, revoked = signing.signers_for_manifest(office)
    assert [signer.fingerprint for signer in parse_signers(lines)] == [new.fingerprint]
    assert revoked == [old.fingerprint]
    with pytest.raises(InputError, match="no next key was created"):
        signing.finish_rotation(office)


@pytest.mark.parametrize("fails_at", [1, 2])
def test_an_interrupted_end_of_a_rotation_goes_on(office: Site, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    signing.create_key(office)
    new = signing.begin_rotation(office)
    replace, calls = os.replace, []

    def fail(source: object, target: object) -> None:
        if "signing_key" in str(target):
            calls.append(target)
            if len(calls) == fails_at:
                raise OSError(5, "Input/output error")
        replace(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(XaivaError, match="it cannot be replaced"):
            signing.finish_rotation(office)
    assert signing.finish_rotation(office) == new
    assert signing.sign(office, b"text")
    assert signing.signers_for_manifest(office)[0] == new.line() + "\n"


def test_a_key_that_is_not_xaivas_own_is_not_replaced(office: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a key of this site alone"):
        signing.begin_rotation(_with_key(office, make_key(tmp_path / "login")))
    assert not (tmp_path / "next_login").exists()


def test_a_revoked_key_packs_nothing(office: Site) -> None:
    signing.create_key(office)
    signing.begin_rotation(office)
    revoke_signer(office, signing.fingerprint(office))
    with pytest.raises(InputError, match="it was revoked"):
        signing.signers_for_manifest(office)


def test_a_key_from_outside_is_signed_with_and_brought_to_the_sites(office: Site, tmp_path: Path) -> None:
    site = _with_key(office, make_key(tmp_path / "own"))
    assert signing.fingerprint(site) in {
        one.fingerprint for one in parse_signers(signing.signers_for_manifest(site)[0])
    }
    assert read_trust(site).signers == []


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHrm1tPBWb6zWNyw3SJte+6dnLCP0fVhwgp+VAm7YvfY"


@pytest.mark.parametrize(
    "line",
    [KEY, f"{KEY} a b", f'me@host namespaces="git,file" {KEY}', f'* valid-before="20300101Z",namespaces="a b" {KEY} x'],
)
def test_the_forms_of_a_public_key(line: str) -> None:
    signer = parse_signer(line)
    assert signer.fingerprint == "SHA256:adtgemCNZwQcT4txrxNXTr5isR+bf103T2dLNp8okqE"
    assert signer.line().startswith('office namespaces="carry@xaiva"')
    assert parse_signer(signer.line()) == signer


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no public key"),
        ("ssh-ed25519", "no public key"),
        ("ssh-rsa AAAAB3NzaC1yc2E=", "of type ssh-rsa"),
        (KEY[:-4], "its key is damaged"),
        (KEY.replace("AAAAC3", "AAAAD3"), "its key is damaged"),
        (f"{KEY[:-1]}*", "its key is damaged"),
        (f"* cert-authority {KEY}", "names an authority"),
        (f'* valid-before="20300101" {KEY}', "does not end in Z"),
        (f'* valid-before="20309901Z" {KEY}', "it is not a date"),
        (f'* "odd {KEY}', "its options cannot be read"),
        (f"{KEY} {'x' * 5000}", "it is too long"),
    ],
)
def test_a_line_that_is_no_key_says_why(line: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_signer(line)


def test_fingerprints_as_people_type_them() -> None:
    name = "SHA256:adtgemCNZwQcT4txrxNXTr5isR+bf103T2dLNp8okqE"
    bare = name.removeprefix("SHA256:")
    for text in (name, bare, f"sha256:{bare}", f" SHA256: {bare[:4]} {bare[4:]}\n", f"{name}="):
        assert normal_fingerprint(text) == name
    for text in ("", "SHA256:", "MD5:aa:bb", name[:-1], f"{name}A"):
        with pytest.raises(InputError):
            normal_fingerprint(text)


def test_dates_as_people_write_them() -> None:
    assert parse_date("2027-01-31") == parse_date("20270131Z") == parse_date("2027-01-31 00:00")
    for text in ("", "tomorrow", "2027-13-01", "27-01-01", "2027-1-1"):
        with pytest.raises(InputError, match="it is not a date"):
            parse_date(text)


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "ssh-keygen"
    slow.write_text("#!/bin/sh\nexec sleep 100\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(ssh_keygen, "_SECONDS", 0.1)
    with pytest.raises(XaivaError, match="it has not ended"):
        ssh_keygen.call("-Y", "sign")
