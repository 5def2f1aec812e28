"""`xaiva-inference`: the command that runs the service inside an image, and its health check."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from core.errors import XaivaError
from core.inference.log_setup import set_up_logging
from core.redaction import set_secrets
from core.validation_errors import describe_value

logger = logging.getLogger(__name__)

DATA_VOLUME = Path("/data")  # where an image keeps its data


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 failed, 2 bad input."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except XaivaError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code


def _serve(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _exit_on_signal)  # process 1 of a container has no default handler
    signal.signal(signal.SIGINT, _exit_on_signal)
    set_secrets(os.environ)
    set_up_logging()
    try:
        if options.reload:
            from core.inference.reload import run_reloading

            return run_reloading([Path(__file__).resolve().parents[1], Path.cwd()])
        return _run_service(options)
    except SystemExit as leaving:
        return _exit_code(leaving.code == 0)


def _run_service(options: argparse.Namespace) -> int:
    from core.inference import startup_cameras as given
    from core.inference.server import serve
    from core.inference.settings import read_settings

    settings = read_settings(os.environ, options.data)
    listed = given.read_camera_file(options.config) if options.config else []
    cameras = given.parse_camera_entries(options.camera, "--camera")
    cameras = given.merge_cameras(listed, given.cameras_from_environment(os.environ), cameras)
    serve(settings, cameras, options.host, options.port)
    return 0


def _health(options: argparse.Namespace) -> int:
    from core.inference.healthcheck import check_health

    # Loading all settings would double the time of a check that runs every half minute on a busy machine.
    print(check_health(options.host, options.port, tls=bool(os.environ.get("XAIVA_TLS_CERTIFICATE"))))  # noqa: T201
    return 0


def _exit_on_signal(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _exit_code(clean: bool) -> int:
    """The exit code. Exits at once when a thread hangs in libav or a mount: the interpreter could not shut down."""
    code = 0 if clean else 1
    if threading.active_count() > 1:
        logging.shutdown()
        os._exit(code)
    return code


def _parse_port(text: str) -> int:
    match = re.fullmatch("[0-9]{1,5}", text)
    if match is None or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{describe_value(text, ())} is not a port: write a number from 0 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xaiva-inference", description="Watch cameras and score their pictures.")
    commands = parser.add_subparsers(dest="command", required=True)
    address = argparse.ArgumentParser(add_help=False)
    default_host = os.environ.get("XAIVA_HOST", "127.0.0.1")
    address.add_argument("--host", default=default_host, help="address to listen on (XAIVA_HOST; %(default)s)")
    address.add_argument(
        "--port", type=_parse_port, default=8600, help="port to listen on (%(default)s); 0 picks a free one"
    )
    serve = commands.add_parser("serve", parents=[address], help="run the service until SIGTERM")
    serve.set_defaults(run=_serve)
    health = commands.add_parser(
        "health", parents=[address], help="check whether the service is healthy; exits with 1 if it is not"
    )
    health.set_defaults(run=_health)
    serve.add_argument(
        "--camera", action="append", default=[], metavar="ID=SOURCE", help="an RTSP URL or a file; may be repeated"
    )
    serve.add_argument("--config", type=Path, metavar="FILE", help='cameras as JSON: {"cameras": [{"id", "source"}]}')
    default_data = DATA_VOLUME if DATA_VOLUME.is_dir() else Path("data")
    serve.add_argument(
        "--data",
        type=Path,
        default=default_data,
        metavar="DIR",
        help="folder for data that survives a restart (%(default)s)",
    )
    serve.add_argument("--reload", action="store_true", help="restart when the source changes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
