"""Stacks as compose resolves them, and what is wrong with a file, by line and field. No engine is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import InputError
from core.findings import Level
from core.site import Site
from core.stacks.model import ALL_GPUS, GpuRequest, HealthProbe, ImageOrigin
from core.stacks.offline_checks import offline_findings
from core.stacks.store import list_stacks, load_stack

WHOLE = """
name: shop-1
services:
  web:
    image: nginx:1
    ports: ["8080:80", "127.0.0.1:9000-9001:9000-9001/udp"]
    depends_on:
      api: {condition: service_healthy}
      mail: {condition: service_started, required: false}
    profiles: [front]
    x-xaiva: {health: {port: 80, path: /}}
  api:
    build: {context: ./api, dockerfile: Dockerfile.api, target: prod, args: {MODE: fast}}
    depends_on: [cache]
    deploy: {resources: {reservations: {devices: [{capabilities: [gpu], device_ids: ["GPU-1", "GPU-2"]}]}}}
    x-xaiva: {vram_gib: 6}
    volumes: ["./data:/data", "model-files:/models:ro"]
  cache:
    image: xaiva/redis:latest
    x-xaiva: {preset: redis}
  mail: {image: mail:1, gpus: all, profiles: [front]}
volumes: {model-files: {}}
"""


def write(site: Site, text: str, name: str = "shop") -> Path:
    """Write a compose file, and the preset that it may name."""
    site.presets.mkdir(exist_ok=True)
    (site.presets / "redis.json").write_text('{"base_image": "debian:bookworm-slim", "inference_service": false}')
    path = site.stacks / name / "compose.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_everything_of_a_service(site: Site) -> None:
    folder = write(site, WHOLE).parent
    stack = load_stack(site, "shop")
    assert stack.project == "shop-1"
    assert list(stack.services) == ["cache", "api", "mail", "web"]
    web, api, cache, mail = (stack.services[name] for name in ("web", "api", "cache", "mail"))
    assert (web.origin, api.origin, cache.origin) == (ImageOrigin.READY, ImageOrigin.BUILD, ImageOrigin.PRESET)
    assert (web.image, api.image) == ("nginx:1", "shop-1-api")
    assert [str(port) for port in web.ports] == [
        "8080→80/tcp",
        "127.0.0.1:9000→9000/udp",
        "127.0.0.1:9001→9001/udp",
    ]
    assert {name: (one.condition, one.required) for name, one in web.depends_on.items()} == {
        "api": ("service_healthy", True),
        "mail": ("service_started", False),
    }
    assert web.extension.health == HealthProbe(port=80, path="/")
    assert api.build is not None
    assert (api.build.context, api.build.dockerfile) == (folder / "api", folder / "api" / "Dockerfile.api")
    assert (api.build.target, api.build.arguments) == ("prod", {"MODE": "fast"})
    assert (api.gpus, mail.gpus) == (GpuRequest(ids=("GPU-1", "GPU-2")), GpuRequest(ALL_GPUS))
    assert api.extension.vram_gib == 6
    assert [(volume.kind, volume.source, volume.read_only) for volume in api.volumes] == [
        ("bind", str(folder / "data"), False),
        ("volume", "model-files", True),
    ]


def test_variables_come_from_the_site(site: Site) -> None:
    write(site, "services: {web: {image: 'nginx:${TAG}'}}")
    opened = Site(site.root, site.settings, {**site.env, "TAG": "9"})
    assert load_stack(opened, "shop").services["web"].image == "nginx:9"


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("services:\n  web:\n    image: x\n   bad\n", "line 4", "did not find expected key"),
        ("services:\n  web:\n    image: x\n    portz: [1]\n", "line 4", "services.web Additional property portz"),
        ("services:\n  web:\n    image: x\n    ports: 5\n", "line 4", "services.web.ports must be a"),
        ("services:\n  a: {image: x}\n  web: {image: x, depends_on: [nope]}\n", "line 3", 'undefined service "nope"'),
        ("services:\n  web:\n    image: x\n    environment:\n      A: ${B?need B}\n", "line 5", "need B"),
        ("services:\n  web:\n    image: x\n    mem_limit: much\n", "line 4", "invalid size"),
        ("services:\n  web: {}\n", "line 2", "neither an image nor a build"),
        ("services:\n  a.b:\n    image: x\n    ports: 5\n", "line 4", "must be a"),
        ("services:\n  web:\n    image: x\n    x-xaiva: {presett: a}\n", "services.web.x-xaiva.presett", "no such key"),
        ("services:\n  web:\n    image: x\n    x-xaiva: {preset: no}\n", "services.web.x-xaiva.preset", "no preset no"),
        ("services:\n  web: {image: x, x-xaiva: {preset: redis}}\n", "services.web.x-xaiva.preset", "image is x"),
        ("services:\n  web: {image: x, x-xaiva: {vram_gib: -1}}\n", "services.web.x-xaiva.vram_gib", "more than 0"),
        ("", "compose.yaml", "empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(site: Site, text: str, place: str, why: str) -> None:
    write(site, text)
    with pytest.raises(InputError) as caught:
        load_stack(site, "shop")
    assert place in caught.value.what
    assert why in caught.value.why


def test_a_secret_in_the_file_is_in_no_error(site: Site) -> None:
    write(site, "services: {web: {image: x, environment: {PASSWORD: hunter2-and-more}, ports: 5}}")
    with pytest.raises(InputError) as caught:
        load_stack(site, "shop")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "services: {web: {image: x, environment: {PASSWORD: 'hunter2-and-more${x'}}}",
        "services: {web: {image: x, ports: ['${TOKEN}:80']}}",
    ],
)
def test_a_value_that_compose_refuses_is_in_no_error(site: Site, text: str) -> None:
    write(site, text)
    opened = Site(site.root, site.settings, {**site.env, "TOKEN": "hunter2-and-more"})
    with pytest.raises(InputError) as caught:
        load_stack(opened, "shop")
    assert "hunter2" not in str(caught.value)
    assert "interpolation" in caught.value.why or "hostPort" in caught.value.why


OFFLINE = """
services:
  web:
    build: https://example.org/web.git
  api:
    pull_policy: always
    build:
      context: api
      ssh: [default]
      additional_contexts:
        lib: https://example.org/lib.git
        mine: docker-image://mine:1
"""


def test_what_needs_a_network_is_named_with_its_line(site: Site) -> None:
    file = write(site, OFFLINE)
    (file.parent / "api").mkdir()
    dockerfile = file.parent / "api" / "Dockerfile"
    dockerfile.write_text("FROM scratch\nADD https://example.org/x /\nRUN pip install flask\n")
    stack = load_stack(site, "shop")
    found = {
        (finding.what, finding.where.removeprefix(f"{file.parent}/"))
        for service in stack.services.values()
        for finding in offline_findings(stack, service)
        if finding.level is Level.ERROR
    }
    assert found == {
        ("services.web.build.context", "compose.yaml:4"),
        ("services.api.pull_policy", "compose.yaml:6"),
        ("services.api.build.ssh", "compose.yaml:9"),
        ("services.api.build.additional_contexts.lib", "compose.yaml:11"),
        ("ADD https://example.org/x", "api/Dockerfile:2"),
        ("RUN pip install flask", "api/Dockerfile:3"),
    }


def test_scales_and_parts_that_services_share(site: Site) -> None:
    text = "services: {a: {image: x, scale: 2}, b: {image: x, deploy: {replicas: 3}}, "
    write(site, text + "c: {image: x, network_mode: 'service:a', pid: 'service:b'}}")
    services = load_stack(site, "shop").services
    assert [services[name].scale for name in "abc"] == [2, 3, 1]
    assert services["c"].shares_with == {"a", "b"}
    assert services["c"].depends_on["a"].restart


def test_a_dollar_sign_is_one(site: Site) -> None:
    write(site, "services: {a: {build: {context: a, args: {PRICE: '5$$'}}, command: [echo, '$$HOME']}}")
    service = load_stack(site, "shop").services["a"]
    assert service.build is not None
    assert service.build.arguments == {"PRICE": "5$"}
    assert service.resolved["command"] == ["echo", "$HOME"]


def test_one_broken_stack_stops_no_other(site: Site) -> None:
    write(site, "services: {web: {image: x}}", "good")
    write(site, "services: 5", "bad")
    entries = {entry.name: entry for entry in list_stacks(site)}
    assert entries["good"].stack is not None
    assert entries["bad"].error is not None


def test_an_unknown_stack_names_those_that_are_there(site: Site) -> None:
    write(site, "services: {web: {image: x}}")
    with pytest.raises(InputError, match="there is no such stack") as caught:
        load_stack(site, "shpo")
    assert caught.value.remedy == "stacks here: shop"
    with pytest.raises(InputError, match="docker compose does not accept it"):
        load_stack(site, "../shop")


@pytest.mark.parametrize(
    "answer",
    [
        "unknown flag: --project-directory\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]",
        "docker: 'compose' is not a docker command.",
        "docker: unknown command: docker compose",
    ],
)
def test_a_client_without_compose_is_not_a_fault_of_the_file(site: Site, tmp_path: Path, answer: str) -> None:
    write(site, WHOLE)
    (tmp_path / "docker").write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{answer}\nEND\nexit 125\n")
    (tmp_path / "docker").chmod(0o755)
    there = Site(site.root, site.settings, {**site.env, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    with pytest.raises(InputError, match="the docker client has no such plugin") as caught:
        load_stack(there, "shop")
    assert "xaiva doctor --fix" in caught.value.remedy
