"""`xaiva-inference serve`: the service's process."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from core.errors import InputError, XaivaError
from core.inference.schemas import CameraRequest

GRACE_SECONDS = 3  # what open connections get at the end; streams end by themselves within one of their periods


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("libav").setLevel(logging.ERROR)
    try:
        return _serve(options)
    except XaivaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the process's only words to its user
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xaiva-inference", description="xaiva's inference service.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="watch cameras and answer over HTTP")
    env = os.environ
    serve.add_argument("--host", default=env.get("XAIVA_HOST", "127.0.0.1"), help="address (XAIVA_HOST; loopback)")
    serve.add_argument("--port", type=int, default=int(env.get("XAIVA_PORT", "8600")), help="port (XAIVA_PORT; 8600)")
    serve.add_argument("--data", type=Path, default=Path(env.get("XAIVA_DATA", "/data")), help="where cameras are kept")
    serve.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="ID=SOURCE",
        help="a camera of this run (again for more; XAIVA_CAMERAS holds such words, too)",
    )
    serve.add_argument("--reload", action="store_true", help="development: start again when the code changes")
    return parser


def cameras(words: Sequence[str]) -> list[CameraRequest]:
    """Read `id=source` words. Raises InputError, which never repeats a source: it may hold a password."""
    found = []
    for number, word in enumerate(words, 1):
        identifier, equals, source = word.partition("=")
        try:
            if not equals:
                raise InputError(f"Camera {number}", "there is no '=' in it", "write it as id=rtsp://host/path")
            found.append(CameraRequest(id=identifier, source=source))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InputError(f"Camera {number}: {field}", first["msg"], "write it as id=rtsp://host/path") from None
    return found


def _serve(options: argparse.Namespace) -> int:
    import uvicorn

    from core.inference.api.application import make_application
    from core.inference.reload import watch_code
    from core.inference.service import InferenceService

    stopping = threading.Event()

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            stopping.set()
            super().handle_exit(sig, frame)

    fixed = cameras([*options.camera, *os.environ.get("XAIVA_CAMERAS", "").split()])
    service = InferenceService(options.data, fixed)
    application = make_application(service, stopping, os.environ.get("XAIVA_SERVICE_TOKEN", ""))
    server = Server(
        uvicorn.Config(
            application,
            host=options.host,
            port=options.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            server_header=False,
        )
    )
    again = threading.Event()

    def changed() -> None:
        again.set()
        stopping.set()
        server.should_exit = True

    if options.reload:
        watch_code(changed, stopping)
    service.start()
    try:
        server.run()
    finally:
        stopping.set()
        service.stop()
    if again.is_set():
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    if not server.started:
        raise XaivaError(
            f"Port {options.port} of {options.host}",
            "the service cannot listen there",
            "free it, or take another --port",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
