"""A wrong engine address is distinguished from an engine that does not run, and its password is never printed.

It applies to `DOCKER_HOST`, `site.toml`, contexts and the configuration of the docker client: what the docker client
takes is taken, and what it would refuse has the remedy of its cause.
"""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest

from core.containers.service_discovery import find_service
from core.doctor import examine
from core.engine import EngineError, connect_engine, resolve_endpoint
from core.errors import InputError
from core.site import EngineSettings, Site, SiteSettings
from tests.support.command_line import xaiva
from tests.support.engine import TestEngine

SECRET = "h0rse/b@ttery#1"
ADDRESSES: dict[str, tuple[str, str, str]] = {  # DOCKER_HOST → words of the cause, words of the remedy
    "path": ("/var/run/docker.sock", "it has no scheme", "write unix:///var/run/docker.sock"),
    "user-at-host": ("me@gpu-box", "it has no scheme", "write ssh://me@gpu-box"),
    "one-slash": ("unix:/var/run/docker.sock", "it has no scheme", "unix:///path"),
    "one-slash-tcp": ("tcp:/10.0.0.5:2375", "it has no scheme", "tcp://host:port"),
    "path-of-home": ("~/docker.sock", "it has no scheme", "unix:///path"),
    "path-from-here": ("./docker.sock", "it has no scheme", "unix:///path"),
    "http": ("http://10.0.0.5:2375", "http:// is not supported", "tcp://host:port"),
    "capitals": ("TCP://10.0.0.5:2375", "TCP:// is not supported", "tcp://host:port"),
    "unknown": ("podman://x", "podman:// is not supported", "unix:///path"),
    "pipe": ("npipe:////./pipe/docker_engine", "npipe:// is not supported", "unix:///path"),
    "ssh-alone": ("ssh://", "it names no host", "ssh://"),
    "ssh-user-alone": ("ssh://me@", "it names no host", "ssh://"),
    "unix-two-slashes": ("unix://var/run/docker.sock", "path of its socket is not absolute", "unix:///path"),
    "port": ("tcp://10.0.0.5:http", "Port could not be cast", "tcp://host:port"),
    "port-no-scheme": ("10.0.0.5:http", "Port could not be cast", "tcp://host:port"),
    "port-too-high": ("10.0.0.5:99999", "Port out of range", "tcp://host:port"),
    "password": (f"ssh://me:{SECRET}@gpu-box", "it contains a password", "ssh-copy-id"),
    "password-port": (f"ssh://me:{SECRET}@gpu-box:22/run/docker.sock", "it contains a password", "ssh-copy-id"),
    "password-no-scheme": (f"me:{SECRET}@gpu-box", "it has no scheme", "ssh://"),
    "password-no-host": (f"ssh://me:{SECRET}@", "it contains a password", "ssh-copy-id"),
}  # fmt: skip


@pytest.mark.parametrize("named_by", ["DOCKER_HOST", "site.toml", "context"])
@pytest.mark.parametrize("case", ADDRESSES)
def test_an_address_of_an_engine_that_is_none_is_named_as_that(case: str, named_by: str, tmp_path: Path) -> None:
    host, words, remedy = ADDRESSES[case]
    with pytest.raises(InputError) as caught:
        connect_engine(site_of(tmp_path, host, named_by))
    text = str(caught.value)
    assert words in caught.value.why
    assert remedy in caught.value.remedy
    assert "systemctl start" not in text
    assert not any(part in text for part in (SECRET, "h0rse", "ttery"))


CONTEXTS: dict[str, tuple[str, str]] = {  # meta.json of a context → its engine, or words of the cause
    "no-host": ('{"Endpoints": {"docker": {}}}', "unix:///var/run/docker.sock"),  # as the docker client has it
    "host-null": ('{"Endpoints": {"docker": {"Host": null}}}', "unix:///var/run/docker.sock"),
    "host-port": ('{"Endpoints": {"docker": {"Host": "10.0.0.5:1"}}}', "tcp://10.0.0.5:1"),
    "other-endpoint": ('{"Endpoints": {"kubernetes": {}}}', "its description names no Docker engine"),
    "list": ("[]", "its description names no Docker engine"),
    "endpoint-text": ('{"Endpoints": {"docker": "x"}}', "its description names no Docker engine"),
    "cut": ("{", "its description cannot be read: Expecting property name"),
}


@pytest.mark.parametrize("case", CONTEXTS)
def test_a_context_is_used_as_the_docker_client_does_or_said_to_be_broken(case: str, tmp_path: Path) -> None:
    text, result = CONTEXTS[case]
    site = site_of(tmp_path, "", "context")
    next(tmp_path.rglob("meta.json")).write_text(text)
    try:
        assert resolve_endpoint(site).host == result
    except EngineError as error:
        assert result in error.why  # noqa: PT017 - both outcomes stand in the table


def site_of(root: Path, host: str, named_by: str) -> Site:
    """A site whose engine is named in one of the ways there are."""
    env = {"DOCKER_CONFIG": str(root / "docker")}
    if named_by == "site.toml":
        return Site(root, SiteSettings(engine=EngineSettings(host=host)), env)
    if named_by == "DOCKER_HOST":
        return Site(root, SiteSettings(), {**env, "DOCKER_HOST": host})
    meta = root / "docker/contexts/meta" / hashlib.sha256(b"far").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": host}}}))
    return Site(root, SiteSettings(), {**env, "DOCKER_CONTEXT": "far"})


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("10.0.0.5:2375", "tcp://10.0.0.5:2375"),
        ("gpu-box", "tcp://gpu-box:2375"),
        ("[::1]:2376", "tcp://[::1]:2376"),
        (":2375", "tcp://localhost:2375"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://gpu-box:", "tcp://gpu-box:2375"),
        ("tcp://me:secret@gpu-box:1", "tcp://gpu-box:1"),  # a login is for ssh alone
        ("unix://", "unix:///var/run/docker.sock"),
        (" ", "unix:///var/run/docker.sock"),  # as if it were not set
        ("tcp://10.0.0.5", "tcp://10.0.0.5:2375"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        (" tcp://10.0.0.5:1 ", "tcp://10.0.0.5:1"),
        ("ssh://me@gpu-box", "ssh://me@gpu-box"),
        ("unix:///run/docker.sock", "unix:///run/docker.sock"),
    ],
)
def test_an_address_as_the_docker_client_takes_it_is_used(given: str, used: str, tmp_path: Path) -> None:
    assert resolve_endpoint(site_of(tmp_path, given, "DOCKER_HOST")).host == used


NOBODY: dict[str, tuple[str, str, str, bool]] = {  # where nobody answers → cause, remedy, whether it names systemctl
    "port": ("127.0.0.1:{port}", "tcp://127.0.0.1:{port} (named by DOCKER_HOST): nothing", "dockerd --host", False),
    "left-over": ("unix://{root}/old.sock", "nothing listens there", "systemctl start docker", True),
    "other-path": ("unix://{root}/none.sock", "the socket does not exist", "correct the path", False),
    "folder": ("unix://{root}", "it is a folder, not a socket", "correct the path", False),
    "file": ("unix://{root}/file", "it is a file, not a socket", "correct the path", False),
}  # fmt: skip


@pytest.mark.parametrize("case", NOBODY)
def test_starting_the_engine_is_the_remedy_where_it_is_found_not_to_run(case: str, tmp_path: Path) -> None:
    host, words, remedy, start = NOBODY[case]
    (tmp_path / "file").touch()
    with socket.socket() as silent, socket.socket(socket.AF_UNIX) as left_over:
        silent.bind(("127.0.0.1", 0))
        left_over.bind(f"{tmp_path}/old.sock")
        place = {"root": str(tmp_path), "port": str(silent.getsockname()[1])}
        with pytest.raises(EngineError) as caught:
            connect_engine(site_of(tmp_path, host.format_map(place), "DOCKER_HOST"))
    assert words.format_map(place) in str(caught.value)
    assert remedy in caught.value.remedy
    assert ("systemctl start" in caught.value.remedy) is start


@pytest.mark.parametrize("words", [["ps"], ["doctor"], ["status"], ["load", "named"], ["launch", "named"]])
def test_a_password_of_the_engine_is_printed_nowhere(words: list[str], site: Site) -> None:
    (site.presets / "named.json").write_text(json.dumps({"base_image": "debian:12", "python_version": "3.11"}))
    secret = Site(site.root, site.settings, {**site.env, "DOCKER_HOST": f"ssh://me:{SECRET}@gpu-box.invalid"})
    done = xaiva(secret, *words)
    logs = [path.read_text(errors="replace") for path in (site.root / ".xaiva").rglob("*.log")]
    assert not [text for text in (done.stdout, done.stderr, *logs) if "h0rse" in text or "ttery" in text]


BROKEN: dict[str, tuple[str | None, str]] = {  # config.json of the docker client → words of the cause; None: a folder
    "cut": ('{"currentContext": "far"', "it is not valid JSON"),
    "deep": ("[" * 100_000, "it is not valid JSON"),
    "comma": ('{"auths": {},}', "it is not valid JSON"),
    "not-text": ("\udcff\udcfe", "it is not valid JSON"),
    "list": ("[]", "it is not a JSON object"),
    "null": ("null", "it is not a JSON object"),
    "text": ('"x"', "it is not a JSON object"),
    "context-number": ('{"currentContext": 5}', "currentContext is not a string"),
    "auths-list": ('{"auths": []}', "auths is not an object"),
    "proxies-list": ('{"proxies": []}', "proxies is not an object"),
    "proxies-text": ('{"proxies": {"default": "http://p"}}', "an entry of proxies is not an object"),
    "helper-number": ('{"credsStore": 1}', "credsStore is not a string"),
    "folder": (None, "Is a directory"),
}  # fmt: skip
FINE = ("", "{}", '{"auths": null, "credsStore": null}', '{"currentContext": ""}', '{"new": 5}')


@pytest.mark.parametrize("named_by", ["DOCKER_HOST", "default"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_configuration_of_the_docker_client_is_said(case: str, named_by: str, tmp_path: Path) -> None:
    content, words = BROKEN[case]
    path = write_configuration(tmp_path, content)
    with pytest.raises(InputError) as caught:
        connect_engine(site_of_configuration(tmp_path, named_by))
    assert str(path) in caught.value.what
    assert words in caught.value.why
    assert "DOCKER_CONFIG" in caught.value.remedy or f"mv {path}" in caught.value.remedy


@pytest.mark.engine
@pytest.mark.parametrize("content", FINE)
def test_a_configuration_that_the_docker_client_takes_is_taken(
    content: str, tmp_path: Path, engine: TestEngine
) -> None:
    write_configuration(tmp_path, content)
    env = {"DOCKER_CONFIG": str(tmp_path / "docker"), "DOCKER_HOST": engine.host}
    assert connect_engine(Site(tmp_path, SiteSettings(), env)).ping()


def test_a_broken_configuration_is_a_finding_of_the_doctor(tmp_path: Path) -> None:
    write_configuration(tmp_path, "{")
    findings = {finding.code: finding for finding in examine(site_of_configuration(tmp_path, "default"))}
    assert "it is not valid JSON" in findings["engine"].why


def write_configuration(root: Path, content: str | None) -> Path:
    path = root / "docker/config.json"
    path.parent.mkdir()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content.encode(errors="surrogateescape"))
    return path


def site_of_configuration(root: Path, named_by: str) -> Site:
    env = {"DOCKER_CONFIG": str(root / "docker")}
    return Site(root, SiteSettings(), {**env, "DOCKER_HOST": "tcp://127.0.0.1:9"} if named_by == "DOCKER_HOST" else env)


def test_the_service_is_still_found_while_the_engine_is_named_wrongly(tmp_path: Path) -> None:
    write_configuration(tmp_path, "{")
    address = find_service(site_of_configuration(tmp_path, "default"))
    assert address.url == "http://127.0.0.1:8600"
    assert "it is not valid JSON" in address.named_by
