"""When each packet of a camera was made, on our clock: by its time stamps as long as they agree with arrival."""

from __future__ import annotations

TOLERATED_DEVIATION = 0.1  # seconds between stamps and arrival that are a network's delays
TOLERATED_LATENESS = (
    0.5  # seconds of being late that are a network's, too: a delayed packet is followed by the others at once
)
GAIN = 0.2  # of a deviation, corrected with each packet: seen as a slightly changed speed
LONGEST_LAG = 2.0  # seconds; more is corrected at once: nothing came for so long
SETTLING = 1.0  # seconds after the first packet in which what lay in buffers comes
BURST_GAP = 0.03  # seconds between two packets out of a buffer
LONGEST_STEP = 1.0  # seconds between the stamps of two such packets, or that a stamp may lie behind
FASTEST_STEP, SLOWEST_STEP, STEP_TOLERANCE = (
    1.5,
    0.5,
    0.02,
)  # a step is believed within these shares of what arrival says, and seconds over it
MEAN_PACKETS = 64  # packets of which the usual distance is a mean: more than a network holds back
MEAN_PACKETS_RELEARNING = 4  # the same, once the mean proves wrong


class PacketClock:
    """One connection's packets, in the order in which they came.

    Arrival counts in the long run, stamps from one packet to the next: a network bunches packets, and a clip must not.
    `usual` is the distance of two packets that the stream tells, `stamped` whether its format has a clock at all.
    Without stamps, or where they stand still, jump or run wrong, packets follow each other at their usual distance.
    """

    def __init__(self, usual: float, stamped: bool) -> None:
        self._nominal = self._usual = usual
        self._stamped = stamped
        self._count = self._gaps = 0
        self._began = self._arrived = self._at = self._lead = self._late = 0.0
        self._stamp: float | None = None  # where the camera's clock should stand
        self._late_since: float | None = None

    def at(self, stamp: float | None, arrived: float) -> float:
        """The monotonic time of a packet with that stamp (its decoding time, seconds) and arrival; it only grows."""
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
        """Learn the usual distance, and quickly where what was learned makes the clock run ahead or fall behind."""
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
        if stamp is None or before is None:  # the first ones of an RTSP connection have none
            step = accepted = self._nominal
        else:
            step = stamp - before
            fits = SLOWEST_STEP * min(gap, self._usual) <= step <= FASTEST_STEP * max(gap, self._usual) + STEP_TOLERANCE
            accepted = step if fits and step > 0 else self._usual
        if buffered and 0 < step < LONGEST_STEP:
            self._lead -= step - gap
            return step
        if before is not None and -LONGEST_STEP < step <= 0:
            self._stamp = before + accepted  # it stands still, and may catch up
        return accepted

    def _correction(self, arrived: float, at: float) -> float:
        """What brings the clock nearer to arrival, once they disagree by more than a network's delays."""
        before, late = self._late, arrived - at - self._lead
        self._late = late
        if late < -TOLERATED_DEVIATION:
            return GAIN * (late + TOLERATED_DEVIATION)
        if late <= TOLERATED_DEVIATION:
            self._late_since = None
            return 0.0
        delayed = late - before > TOLERATED_LATENESS > before  # however long it was a little late
        if self._late_since is None or delayed:
            self._late_since = arrived
        if not self._is_late_for(TOLERATED_LATENESS, arrived):
            return 0.0
        return late if late > LONGEST_LAG else GAIN * (late - TOLERATED_DEVIATION)
