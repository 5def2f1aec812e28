"""The time at which a signature is checked, on a machine whose clock may be wrong.

A flat battery puts the clock to 1970, and then every key would be one that does not count yet, or an expired key would
count again. So the time is the latest of four: the clock, the date of this release, the newest shipment that the site
has accepted, and the shipment's own date once its signature was found good.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from core.carry.trust_store import AcceptedShipment
from core.findings import Finding

RELEASED = datetime(2026, 11, 21, tzinfo=timezone.utc)
"""The date of this release, or of the one before while the next is made: its newest heading in CHANGELOG.md."""
NOTICED = timedelta(hours=1)  # clocks of two machines differ by less
FAR_AHEAD = timedelta(days=3 * 365)
_SET_CLOCK = "if this machine's clock is wrong, set it: date -s 'YYYY-MM-DD HH:MM:SS', then hwclock --systohc"


def now() -> datetime:
    """This machine's clock, right or wrong."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class VerificationTime:
    """The time that signatures are checked at, and where it is from."""

    moment: datetime
    origin: str
    system: datetime
    """What this machine's clock said."""
    evidence: datetime
    """The latest of the other dates."""
    evidence_origin: str

    @property
    def clock_far_ahead(self) -> bool:
        """Whether the clock is years after everything else that has a date."""
        return self.system - self.evidence > FAR_AHEAD

    def findings(self) -> list[Finding]:
        """How the clock differs from the other dates, with both; none when it agrees with them."""
        clock = f"it says {format_moment(self.system)}"
        other = f"{self.evidence_origin} is {format_moment(self.evidence)}"
        if self.evidence - self.system > NOTICED:
            why = f"{clock}, and {other}; the signature was checked for the later date"
            what = f"This machine's clock is behind {self.evidence_origin}"
            return [Finding.warning("clock-behind", what, why, _SET_CLOCK)]
        if self.clock_far_ahead:
            why = f"{clock}, and {other}; a key with an end date may count as expired here"
            return [Finding.warning("clock-ahead", "This machine's clock may be years ahead", why, _SET_CLOCK)]
        return []


def verification_time(newest: AcceptedShipment | None, created: datetime | None = None) -> VerificationTime:
    """The latest of all dates. `created` is the shipment's own, once its text is known to be genuine."""
    system = now()
    dates = [(RELEASED, "the date of this xaiva's release")]
    if newest is not None:
        dates.append((newest.created, f"the date of the accepted shipment {newest.shipment}"))
    if created is not None:
        dates.append((created, "the date of this shipment"))
    evidence, origin = max(dates, key=lambda date: date[0])
    if system >= evidence:
        return VerificationTime(system, "this machine's clock", system, evidence, origin)
    return VerificationTime(evidence, origin, system, evidence, origin)


def format_moment(moment: datetime) -> str:
    """A date for people: `2026-11-30 12:00 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
