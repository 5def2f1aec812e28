"""Which shipments a site believes: by their signature and their age; and what it remembers of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.carry import signing, trust, trust_store
from core.carry.shipment import MAX_MANIFEST_BYTES, Manifest
from core.carry.signers import parse_signer
from core.carry.trust import accept, verify_manifest
from core.carry.trust_store import read_trust
from core.errors import InputError, XaivaError
from tests.support.signing import (
    NOON,
    Pair,
    make_key,
    manifest,
    pair,
    refused,
    set_clock,
    sign_with,
)

__all__ = ["pair", "set_clock"]
ROOT = Path(__file__).parents[2]


def test_a_shipment_of_a_trusted_key_is_believed_and_remembered(pair: Pair) -> None:
    text, signature = pair.pack()
    verified = verify_manifest(pair.site, text, signature)
    assert verified.manifest.created == NOON
    assert verified.signer.comment == "the office"
    assert verified.findings == []
    accept(pair.site, verified)
    (entry,) = read_trust(pair.site).accepted
    assert (entry.shipment, entry.signer) == (verified.manifest.shipment, signing.fingerprint(pair.office))
    accept(pair.site, verify_manifest(pair.site, text, signature))
    assert len(read_trust(pair.site).accepted) == 1


def test_a_changed_text_or_signature_isrefused(pair: Pair) -> None:
    text, signature = pair.pack()
    changed = text.replace(b"0.1.0", b"0.1.1")
    assert refused(pair.site, changed, signature).cause == "changed"
    lines = signature.splitlines(keepends=True)
    lines[3] = lines[3].replace(lines[3][10:11], b"A" if lines[3][10:11] != b"A" else b"B")
    assert refused(pair.site, text, b"".join(lines)).cause in ("changed", "damaged")


def test_the_signature_of_another_shipment_isrefused(pair: Pair) -> None:
    text, _ = pair.pack()
    _, signature = pair.pack(1)
    refusal = refused(pair.site, text, signature)
    assert refusal.cause == "changed"
    assert "do not fit together" in refusal.why


@pytest.mark.parametrize("namespace", ["file", "git", "report@xaiva"])
def test_a_signature_for_another_purpose_isrefused(pair: Pair, namespace: str) -> None:
    text, _ = pair.pack()
    signature = sign_with(signing.signing_key(pair.office), text, namespace)
    refusal = refused(pair.site, text, signature)
    assert refusal.cause == "namespace"
    assert f"manifest.sig was made for {namespace}" in refusal.why


def test_an_unknown_signer_is_named_with_what_to_do(pair: Pair, tmp_path: Path) -> None:
    text, _ = pair.pack()
    stranger = make_key(tmp_path / "stranger")
    fingerprint = parse_signer(stranger.with_suffix(".pub").read_text()).fingerprint
    refusal = refused(pair.site, text, sign_with(stranger, text))
    assert (refusal.cause, refusal.fingerprint) == ("unknown", fingerprint)
    assert fingerprint in refusal.why
    assert "with the paper" in refusal.remedy


@pytest.mark.parametrize(
    "signature", [b"", b"junk", b"-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----"]
)
def test_what_is_no_signature_isrefused(pair: Pair, signature: bytes) -> None:
    refusal = refused(pair.site, pair.pack()[0], signature)
    assert refusal.cause == "damaged"
    assert "manifest.sig is not a signature" in refusal.why


def test_oversized_files_are_refused_before_they_are_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    text, signature = pair.pack()
    monkeypatch.setenv("PATH", "")  # a call of ssh-keygen would be another error
    assert refused(pair.site, b" " * (MAX_MANIFEST_BYTES + 1), signature).cause == "damaged"
    assert refused(pair.site, text, signature * 100).cause == "damaged"


def test_a_genuine_text_that_is_no_manifest_isrefused(pair: Pair) -> None:
    for text in (b"{}", b"\xff", b'{"format": 2}'):
        with pytest.raises(InputError, match=r"manifest\.json"):
            verify_manifest(pair.site, text, signing.sign(pair.office, text))


def test_no_manifest_is_read_before_its_signature_is_good(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "read_document", lambda *_: pytest.fail("it was read"))
    text, signature = pair.pack()
    refused(pair.site, text + b" ", signature)


def test_a_machine_without_ssh_keygen_says_so(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    text, signature = pair.pack()
    monkeypatch.setenv("PATH", str(pair.site.root))
    with pytest.raises(XaivaError, match="no ssh-keygen on PATH"):
        verify_manifest(pair.site, text, signature)


def test_a_full_temporary_folder_is_an_error_that_names_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    text, signature = pair.pack()
    monkeypatch.setattr("tempfile.tempdir", str(pair.site.root / "nothere"))
    with pytest.raises(XaivaError, match=r"Temporary folder .*nothere"):
        verify_manifest(pair.site, text, signature)


class TestAge:
    """An older shipment in place of a newer one."""

    def test_it_is_refused_with_both_dates(self, pair: Pair) -> None:
        pair.take(3)
        refusal = refused(pair.site, *pair.pack(1))
        assert refusal.cause == "older"
        assert refusal.what == "Shipment 20261202-120000-abcdef is older"
        assert "2026-12-02 12:00 UTC" in refusal.why
        assert "20261204-120000-abcdef of 2026-12-04 12:00 UTC" in refusal.why

    def test_it_is_taken_when_somebody_says_so_but_brings_no_keys(self, pair: Pair, tmp_path: Path) -> None:
        pair.take(3)
        extra = parse_signer(make_key(tmp_path / "extra").with_suffix(".pub").read_text())
        text = manifest(1, signers=extra.line())
        accept(pair.site, verify_manifest(pair.site, text, signing.sign(pair.office, text), allow_older=True))
        after = read_trust(pair.site)
        assert after.signer(extra.fingerprint) is None
        assert after.newest is not None
        assert after.newest.created == NOON + timedelta(days=3)
        refused(pair.site, *pair.pack(2))

    def test_the_same_one_may_be_taken_again(self, pair: Pair) -> None:
        pair.take(3)
        pair.take(3)


@pytest.mark.parametrize("name", ["allowed_signers", "revoked", "accepted.json"])
@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"{]", b"not what was written"])
def test_a_damaged_file_is_an_error_that_names_it(pair: Pair, name: str, content: bytes) -> None:
    pair.take()
    packed = pair.pack(1)
    path = pair.site.state / "carry" / name
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        verify_manifest(pair.site, *packed)
    assert str(path) in refusal.value.what
    assert path.read_bytes() == content


def test_a_cut_off_list_of_accepted_shipments_is_damaged(pair: Pair) -> None:
    pair.take()
    path = pair.site.state / "carry/accepted.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"accepted\.json"):
        verify_manifest(pair.site, *pair.pack(1))


def test_two_changes_at_once_lose_nothing(pair: Pair, tmp_path: Path) -> None:
    lines = [make_key(tmp_path / f"key{number}").with_suffix(".pub").read_text() for number in range(6)]
    words = [sys.executable, "-m", "core.cli", "--site", str(pair.site.root), "key", "trust"]
    running = [subprocess.Popen([*words, line.strip()], stdout=subprocess.DEVNULL, cwd=ROOT) for line in lines]
    assert [process.wait() for process in running] == [0] * len(lines)
    assert len(read_trust(pair.site).signers) == 1 + len(lines)


def test_every_file_is_replaced_in_one_step(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between any two steps leaves what was, or what is to be; taking it again completes it."""
    signing.begin_rotation(pair.office)
    pair.take(1)
    signing.finish_rotation(pair.office)
    packed = pair.pack(2)
    folder = trust_store.trust_folder(pair.site)
    shutil.copytree(folder, folder.with_name("before"))
    replace = os.replace
    for step in range(1, 4):
        calls = 0
        shutil.rmtree(folder)
        shutil.copytree(folder.with_name("before"), folder)

        def killed(source: object, target: object, step: int = step) -> None:
            nonlocal calls
            calls += 1
            if calls == step:
                raise KeyboardInterrupt
            replace(source, target)  # type: ignore[arg-type]

        verified = verify_manifest(pair.site, *packed)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                accept(pair.site, verified)
        assert read_trust(pair.site).signers
    accept(pair.site, verify_manifest(pair.site, *packed))
    assert [signer.fingerprint for signer in read_trust(pair.site).signers] == [signing.fingerprint(pair.office)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_is_believed(pair: Pair, data: st.DataObject) -> None:
    text = manifest()
    signature = sign_with(signing.signing_key(pair.office), text)
    where = data.draw(st.integers(0, len(text)), label="where")
    kind = data.draw(st.sampled_from(["change", "insert", "remove", "cut"]), label="kind")
    added = bytes([data.draw(st.integers(0, 255), label="byte")])
    rest = text[where + 1 :] if kind in ("change", "remove") else text[where:]
    changed = text[:where] if kind == "cut" else text[:where] + (b"" if kind == "remove" else added) + rest
    if changed != text:
        assert refused(pair.site, changed, signature).cause == "changed"
    else:
        assert isinstance(verify_manifest(pair.site, changed, signature).manifest, Manifest)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(signature=st.binary(max_size=600), wrapped=st.booleans())
def test_no_invented_signature_is_believed(pair: Pair, signature: bytes, wrapped: bool) -> None:
    if wrapped:
        signature = b"-----BEGIN SSH SIGNATURE-----\n" + signature + b"\n-----END SSH SIGNATURE-----\n"
    assert refused(pair.site, manifest(), signature).cause in ("damaged", "changed", "namespace")
