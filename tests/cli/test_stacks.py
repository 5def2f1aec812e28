"""Stacks from the command line, on a real engine: what it prints, its documents, its exit codes."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest

from core.site import Site
from tests.cli.conftest import Xaiva
from tests.stacks.conftest import NAME, Shop, shop  # noqa: F401 - fixtures

pytestmark = pytest.mark.engine


@pytest.fixture
def small_site(shop: Shop) -> Site:  # noqa: F811
    """The site of the stack, on which the fixture `xaiva` works."""
    return shop.site


@pytest.fixture
def on_engine(xaiva: Xaiva, shop: Shop) -> Xaiva:  # noqa: F811
    """The command line, pointed at the test engine."""
    return partial(xaiva, env=shop.engine.env)


def test_list_and_show(on_engine: Xaiva, shop: Shop) -> None:  # noqa: F811
    assert re.search(rf"(?m)^{NAME} +cache, api, page$", on_engine("stack", "list").out)
    (row,) = on_engine("stack", "list", "--json").document["stacks"]
    assert row == {"name": NAME, "services": ["cache", "api", "page"], "error": None}
    shown = on_engine("stack", "show", NAME)
    assert shown.code == 0
    assert re.search(rf"(?m)^page +{shop.project}-page +build of page/ +api +-$", shown.out)
    assert re.search(r"(?m)^cache +shop-base:1 +ready-made +- +-$", shown.out)
    document = on_engine("stack", "show", NAME, "--json").document
    assert document["project"] == shop.project
    api = next(service for service in document["services"] if service["name"] == "api")
    assert (api["origin"], api["depends_on"]) == ("build", {"cache": "service_healthy"})
    assert "TOKEN" not in json.dumps(document)


def test_a_plan_has_a_reason_in_each_line_and_a_command_in_each_step(on_engine: Xaiva, shop: Shop) -> None:  # noqa: F811
    plan = on_engine("stack", "plan", NAME)
    assert plan.code == 0
    assert plan.out.splitlines() == [
        "create   cache                it has no container",
        "build    api                  the engine has no image of it",
        "create   api                  it has no container",
        "build    page                 the engine has no image of it",
        "create   page                 it has no container",
    ]
    steps = on_engine("stack", "plan", NAME, "cache", "--json").document["steps"]
    assert [(step["kind"], step["subject"]) for step in steps] == [("create", "cache")]
    assert steps[0]["command"][:2] == ["docker", "compose"]
    build = on_engine("stack", "plan", NAME, "--json").document["steps"][1]["command"]
    shop.engine.docker(*build[1:])
    assert "build    api" not in on_engine("stack", "plan", NAME).out


def test_a_plan_that_cannot_work_ends_with_three(on_engine: Xaiva, shop: Shop) -> None:  # noqa: F811
    file = shop.folder / "compose.yaml"
    file.write_text(file.read_text().replace("image: shop-base:1", "image: not/here:1"))
    for words in (("plan", NAME), ("plan", NAME, "--json"), ("up", NAME)):
        result = on_engine("stack", *words)
        assert result.code == 3, words
        assert "the engine has no image not/here:1" in result.out + result.err
    assert shop.containers() == {}


def test_ps_and_logs(on_engine: Xaiva, shop: Shop) -> None:  # noqa: F811
    file = shop.folder / "compose.yaml"
    assert on_engine("stack", "ps", NAME, "--json").document == {"containers": [], "missing": ["cache", "api", "page"]}
    assert on_engine("stack", "up", NAME, "api").code == 0
    listed = on_engine("stack", "ps", NAME).out
    assert re.search(rf"(?m)^api +running +healthy +- +{shop.project}-api-1 +Up ", listed)
    assert re.search(r"(?m)^page +no container +", listed)
    document = on_engine("stack", "ps", NAME, "--json").document
    assert {row["service"]: row["id"] for row in document["containers"]} == shop.containers()
    assert document["missing"] == ["page"]
    assert on_engine("stack", "logs", NAME).out == "api   | version 1\n"
    (line,) = on_engine("stack", "logs", NAME, "api", "--json").out.splitlines()
    assert (json.loads(line)["service"], json.loads(line)["text"]) == ("api", "version 1")
    assert on_engine("stack", "logs", NAME, "--grep", "no such text").out == ""
    assert on_engine("stack", "logs", NAME, "--tail", "0").out == ""
    file.write_text(file.read_text() + "\n# a comment changes nothing\n")
    assert "leave    api " in on_engine("stack", "plan", NAME).out


def test_a_wrong_name_or_file_ends_with_two_and_says_where(on_engine: Xaiva, shop: Shop) -> None:  # noqa: F811
    for command in ("show", "plan", "ps", "logs", "up", "down"):
        result = on_engine("stack", command, "market")
        assert result.code == 2, command
        assert f"stacks here: {NAME}" in result.err
    for command in ("plan", "logs"):
        result = on_engine("stack", command, NAME, "cellar")
        assert result.code == 2, command
        assert "its services: cache, api, page" in result.err
    file = shop.folder / "compose.yaml"
    file.write_text(file.read_text().replace("    build: api\n", "    build: api\n    imgae: typo\n"))
    line = file.read_text().splitlines().index("    imgae: typo") + 1
    for command in ("show", "plan", "ps", "logs"):
        result = on_engine("stack", command, NAME)
        assert result.code == 2, command
        assert f"{file}, line {line}: " in result.err
    listed = on_engine("stack", "list")
    assert listed.code == 0
    assert f"compose.yaml, line {line}" in listed.out
