"""Secrets in every place where one can stand turn up in no byte of a report or a bundle."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core import labels
from core.api_schema import CameraRequest
from core.site import Site
from core.site_operations import site_ledger
from core.site_report.bundle import write_bundle
from core.site_report.collect import collect_report
from core.site_report.files import write_report
from core.site_report.logs import available_logs
from tests.inference.conftest import running_service
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.service import TOKEN, ServiceProcess

# The values have no meaning and no known form, so that only the place gives them away.
CANARIES = {
    name: f"{name[::-1]}Zq7#{number}Xv9kd"
    for number, name in enumerate(
        (
            "environment",
            "proxy",
            "dotenv",
            "neutral",
            "settings",
            "camera",
            "compose",
            "composeurl",
            "registry",
            "clientproxy",
            "container",
            "label",
            "preset",
            "header",
        )
    )
}
KNOWN_ELSEWHERE = ("camera", "container", "label")  # to the service and the engine: no file of the site has them
PEM_BODY = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", "AgEAAoIBAQC7VJTUt9Us8cKjMzEfYyjiWA4R4", "a8Mq==")
PEM = "\n".join(("-----BEGIN PRIVATE KEY-----", *PEM_BODY, "-----END PRIVATE KEY-----"))


def place_canaries(root: Path, home: Path) -> None:
    """The files of a site, its stacks and the docker client, each with secrets."""
    c = CANARIES
    (root / ".env").write_text(f"MAIL_PASSWORD='{c['dotenv']}'\nREMARK='{c['neutral']}'\nXAIVA_SERVICE_TOKEN={TOKEN}\n")
    mirror = f"https://mirror:{c['settings']}@mirror.lan/simple"
    (root / "site.toml").write_text(f'name = "hall"\n[sync.mirrors]\n"https://files.lan/" = "{mirror}"\n')
    stack = root / "stacks/line"
    stack.mkdir(parents=True)
    (stack / "compose.yaml").write_text(
        "services:\n  a:\n    environment:\n"
        f'      DB_PASSWORD: "{c["compose"]}"  # of the line\n'
        f"      SOURCE: rtsp://admin:{c['composeurl']}@10.0.0.9/live\n"
    )
    run = {"environment": {"API_TOKEN": c["preset"]}}
    preset = {"base_image": BASE_IMAGE, "python_version": "3.11", "inference_service": False, "run": run}
    (root / "presets/small.json").write_text(json.dumps(preset))
    (home / ".docker").mkdir(parents=True)
    login = base64.b64encode(f"robot:{c['registry']}".encode()).decode()
    proxies = {"default": {"httpProxy": f"http://proxy:{c['clientproxy']}@proxy.lan:3128"}}
    client = {
        "auths": {"registry.lan": {"auth": login}},
        "HttpHeaders": {"X-Meta-Token": c["header"]},
        "proxies": proxies,
    }
    (home / ".docker/config.json").write_text(json.dumps(client))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with a camera that has a password in its address, and does not answer."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        source = f"rtsp://viewer:{CANARIES['camera']}@127.0.0.1:9/live?token={CANARIES['camera']}"
        running.client.add_camera(CameraRequest(id="hall", source=source, name=f"Hall {source}"))
        yield running


@pytest.fixture
def canary_site(site: Site, tmp_path: Path, engine: TestEngine, service: ServiceProcess) -> Site:
    """A site with all of that, on the test engine."""
    place_canaries(site.root, tmp_path / "home")
    environ = {
        **engine.env,
        "HOME": str(tmp_path / "home"),
        "XAIVA_SERVICE": service.client.url,
        "DEPLOY_TOKEN": CANARIES["environment"],
        "HTTPS_PROXY": f"http://user:{CANARIES['proxy']}@proxy.lan:3128",
    }
    return Site.open(site.root, environ)


@pytest.fixture
def container(engine: TestEngine, canary_site: Site) -> Iterator[str]:
    """A container of xaiva's that prints everything it was given."""
    name = "talkative"
    script = f"echo starting; env; echo {CANARIES['container']}; printf '%s\\n' '{PEM}'"
    words = ["run", "--name", name, "--network", "none"]
    words += ["--env", f"CAMERA_PASSWORD={CANARIES['container']}", "--label", f"api_key={CANARIES['label']}"]
    words += ["--label", f"{labels.PRESET}=small", "--label", f"{labels.SITE}={canary_site.root}"]
    engine.docker(*words, BASE_IMAGE, "sh", "-c", script)
    yield name
    engine.docker("rm", "-f", name)


def every_canary() -> dict[str, bytes]:
    """The forms in which a secret may be written, too."""
    plain = {**CANARIES, "token": TOKEN, **{f"key {number}": line for number, line in enumerate(PEM_BODY)}}
    encoded = {f"{name} in base64": base64.b64encode(value.encode()).decode() for name, value in plain.items()}
    encoded["login in base64"] = base64.b64encode(f"robot:{CANARIES['registry']}".encode()).decode()
    return {name: value.encode() for name, value in {**plain, **encoded}.items()}


def leaks(data: Mapping[str, bytes]) -> set[str]:
    return {
        f"{canary} in {name}"
        for name, text in data.items()
        for canary, value in every_canary().items()
        if value in text
    }


def spoil(log: Path) -> None:
    """Lines as programs write them, with each secret bare, in an assignment, in an address, and in JSON."""
    bare = [value for name, value in CANARIES.items() if name not in KNOWN_ELSEWHERE]
    lines = [f"12:00:00\tlock\t{text}" for value in bare for text in (value, f"x={value}", f"'{value}',")]
    for value in (CANARIES[name] for name in KNOWN_ELSEWHERE):
        lines += [f"rtsp://viewer:{value}@10.0.0.9/live", f"API_KEY={value}", json.dumps({"password": value})]
    lines += [f"12:00:01\tlock\thttps://u:{CANARIES['registry']}@registry.lan/v2/", f"12:00:02\tlock\tauth {TOKEN}"]
    lines += [f"12:00:03\tlock\t{line}" for line in PEM.splitlines()]
    lines.append(json.dumps({"value": PEM}))
    lines.append(json.dumps(json.dumps({"key": PEM})))
    lines.append(f"\x1b[31m{CANARIES['dotenv'][:5]}\x1b[0m{CANARIES['dotenv'][5:]}")
    log.write_text("\n".join(lines) + "\n")


@pytest.mark.engine
def test_no_canary_leaves_the_site(canary_site: Site, container: str, tmp_path: Path) -> None:
    ledger = site_ledger(canary_site)
    operation = ledger.wait(ledger.start("lock", "absent").id, 30)
    spoil(Path(operation.log))
    assert len(leaks({"log": Path(operation.log).read_bytes()})) > len(CANARIES)
    (canary_site.state / "errors.log").write_text(f"2026-11-01 10:00:00 xaiva ps\nValueError: {CANARIES['compose']}\n")
    report = collect_report(canary_site, ledger)
    assert report.service.value is not None, report.service.unknown
    (camera,) = report.service.value.cameras
    assert (camera.id, camera.kind) == ("hall", "rtsp")
    assert report.events.value is not None
    path = write_report(report, tmp_path, None)
    available = available_logs(canary_site, ledger)
    assert {log.name for log in available.logs} >= {f"operation-{operation.id}", "errors", f"container-{container}"}
    bundle = tmp_path / "bundle.tar.gz"
    manifest = write_bundle(canary_site, bundle, report, available.logs, available)
    assert manifest.not_read == []
    with tarfile.open(bundle) as archive:
        contents = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        data = {name: file.read() for name, file in contents.items() if file}
    logs = {name: text for name, text in data.items() if "/logs/" in name}
    assert len(logs) == len(available.logs)
    assert any(b"starting" in text for text in logs.values())
    assert leaks({**data, "report": path.read_bytes(), "names": " ".join(data).encode()}) == set()


@pytest.mark.parametrize("place", ["environment", "header"])
def test_what_other_programs_quote_is_hidden_in_the_report(site: Site, place: str, tmp_path: Path) -> None:
    """A reason of a source that failed quotes an address, and the name of a site is a secret."""
    place_canaries(site.root, tmp_path / "home")
    environ = {"HOME": str(tmp_path / "home"), "DOCKER_HOST": f"tcp://user:{CANARIES[place]}@127.0.0.1:9"}
    opened = Site.open(site.root, {**environ, "DEPLOY_TOKEN": CANARIES["environment"]})
    opened.settings = opened.settings.model_copy(update={"name": CANARIES["compose"]})
    report = collect_report(opened, site_ledger(opened))
    assert report.engine.unknown
    assert leaks({"report": report.model_dump_json().encode()}) == set()


def test_the_search_finds_a_canary() -> None:
    assert leaks({"a": base64.b64encode(CANARIES["proxy"].encode())}) == {"proxy in base64 in a"}
