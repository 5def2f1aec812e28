"""The service as a process: kept cameras, its API, its token, its end; and the client's words for what goes wrong."""

from __future__ import annotations

import http.server
import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from core.api_schema import CameraRequest, CameraState
from core.artifacts import service_wheel
from core.errors import InputError, XaivaError
from core.inference.service import own_version
from core.inference.startup_cameras import parse_camera_entries
from core.service_client import NotLoggedIn, ServiceClient, ServiceError
from core.site import Site
from tests.support import rtsp, until
from tests.support.disks import fill, small_disk
from tests.support.service import COMMAND, ROOT, TOKEN, ServiceProcess

pytestmark = pytest.mark.camera

Serve = Callable[..., ServiceProcess]
NOWHERE = "rtsp://user:hidden-word@127.0.0.1:9/none"


def test_a_camera_from_request_to_stream(serve: Serve, server: rtsp.RtspServer) -> None:
    service = serve().ready()
    service.client.add_camera(CameraRequest(id="gate", source=server.url("cam")))
    for status in service.client.stream():
        if status.cameras[0].state is CameraState.LIVE and status.cameras[0].score is not None:
            break
    assert service.client.snapshot("gate").startswith(b"\xff\xd8")
    assert service.client.status().host == socket.gethostname()
    service.client.remove_camera("gate")
    assert service.client.status().cameras == []


def test_cameras_survive_a_kill_and_passwords_stay_put(serve: Serve, tmp_path: Path) -> None:
    service = serve().ready()
    service.client.add_camera(CameraRequest(id="gate", source=NOWHERE, name="Gate 1"))
    service.process.kill()
    service.process.wait()
    database = tmp_path / "data" / "xaiva.db"
    assert stat.S_IMODE(database.stat().st_mode) == 0o600

    again = serve("--camera", f"yard={NOWHERE}").ready()
    cameras = {camera.id: camera for camera in again.client.status().cameras}
    assert set(cameras) == {"gate", "yard"}
    assert cameras["gate"].name == "Gate 1"
    until(lambda: again.client.status().cameras[0].state, lambda state: state is CameraState.DISCONNECTED)
    said = again.client.status().model_dump_json() + again.log.read_text() + service.log.read_text()
    assert "hidden-word" not in said


def test_sigterm_ends_it_cleanly_with_a_stream_open(serve: Serve, server: rtsp.RtspServer) -> None:
    service = serve("--camera", f"gate={server.url('cam')}", command=COMMAND).ready()
    stream = service.client.stream()
    next(stream)
    assert service.stop() == 0
    assert "Traceback" not in service.log.read_text()


def test_a_site_finds_its_service_and_a_stranger_gets_no_more_than_health(serve: Serve, tmp_path: Path) -> None:
    service = serve().ready()
    stranger = ServiceClient(service.client.url, 5)
    assert stranger.health().ready
    with pytest.raises(NotLoggedIn, match="XAIVA_SERVICE_TOKEN"):
        stranger.status()
    (tmp_path / "site.toml").write_text(f'[service]\nurl = "{service.client.url}"\n')
    site = Site.open(tmp_path, {"XAIVA_SERVICE_TOKEN": TOKEN})
    assert ServiceClient.for_site(site).status().cameras == []


def test_without_a_token_given_the_service_makes_its_own(serve: Serve, tmp_path: Path) -> None:
    service = serve(XAIVA_SERVICE_TOKEN="").ready()
    file = tmp_path / "data" / "service-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ServiceClient(service.client.url, 5, token=file.read_text().strip()).status().cameras == []
    with pytest.raises(NotLoggedIn):
        service.client.status()
    assert file.read_text().strip() not in service.log.read_text()


def test_refusals_are_for_the_reader_and_repeat_no_secret(serve: Serve) -> None:
    service = serve().ready()
    service.client.add_camera(CameraRequest(id="gate", source=NOWHERE))
    with pytest.raises(InputError, match="a camera with that id exists"):
        service.client.add_camera(CameraRequest(id="gate", source=NOWHERE))
    with pytest.raises(InputError, match="no camera with that id"):
        service.client.remove_camera("other")
    with pytest.raises(InputError, match="not live"):
        service.client.snapshot("gate")
    body = {"id": "bad id", "source": NOWHERE, "fps": "many"}
    headers = {"Origin": "http://evil.example", "Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{service.client.url}/cameras", json=body, headers=headers)
    assert answer.status_code == 422
    assert "hidden-word" not in answer.text
    assert "access-control-allow-origin" not in answer.headers


def test_a_disk_that_refuses_refuses_a_camera_instead_of_forgetting_it(serve: Serve, tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", "32m") as disk:
        service = serve().ready()
        fill(disk)
        with pytest.raises(ServiceError, match="disk"):
            service.client.add_camera(CameraRequest(id="gate", source=NOWHERE))
        assert service.client.status().cameras == []
        service.process.kill()
        service.process.wait()


def test_a_taken_port_is_told(serve: Serve, tmp_path: Path) -> None:
    service = serve().ready()
    command = [sys.executable, *COMMAND, "serve", "--port", str(service.port), "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_reload_starts_again_when_code_changes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "own.py").write_text("VALUE = 1\n")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from core.inference.__main__ import main; sys.exit(main())"
    service = ServiceProcess(tmp_path / "data", "--reload", command=("-c", code), folder=tmp_path)
    try:
        service.ready()
        first = service.client.status().started
        (tmp_path / "own.py").write_text("VALUE = 22\n")

        def begun() -> float:
            try:
                return service.client.status().started
            except ServiceError:
                return first

        until(begun, lambda started: started > first)
        assert service.stop() == 0
    finally:
        service.process.kill()
        service.process.wait()


def test_words_for_cameras_name_what_is_wrong_but_not_the_source() -> None:
    assert [one.id for one in parse_camera_entries(["a=/clip.mp4", "b=rtsp://h/x?y=1"], "--camera")] == ["a", "b"]
    for bad in ("rtsp://user:hidden-word@h/x", "bad id=rtsp://user:hidden-word@h/x", "rtsp://u:hidden-word@h/?a=b"):
        with pytest.raises(InputError) as caught:
            parse_camera_entries([bad], "--camera")
        assert "hidden-word" not in str(caught.value)


def test_the_client_tells_nothing_there_from_something_else() -> None:
    with pytest.raises(ServiceError, match="nothing answers"):
        ServiceClient("http://127.0.0.1:9").status()

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"live": True, "ready": True, "version": "1"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ServiceError, match="not xaiva"):
            ServiceClient(f"http://127.0.0.1:{server.server_port}").health()
        server.shutdown()


def test_a_restart_with_a_lower_limit_leaves_no_camera_out(serve: Serve) -> None:
    first = serve().ready()
    for name in ("gate", "yard"):
        first.client.add_camera(CameraRequest(id=name, source=f"/videos/{name}.mp4", enabled=False))
    assert first.stop() == 0
    second = serve(XAIVA_MAX_CAMERAS="1").ready()
    assert [camera.id for camera in second.client.status().cameras] == ["gate", "yard"]
    with pytest.raises(XaivaError, match="raise XAIVA_MAX_CAMERAS"):
        second.client.add_camera(CameraRequest(id="dock", source="/videos/dock.mp4", enabled=False))


def test_a_service_in_a_checkout_has_the_version_of_xaiva() -> None:
    assert own_version() == service_wheel.version()
