"""Which engine a site uses: real ones, none, and where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.engine import Endpoint, EngineError
from core.engine_identity import EngineIdentifier, EngineIdentity, engine_place
from core.engine_version import engine_title
from core.site import Site, SiteSettings
from tests.support.engine import TestEngine


def test_the_engine_is_named_with_its_version_and_place(engine: TestEngine, engine_site: Site) -> None:
    version = engine.docker("version", "--format", "{{.Server.Version}}").strip()
    identifier = EngineIdentifier(engine_site)
    try:
        assert identifier.identify(10) == EngineIdentity(f"docker {version}", "local")
        assert str(identifier.identify(10)) == f"docker {version} local"  # over the same connection
    finally:
        identifier.close()


def test_a_socket_that_is_not_there_is_no_engine_and_anything_else_is_an_error(tmp_path: Path) -> None:
    none = Site(tmp_path, SiteSettings(), {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"})
    assert str(EngineIdentifier(none).identify(1)) == "no engine"
    silent = Site(tmp_path, SiteSettings(), {"DOCKER_HOST": "tcp://127.0.0.1:9"})
    with pytest.raises(EngineError):
        EngineIdentifier(silent).identify(1)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (Endpoint("unix:///run/user/1000/docker.sock", "DOCKER_HOST"), "local"),
        (Endpoint("ssh://ana@gpu-box:2222", "DOCKER_HOST"), "ssh gpu-box:2222"),
        (Endpoint("tcp://10.0.0.9:2375", "site.toml, [engine] host"), "tcp 10.0.0.9:2375"),
        (Endpoint("ssh://ana@gpu-box", "context bench"), "context bench"),
    ],
)
def test_where_it_is(endpoint: Endpoint, words: str) -> None:
    assert engine_place(endpoint) == words


def test_the_title_is_the_vendors() -> None:
    podman = {"Version": "4.9.3", "Components": [{"Name": "Podman Engine", "Version": "4.9.3"}]}
    assert engine_title(podman) == "Podman Engine 4.9.3"
    assert engine_title({}) == "docker without a version"
