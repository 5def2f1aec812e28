"""Password hashing: argon2id, a few at a time, and equally slow for a name that does not exist."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.inference.bulkhead import Bulkhead

Result = TypeVar("Result")

AT_ONCE = 2  # each takes 64 MiB and a core for some tenths of a second
NICENESS = 10  # of their threads, so that a flood of logins only takes what the cameras leave
MAX_WAITING = 32  # further ones are refused

# RFC 9106, section 4, second recommendation, with one lane: a hash keeps one core busy, not four.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)


class Passwords:
    """Hashes and verifies passwords; `submit` bounds how many at a time."""

    def __init__(self) -> None:
        self._bulkhead = Bulkhead("Logins", AT_ONCE, MAX_WAITING, niceness=NICENESS)
        self._dummy_hash = _HASHER.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The hash to store; it includes salt and cost."""
        return _HASHER.hash(password)

    def verify(self, password: str, stored_hash: str | None) -> bool:
        """Whether `password` matches. None, for a user that does not exist, takes as long and returns False."""
        try:
            return _HASHER.verify(stored_hash or self._dummy_hash, password) and stored_hash is not None
        except (VerificationError, InvalidHashError):
            return False

    def needs_rehash(self, stored_hash: str) -> bool:
        """Whether it was hashed at a cost other than the current one."""
        return _HASHER.check_needs_rehash(stored_hash)

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Run `work`, which hashes or verifies, when its turn comes. Raises TooManyRequests when the queue is full."""
        return self._bulkhead.submit(work)
