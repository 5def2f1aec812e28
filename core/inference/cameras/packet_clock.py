"""When each packet of a camera was made, on our clock: by its time stamps as long as they agree with arrival."""

from __future__ import annotations

DEVIATION = 0.1  # seconds between stamps and arrival that are a network's delays
PATIENCE = 0.5  # seconds of being late that are a network's, too: a delayed packet is followed by the others at once
GAIN = 0.2  # of a deviation, corrected with each packet: seen as a slightly changed speed
LONGEST_LAG = 2.0  # seconds; more is corrected at once: nothing came for so long
SETTLING = 1.0  # seconds after the first packet in which what lay in buffers comes
AT_ONCE = 0.03  # seconds between two packets out of a buffer
LONGEST_STEP = 1.0  # seconds between the stamps of two such packets, or that a stamp may lie behind
FAST, SLOW, UNSURE = 1.5, 0.5, 0.02  # a step is believed within these shares of what arrival says, and seconds over it
MEAN_OF = 64  # packets of which the usual distance is a mean: more than a network holds back


class PacketClock:
    """One connection's packets, in the order in which they came.

    Arrival counts in the long run, stamps from one packet to the next: a network bunches packets, and a clip must not.
    `usual` is the distance of two packets that the stream tells, `stamped` whether its format has a clock at all.
    Without stamps, or where they stand still, jump or run wrong, packets follow each other at their usual distance.
    """

    def __init__(self, usual: float, stamped: bool) -> None:
        self._nominal = self._usual = usual
        self._stamped = stamped
        self._count = 0
        self._began = self._arrived = self._at = self._lead = 0.0
        self._stamp: float | None = None  # where the camera's clock should stand
        self._late_since: float | None = None

    def at(self, stamp: float | None, arrived: float) -> float:
        """The monotonic time of a packet with that stamp (its decoding time, seconds) and arrival; it only grows."""
        if not self._count:
            self._began, self._at, self._stamp = arrived, arrived, stamp
        else:
            gap = arrived - self._arrived
            self._usual += (gap - self._usual) / min(self._count, MEAN_OF)
            step = self._step(stamp, gap, buffered=gap < AT_ONCE and arrived - self._began < SETTLING)
            self._at += max(step + self._correction(arrived, self._at + step), min(step, self._usual) / 2)
        self._count += 1
        self._arrived = arrived
        return self._at

    def _step(self, stamp: float | None, gap: float, *, buffered: bool) -> float:
        if not self._stamped:
            return self._usual
        before, self._stamp = self._stamp, stamp
        if stamp is None or before is None:  # the first ones of an RTSP connection have none
            step = believed = self._nominal
        else:
            step = stamp - before
            fits = SLOW * min(gap, self._usual) <= step <= FAST * max(gap, self._usual) + UNSURE
            believed = step if fits and step > 0 else self._usual
        if buffered and 0 < step < LONGEST_STEP:
            self._lead -= step - gap
            return step
        if before is not None and -LONGEST_STEP < step <= 0:
            self._stamp = before + believed  # it stands still, and may catch up
        return believed

    def _correction(self, arrived: float, at: float) -> float:
        """What brings the clock nearer to arrival, once they disagree by more than a network's delays."""
        late = arrived - at - self._lead
        if late < -DEVIATION:
            return GAIN * (late + DEVIATION)
        if late <= DEVIATION:
            self._late_since = None
            return 0.0
        if self._late_since is None:
            self._late_since = arrived
        if arrived - self._late_since < PATIENCE:
            return 0.0
        return late if late > LONGEST_LAG else GAIN * (late - DEVIATION)
