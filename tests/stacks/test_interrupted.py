"""A replacement that is killed at any point: the next `up` leads to exactly one working container of each service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from core.errors import XaivaError
from core.operations import processes
from core.operations.model import OperationState
from core.site_operations import site_ledger
from core.stacks.kept_containers import kept_path
from core.stacks.run import run
from tests.images.support import Recorder
from tests.stacks.conftest import NAME, WORKS, Shop
from tests.support import until

pytestmark = pytest.mark.engine

KILLED_AT = """
import os, signal, sys
import core.stacks.execute, core.stacks.recreate, core.stacks.replace
from core.progress import NullProgress
from core.site import Site
from core.stacks.run import run
module, name = sys.argv[2].rsplit(".", 1)
setattr(sys.modules[f"core.stacks.{module}"], name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
run(Site.open(sys.argv[1], dict(os.environ)), sys.argv[3], {"action": "up"}, NullProgress())
"""


def up_killed_at(shop: Shop, point: str) -> None:
    """Run `up` in a process of its own that kills itself when it calls the function `point`."""
    words = [sys.executable, "-c", KILLED_AT, str(shop.site.root), point, NAME]
    done = subprocess.run(words, env=dict(shop.site.process_env), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def rows(shop: Shop, service: str) -> list[dict[str, Any]]:
    """The containers of a service as the engine describes them."""
    labels = (f"label=com.docker.compose.project={shop.project}", f"label=com.docker.compose.service={service}")
    ids = shop.engine.docker("ps", "--all", "--quiet", *(word for one in labels for word in ("--filter", one))).split()
    return list(json.loads(shop.engine.docker("inspect", *ids))) if ids else []


def add_to(shop: Shop, service: str, line: str) -> None:
    """Add a line to a service of the compose file."""
    file = shop.folder / "compose.yaml"
    file.write_text(file.read_text().replace(f"    build: {service}\n", f"    build: {service}\n    {line}\n"))


STATES = {
    "replace.start_container": ["running", "created"],
    "replace._retire": ["running", "running"],
    "replace.keep_previous_image": ["running", "running"],
}


@pytest.mark.parametrize("point", STATES)
def test_a_killed_replacement_beside_the_old_one_goes_on(shop: Shop, point: str) -> None:
    shop.up()
    shop.change("api", WORKS.replace("1", "2"))
    up_killed_at(shop, point)
    assert sorted(row["State"]["Status"] for row in rows(shop, "api")) == sorted(STATES[point])
    reason = next(step.reason for step in shop.plan().steps if step.subject == "api")
    assert "it has 2 containers in place of 1" in reason
    assert shop.up() == ["replace api"]
    assert shop.steps() == []
    assert shop.state("api") == "running healthy"
    assert "version 2" in shop.engine.docker("logs", shop.containers()["api"])


def test_a_killed_replacement_after_the_old_one_has_stopped_goes_on(shop: Shop) -> None:
    add_to(shop, "api", 'volumes: ["data:/data"]')
    shop.up()
    shop.change("api", WORKS.replace("1", "2"))
    up_killed_at(shop, "replace.start_container")
    assert sorted(row["State"]["Status"] for row in rows(shop, "api")) == ["created", "exited"]
    assert shop.up() == ["replace api"]
    assert shop.state("api") == "running healthy"
    assert "version 2" in shop.engine.docker("logs", shop.containers()["api"])


def test_after_a_kill_the_one_before_still_comes_back(shop: Shop) -> None:
    add_to(shop, "api", 'volumes: ["data:/data"]')
    shop.up()
    before = shop.containers()
    shop.change("api", "sleep 1000\n")
    up_killed_at(shop, "replace.start_container")
    with pytest.raises(XaivaError, match="the one before runs as before"):
        shop.up()
    assert shop.containers() == before
    until(lambda: shop.state("api") == "running healthy")


def test_a_second_change_after_a_kill_removes_the_container_of_the_first(shop: Shop) -> None:
    shop.up()
    shop.change("api", WORKS.replace("1", "2"))
    up_killed_at(shop, "replace.start_container")
    shop.change("api", WORKS.replace("1", "3"))
    assert shop.up() == ["build api", "replace api"]
    assert "version 3" in shop.engine.docker("logs", shop.containers()["api"])
    assert shop.state("api") == "running healthy"


@pytest.mark.parametrize(
    ("point", "works"),
    [
        ("recreate.start_container", True),
        ("recreate.forget", True),
        ("recreate.run_compose", False),
        ("recreate._go_back", False),
    ],
)
def test_a_killed_replacement_in_the_place_of_the_old_one_goes_on(shop: Shop, point: str, works: bool) -> None:
    add_to(shop, "api", f"container_name: {shop.project}-only")
    add_to(shop, "api", 'volumes: ["/cache"]')
    shop.up()
    shop.engine.docker("exec", shop.containers()["api"], "sh", "-c", "echo precious > /cache/kept")
    shop.change("api", WORKS.replace("1", "2") if works else "sleep 1000\n")
    up_killed_at(shop, point)
    assert kept_path(shop.site, NAME, "api").stat().st_mode & 0o777 == 0o600
    assert "replace api" in shop.steps()
    if works:
        assert shop.up() == ["replace api"]
    else:
        with pytest.raises(XaivaError, match="the one before was made again"):
            shop.up()
    assert not kept_path(shop.site, NAME, "api").exists()
    until(lambda: shop.state("api") == "running healthy")
    identity = shop.containers()["api"]
    assert shop.engine.docker("exec", identity, "cat", "/cache/kept") == "precious\n"
    assert f"version {2 if works else 1}" in shop.engine.docker("logs", identity)
    assert shop.engine.docker("inspect", "--format", "{{.Name}}", identity).strip() == f"/{shop.project}-only"


@pytest.mark.parametrize("line", ["container_name: PROJECT-only", 'volumes: ["/cache"]'])
def test_one_of_which_there_can_be_only_one_comes_back_as_it_was(shop: Shop, line: str) -> None:
    add_to(shop, "api", line.replace("PROJECT", shop.project))
    add_to(shop, "api", 'environment: {TOKEN: "correct-horse-battery"}')
    text = shop.folder / "compose.yaml"
    text.write_text(text.read_text().replace('    environment: {TOKEN: "${SHOP_TOKEN:-none}"}\n', ""))
    shop.up()
    before = rows(shop, "api")[0]
    shop.change("api", "sleep 1000\n")
    step = next(step for step in shop.plan().steps if step.kind.value == "replace")
    assert "takes the place of the old one" in step.order
    recorder = Recorder()
    with pytest.raises(XaivaError, match="the one before was made again") as caught:
        run(shop.site, NAME, {"action": "up"}, recorder)
    assert "correct-horse" not in f"{caught.value}{recorder.lines}"
    until(lambda: shop.state("api") == "running healthy")
    after = rows(shop, "api")[0]
    for key in ("Env", "Cmd", "Labels", "Healthcheck", "StopTimeout"):
        assert after["Config"].get(key) == before["Config"].get(key), key
    assert (after["Name"], after["Image"]) == (before["Name"], before["Image"])
    shop.compose("up", "--detach", "--no-build", "--pull", "never")
    assert rows(shop, "api")[0]["Id"] == after["Id"]
    shop.change("api", WORKS.replace("1", "2"))
    shop.up()
    assert shop.steps() == []
    assert "version 2" in shop.engine.docker("logs", shop.containers()["api"])
    run(shop.site, NAME, {"action": "down"}, Recorder())


def test_a_killed_operation_holds_up_nothing(shop: Shop) -> None:
    shop.up()
    shop.change("api", "sleep 1000\n")
    ledger = site_ledger(shop.site)
    operation = ledger.start("stack", NAME, {"action": "up"}, key=f"stack:{NAME}")
    until(lambda: len(rows(shop, "api")) == 2, seconds=60)
    supervisor = ledger.get(operation.id).pid
    below = processes.descendants(supervisor)
    processes.send_signal({supervisor}, signal.SIGKILL)
    until(lambda: ledger.get(operation.id).state is OperationState.CRASHED)
    until(lambda: not any(processes.start_time(pid) for pid in below))
    shop.change("api", WORKS.replace("1", "2"))
    second = ledger.wait(ledger.start("stack", NAME, {"action": "up"}, key=f"stack:{NAME}").id)
    assert second.result is not None, second.failure
    assert second.result["done"] == ["build api", "replace api"]
    assert shop.state("api") == "running healthy"
