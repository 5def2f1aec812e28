"""Reads whichever generation is current, and goes on with the last good one when that is damaged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import XaivaError
from core.inference.generations import BrokenGeneration, GenerationFolder, Generations, Manifest, NoGeneration, Pointer

logger = logging.getLogger(__name__)

RETRY_SECONDS = 30.0  # after which a refused generation is looked at again: its disk may be back

T = TypeVar("T")


@dataclass(frozen=True)
class ReadGeneration(Generic[T]):
    """A generation in memory. Hold it for the whole of a query, so that all of its answers are of one generation."""

    manifest: Manifest
    content: T


class GenerationReader(Generic[T]):
    """Keeps one generation in memory, and reads the next one once the pointer has moved. Thread-safe.

    `read` makes the content from a generation whose files have been checked; it raises BrokenGeneration for content
    that cannot be used.
    """

    def __init__(self, generations: Generations, read: Callable[[GenerationFolder], T]) -> None:
        self._generations = generations
        self._read = read
        self._lock = threading.Lock()
        self._held: ReadGeneration[T] | None = None
        self._failure: XaivaError | None = None
        self._pointer: Pointer | None = None  # as it was when it was last followed
        self._retry_at = float("inf")
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the current generation does not answer, and which one does; empty when it does. As of `current`."""
        return self._trouble

    def current(self) -> ReadGeneration[T]:
        """The current generation, or the last good one. Raises NoGeneration, BrokenGeneration when there is none.

        While one thread reads a new generation, the others get the one before it and do not wait.
        """
        if not self._is_followed() and self._lock.acquire(blocking=self._held is None):
            try:
                if not self._is_followed():
                    self._follow()
            finally:
                self._lock.release()
        held, failure = self._held, self._failure
        if held is None:
            assert failure is not None
            raise type(failure)(failure.what, failure.why, failure.remedy)
        return held

    def _is_followed(self) -> bool:
        return self._generations.pointer() == self._pointer and time.monotonic() < self._retry_at

    def _follow(self) -> None:
        """Read what the pointer names; keep what is in memory when that is damaged, or the pointer is gone."""
        pointer = self._generations.pointer()
        token = pointer.name
        try:
            self._held, self._failure = self._load(), None
        except (BrokenGeneration, NoGeneration) as error:
            self._held = self._held or self._another(token)
            self._failure = error
        trouble, before = self._describe_trouble(token), self._trouble
        if trouble and trouble != before:
            logger.error("%s", trouble)
        self._trouble = trouble
        self._retry_at = time.monotonic() + RETRY_SECONDS if self._trouble else float("inf")
        self._pointer = pointer

    def _describe_trouble(self, token: str) -> str:
        if self._failure is None or (self._held is None and not token):
            return ""  # nothing was built yet
        instead = f"generation {self._held.manifest.number} answers" if self._held else "nothing answers"
        return f"{self._failure.summary}; {instead}"

    def _load(self) -> ReadGeneration[T]:
        return self._generations.load(lambda folder: ReadGeneration(folder.manifest, self._read(folder)))

    def _another(self, refused: str) -> ReadGeneration[T] | None:
        """The good generation before the refused one, else any good one, from disk; None when there is none."""
        if not refused:
            return None  # none was published
        limit = int(refused) if refused.isdecimal() else float("inf")
        numbers = {int(name): name for name in self._generations.names() if name != refused}
        for number in sorted(numbers, key=lambda number: (number < limit, number), reverse=True):
            name = numbers[number]
            try:
                folder = self._generations.open(name)
                folder.check()
                return ReadGeneration(folder.manifest, self._read(folder))
            except (BrokenGeneration, OSError) as error:
                logger.error("%s is refused, too: %s", self._generations.folder / name, error)
        return None
