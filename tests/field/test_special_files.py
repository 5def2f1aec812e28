"""Files that a setting names and that are none: a pipe or a device that is opened may hold its reader forever."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from core.api_schema import CameraRequest
from core.errors import InputError
from core.files import read_regular
from core.inference import tls
from core.inference.cameras.connection_test import run_connection_test
from core.inference.cameras.login_backoff import LoginBackoff
from core.inference.flows.flow_file import read_flows
from core.inference.secret_file import read_or_create_secret
from core.inference.startup_cameras import read_camera_file
from tests.api.conftest import Events
from tests.api.conftest import events as events
from tests.api.conftest import running as running
from tests.api.serving import TOKEN, Running

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def link_to_a_pipe(folder: Path) -> str:
    (folder / "video.mp4").symlink_to(pipe(folder))
    return str(folder / "video.mp4")


def socket_file(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "s"))
    return str(folder / "s")


NOT_FILES: dict[str, tuple[Callable[[Path], str], str]] = {
    "a named pipe": (pipe, "a named pipe"),
    "a named pipe as a URL": (lambda folder: f"file://{pipe(folder)}", "a named pipe"),
    "a link to a named pipe": (link_to_a_pipe, "a named pipe"),
    "a folder": (str, "a folder"),
    "a socket": (socket_file, "a socket"),
    "a device that never ends": (lambda _: "/dev/zero", "a device"),
    "a terminal": (lambda _: "/dev/ptmx", "a device"),
}


@pytest.mark.parametrize(("make", "kind"), NOT_FILES.values(), ids=NOT_FILES.keys())
def test_a_source_that_is_no_file_is_named_and_never_opened(
    tmp_path: Path, make: Callable[[Path], str], kind: str
) -> None:
    tried = run_connection_test(CameraRequest(id="new", source=make(tmp_path), timeout=1))
    assert (tried.ok, tried.cause) == (False, "not_found")
    assert tried.reason == f"the path is {kind}, not a video file"


@pytest.mark.parametrize("make", [pipe, link_to_a_pipe, str], ids=["pipe", "link", "folder"])
def test_what_is_no_file_is_not_read_either(tmp_path: Path, make: Callable[[Path], str]) -> None:
    with pytest.raises(OSError, match=r"it is a \w+|Is a directory"):
        read_regular(Path(make(tmp_path)))


READERS: dict[str, Callable[[Path], object]] = {
    "the flows": read_flows,
    "--config": read_camera_file,
    "the certificate": lambda path: tls.check_certificate(path, None),
    "the key": lambda path: tls.check_certificate(Path(__file__), path),
    "a secret": read_or_create_secret,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_a_service_does_not_hang_at_its_start_on_a_pipe(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pipe: it is a named pipe, not a file"):
        read(Path(pipe(tmp_path)))


def test_refused_logins_in_a_pipe_are_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    LoginBackoff(Path(pipe(tmp_path)))
    assert "it is a named pipe" in caplog.text


def test_a_picture_that_is_a_pipe_is_not_waited_for(running: Running, events: Events) -> None:
    path = running.service.media.snapshot_path(events.yard)
    kept = path.rename(path.with_suffix(".kept"))
    os.mkfifo(path)
    try:
        assert httpx.get(f"{running.url}/events/{events.yard}/snapshot", headers=BEARER, timeout=20).status_code == 404
    finally:
        kept.replace(path)
