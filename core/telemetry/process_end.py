"""Ends a process, and never another one that has got its pid meanwhile."""

from __future__ import annotations

import os
import select
import signal

from core.errors import InputError, XaivaError, os_reason
from core.process_identity import is_alive

END_SECONDS = 3.0


def end_process(pid: int, started: int, *, kill: bool = False, seconds: float = END_SECONDS) -> bool:
    """Send SIGTERM, or SIGKILL with `kill`, to the process that started at `started` (clock ticks since boot).

    Returns whether it ended within `seconds`. Raises InputError when it is gone, XaivaError when it may not be ended.
    """
    what = f"Process {pid}"
    if pid in (1, os.getpid()):
        raise InputError(what, "it is this program, or the machine's first process", "choose another process")
    number = signal.SIGKILL if kill else signal.SIGTERM
    try:
        handle = os.pidfd_open(pid)  # it stays the handle of this process, even when the pid is used again
    except ProcessLookupError as error:
        raise _gone(what) from error
    except OSError as error:
        remedy = f"end it by hand: kill -{number.name.removeprefix('SIG')} {pid}"
        raise XaivaError(what, f"this kernel cannot hold on to a process: {os_reason(error)}", remedy) from error
    try:
        if not is_alive(pid, started):
            raise _gone(what)
        signal.pidfd_send_signal(handle, number)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        return bool(ended.poll(seconds * 1000))
    except ProcessLookupError as error:
        raise _gone(what) from error
    except PermissionError as error:
        why = f"it belongs to another user, and this one (uid {os.geteuid()}) may not end it"
        raise XaivaError(what, why, "do it as its owner or as root") from error
    finally:
        os.close(handle)


def _gone(what: str) -> InputError:
    return InputError(what, "it is gone; no signal was sent, because its number may belong to another process now")
