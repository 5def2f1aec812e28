"""Checks whether an engine takes images from xaiva's registry, and whether it understands the docker client."""

from __future__ import annotations

import ipaddress
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from core.engine import EngineError
from core.findings import Finding
from core.images.delivery_way import EngineWays
from core.images.docker_cli import run_docker
from core.site import Site

LOOPBACK = "127.0.0.0/8"
_VERSION_NUMBER = re.compile(r"(\d+)\.(\d+)")


def delivery_findings(
    site: Site, info: Mapping[str, Any], version: Mapping[str, Any], env: Mapping[str, str]
) -> Iterator[Finding]:
    """From the engine's answers to `/info` and `/version`: its API versions, and how images get into it."""
    yield _api_finding(version, client_api(env))
    accepted = accepts_loopback(info)
    if accepted is None:
        what = "Whether the engine accepts xaiva's registry on 127.0.0.1 is unknown"
        yield Finding.note("registry", what, "it does not say which insecure registries it accepts")
    elif not accepted:
        what = "The engine does not accept xaiva's registry on 127.0.0.1, so images are loaded, which moves more"
        why = f"its insecure-registries leave out {LOOPBACK}; since Docker 29.10 that is so once any are listed"
        remedy = f'add "{LOOPBACK}" to "insecure-registries" in its daemon.json, keep the others, and restart it'
        yield Finding.warning("registry", what, why, remedy)
    else:
        ways = EngineWays(site, info)
        if ways.must_load:
            yield Finding.note("registry", "Images are loaded into this engine, not pulled by it", ways.why)


def accepts_loopback(info: Mapping[str, Any]) -> bool | None:
    """Whether the engine uses a registry on 127.0.0.1 without TLS; None when it does not say."""
    ranges = (info.get("RegistryConfig") or {}).get("InsecureRegistryCIDRs")
    if not isinstance(ranges, list):
        return None
    try:
        return any(
            ipaddress.ip_address("127.0.0.1") in ipaddress.ip_network(str(text), strict=False) for text in ranges
        )
    except ValueError:
        return None


def client_api(env: Mapping[str, str]) -> str:
    """The newest API version that the docker client speaks; empty when that is unknown."""
    if shutil.which("docker", path=env.get("PATH")) is None:
        return ""
    try:
        # it prints this, and fails, also when the engine refuses it
        return run_docker("version", "--format", "{{.Client.DefaultAPIVersion}}", env=env).stdout.strip()
    except EngineError:
        return ""


def _api_finding(version: Mapping[str, Any], client: str) -> Finding:
    oldest, newest = str(version.get("MinAPIVersion") or ""), str(version.get("ApiVersion") or "")
    summary = f"Engine API {oldest or 'unknown'} to {newest or 'unknown'}, docker client up to {client or 'unknown'}"
    floor, ceiling = _VERSION_NUMBER.fullmatch(oldest), _VERSION_NUMBER.fullmatch(client)
    if floor and ceiling and _pair(ceiling) < _pair(floor):
        why = f"it speaks API {client} at most, and the engine answers from {oldest} on"
        remedy = "install a docker client of the engine's version (docker-cli)"
        return Finding.error("engine-api", "The docker client is too old for this engine", why, remedy)
    return Finding.note("engine-api", summary)


def _pair(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2])
