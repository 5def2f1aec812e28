"""What is shown in the place of a secret is never taken for the secret.

It holds wherever something hidden can be sent back: cameras (add, change, test, start), rules, users, and the variables
that the service is started with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from textual.widgets import Input

from core.api_schema import CameraRequest, RuleRequest
from core.api_schema.sources import normalised_source
from core.cli.app import run
from core.containers.run_settings import read_run_settings
from core.errors import InputError
from core.inference.database.camera_store import CameraStore
from core.inference.database.engine import Database
from core.inference.notifications.mail import parse_server
from core.inference.service import InferenceService
from core.inference.settings import ServiceSettings, read_settings
from core.redaction import redact_address, restore_secrets
from core.site import ServiceClientSettings as ServiceAddress
from core.site import Site
from tests.api.serving import TOKEN, Running, served
from tests.containers.conftest import preset
from tests.tui.support import shows, until
from tui.app import XaivaApp
from tui.screens.camera_form import CameraForm

BEARER = {"Authorization": f"Bearer {TOKEN}"}
KEPT = "rtsp://admin:p%40ss@127.0.0.1:9/user=a_password=b_channel=1_stream=0.sdp?k=v&channel=1"
SHOWN = "rtsp://***@127.0.0.1:9/user=***_password=***_channel=1_stream=0.sdp?k=***&channel=1"
PASSED_ON = {  # sent → what is kept then
    "as-shown": (SHOWN, KEPT),
    "another-path": ("rtsp://***@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "upper-case-scheme": ("RTSP://***@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "percent-encoded": ("rtsp://%2A%2A%2A@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "another-sign": ("rtsp://<hidden>@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "one-asterisk": ("rtsp://*:*@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "twice-encoded": ("rtsp://%252A%252A%252A@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "full-width": ("rtsp://admin:＊＊＊@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "dots": ("rtsp://admin:●●●●@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "as-go-writes-it": ("rtsp://admin:xxxxx@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "in-parentheses": ("rtsp://(hidden)@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "as-docs-write-it": ("rtsp://admin:<password>@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "ellipsis": ("rtsp://…@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "both-parts": ("rtsp://***:***@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "password-alone": ("rtsp://admin:***@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new"),
    "new-password": ("rtsp://***:new@127.0.0.1:9/new", "rtsp://admin:new@127.0.0.1:9/new"),
    "another-channel": (SHOWN.replace("channel=1", "channel=2"), KEPT.replace("channel=1", "channel=2")),
    "query-alone": ("rtsp://127.0.0.1:9/new?k=***", "rtsp://127.0.0.1:9/new?k=v"),
    "nothing-hidden": ("rtsp://bob:new@127.0.0.1:9/new", "rtsp://bob:new@127.0.0.1:9/new"),
    "no-login": ("rtsp://127.0.0.1:9/new", "rtsp://127.0.0.1:9/new"),
}
REFUSED = {
    "another-host": "rtsp://***@127.0.0.2:9/new",
    "another-port": "rtsp://***@127.0.0.1:10/new",
    "default-port": "rtsp://***@127.0.0.1/new",
    "another-scheme": "http://***@127.0.0.1:9/new",
    "another-user": "rtsp://bob:***@127.0.0.1:9/new",
    "part-of-a-user": "rtsp://ad***:new@127.0.0.1:9/new",
    "part-of-a-password": "rtsp://admin:p***s@127.0.0.1:9/new",
    "two-at": "rtsp://***@127.0.0.1:9@127.0.0.2/new",
    "host-hidden": "rtsp://***/new",
    "unknown-query": "rtsp://127.0.0.1:9/new?token=***",
    "unknown-part": "rtsp://127.0.0.1:9/a/b/c/***",
    "fragment": "rtsp://127.0.0.1:9/new#***",
    "part-of-a-value": "rtsp://127.0.0.1:9/new?k=v***",
}


def rows(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(*(row if isinstance(row, tuple) else (row,)), id=name) for name, row in table.items()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("service")
    with served(folder) as running:
        yield running


@pytest.fixture
def camera(service: Running) -> Iterator[CameraRequest]:
    """A camera that nobody answers for, with secrets wherever an address can hold them."""
    request = CameraRequest(id="gate", source=KEPT, enabled=False)
    service.service.add_camera(request)
    yield request
    service.service.remove_camera("gate")


def ask(service: Running, method: str, path: str, body: Any = None) -> httpx.Response:
    return httpx.request(method, service.url + path, json=body, headers=BEARER, timeout=30)


@pytest.mark.parametrize(("sent", "expected"), rows(PASSED_ON))
def test_what_is_hidden_stays_as_it_was(service: Running, camera: CameraRequest, sent: str, expected: str) -> None:
    settings = ask(service, "GET", "/cameras/gate/settings").json()
    assert settings["source"] == SHOWN
    answer = ask(service, "PUT", "/cameras/gate/settings", {**settings, "source": sent, "name": "changed"})
    assert answer.status_code == 200, answer.text
    assert service.service.cameras.get("gate").request.source == expected
    assert service.service.camera_store.load()[0].source == expected


@pytest.mark.parametrize("sent", rows(REFUSED))
def test_what_is_not_known_is_refused_at_every_door(service: Running, camera: CameraRequest, sent: str) -> None:
    settings = {**camera.model_dump(mode="json"), "source": sent}
    for method, path, body in (
        ("PUT", "/cameras/gate/settings", settings),
        ("POST", "/connection-test", settings),
        ("POST", "/cameras", {**settings, "id": "fresh"}),
        ("POST", "/connection-test", {**settings, "id": "fresh"}),
    ):
        answer = ask(service, method, path, body)
        assert answer.status_code == 422, (method, path, answer.text)
        assert "source" in answer.json()["what"]
        assert "in place of a secret" in answer.json()["why"]
    assert service.service.cameras.get("gate").request == camera
    assert len(service.service.camera_store.load()) == 1


@pytest.mark.parametrize("sent", [SHOWN, *(sent for sent, expected in PASSED_ON.values() if "***" in sent)])
def test_another_camera_gets_no_login(service: Running, camera: CameraRequest, sent: str) -> None:
    answer = ask(service, "POST", "/cameras", {"id": "fresh", "source": sent})
    assert answer.status_code == 422


def test_a_camera_sent_back_as_it_is_shown_is_not_changed(service: Running, camera: CameraRequest) -> None:
    settings = ask(service, "GET", "/cameras/gate/settings").json()
    assert ask(service, "PUT", "/cameras/gate/settings", settings).status_code == 200
    assert service.service.cameras.get("gate").request == camera


async def test_the_form_of_the_console_keeps_the_login(service: Running, camera: CameraRequest, site: Site) -> None:
    settings = site.settings.model_copy(update={"service": ServiceAddress(url=service.url)})
    app = XaivaApp(Site(site.root, settings, {**site.env, "XAIVA_SERVICE_TOKEN": TOKEN}))
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "gate")
        for source, expected in ((SHOWN, KEPT), ("rtsp://***@127.0.0.1:9/new", "rtsp://admin:p%40ss@127.0.0.1:9/new")):
            await pilot.press("e")
            await until(pilot, lambda: isinstance(app.screen, CameraForm) and isinstance(app.focused, Input))
            assert app.screen.query_one("#source", Input).value == SHOWN
            app.screen.query_one("#source", Input).value = source
            await pilot.press("enter")
            await until(pilot, lambda: len(app.screen_stack) == 1)
            assert service.service.cameras.get("gate").request.source == expected


def test_the_command_line_keeps_the_login(
    service: Running, camera: CameraRequest, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.root / "site.toml").write_text(f'[service]\nurl = "{service.url}"\n')
    (site.root / ".env").write_text(f"XAIVA_SERVICE_TOKEN={TOKEN}\n")
    edit = ["--site", str(site.root), "camera", "edit", "gate"]
    assert run([*edit, "--name", "The gate"]) == 0
    assert service.service.cameras.get("gate").request.source == KEPT
    assert run([*edit, "--source", "rtsp://***@127.0.0.1:9/new"]) == 0
    assert service.service.cameras.get("gate").request.source == "rtsp://admin:p%40ss@127.0.0.1:9/new"
    assert run([*edit, "--source", "rtsp://***@127.0.0.2/new"]) == 2
    assert "Camera gate: source: it contains ***" in capsys.readouterr().err


# -- at the start ------------------------------------------------------------------------------------------------------


def test_a_start_keeps_a_login_and_refuses_one_that_is_not_known(tmp_path: Path) -> None:
    def start(folder: str, camera: str, source: str) -> InferenceService:
        settings = ServiceSettings(data=tmp_path / folder)
        CameraStore(Database(settings.database)).put(CameraRequest(id="gate", source="rtsp://u:p@127.0.0.1:9/old"))
        return InferenceService(settings, [CameraRequest(id=camera, source=source)])

    result = start("kept", "gate", "rtsp://***@127.0.0.1:9/new")
    assert result.cameras.get("gate").request.source == "rtsp://u:p@127.0.0.1:9/new"
    for folder, camera, source in (
        ("host", "gate", "rtsp://***@127.0.0.2/new"),
        ("id", "fresh", "rtsp://***@127.0.0.1:9/new"),
    ):
        with pytest.raises(InputError, match=r"ource: it contains \*\*\* in place of a secret"):
            start(folder, camera, source)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("XAIVA_DATABASE_URL", "postgresql://xaiva:***@10.0.0.5/xaiva"),
        ("XAIVA_SMTP_URL", "smtp://***@10.0.0.6:587"),
        ("XAIVA_SERVICE_TOKEN", "***"),
        ("XAIVA_ANALYSER_KEY", "**********"),
        ("XAIVA_ANALYSER_URL", "http://%2A%2A%2A@10.0.0.7/v1"),
        ("XAIVA_ANALYSER_KEY", "<hidden>"),
    ],
)
def test_a_variable_that_holds_a_placeholder_is_refused(variable: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{variable}: it contains"):
        read_settings({variable: value}, tmp_path)
    assert parse_server("smtp://u:p@10.0.0.6").password == "p"


@pytest.mark.parametrize("value", ["***", "<hidden>", "redis://***@10.0.0.8/0", "postgresql://x:%2A%2A%2A@10.0.0.5/x"])
def test_a_launch_gives_no_placeholder_to_a_container(site: Site, value: str) -> None:
    (site.root / "site.env").write_text(f"ACME={value}\n")
    for run_settings in ({"environment": {"ACME": value}}, {"env_files": ["site.env"]}):
        with pytest.raises(InputError, match="variable ACME: it contains"):
            read_run_settings(site, "plain", preset(**run_settings), dev=False)
    assert (
        read_run_settings(site, "plain", preset(environment={"CRON": "*** 5"}), dev=False).environment["CRON"]
        == "*** 5"
    )


# -- rules and users ---------------------------------------------------------------------------------------------------

HOOK = "https://admin:pw@hooks.example/services/T0/9f8e7d6c5b4a39281716/in?token=s3cret&tenant=7"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544"
RULES = {
    "as-shown": (HOOK, lambda shown: shown, HOOK),
    "another-path": (HOOK, lambda _: "https://***@hooks.example/new", "https://admin:pw@hooks.example/new"),
    "percent-encoded": (HOOK, lambda _: "https://%2A%2A%2A@hooks.example/", "https://admin:pw@hooks.example/"),
    "another-host": (HOOK, lambda shown: shown.replace("hooks.", "other."), None),
    "another-scheme": (HOOK, lambda shown: shown.replace("https", "http"), None),
    "slack": (
        "https://hooks.slack.com/services/T0/B0/xyz",
        lambda shown: shown,
        "https://hooks.slack.com/services/T0/B0/xyz",
    ),
    "apprise": (TELEGRAM, lambda shown: shown, TELEGRAM),
    "apprise-another": (TELEGRAM, lambda _: "slack://***", None),
    "apprise-in-part": (TELEGRAM, lambda _: "tgram://***/12315544", None),
}


@pytest.mark.parametrize(("kept", "change", "expected"), rows(RULES))
def test_a_channel_keeps_its_secrets(
    service: Running, kept: str, change: Callable[[str], str], expected: str | None
) -> None:
    kind = "webhook" if kept.startswith("http") else "apprise"
    rule = {"name": "ops", "channels": [{"kind": kind, "to": kept}]}
    assert ask(service, "POST", "/rules", rule).status_code == 201
    try:
        stored_rule = ask(service, "GET", "/rules/ops").json()
        sent = change(stored_rule["channels"][0]["to"])
        other = {"name": "fresh", "channels": [{"kind": kind, "to": sent}]}
        assert ask(service, "POST", "/rules", other).status_code == 422, "another rule gets no secret"
        stored_rule["channels"][0]["to"] = sent
        answer = ask(service, "PUT", "/rules/ops", stored_rule)
        assert answer.status_code == (200 if expected else 422), answer.text
        assert service.service.rules.get_with_secrets("ops").channels[0].to == (expected or kept)
        if not expected:
            assert answer.json()["what"].endswith(": to")
    finally:
        ask(service, "DELETE", "/rules/ops")


def test_a_rule_sent_back_as_it_is_shown_is_not_changed(service: Running) -> None:
    channels = [
        {"kind": "webhook", "to": HOOK},
        {"kind": "apprise", "to": TELEGRAM},
        {"kind": "email", "to": "a@b.example"},
    ]
    rule = RuleRequest.model_validate({"name": "ops", "channels": channels})
    service.service.rules.add(rule)
    assert ask(service, "PUT", "/rules/ops", ask(service, "GET", "/rules/ops").json()).status_code == 200
    assert service.service.rules.get_with_secrets("ops") == rule
    ask(service, "DELETE", "/rules/ops")


@pytest.mark.parametrize("sent", ["**********", "••••••••••", "*" * 40])
def test_a_password_of_asterisks_is_none(service: Running, sent: str) -> None:
    added = ask(service, "POST", "/users", {"name": "eve", "password": sent})
    assert added.status_code == 422
    assert added.json()["what"] == "body.password"
    assert "placeholder for a hidden password" in added.json()["why"]


@pytest.mark.parametrize(("sent", "expected"), rows(PASSED_ON))
def test_what_is_filled_in_is_shown_as_it_was_sent(sent: str, expected: str) -> None:
    assert restore_secrets(normalised_source(sent), KEPT) == expected
    assert restore_secrets(redact_address(expected), expected) == expected
