"""Wrong logins: tried minutes apart, by one camera at a time, however many cameras a recorder has.

A camera or recorder locks an account, or everybody, out after a few wrong logins, mostly for half an hour. What was
refused is remembered over a restart of the service; only a change of the login and a person make it tried at once.
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
from core.inference.cameras.address import Address
from core.inference.cameras.backoff import nth
from core.redaction import login_of

logger = logging.getLogger(__name__)

# Seconds after the first, second, … refusal. Makers lock out after 3 to 7 wrong logins within half an hour or so: three
# come in the first seven minutes, in which somebody may set the password right, then one in ten and in thirty minutes.
WAITS = (120.0, 300.0, 600.0, 1800.0)
TURN = 5.0  # seconds that one camera has to try a login that is not known to be right before the next one may


@dataclass
class _Login:
    """One user at one host. Times are monotonic: the machine's clock may be set at any moment."""

    refused: int = 0
    until: float = 0.0  # no attempt before, after a refusal
    turn: float = 0.0  # somebody tries it till then
    right: bool = False


class Logins:
    """Every method may be called from any thread. `file` keeps what was refused; hashes stand there for the logins."""

    def __init__(self, file: Path | None = None, waits: tuple[float, ...] = WAITS) -> None:
        self._file = file
        self._waits = waits
        self._lock = threading.Lock()
        self._salt = secrets.token_hex(16)
        self._logins: dict[str, _Login] = {}
        if file is not None:
            self._load(file)

    def wait(self, address: Address) -> tuple[float, bool]:
        """Seconds until this login may be tried, and whether that is because it was refused; (0, False): go on.

        Who may go on says what came of it: `accepted`, `refused` or `unknown`.
        """
        key, now = self._key(address), time.monotonic()
        if key is None:
            return 0.0, False
        with self._lock:
            login = self._logins.setdefault(key, _Login())
            if login.right:
                return 0.0, False
            if now < login.until:
                return login.until - now, True
            if now < login.turn:
                return login.turn - now, False
            login.turn = now + TURN
            return 0.0, False

    def accepted(self, address: Address) -> None:
        """The camera let us in: nobody waits any more."""
        key = self._key(address)
        if key is not None:
            with self._lock:
                before = self._logins.get(key)
                self._logins[key] = _Login(right=True)
                if before is not None and before.refused:
                    self._save()

    def refused(self, address: Address) -> None:
        """The camera refused it."""
        key, now = self._key(address), time.monotonic()
        if key is None:
            return
        with self._lock:
            login = self._logins.setdefault(key, _Login())
            if now >= login.until:  # two that tried at the same time are one step
                login.refused += 1
                login.until = now + nth(self._waits, login.refused)
            login.right, login.turn = False, 0.0
            self._save()

    def unknown(self, address: Address) -> None:
        """Something else went wrong: the next one may try."""
        key = self._key(address)
        if key is not None:
            with self._lock:
                login = self._logins.setdefault(key, _Login())
                login.right, login.turn = False, 0.0

    def forget(self, address: Address) -> None:
        """Somebody asked for an attempt, or set the source: try at once."""
        key = self._key(address)
        if key is not None:
            with self._lock:
                self._logins.pop(key, None)
                self._save()

    def _key(self, address: Address) -> str | None:
        """The host with what it is logged in with, as a hash; None for what has no login."""
        if not address.host or not (login := login_of(address.url)):
            return None
        return hashlib.sha256("\0".join((self._salt, _plain(address.host), *login)).encode()).hexdigest()

    def _load(self, file: Path) -> None:
        try:
            kept = json.loads(read_regular(file))
            self._salt = str(kept["salt"])
            for key, (refused, until) in kept["refused"].items():
                # The clock may have been set since: it is waited no longer than after the refusal.
                left = min(float(until) - time.time(), nth(self._waits, int(refused)))
                self._logins[str(key)] = _Login(int(refused), time.monotonic() + left)
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


def _plain(host: str) -> str:
    """A host, however it is written."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host.rstrip(".")
