"""`python -m core.demo FOLDER LOCK`: the process that keeps a demo, and removes its folder at the end."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
from pathlib import Path

from core.demo.service_process import ServiceProcess
from core.redaction.log_format import RedactingFormatter


def main() -> int:
    """Start the service, then everything else, which takes long to import. Returns the exit code."""
    folder, lock = Path(sys.argv[1]), int(sys.argv[2])
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    service = ServiceProcess(folder, lock)
    try:
        from core.demo.keeper import Keeper

        keeper = Keeper(folder, service)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: keeper.close())
        keeper.run()
    finally:
        service.kill()
        service.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
