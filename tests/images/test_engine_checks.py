"""What `doctor` says of an engine's image store, API and settings; the answers to `/info` and `/version` are fakes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core.doctor import examine
from core.engine_image import image_store
from core.findings import Finding, Level
from core.images.delivery_way import EngineWays, Way
from core.images.engine_checks import delivery_findings
from core.site import Site
from tests.images.stores import STORES, site_for, store_engine

# of Docker 26.1.5
INFO: dict[str, Any] = {
    "ID": "23ada671",
    "ServerVersion": "26.1.5",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "RegistryConfig": {"InsecureRegistryCIDRs": ["::1/128", "10.0.0.0/8", "127.0.0.0/8"]},
}
VERSION = {"ApiVersion": "1.45", "MinAPIVersion": "1.24"}


def findings(site: Site, **changes: Any) -> list[Finding]:
    return list(delivery_findings(site, {**INFO, **changes}, VERSION, {"PATH": "/nowhere"}))


def test_an_engine_that_pulls_is_no_finding(site: Site) -> None:
    [api] = findings(site)
    assert (api.level, api.what) == (Level.NOTE, "Engine API 1.24 to 1.45, docker client up to unknown")


def test_an_engine_that_does_not_accept_the_loopback_registry(site: Site) -> None:
    """As Docker 29.10 answers when its daemon.json lists other insecure registries."""
    *_, registry = findings(site, RegistryConfig={"InsecureRegistryCIDRs": ["10.0.0.0/8"]})
    assert (registry.level, registry.code) == (Level.WARNING, "registry")
    assert '"127.0.0.0/8" to "insecure-registries"' in registry.remedy


@pytest.mark.parametrize("answer", [None, {}, {"InsecureRegistryCIDRs": None}, {"InsecureRegistryCIDRs": ["?"]}])
def test_an_engine_that_does_not_say_is_unknown(site: Site, answer: Any) -> None:
    *_, registry = findings(site, RegistryConfig=answer)
    assert (registry.level, registry.what.endswith("is unknown"), registry.remedy) == (Level.NOTE, True, "")


def test_the_remembered_way_is_told_with_its_reason(site: Site) -> None:
    EngineWays(site, INFO).remember(Way.LOAD, "connection refused")
    *_, registry = findings(site)
    assert registry.summary == "Images are loaded into this engine, not pulled by it: connection refused"
    assert len(findings(site, ServerVersion="27.0.0")) == 1, "another version is tried again"


@pytest.mark.parametrize(("client", "level"), [("1.41", Level.ERROR), ("1.44", Level.NOTE), ("1.50", Level.NOTE)])
def test_a_docker_client_that_is_too_old(site: Site, tmp_path: Path, client: str, level: Level) -> None:
    """Docker 29 answers from API 1.44 on, and a client then fails, but says what it speaks."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\necho {client}\necho 'client version {client} is too old' >&2\nexit 1\n")
    program.chmod(0o755)
    version = {"ApiVersion": "1.52", "MinAPIVersion": "1.44"}
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    [api] = delivery_findings(site, INFO, version, env)
    assert (api.code, api.level) == ("engine-api", level)
    assert client in api.summary


@pytest.mark.parametrize(("answer", "store"), [({}, "unknown"), (INFO, "classic")])
def test_a_store_that_is_not_told_is_unknown(answer: dict[str, Any], store: str) -> None:
    assert image_store(answer) == store


@pytest.mark.engine
@pytest.mark.parametrize("store", STORES)
def test_doctor_names_the_store_of_a_real_engine(tmp_path: Path, store: str) -> None:
    with store_engine(store) as engine:
        findings_of = {finding.code: finding for finding in examine(site_for(tmp_path / "site", engine))}
    assert findings_of["engine"].what.endswith(f", {store} image store")
    assert findings_of["engine-api"].level is Level.NOTE
    assert "registry" not in findings_of
