"""Keys come and go: with shipments, by the paper, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.carry import signing, trust_store
from core.carry.signers import parse_signer
from core.carry.trust import ShipmentRefused, accept, first_trust, verify_manifest
from core.carry.trust_store import add_signer, read_trust, revoke_signer
from core.errors import InputError
from core.site import Site
from tests.support.signing import (
    Pair,
    make_key,
    manifest,
    new_site,
    pair,
    refused,
    set_clock,
    sign_with,
)

__all__ = ["pair", "set_clock"]


class TestKeysInManifests:
    """Keys come and go with shipments."""

    def test_the_walk_of_a_rotation(self, pair: Pair) -> None:
        old = signing.fingerprint(pair.office)
        signing.begin_rotation(pair.office)
        pair.take(1)  # signed by the old key, brings the new one
        signing.finish_rotation(pair.office)
        new = signing.fingerprint(pair.office)
        pair.take(2)  # signed by the new key, drops the old one
        after = read_trust(pair.site)
        assert [signer.fingerprint for signer in after.signers] == [new]
        assert "by shipment 20261203-120000-abcdef" in after.revoked[old]

    def test_a_site_that_missed_it_trusts_the_new_key_by_the_paper(self, pair: Pair) -> None:
        signing.begin_rotation(pair.office)
        signing.finish_rotation(pair.office)
        text, signature = pair.pack(2)
        assert refused(pair.site, text, signature).cause == "unknown"
        first_trust(pair.site, text, signature, signing.fingerprint(pair.office))
        accept(pair.site, verify_manifest(pair.site, text, signature))
        assert len(read_trust(pair.site).signers) == 1

    def test_what_a_revoked_key_signed_isrefused(self, pair: Pair) -> None:
        text, signature = pair.pack()
        signing.begin_rotation(pair.office)
        pair.take(1)
        revoke_signer(pair.site, signing.fingerprint(pair.office))
        refusal = refused(pair.site, text, signature, allow_older=True)
        assert refusal.cause == "revoked"
        assert "by hand" in refusal.why

    def test_a_revoked_key_is_refused_even_if_it_stands_in_the_list(self, pair: Pair) -> None:
        text, signature = pair.pack()
        trust_store.write_revoked(pair.site, {}, [signing.fingerprint(pair.office)], "it was stolen")
        assert refused(pair.site, text, signature).cause == "revoked"

    def test_no_shipment_brings_a_revoked_key_back(self, pair: Pair, tmp_path: Path) -> None:
        extra = parse_signer(make_key(tmp_path / "extra").with_suffix(".pub").read_text())
        add_signer(pair.site, extra)
        revoke_signer(pair.site, extra.fingerprint)
        text = manifest(signers=extra.line())
        verified = verify_manifest(pair.site, text, signing.sign(pair.office, text))
        (finding,) = verified.findings
        assert (finding.code, extra.fingerprint in finding.what) == ("signer-revoked", True)
        accept(pair.site, verified)
        assert read_trust(pair.site).signer(extra.fingerprint) is None
        with pytest.raises(InputError, match="it was revoked"):
            add_signer(pair.site, extra)
        text = manifest(2)
        with pytest.raises(InputError, match="it was revoked"):
            first_trust(pair.site, text, sign_with(tmp_path / "extra", text), extra.fingerprint)

    def test_the_last_key_cannot_be_lost_by_a_shipment_or_by_hand(self, pair: Pair) -> None:
        own = signing.fingerprint(pair.office)
        text = manifest(1, revoked=[own])
        refusal = refused(pair.site, text, signing.sign(pair.office, text))
        assert "it revokes every key" in refusal.why
        with pytest.raises(InputError, match="the only key"):
            revoke_signer(pair.site, own)

    def test_a_key_of_a_shipment_counts_for_shipments_alone(self, pair: Pair, tmp_path: Path) -> None:
        extra = parse_signer(make_key(tmp_path / "extra").with_suffix(".pub").read_text())
        line = f'* namespaces="git",valid-before="20300101Z" {extra.public_line}'
        text = manifest(signers=f"# two keys\n{line}\nssh-rsa AAAA old\n")
        verified = verify_manifest(pair.site, text, signing.sign(pair.office, text))
        assert [finding.code for finding in verified.findings] == ["signer-unreadable"]
        accept(pair.site, verified)
        taken = read_trust(pair.site).signer(extra.fingerprint)
        assert taken is not None
        assert taken.line().startswith('office namespaces="carry@xaiva",valid-before="20300101000000Z" ')

    def test_a_fingerprint_that_cannot_be_read_revokes_nothing_and_isrefused(self, pair: Pair) -> None:
        text = manifest(1, revoked=["SHA256:short"])
        assert refused(pair.site, text, signing.sign(pair.office, text)).cause == "damaged"


class TestFirstTrust:
    """A site that trusts nobody yet."""

    @pytest.fixture
    def fresh(self, tmp_path: Path, pair: Pair) -> Site:
        return new_site(tmp_path / "fresh")

    def test_without_a_fingerprint_it_shows_the_one_to_compare(self, pair: Pair, fresh: Site) -> None:
        text, signature = pair.pack()
        own = signing.fingerprint(pair.office)
        for refusal in (refused(fresh, text, signature), _not_trusted(fresh, text, signature, "")):
            assert refusal.fingerprint == own
            assert f"compare {own} with the paper" in refusal.remedy
        assert not fresh.state.exists()

    def test_with_the_fingerprint_from_the_paper_it_trusts_the_key(self, pair: Pair, fresh: Site) -> None:
        text, signature = pair.pack()
        own = signing.fingerprint(pair.office)
        blocks = own.removeprefix("SHA256:")
        first_trust(fresh, text, signature, f"sha256: {blocks[:4]} {blocks[4:]}")
        accept(fresh, verify_manifest(fresh, text, signature))
        (signer,) = read_trust(fresh).signers
        assert (signer.fingerprint, signer.comment) == (own, "the office")

    def test_another_fingerprint_isrefused(self, pair: Pair, fresh: Site, tmp_path: Path) -> None:
        text, _ = pair.pack()
        stranger = make_key(tmp_path / "stranger")
        refusal = _not_trusted(fresh, text, sign_with(stranger, text), signing.fingerprint(pair.office))
        assert f", and not {signing.fingerprint(pair.office)}" in refusal.why
        assert not fresh.state.exists()

    def test_a_changed_text_is_refused_whatever_the_paper_says(self, pair: Pair, fresh: Site) -> None:
        text, signature = pair.pack()
        refusal = _not_trusted(fresh, text + b" ", signature, signing.fingerprint(pair.office))
        assert refusal.cause == "changed"


def _not_trusted(site: Site, text: bytes, signature: bytes, fingerprint: str) -> ShipmentRefused:
    with pytest.raises(ShipmentRefused) as refusal:
        first_trust(site, text, signature, fingerprint)
    return refusal.value
