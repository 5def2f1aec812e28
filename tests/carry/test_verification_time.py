"""What a site believes while its clock says anything, and when keys stop to count."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from core.carry import signing, verification_time
from core.carry.signers import Signer
from core.carry.trust import verify_manifest
from core.carry.trust_store import add_signer
from tests.support.signing import (
    NOON,
    Pair,
    SetClock,
    pair,
    refused,
    set_clock,
)

__all__ = ["pair", "set_clock"]
ROOT = Path(__file__).parents[2]
YEARS_1970 = datetime(1970, 1, 1, tzinfo=timezone.utc)
YEARS_2001 = datetime(2001, 9, 9, tzinfo=timezone.utc)
YEARS_2046 = datetime(2046, 12, 1, tzinfo=timezone.utc)


class TestClocks:
    """A site's clock may say anything."""

    @pytest.mark.parametrize("clock", [YEARS_1970, YEARS_2001, YEARS_2046], ids=lambda value: str(value.year))
    def test_a_good_shipment_is_taken_and_the_difference_is_said(
        self, pair: Pair, set_clock: SetClock, clock: datetime
    ) -> None:
        set_clock(clock)
        (finding,) = verify_manifest(pair.site, *pair.pack()).findings
        assert finding.code == ("clock-ahead" if clock.year > 2026 else "clock-behind")
        assert f"it says {clock:%Y-%m-%d} 00:00 UTC" in finding.why
        assert "the date of this shipment is 2026-12-01 12:00 UTC" in finding.why
        pair.take()
        pair.take(1)

    def test_clocks_that_nearly_agree_say_nothing(self, pair: Pair, set_clock: SetClock) -> None:
        set_clock(NOON - timedelta(minutes=20))
        assert verify_manifest(pair.site, *pair.pack()).findings == []
        set_clock(NOON + timedelta(days=500))
        assert verify_manifest(pair.site, *pair.pack()).findings == []

    @pytest.mark.parametrize("clock", [YEARS_1970, YEARS_2001, NOON], ids=lambda value: str(value.year))
    def test_a_key_that_expired_before_the_shipment_was_made_isrefused(
        self, pair: Pair, set_clock: SetClock, clock: datetime
    ) -> None:
        text, signature = pair.pack(20)
        _limit(pair, NOON + timedelta(days=10))
        set_clock(clock)
        refusal = refused(pair.site, text, signature)
        assert refusal.cause == "expired"
        assert "(the office) counts until 2026-12-11 12:00 UTC" in refusal.why
        assert "it is 2026-12-21 12:00 UTC by the date of this shipment" in refusal.why

    def test_a_flat_battery_does_not_bring_an_expired_key_back(self, pair: Pair, set_clock: SetClock) -> None:
        text, signature = pair.pack()
        pair.take(20)
        _limit(pair, NOON + timedelta(days=10))
        set_clock(YEARS_1970)
        refusal = refused(pair.site, text, signature, allow_older=True)
        assert refusal.cause == "expired"
        assert "by the date of the accepted shipment 20261221-120000-abcdef" in refusal.why

    def test_the_release_itself_has_a_date(self, pair: Pair, set_clock: SetClock) -> None:
        text, signature = pair.pack()
        _limit(pair, verification_time.RELEASED - timedelta(seconds=1))
        set_clock(YEARS_1970)
        refusal = refused(pair.site, text, signature)
        assert "by the date of this xaiva's release" in refusal.why

    def test_a_key_expires_by_the_clock_and_a_clock_far_ahead_is_named(self, pair: Pair, set_clock: SetClock) -> None:
        text, signature = pair.pack()
        _limit(pair, NOON + timedelta(days=10))
        set_clock(NOON + timedelta(days=11))
        refusal = refused(pair.site, text, signature)
        assert refusal.cause == "expired"
        assert "date -s" not in refusal.remedy
        set_clock(YEARS_2046)
        refusal = refused(pair.site, text, signature)
        assert "it is 2046-12-01 00:00 UTC by this machine's clock" in refusal.why
        assert refusal.remedy.startswith("if the clock is wrong, set it: date -s")

    def test_a_key_does_not_count_before_its_time(self, pair: Pair) -> None:
        text, signature = pair.pack()
        signer = signing.public_key(pair.office)
        add_signer(pair.site, Signer(signer.key_type, signer.key, valid_after=NOON + timedelta(days=1)))
        refusal = refused(pair.site, text, signature)
        assert "counts from 2026-12-02 12:00 UTC" in refusal.why

    def test_a_key_that_is_younger_than_the_clock_counts_for_younger_shipments(
        self, pair: Pair, set_clock: SetClock
    ) -> None:
        signer = signing.public_key(pair.office)
        add_signer(pair.site, Signer(signer.key_type, signer.key, valid_after=NOON - timedelta(days=1)))
        set_clock(YEARS_1970)
        assert verify_manifest(pair.site, *pair.pack()).signer.fingerprint == signer.fingerprint

    def test_the_zone_of_the_machine_does_not_matter(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        text, signature = pair.pack()
        _limit(pair, NOON + timedelta(hours=1))
        for zone in ("Asia/Seoul", "America/Los_Angeles", "UTC"):
            monkeypatch.setenv("TZ", zone)
            assert verify_manifest(pair.site, text, signature)
        _limit(pair, NOON - timedelta(hours=1))
        for zone in ("Asia/Seoul", "America/Los_Angeles", "UTC"):
            monkeypatch.setenv("TZ", zone)
            assert refused(pair.site, text, signature).cause == "expired"

    def test_the_release_is_not_older_than_the_newest_one_in_the_change_log(self) -> None:
        dates = re.findall(r"^## \d+\.\d+\.\d+ - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
        assert f"{verification_time.RELEASED:%Y-%m-%d}" == max(dates)


def _limit(pair: Pair, moment: datetime) -> None:
    """At the site the office's key counts until then."""
    signer = signing.public_key(pair.office)
    add_signer(pair.site, Signer(signer.key_type, signer.key, signer.comment, valid_before=moment))
