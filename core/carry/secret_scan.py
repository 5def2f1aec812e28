"""Finds secrets in what is about to be packed: values of `.env`, and tokens and keys in the site's own files."""

from __future__ import annotations

import io
import json

from typing_extensions import Buffer

from core.carry.contents import Contents
from core.carry.shipment import Kind
from core.carry.target import OpenAt, Source
from core.errors import XaivaError
from core.redaction import has_token, known_secrets

_OWN_KINDS = (Kind.PRESET, Kind.SITE)  # written by people here; other files may hold keys of their own tests


class SecretFound(XaivaError):
    """A file that would be packed holds a secret. The message names the file and never the secret."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(
            f"{place} holds {what}",
            "a medium is not encrypted: anybody who finds it can read it",
            "put the secret into .env, write ${NAME} in its place, then pack again",
        )


def check_own_files(contents: Contents) -> None:
    """Read the files that people wrote here. Raises SecretFound."""
    secrets = _needles()
    for file in contents.files:
        if file.kind in _OWN_KINDS:
            with contents.sources[file.sha256].open_at(0) as stream:
                text = stream.read()
            if any(secret in text for secret in secrets):
                raise SecretFound(file.path, "a secret of this site")
            if has_token(text.decode(errors="replace")):
                raise SecretFound(file.path, "what looks like a token or a private key")


def scanned(place: str, open_at: OpenAt) -> OpenAt:
    """The same bytes, searched on the way for the site's secrets. Reading raises SecretFound."""
    return lambda offset: ScannedStream(place, open_at(offset))


class ScannedStream(io.RawIOBase):
    """A stream that raises SecretFound when the site's secrets pass through it, also across two reads."""

    def __init__(self, place: str, stream: Source) -> None:
        self.name = place
        self._stream = stream
        self._secrets = _needles()
        self._overlap = max(map(len, self._secrets), default=1) - 1
        self._tail = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill `buffer`; returns the number of bytes. Raises SecretFound."""
        view = memoryview(buffer)
        count = self._stream.readinto(view) or 0
        if self._secrets:
            text = self._tail + view[:count]
            if any(secret in text for secret in self._secrets):
                raise SecretFound(self.name, "a secret of this site")
            self._tail = text[-self._overlap :] if self._overlap else b""
        return count

    def close(self) -> None:
        """Close the stream below, too."""
        self._stream.close()
        super().close()


def _needles() -> list[bytes]:
    """Each secret as it is and as JSON writes it."""
    forms = {form for secret in known_secrets() for form in (secret, json.dumps(secret)[1:-1])}
    return [form.encode() for form in sorted(forms)]
