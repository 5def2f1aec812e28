"""Backoff after refused logins: one camera at a time tries a login, minutes apart, for all cameras of a recorder.

Cameras and recorders lock an account or everybody out after a few wrong logins, usually for half an hour. Refusals are
remembered over a restart of the service; only a changed login or a user's request makes an immediate attempt.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from core.files import read_regular, write_atomic
from core.inference.cameras.backoff import nth_delay
from core.inference.cameras.source_address import SourceAddress
from core.redaction import login_of

logger = logging.getLogger(__name__)

# Seconds after the first, second, … refusal. Cameras lock out after 3 to 7 wrong logins in half an hour or so: three
# follow in the first seven minutes, while somebody may correct the password, then one after ten and thirty minutes.
REFUSAL_DELAYS = (120.0, 300.0, 600.0, 1800.0)
TURN_SECONDS = 5.0  # seconds that one camera has to try an unproven login before the next one may


@dataclass
class _LoginState:
    """One login at one host. Times are monotonic."""

    refused: int = 0
    until: float = 0.0  # no attempt before this time
    turn_until: float = 0.0  # until then a camera is trying it
    known_good: bool = False


class LoginBackoff:
    """Thread-safe. `file` stores the refusals; it contains hashes in place of the logins."""

    def __init__(self, file: Path | None = None, delays: tuple[float, ...] = REFUSAL_DELAYS) -> None:
        self._file = file
        self._delays = delays
        self._lock = threading.Lock()
        self._salt = secrets.token_hex(16)
        self._logins: dict[str, _LoginState] = {}
        if file is not None:
            self._load(file)

    def wait(self, address: SourceAddress) -> tuple[float, bool]:
        """Seconds until this login may be tried, and whether that is because of a refusal; (0, False): try now.

        After the attempt, call `accepted`, `refused` or `inconclusive`.
        """
        key, now = self._key(address), time.monotonic()
        if key is None:
            return 0.0, False
        with self._lock:
            login = self._logins.setdefault(key, _LoginState())
            if login.known_good:
                return 0.0, False
            if now < login.until:
                return login.until - now, True
            if now < login.turn_until:
                return login.turn_until - now, False
            login.turn_until = now + TURN_SECONDS
            return 0.0, False

    def accepted(self, address: SourceAddress) -> None:
        """The camera accepted the login: no camera waits any more."""
        key = self._key(address)
        if key is not None:
            with self._lock:
                before = self._logins.get(key)
                self._logins[key] = _LoginState(known_good=True)
                if before is not None and before.refused:
                    self._save()

    def refused(self, address: SourceAddress) -> None:
        """The camera refused the login: all cameras with this login wait."""
        key, now = self._key(address), time.monotonic()
        if key is None:
            return
        with self._lock:
            login = self._logins.setdefault(key, _LoginState())
            if now >= login.until:  # two simultaneous attempts count once
                login.refused += 1
                login.until = now + nth_delay(self._delays, login.refused)
            login.known_good, login.turn_until = False, 0.0
            self._save()

    def inconclusive(self, address: SourceAddress) -> None:
        """The attempt failed for another reason: the next camera may try."""
        key = self._key(address)
        if key is not None:
            with self._lock:
                login = self._logins.setdefault(key, _LoginState())
                login.known_good, login.turn_until = False, 0.0

    def forget(self, address: SourceAddress) -> None:
        """A user asked for an attempt, or changed the source: try immediately."""
        key = self._key(address)
        if key is not None:
            with self._lock:
                self._logins.pop(key, None)
                self._save()

    def _key(self, address: SourceAddress) -> str | None:
        """A hash of host and login; None for an address without a login."""
        if not address.host or not (login := login_of(address.url)):
            return None
        return hashlib.sha256("\0".join((self._salt, _canonical_host(address.host), *login)).encode()).hexdigest()

    def _load(self, file: Path) -> None:
        try:
            stored = json.loads(read_regular(file))
            self._salt = str(stored["salt"])
            for key, (refused, until) in stored["refused"].items():
                # The system clock may have been changed: never wait longer than right after the refusal.
                left = min(float(until) - time.time(), nth_delay(self._delays, int(refused)))
                self._logins[str(key)] = _LoginState(int(refused), time.monotonic() + left)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("refused logins of the last run are forgotten: %s cannot be read: %s", file.name, error)

    def _save(self) -> None:
        if self._file is None:
            return
        epoch = time.time() - time.monotonic()  # Unix times mean something to the next run
        refused = {key: [login.refused, login.until + epoch] for key, login in self._logins.items() if login.refused}
        try:
            write_atomic(self._file, json.dumps({"salt": self._salt, "refused": refused}).encode())
        except OSError as error:
            logger.warning("refused logins are not kept over a restart: %s: %s", self._file.name, error)


def _canonical_host(host: str) -> str:
    """The same text for every spelling of a host."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host.rstrip(".")
