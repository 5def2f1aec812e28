"""Keys that are trusted to sign shipments, and the lines of an allowed-signers file in which they are written.

xaiva reads such a line from people, files and manifests, and writes its own: every key has the same principal, because
who signed is not known before, and is good for shipments alone.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from core.errors import InputError
from core.terminal_text import escape_invisible, strip_controls

NAMESPACE = "carry@xaiva"  # of the signatures: a key that also signs commits vouches for no shipment by that
PRINCIPAL = "office"
KEY_TYPES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com")  # the second lives in a security key
_OPTION = re.compile(r'([a-z-]+)(?:=(?:"([^"]*)"|([^",\s]+)))?(?:,|$)')
_KEY_TYPE = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+")
_FINGERPRINT = re.compile("(?:SHA256:)?([A-Za-z0-9+/]{43})=?", re.IGNORECASE)
_TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by the number of digits
_MAX_COMMENT = 200
_MAX_LINE = 4000


@dataclass(frozen=True)
class Signer:
    """A public key, and when its signatures count."""

    key_type: str
    key: str
    """The key itself in base64, as in a `.pub` file."""
    comment: str = ""
    valid_after: datetime | None = None
    valid_before: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` shows it."""
        return key_fingerprint(base64.b64decode(self.key))

    @property
    def public_line(self) -> str:
        """Type, key and comment, as in a `.pub` file."""
        return f"{self.key_type} {self.key} {self.comment}".rstrip()

    def line(self, *, utc_mark: str = "Z") -> str:
        """The line of an allowed-signers file. OpenSSH before 9.1 knows no `Z`: it gets UTC by its environment."""
        options = [f'namespaces="{NAMESPACE}"']
        for name, moment in (("valid-after", self.valid_after), ("valid-before", self.valid_before)):
            if moment is not None:
                options.append(f'{name}="{moment:%Y%m%d%H%M%S}{utc_mark}"')
        return f"{PRINCIPAL} {','.join(options)} {self.public_line}"

    def is_valid_at(self, moment: datetime) -> bool:
        """Whether its signatures count at that time."""
        early = self.valid_after is not None and moment < self.valid_after
        return not early and (self.valid_before is None or moment <= self.valid_before)


def key_fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key in its binary form."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def normal_fingerprint(text: str) -> str:
    """`SHA256:…` from what a person typed: blanks, the prefix in another case or left out. Raises InputError."""
    match = _FINGERPRINT.fullmatch("".join(text.split()))
    if match is None:
        why = f"{text[:100]} is not the fingerprint of a key"
        raise InputError("Fingerprint", why, "type it as on the paper: SHA256: and 43 letters and digits after it")
    return f"SHA256:{match[1]}"


def parse_signer(line: str) -> Signer:
    """One line: of an allowed-signers file, or a public key alone as in a `.pub` file. Raises InputError."""
    if len(line) > _MAX_LINE:
        raise _wrong(line, "it is too long")
    words = line.split()
    position = next((number for number, word in enumerate(words) if _KEY_TYPE.fullmatch(word)), None)
    if position is None or len(words) < position + 2:
        raise _wrong(line, "there is no public key in it")
    if words[position] not in KEY_TYPES:
        raise _wrong(line, f"its key is of type {words[position]}, and shipments are signed with Ed25519 keys")
    options = _options(line, " ".join(words[1:position]))
    if "cert-authority" in options:
        raise _wrong(line, "it names an authority, and xaiva trusts single keys")
    comment = escape_invisible(strip_controls(" ".join(words[position + 2 :])))[:_MAX_COMMENT]
    return Signer(
        words[position],
        _checked_key(line, words[position], words[position + 1]),
        comment,
        _moment(line, options.get("valid-after", "")),
        _moment(line, options.get("valid-before", "")),
    )


def parse_signers(text: str) -> list[Signer]:
    """All lines of an allowed-signers file, without comments. Raises InputError with the number of the wrong one."""
    signers: dict[str, Signer] = {}
    for number, line in signer_lines(text):
        try:
            signer = parse_signer(line)
        except InputError as error:
            raise InputError(f"line {number}", error.why, error.remedy) from error
        if signer.fingerprint in signers:
            raise InputError(f"line {number}", f"{signer.fingerprint} is listed twice", "remove one of the two lines")
        signers[signer.fingerprint] = signer
    return list(signers.values())


def signer_lines(text: str) -> Iterable[tuple[int, str]]:
    """The lines that are neither empty nor comments, with their numbers."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def parse_date(text: str) -> datetime:
    """A day or a time that a person wrote: `2027-01-31`, `2027-01-31 12:00`; UTC. Raises InputError."""
    digits = re.sub("[-:T ]", "", text.strip().removesuffix("Z"))
    if digits.isdecimal() and len(digits) in _TIMES:
        with contextlib.suppress(ValueError):
            return datetime.strptime(digits, _TIMES[len(digits)]).replace(tzinfo=timezone.utc)
    raise InputError(f"Date {text[:40]}", "it is not a date", "write it as 2027-01-31 or 2027-01-31 12:00, in UTC")


def _options(line: str, text: str) -> dict[str, str]:
    options, position = dict[str, str](), 0
    while position < len(text):
        match = _OPTION.match(text, position)
        if match is None:
            raise _wrong(line, f"its options cannot be read: {text[position : position + 40]}")
        options[match[1]] = match[2] or match[3] or ""
        position = match.end()
    return options


def _checked_key(line: str, key_type: str, key: str) -> str:
    """The key, after checking that it is whole and of that type."""
    try:
        blob = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(line, "its key is damaged") from error
    name = key_type.encode()
    head = len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big")
    whole = len(blob) == len(head) + 32 if key_type == KEY_TYPES[0] else len(blob) > len(head) + 32
    if not blob.startswith(head) or not whole:
        raise _wrong(line, "its key is damaged")
    return base64.b64encode(blob).decode()


def _moment(line: str, text: str) -> datetime | None:
    if not text:
        return None
    if not text.endswith("Z"):  # ssh-keygen would take it for local time, which differs from site to site
        raise _wrong(line, f"its date {text} does not end in Z, so that its time zone is unknown")
    try:
        return parse_date(text)
    except InputError as error:
        raise _wrong(line, error.summary) from error


def _wrong(line: str, why: str) -> InputError:
    remedy = "a line is: ssh-ed25519, the key, and a comment, as in the file that ends in .pub"
    return InputError(f"Public key {line[:60]}", why, remedy)
