"""A service that xaiva launched is not found, since it does not publish the usual port.

It applies wherever the service is asked: the command line and the console find it by the container's label and
published port, through one function. What somebody named wins, and every failure says which address it was and what
named it. Settings are read again while the console runs.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from textual.widgets import Input

from core import labels
from core.api_schema import API_VERSION, ServiceStatus
from core.api_schema.base import VERSION_HEADER
from core.cli.app import run
from core.containers.service_discovery import RETRY_SECONDS, AmbiguousService, ServiceLocator, find_service
from core.errors import InputError, XaivaError
from core.service_client import NoService
from core.site import Site, SiteSettings
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.ports import HeldPort
from tests.tui.support import shows, until
from tui.app import XaivaApp
from tui.screens.pick import Pick

SHIPPED = Path(__file__).parents[2] / "presets"


@dataclass
class Launched:
    """A container as the fake engine tells of it. `site` "" is the site under test."""

    name: str
    port: int = 0
    preset: str = "cpu-debian12"
    ip: str = "0.0.0.0"
    inside: int = 8600
    state: str = "running"
    site: str = ""
    tls: bool = False

    def row(self, root: Path) -> dict[str, Any]:
        """As in the engine's list."""
        ports = (
            [{"PrivatePort": self.inside, "Type": "tcp", "IP": self.ip, "PublicPort": self.port}] if self.port else []
        )
        return {
            "Id": self.name.ljust(64, "0"),
            "Names": [f"/{self.name}"],
            "Image": "i",
            "ImageID": "i",
            "State": self.state,
            "Status": self.state,
            "Created": 0,
            "Ports": ports,
            "Labels": {labels.PRESET: self.preset, labels.SITE: self.site or str(root)},
        }


@contextmanager
def fake_engine(root: Path, containers: list[Launched]) -> Iterator[str]:
    """An engine's API over TCP, as far as a list and an inspection go; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.endswith("/containers/json"):
                body: Any = [one.row(root) for one in containers]
            elif path.endswith("/version"):
                body = {"ApiVersion": "1.43"}
            else:
                tls = any(one.tls and one.name in path for one in containers)
                body = {"Config": {"Env": ["XAIVA_TLS_CERTIFICATE=/data/cert.pem"] if tls else ["A=b"]}}
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as port:
        yield f"tcp://127.0.0.1:{port}"


@contextmanager
def fake_service(camera: str) -> Iterator[int]:
    """A service with one camera, told apart by its name; its port."""
    status = ServiceStatus(version=camera, started=0, uptime=1, rss=1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header(VERSION_HEADER, str(API_VERSION))
            self.end_headers()
            self.wfile.write(status.model_dump_json().encode())

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as port:
        yield port


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def with_engine(root: Path, address: str, **env: str) -> Site:
    """The site as it is on disk, with that engine."""
    return Site.open(root, {"DOCKER_HOST": address, **env})


FIVE, SIX = "http://10.0.0.5:1", "http://10.0.0.6:1"
DUBBING_URL = "http://127.0.0.1:8601"
TOML = '[service]\nurl = "http://10.0.0.9:1"\n'
ENV = "XAIVA_SERVICE=http://10.0.0.9:1\n"
X = "xaiva-cpu-debian12"
Y = "xaiva-dubbing-cuda13.0"
DUBBING = Launched(Y, 8601, "dubbing-cuda13.0")


@pytest.mark.parametrize(
    ("containers", "preset", "url"),
    [
        pytest.param([Launched(X, 8600)], "", "http://127.0.0.1:8600", id="the-usual-port"),
        pytest.param([DUBBING], "", "http://127.0.0.1:8601", id="another-port"),
        pytest.param([Launched(X, 8604, ip="::")], "", "http://127.0.0.1:8604", id="every-address-of-ipv6"),
        pytest.param([Launched(X, 8604, ip="127.0.0.1")], "", "http://127.0.0.1:8604", id="loopback-alone"),
        pytest.param([Launched(X, 8443, tls=True)], "", "https://127.0.0.1:8443", id="with-tls"),
        pytest.param([Launched(X, 9001, inside=9000)], "", "http://127.0.0.1:9001", id="another-port-inside"),
        pytest.param([Launched(X), DUBBING], "", "http://127.0.0.1:8601", id="one-publishes-nothing"),
        pytest.param([Launched(X, 8600, state="exited"), DUBBING], "", "http://127.0.0.1:8601", id="one-has-ended"),
        pytest.param([Launched("web", 8888, inside=80), DUBBING], "", "http://127.0.0.1:8601", id="one-is-no-service"),
        pytest.param([Launched(X, 8600), DUBBING], "dubbing-cuda13.0", "http://127.0.0.1:8601", id="preset-at-hand"),
        pytest.param([Launched(X, 8600, site="/"), DUBBING], "", "http://127.0.0.1:8601", id="one-of-another-site"),
        pytest.param([Launched(X, 8605, site="/gone/stick")], "", "http://127.0.0.1:8605", id="the-stick-has-moved"),
    ],
)
def test_it_is_found_by_label_and_port(site: Site, containers: list[Launched], preset: str, url: str) -> None:
    (site.presets / "cpu-debian12.json").write_bytes((SHIPPED / "cpu-debian12.json").read_bytes())
    with fake_engine(site.root, containers) as engine:
        address = find_service(with_engine(site.root, engine), preset=preset)
    assert address.url == url
    assert address.named_by == f"container {address.container}"


@pytest.mark.parametrize(
    ("settings", "env", "option", "url", "named_by"),
    [
        pytest.param(FIVE, "", "", FIVE, "site.toml, [service] url", id="site.toml"),
        pytest.param(FIVE, SIX, "", SIX, "XAIVA_SERVICE", id="environment"),
        pytest.param("", X, "", "http://127.0.0.1:8600", f"XAIVA_SERVICE, container {X}", id="environment-by-name"),
        pytest.param(FIVE, SIX, Y, DUBBING_URL, f"--service, container {Y}", id="option"),
        pytest.param("", "", "dubbing-cuda13.0", DUBBING_URL, f"--service, container {Y}", id="option-by-preset"),
        pytest.param("", "", "http://10.0.0.7:2", "http://10.0.0.7:2", "--service", id="option-by-address"),
        pytest.param("", "", "10.0.0.7:2", "http://10.0.0.7:2", "--service", id="option-by-host-and-port"),
        pytest.param("", "[::1]:2", "", "http://[::1]:2", "XAIVA_SERVICE", id="environment-by-host-and-port"),
        pytest.param("localhost:2", "", "", "http://localhost:2", "site.toml, [service] url", id="site.toml-no-scheme"),
    ],
)
def test_what_somebody_named_wins(site: Site, settings: str, env: str, option: str, url: str, named_by: str) -> None:
    (site.root / "site.toml").write_text(f'[service]\nurl = "{settings}"\n' if settings else "")
    with fake_engine(site.root, [Launched(X, 8600), DUBBING]) as engine:
        opened = with_engine(site.root, engine, **({"XAIVA_SERVICE": env} if env else {}))
        opened.service = (option, "--service") if option else None
        address = find_service(opened)
    assert (address.url, address.named_by) == (url, named_by)


@pytest.mark.parametrize(
    ("containers", "option", "kind", "words"),
    [
        pytest.param([Launched(X, 8600), DUBBING], "", AmbiguousService, f"{X}, {Y}", id="several"),
        pytest.param([DUBBING], "nobody", InputError, "no container or preset of this name", id="no-such-name"),
        pytest.param([DUBBING], "10.0.0.7", InputError, "write an address as http://host", id="host-alone"),
        pytest.param([Launched(X, 8600, state="exited")], X, InputError, "is exited", id="named-and-ended"),
        pytest.param([Launched(X)], X, InputError, "publishes no port", id="named-and-unpublished"),
    ],
)
def test_a_choice_that_cannot_be_made_is_told(
    site: Site, containers: list[Launched], option: str, kind: type[XaivaError], words: str
) -> None:
    with fake_engine(site.root, containers) as engine:
        opened = with_engine(site.root, engine)
        opened.service = (option, "--service") if option else None
        with pytest.raises(kind) as raised:
            find_service(opened)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("containers", "engine_there", "words"),
    [
        pytest.param([], True, "default; no container launched from this site is running", id="none"),
        pytest.param([Launched(X, 8600, state="exited")], True, f"default; {X} is exited", id="ended"),
        pytest.param([Launched(X)], True, f"default; {X} publishes no service port", id="no-port"),
        pytest.param([], False, "default; Docker engine at tcp://", id="no-engine"),
    ],
)
def test_without_a_container_the_usual_address_is_told_with_the_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch, containers: list[Launched], engine_there: bool, words: str
) -> None:
    with HeldPort() as held, fake_engine(site.root, containers) as engine:
        monkeypatch.setattr("core.service_client.address.DEFAULT_URL", f"http://127.0.0.1:{held.number}")
        address = engine if engine_there else f"tcp://127.0.0.1:{held.number}"
        with pytest.raises(NoService, match="nothing answers there") as raised:
            ServiceLocator(with_engine(site.root, address)).client(3).status()
        assert str(held.number) in raised.value.what
    assert words in raised.value.what


def test_a_remote_engines_host_is_the_services(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.containers import service_discovery
    from core.containers.model import ContainerPort
    from core.engine_ssh import resolve_host_name

    monkeypatch.setattr(service_discovery, "_engine_host", lambda *_: "edge.example.org")
    remote = Site.open(site.root, {"DOCKER_HOST": "ssh://ana@edge:2222"})
    port = ContainerPort(container_port=8600, host_ip="0.0.0.0", host_port=8601)
    assert service_discovery._host(remote, port, "")[0] == "edge.example.org"
    assert service_discovery._host(remote, port.model_copy(update={"host_ip": "10.1.2.3"}), "")[0] == "10.1.2.3"
    host, remedy = service_discovery._host(remote, port.model_copy(update={"host_ip": "127.0.0.1"}), "")
    assert host == "edge.example.org"
    assert "ssh -L 8601:127.0.0.1:8601 edge.example.org" in remedy
    assert resolve_host_name("ssh://ana@edge.example.org:22", {"PATH": "/nowhere"}) == "edge.example.org"


def test_the_command_line_finds_it_and_names_the_address_when_it_is_gone(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_service("gate") as port, fake_engine(site.root, [Launched(X, port)]) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine)
        assert run(["--site", str(site.root), "service", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["service"]["version"] == "gate"
        assert run(["--site", str(site.root), "--service", "http://127.0.0.1:9", "camera", "list"]) == 1
        assert "http://127.0.0.1:9 (named by --service)" in capsys.readouterr().err
    with HeldPort() as held, fake_engine(site.root, [Launched(X, held.number)]) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine)
        assert run(["--site", str(site.root), "camera", "list"]) == 1
        said = capsys.readouterr().err
        assert f"http://127.0.0.1:{held.number} (named by container {X}): nothing answers there" in said
        assert f"xaiva logs {X}" in said


def test_one_that_is_somewhere_else_now_is_found_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.containers.service_discovery.RETRY_SECONDS", 0.0)
    assert RETRY_SECONDS > 0
    containers = [Launched(X, 1)]
    with fake_service("new") as port, fake_engine(site.root, containers) as engine:
        services = ServiceLocator(with_engine(site.root, engine))
        with pytest.raises(XaivaError, match=f"named by container {X}"):
            services.client(3).status()
        services.mark_lost()
        containers[0].port = port
        assert services.client(3).status().version == "new"
        containers.append(DUBBING)
        services.mark_lost()
        assert services.client(3).address.container == X  # another one beside it changes nothing
        services.choose(Y, "F8")
        assert services.client(3).address.named_by == f"F8, container {Y}"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("site.toml", "", TOML, id="site.toml-new"),
        pytest.param("site.toml", "", f"\ufeff{TOML}", id="site.toml-with-a-byte-order-mark"),
        pytest.param("site.toml", TOML.replace("9", "8"), TOML, id="site.toml"),
        pytest.param(".env", "", ENV, id="env-new"),
        pytest.param(".env", ENV.replace("9", "8"), ENV, id="env"),
    ],
)
def test_settings_are_read_again_and_broken_ones_change_nothing(site: Site, name: str, before: str, after: str) -> None:
    file, now = site.root / name, itertools.count(1_800_000_000)

    def write(content: bytes) -> None:
        """A second after the time before: the stamps of a file system move on less often than this test writes."""
        file.write_bytes(content)
        os.utime(file, (moment := next(now), moment))

    if before:
        write(before.encode())
    opened = Site.open(site.root, {})
    assert opened.reload() == 0
    write(after.encode())
    assert opened.reload() == 1
    assert find_service(opened).url == "http://10.0.0.9:1"
    write(b"[service\n\xff")
    for _ in range(2):
        with pytest.raises(InputError, match=name):
            opened.reload()
    assert find_service(opened).url == "http://10.0.0.9:1"
    write(after.encode())
    assert opened.reload() == 2
    file.unlink()
    assert opened.reload() == 3
    assert opened.settings == SiteSettings()


async def test_a_running_console_goes_to_the_address_that_was_written_meanwhile(site: Site) -> None:
    with fake_service("other") as port, HeldPort() as held, fake_engine(site.root, []) as engine:
        toml = site.root / "site.toml"
        toml.write_text(f'[service]\nurl = "http://127.0.0.1:{held.number}"\n')
        app = XaivaApp(with_engine(site.root, engine))
        async with app.run_test(size=(140, 45)) as pilot:
            await pilot.press("6")
            await shows(pilot, f"http://127.0.0.1:{held.number}")
            await shows(pilot, "reloads automatically")
            toml.write_text("[service")
            await pilot.press("f5")
            await until(pilot, lambda: app.store.reading("settings").error)
            await pilot.press("1")
            await shows(pilot, "site.toml")
            toml.write_text(f'[service]\nurl = "http://127.0.0.1:{port}"\n')
            await pilot.press("6", "f5")
            await shows(pilot, "no cameras you may see")


def test_while_the_engine_does_not_answer_it_is_where_it_was(site: Site) -> None:
    with fake_engine(site.root, [DUBBING]) as engine:
        opened = with_engine(site.root, engine)
        before = find_service(opened)
        services = ServiceLocator(opened)
        assert services.client(3).address == before
    assert find_service(opened, before=before) == before
    services.choose(X, "F8")
    with pytest.raises(XaivaError, match="Docker engine"):
        services.client(3)


async def test_of_several_the_console_offers_each_by_name(site: Site) -> None:
    with fake_service("x") as first, fake_service("y") as second:
        both = [Launched(X, first), Launched(Y, second, "dubbing-cuda13.0")]
        with fake_engine(site.root, both) as engine:
            app = XaivaApp(with_engine(site.root, engine))
            async with app.run_test(size=(140, 45)) as pilot:
                await pilot.press("6")
                await shows(pilot, f"several containers of this site are running: {X}")
                await pilot.press("f8")
                await until(pilot, lambda: isinstance(app.screen, Pick))
                app.screen.query_one(Input).value = "dubbing"
                await pilot.pause()
                await pilot.press("enter")
                await shows(pilot, "no cameras you may see")
                await shows(pilot, f"Cameras · {Y}")
                await until(pilot, lambda: app.store.reading("cameras").value.version == "y")


@pytest.mark.engine
def test_a_real_engine_tells_the_published_port(engine: TestEngine, site: Site) -> None:
    name = "xaiva-published"
    with HeldPort() as held:
        port = held.number
    marks = [f"--label={labels.PRESET}=dubbing-cuda13.0", f"--label={labels.SITE}={site.root}"]
    engine.docker("run", "-d", "--name", name, *marks, "-p", f"127.0.0.1:{port}:8600", BASE_IMAGE, "sleep", "600")
    try:
        found = find_service(Site.open(site.root, engine.env))
        assert (found.url, found.container) == (f"http://127.0.0.1:{port}", name)
    finally:
        engine.docker("rm", "-f", name)
