"""A container's secrets are hidden wherever they could be shown.

It holds wherever people look at one: its variables, labels, command line, health check and log, in the console (also
--read-only), the command line, documents and errors; and wherever a secret of the site's `.env` can occur.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from core.containers.launch import launch
from core.engine import EngineError
from core.redaction import is_secret_name, redact_arguments, redact_document, redact_text, secrets_of, set_secrets
from core.site import Site
from tests.cli.conftest import Xaiva, small_site, xaiva  # noqa: F401 - fixtures
from tests.containers.conftest import preset
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.tui.support import shows
from tests.tui.support import text as screen_text
from tests.tui.support import until as until_shown
from tui.app import XaivaApp
from tui.screens.text_dialog import TextDialog
from tui.widgets.choice_list import ChoiceList

TOKEN = "q7Xw2-service-token-of-the-site-0123456789"
LICENCE = "ABCD-1234-EFGH-5678"  # in `.env`, under a name that says nothing
HARMLESS = {  # of `.env`: none of them may blank out what else is shown
    "TZ": "Europe/Berlin",
    "MODE": "on",
    "SITE": "hall",
    "WORKERS": "12",
    "MODELS": "/srv/models",
    "ACME_HOST": "gate.example.org",
    "XAIVA_MAIL_FROM": "xaiva@localhost",
    "SHORT_PIN": "1",
}
SECRET_NAMES = [
    "XAIVA_SERVICE_TOKEN",
    "PGPASSWORD",
    "MYSQL_PWD",
    "DB_PASS",
    "PASSPHRASE",
    "AWS_SECRET_ACCESS_KEY",
    "API_KEY",
    "apiKey",
    "OPENAI-API-KEY",
    "SENTRY_DSN",
    "REDISCLI_AUTH",
    "HTTP_AUTHORIZATION",
    "SESSION_COOKIE",
    "GCP_CREDENTIALS",
    "db.creds",
    "JWT",
    "SNMP_COMMUNITY",
    "WIFI_PSK",
    "SMTP_PASSWD",
    "ENCRYPTION_KEY",
    "ACCESS_TOKENS",
    "ADMINPASS",
    "requirepass",
    "X_PW",
    "SNMP_AUTHKEY",
    "CAMERA_LOGIN",
]
HARMLESS_NAMES = [
    "PATH",
    "PWD",
    "GPG_KEY",
    "PYTHON_SHA256",
    "AUTHOR",
    "KEYBOARD",
    "MONKEY",
    "TOKENIZERS_PARALLELISM",
    "MAX_TOKENS",
    "MAX_NEW_TOKENS",
    "SSH_AUTH_SOCK",
    "POSTGRES_HOST_AUTH_METHOD",
    "PASSWORD_FILE",
    "TOKEN_VARIABLE",
    "NVIDIA_REQUIRE_CUDA",
    "SSH_PUBLIC_KEY",
    "COMPASS",
    "BYPASS",
    "SecretName",
]


@pytest.fixture
def known() -> None:
    """The secrets of a site, as opening it makes them known."""
    set_secrets({"PATH": "/usr/bin", "ACME_TOKEN": "t0ken-of-acme"}, {**HARMLESS, "LICENCE": LICENCE})


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_name_hides_its_value(name: str) -> None:
    assert is_secret_name(name)
    assert redact_arguments([f"{name}=abc", f"--{name}=abc", f"--{name}", "abc"]) == [
        f"{name}=***",
        f"--{name}=***",
        f"--{name}",
        "***",
    ]
    assert redact_document({"Labels": {name: "abc"}}) == {"Labels": {name: "***"}}


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_harmless_name_hides_nothing(name: str) -> None:
    assert not is_secret_name(name)
    assert redact_arguments([f"{name}=4096"]) == [f"{name}=4096"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"inside-{LICENCE}-other", "inside-***-other"),
        ("t0ken-of-acme", "***"),
        ("Europe/Berlin in hall on 12 /srv/models 1 gate.example.org", None),
        ("sh -c 'serve --api-key abc --port 1'", "sh -c 'serve --api-key *** --port 1'"),
        ("curl -H 'X-Api-Key: abc' http://h/x", "curl -H 'X-Api-Key: ***' http://h/x"),
        ("NOTE ghp_0123456789abcdefghij0123456789", "NOTE ***"),
        ("a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl b", "a *** b"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "***"),
        ("redis://:abc@h:6379/0", "redis://***@h:6379/0"),
    ],
)
def test_known_secrets_are_hidden_wherever_they_occur(known: None, value: str, expected: str | None) -> None:
    assert redact_text(value) == (expected or value)
    assert redact_arguments([f"X={value}", value]) == [f"X={expected or value}", expected or value]


@pytest.mark.parametrize(
    "data",
    [
        {"Env": ["DB_PASSWORD=hunter2hunter2"], "Cmd": ["serve", "hunter2hunter2"]},
        {"Env": ["DB=postgres://x:hunter2hunter2@h/db"], "Labels": {"note": "with hunter2hunter2"}},
        {"Cmd": ["serve", "--token", "hunter2hunter2"], "Health": {"Log": [{"Output": "bad hunter2hunter2"}]}},
        {"LogConfig": {"Config": {"splunk-token": "hunter2hunter2"}}, "Args": ["x=hunter2hunter2"]},
        {"Mounts": [{"Options": {"o": "username=me,password=hunter2hunter2"}}]},
        {"Healthcheck": {"Test": ["CMD-SHELL", "curl -u me:hunter2hunter2 http://h/"]}},
        {"API_KEYS": ["hunter2hunter2"]},
        {"Password": {"value": "hunter2hunter2"}},
        {"Secret": [{"value": "hunter2hunter2"}]},
        {"Entrypoint": ["serve", "--user=me:hunter2hunter2"]},
        {"Command": ["TOKEN=hunter2hunter2"], "Volumes": {"/srv/hunter2hunter2": {}}},
    ],
    ids=lambda data: "-".join(data),
)
def test_a_document_holds_none_of_its_secrets(data: dict[str, Any]) -> None:
    assert "hunter2" not in json.dumps(redact_document(data))
    assert set(redact_document(data)) == set(data)


def test_a_number_under_a_secret_name_is_hidden_and_a_count_is_not() -> None:
    assert redact_document({"pin": 4711, "tokens": 12}) == {"pin": "***", "tokens": 12}


@pytest.mark.parametrize(
    "written",
    ['a/b+"c=é', "a%2Fb%2B%22c%3D%C3%A9", "a%2fb%2b%22c%3d%c3%a9", "a/b%2B%22c%3D%C3%A9", r"a\/b+\"c=\u00e9"],
    ids=["as-it-is", "encoded", "encoded-small", "encoded-in-a-path", "in-json"],
)
def test_a_secret_is_known_however_it_is_written(written: str) -> None:
    assert redact_text(f"x {written} y", secrets_of({"token": 'a/b+"c=é'})) == "x *** y"


def test_secrets_of_a_container_are_hidden_in_its_log() -> None:
    assert redact_text("login with abcdefgh", secrets_of({"Env": ["PASSWORD=abcdefgh"]})) == "login with ***"


# -- on a real engine --------------------------------------------------------------------------------------------------

NAME = "xaiva-secrets"


@pytest.fixture
def container(engine: TestEngine) -> Iterator[str]:
    """A container that holds the site's token and other secrets wherever it can, and says them."""
    say = f"echo starts with {TOKEN} and {LICENCE} at rtsp://u:secret-7@h/x in hall; echo $DB_PASSWORD; exec sleep 600"
    options = ["--name", NAME, "--network", "none", "--stop-signal", "KILL", "--label", f"note=of {TOKEN}"]
    options += ["--label", "acme.api-key=secret-1", "-e", f"XAIVA_SERVICE_TOKEN={TOKEN}", "-e", "DB_PASSWORD=secret-2"]
    options += ["-e", f"ARGS=--licence={LICENCE}", "-e", "CAM=rtsp://u:secret-3@h/x", "-e", "TZ=Europe/Berlin"]
    options += ["--health-cmd", f"echo {TOKEN} secret-2; false", "--health-interval", "1s", "--health-retries", "1"]
    engine.docker("run", "-d", *options, BASE_IMAGE, "sh", "-c", say, "--password", "secret-4", "--key=secret-5")
    yield NAME
    engine.docker("rm", "-f", NAME, check=False)


@pytest.fixture
def secret_site(engine_site: Site) -> Site:
    """The engine's site with secrets in its `.env`."""
    lines = {**HARMLESS, "LICENCE": LICENCE, "XAIVA_SERVICE_TOKEN": TOKEN}
    (engine_site.root / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    return Site(engine_site.root, engine_site.settings, {**engine_site.env, **lines})


def check(output: str) -> None:
    for secret in (TOKEN, LICENCE, *(f"secret-{number}" for number in range(1, 8))):
        assert secret not in output, secret


@pytest.mark.engine
def test_the_command_line_shows_no_secret(
    secret_site: Site,
    xaiva: Xaiva,  # noqa: F811
    engine: TestEngine,
    container: str,
) -> None:
    ask = partial(xaiva, env=engine.env)
    output = ask("inspect", container).out
    check(output)
    assert "TZ=Europe/Berlin" in json.loads(output)["Config"]["Env"]
    check(ask("inspect", container, "--json").out)
    logs = ask("logs", container)
    assert "starts with *** and *** at rtsp://***@h/x in hall" in logs.out
    check(logs.out)
    check(ask("logs", container, "--json").out)
    until(lambda: "unhealthy" in ask("ps").out)
    check(ask("ps").out)
    check(ask("ps", "--json").out)


@pytest.mark.engine
@pytest.mark.parametrize("read_only", [True, False], ids=["visitor", "engineer"])
async def test_the_console_shows_and_copies_no_secret(secret_site: Site, container: str, read_only: bool) -> None:
    app = XaivaApp(secret_site, read_only=read_only)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("5")
        await shows(pilot, container)
        app.screen.query_one("#choices", ChoiceList).move_cursor_to(container)
        await shows(pilot, "starts with ***")
        check(screen_text(pilot))
        await pilot.press("i")
        await until_shown(pilot, lambda: isinstance(app.screen, TextDialog))
        dialog = app.screen
        assert isinstance(dialog, TextDialog)
        check(dialog._text)
        assert "XAIVA_SERVICE_TOKEN=***" in dialog._text
        await pilot.press("y")
        check(app.clipboard)


@pytest.mark.engine
def test_an_error_of_the_engine_repeats_no_secret(secret_site: Site, engine: TestEngine) -> None:
    (secret_site.root / "site.env").write_text("DB_PASSWORD=secret-6\n")
    engine.docker("tag", BASE_IMAGE, "xaiva/plain:latest")
    command = [f"/no/such/{TOKEN}/{LICENCE}/secret-6"]
    with pytest.raises(EngineError) as refused:
        launch(secret_site, "plain", preset(env_files=["site.env"], command=command))
    assert "/no/such/***/***/***" in str(refused.value)
    check(str(refused.value))
