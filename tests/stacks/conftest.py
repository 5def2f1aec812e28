"""A small real stack: a cache, an API that is built, and a page that waits for both."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.progress import NullProgress
from core.site import Site
from core.stacks.observe import observe
from core.stacks.plan import StackPlan, plan_stack
from core.stacks.run import run
from core.stacks.store import load_stack
from tests.support.engine import TestEngine

NAME = "shop"
BASE = "shop-base:1"
COMPOSE = f"""
name: PROJECT
x-small: &small
  init: true
  network_mode: none
  stop_grace_period: 1s
  healthcheck:
    test: [CMD, test, -e, /tmp/works]
    interval: 1s
    timeout: 2s
    retries: 2
services:
  cache:
    <<: *small
    image: {BASE}
    command: [sh, -c, "touch /tmp/works; exec sleep 1000"]
    volumes: ["data:/data"]
  api:
    <<: *small
    build: api
    depends_on: {{cache: {{condition: service_healthy}}}}
    environment: {{TOKEN: "${{SHOP_TOKEN:-none}}"}}
  page:
    <<: *small
    build: page
    depends_on: {{api: {{condition: service_healthy}}}}
volumes: {{data: {{}}}}
"""
DOCKERFILE = f'FROM {BASE}\nCOPY serve.sh /\nCMD ["sh", "/serve.sh"]\n'
WORKS = "echo version 1\ntouch /tmp/works\nexec sleep 1000\n"


@dataclass
class Shop:
    """The stack in a site with a real engine."""

    site: Site
    engine: TestEngine
    project: str

    @property
    def folder(self) -> Path:
        return self.site.stacks / NAME

    def plan(self) -> StackPlan:
        stack = load_stack(self.site, NAME)
        return plan_stack(stack, observe(self.site, stack))

    def steps(self) -> list[str]:
        """What `up` would do, as `replace api`."""
        return [f"{step.kind.value} {step.subject}" for step in self.plan().steps if step.kind.value != "leave"]

    def up(self) -> list[str]:
        """What was done."""
        done = run(self.site, NAME, {"action": "up"}, NullProgress())["done"]
        assert isinstance(done, list)
        return [str(line) for line in done]

    def containers(self) -> dict[str, str]:
        """Service → id of its container; fails if there are several."""
        rows = self.engine.docker(
            *("ps", "--all", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.project}"),
            *("--format", '{"id": "{{.ID}}", "service": "{{.Label "com.docker.compose.service"}}"}'),
        )
        found: dict[str, str] = {}
        for row in map(json.loads, rows.splitlines()):
            assert row["service"] not in found, f"{row['service']} has several containers"
            found[row["service"]] = row["id"]
        return found

    def state(self, service: str) -> str:
        """State and health of a service's container."""
        words = ("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", self.containers()[service])
        return self.engine.docker(*words).strip()

    def compose(self, *words: str) -> str:
        """Run docker compose by hand."""
        return self.engine.docker("compose", "--file", str(self.folder / "compose.yaml"), *words)

    def change(self, service: str, text: str) -> None:
        (self.folder / service / "serve.sh").write_text(text)


@pytest.fixture
def shop(offline_engine: TestEngine, tmp_path: Path) -> Iterator[Shop]:
    project = f"shop{uuid.uuid4().hex[:8]}"
    if not offline_engine.docker("images", "--quiet", BASE):
        offline_engine.import_base(BASE)
    site = Site.open(tmp_path, offline_engine.env)
    result = Shop(site, offline_engine, project)
    for service in ("api", "page"):
        folder = result.folder / service
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / "serve.sh").write_text(WORKS)
    (result.folder / "compose.yaml").write_text(COMPOSE.replace("PROJECT", project))
    yield result
    offline_engine.docker("compose", "-p", project, "down", "--volumes", "--timeout", "1", check=False)
