"""When each packet of a camera was made, on our clock: its time stamps count while they agree with arrival."""

from __future__ import annotations

TOLERATED_DEVIATION = 0.1  # seconds between stamps and arrival that are normal network delays
TOLERATED_LATENESS = 0.5  # seconds that are still the network: the packets after a delayed one follow at once
GAIN = 0.2  # share of a deviation that each packet corrects, visible as a slight change of speed
LONGEST_LAG = 2.0  # seconds; a longer lag is corrected at once, because nothing arrived for so long
SETTLING = 1.0  # seconds after the first packet in which buffered packets arrive
BURST_GAP = 0.03  # seconds between two buffered packets
LONGEST_STEP = 1.0  # seconds between the stamps of two such packets, or by which a stamp may be behind
# Accepted steps: shares of the gap between arrivals, plus seconds.
FASTEST_STEP, SLOWEST_STEP, STEP_TOLERANCE = 1.5, 0.5, 0.02
MEAN_PACKETS = 64  # for the mean of the usual gap: more packets than a network holds back
MEAN_PACKETS_RELEARNING = 4  # the same, after the mean proved wrong


class PacketClock:
    """Computes the times of one connection's packets, in the order of arrival.

    Arrival counts in the long run, time stamps from one packet to the next: a network bunches packets, and a clip must
    not. Without stamps, or where they stand still, jump or run wrong, packets follow at their usual gap. `usual` is
    the gap that the stream declares, in seconds; `stamped` says whether its format has time stamps.
    """

    def __init__(self, usual: float, stamped: bool) -> None:
        self._nominal = self._usual = usual
        self._stamped = stamped
        self._count = self._gaps = 0
        self._began = self._arrived = self._at = self._lead = self._late = 0.0
        self._stamp: float | None = None  # where the camera's clock should stand
        self._late_since: float | None = None

    def at(self, stamp: float | None, arrived: float) -> float:
        """The monotonic time of a packet, from its decoding time stamp (seconds) and arrival; it never decreases."""
        if not self._count:
            self._began, self._at, self._stamp = arrived, arrived, stamp
        else:
            gap = arrived - self._arrived
            buffered = self._stamped and gap < BURST_GAP and arrived - self._began < SETTLING
            if not buffered:
                self._measure(gap, arrived)
            step = self._step(stamp, gap, buffered=buffered)
            self._at += max(step + self._correction(arrived, self._at + step), min(step, self._usual) / 2)
        self._count += 1
        self._arrived = arrived
        return self._at

    def _measure(self, gap: float, arrived: float) -> None:
        """Learn the usual gap, faster while the learned one makes the clock run ahead or fall behind."""
        self._gaps += 1
        ahead = self._late < -TOLERATED_LATENESS and BURST_GAP < gap < self._usual
        behind = self._is_late_for(TOLERATED_LATENESS, arrived) and gap > self._usual
        self._usual += (gap - self._usual) / min(
            self._gaps, MEAN_PACKETS_RELEARNING if ahead or behind else MEAN_PACKETS
        )

    def _is_late_for(self, seconds: float, arrived: float) -> bool:
        return self._late_since is not None and arrived - self._late_since >= seconds

    def _step(self, stamp: float | None, gap: float, *, buffered: bool) -> float:
        if not self._stamped:
            return self._usual
        before, self._stamp = self._stamp, stamp
        if stamp is None or before is None:  # the first packets of an RTSP connection have none
            step = accepted = self._nominal
        else:
            step = stamp - before
            fits = SLOWEST_STEP * min(gap, self._usual) <= step <= FASTEST_STEP * max(gap, self._usual) + STEP_TOLERANCE
            accepted = step if fits and step > 0 else self._usual
        if buffered and 0 < step < LONGEST_STEP:
            self._lead -= step - gap
            return step
        if before is not None and -LONGEST_STEP < step <= 0:
            self._stamp = before + accepted  # the camera's clock stands still, and may catch up
        return accepted

    def _correction(self, arrived: float, at: float) -> float:
        """The correction towards arrival, once the two disagree by more than network delays."""
        before, late = self._late, arrived - at - self._lead
        self._late = late
        if late < -TOLERATED_DEVIATION:
            return GAIN * (late + TOLERATED_DEVIATION)
        if late <= TOLERATED_DEVIATION:
            self._late_since = None
            return 0.0
        delayed = late - before > TOLERATED_LATENESS > before  # however long it was slightly late
        if self._late_since is None or delayed:
            self._late_since = arrived
        if not self._is_late_for(TOLERATED_LATENESS, arrived):
            return 0.0
        return late if late > LONGEST_LAG else GAIN * (late - TOLERATED_DEVIATION)
