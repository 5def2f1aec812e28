"""A process that sends one message through Apprise, then exits.

Apprise's plugins open connections through several libraries. In a process of its own all of them can be guarded, follow
no redirect, and are killed when they hang.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.errors import XaivaError
from core.inference.address_guard import PROXIES, guard_process

SEND_TIMEOUT = 20.0  # in total: Apprise waits 4 s to connect and 4 s for an answer, per address
_PREFIX = re.compile(r"^[\d: ,-]+- [A-Z]+ - ")


def send(url: str, title: str, text: str, what: str) -> None:
    """Send a message and wait until it is accepted. Raises XaivaError, which never contains the URL."""
    library = str(Path(__file__).resolve().parents[3])
    environment = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (library, os.environ.get("PYTHONPATH"))))
    try:
        process = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps({"url": url, "title": title, "text": text}).encode(),
            capture_output=True,
            timeout=SEND_TIMEOUT,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        remedy = "check that it is running and can be reached"
        raise XaivaError(what, f"no answer within {SEND_TIMEOUT:g} s", remedy) from None
    if process.returncode:
        why = f"Apprise crashed (exit code {process.returncode})"
        raise XaivaError(what, why, "see Apprise's documentation of the service")
    why = json.loads(process.stdout)["why"]
    if why:
        raise XaivaError(what, why, "it will be tried again")


def main() -> None:
    """Read the message from stdin; write to stdout why it was not sent, empty for success."""
    message = json.load(sys.stdin)
    answer, sys.stdout = sys.stdout, sys.stderr  # keep the output of libraries out of the answer
    json.dump({"why": _notify(**message)}, answer)
    answer.flush()
    os._exit(0)  # do not wait for threads of plugins: after a time-out the message would be sent again


def _notify(url: str, title: str, text: str) -> str:
    refusals: list[str] = []
    guard_process(refusals)
    import apprise

    _refuse_redirects(refusals)
    service = apprise.Apprise.instantiate(url, asset=apprise.AppriseAsset(http_redirects=False))
    if service is None:
        return "Apprise knows no such service, or a part is missing"
    service.redirects = False  # even if the URL asks for them
    messenger = apprise.Apprise()
    messenger.add(service)
    outcome = messenger.notify(body=text, title=title)
    if refusals:
        return refusals[-1]
    if outcome:
        return ""
    lines = [_PREFIX.sub("", str(line)) for line in outcome.logs()]
    return " ".join(lines[-1].split())[:200] if lines else "the service did not accept it"


def _refuse_redirects(refusals: list[str]) -> None:
    """Refuse redirects even for plugins that want to follow them."""
    import requests

    def no_target(_session: object, response: Any) -> None:
        if response.is_redirect:
            refusals.append(f"it answers with status {response.status_code}: redirects are not followed")

    setattr(requests.Session, "get_redirect_target", no_target)  # noqa: B010 - mypy allows no assignment to a method


if __name__ == "__main__":
    main()
