"""Webhook signatures, with which a receiver can verify sender, content and time."""

from __future__ import annotations

import hashlib
import hmac
import os
import time

from core.errors import XaivaError

SIGNATURE = "X-Xaiva-Signature"
IDEMPOTENCY_KEY = "Idempotency-Key"


def webhook_headers(key: str, content: bytes, secret_variable: str) -> dict[str, str]:
    """The headers of a webhook, signed if `secret_variable` names an environment variable with a secret.

    The signature is `t=<Unix time>,v1=<hex HMAC-SHA256 of "<time>.<content>">`. Raises XaivaError when that variable is
    not set.
    """
    headers = {"Content-Type": "application/json", IDEMPOTENCY_KEY: key}
    if secret_variable:
        secret = os.environ.get(secret_variable, "")
        if not secret:
            why = f"the variable {secret_variable} is not set in the service's environment"
            raise XaivaError("Webhook", why, "put it into one of the preset's run.env_files and launch again")
        headers[SIGNATURE] = sign(secret, content, int(time.time()))
    return headers


def sign(secret: str, content: bytes, moment: int) -> str:
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + content, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"
