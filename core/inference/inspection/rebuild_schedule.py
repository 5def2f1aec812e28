"""Rebuilds memory banks by the schedules of their products, and the indexes with them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from core.api_schema import RebuildSchedule
from core.errors import XaivaError
from core.inference.inspection.products import ProductStore

logger = logging.getLogger(__name__)

CLOCK_SECONDS = 10.0
LATEST = timedelta(hours=1)  # after its time a rebuild that was missed is left out
STOP_SECONDS = 1.0

StartRebuilds = Callable[[str, str], None]
"""Starts the rebuilds of a product and of the time given in UTC; a repetition for that time starts nothing."""


class RebuildTimer:
    """A thread that starts each rebuild once per slot, also if the service was down at that time for a while."""

    def __init__(self, products: ProductStore, start: StartRebuilds, zone: ZoneInfo) -> None:
        self._products = products
        self._start_rebuilds = start
        self._zone = zone
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._refused: dict[str, datetime] = {}  # slots whose start was refused: logged once

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="rebuild-timer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def run_once(self, now: datetime) -> list[str]:
        """Start what is due; returns the products. Raises DatabaseError."""
        started = []
        for product, stored in self._products.stored().items():
            if stored.settings.rebuild is None:
                continue
            slot = newest_slot(stored.settings.rebuild, now, self._zone)
            if slot is None or slot <= stored.rebuilt:
                continue
            if now - slot >= LATEST:
                self._products.mark_rebuilt(product, slot)
                logger.warning("the rebuild of %s at %s is left out: its time is long past", product, slot)
                continue
            try:
                self._start_rebuilds(product, f"{slot:%Y-%m-%dT%H:%M:%SZ}")
            except XaivaError as error:  # such as a rebuild that is running: it may have begun before the slot
                if self._refused.get(product) != slot:
                    logger.warning("the rebuild of %s at %s is tried again: %s", product, slot, error.summary)
                self._refused[product] = slot
                continue
            self._products.mark_rebuilt(product, slot)  # after a crash before this, a repetition starts nothing
            started.append(product)
        return started

    def _run(self) -> None:
        while not self._stopping.wait(CLOCK_SECONDS):
            try:
                self.run_once(datetime.now(timezone.utc))
            except XaivaError as error:
                logger.warning("the schedules of rebuilds wait: %s", error.summary)
            except Exception:
                logger.exception("the schedules of rebuilds failed")


def newest_slot(schedule: RebuildSchedule, now: datetime, zone: ZoneInfo) -> datetime | None:
    """The newest time of the schedule that is not after `now`, in UTC; None within the last week without any.

    A local time that occurs twice, at the end of summer time, is the first of the two; one that summer time leaves out
    is an hour later.
    """
    today = now.astimezone(zone).date()
    for days in range(8):
        day = today - timedelta(days=days)
        slot = datetime.combine(day, schedule.at, zone).astimezone(timezone.utc)
        if day.weekday() in schedule.days and slot <= now:
            return slot
    return None
