"""Reads whichever generation is current, and goes on with the last good one when that is damaged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.inference.generations import BrokenGeneration, GenerationFolder, Generations, Manifest

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
        self._token = ""  # what the pointer named when it was last followed
        self._retry_at = float("inf")
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the current generation does not answer, and which one does; empty when it does. As of `current`."""
        return self._trouble

    def current(self) -> ReadGeneration[T]:
        """The current generation, or the last good one. Raises NoGeneration, BrokenGeneration when there is none."""
        held = self._held
        if held is not None and self._is_followed():
            return held
        with self._lock:
            if self._held is None or not self._is_followed():
                self._follow()
            assert self._held is not None
            return self._held

    def _is_followed(self) -> bool:
        return self._generations.token() == self._token and time.monotonic() < self._retry_at

    def _follow(self) -> None:
        token = self._generations.token()
        try:
            self._held = self._load()
            self._trouble, self._retry_at = "", float("inf")
        except BrokenGeneration as error:
            self._held = self._held or self._earlier()
            if self._held is None:
                self._trouble = error.summary
                raise
            self._trouble = f"{error.summary}; generation {self._held.manifest.number} answers"
            self._retry_at = time.monotonic() + RETRY_SECONDS
        self._token = token

    def _load(self) -> ReadGeneration[T]:
        return self._generations.load(lambda folder: ReadGeneration(folder.manifest, self._read(folder)))

    def _earlier(self) -> ReadGeneration[T] | None:
        """The generation before the current one, from disk; None when it is damaged, too, or there is none."""
        name = self._generations.previous()
        if not name:
            return None
        try:
            folder = self._generations.open(name)
            folder.check()
            return ReadGeneration(folder.manifest, self._read(folder))
        except (BrokenGeneration, OSError):
            return None
