"""The operation `clean` as a process of its own, killed in the middle, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from core.clean.holds import KEY
from core.clean.model import Category
from core.clean.plan import plan_clean
from core.cli.app import root
from core.cli.clean import CATEGORIES
from core.operations.model import OperationState
from core.site import Site
from core.site_operations import site_ledger
from tests.clean.support import add_artifacts, add_preset

KILLED = """
import os, shutil
from core.clean.run import run
from core.progress import NullProgress
from core.site import Site

rmtree = shutil.rmtree

def die_in_the_second(path, *rest):
    if "gone-2" in str(path):
        os.unlink(os.path.join(path, "m"))
        os.kill(os.getpid(), 9)
    rmtree(path, *rest)

shutil.rmtree = die_in_the_second
run(Site.open("."), "site", {"items": ["artifacts:gone-1", "artifacts:gone-2"]}, NullProgress())
"""


@pytest.fixture
def cluttered(engineless_site: Site) -> Site:
    """A site with one preset, its artifacts, and those of two presets that are gone."""
    add_preset(engineless_site, "a")
    for name in ("a", "gone-1", "gone-2"):
        add_artifacts(engineless_site, name)
    (engineless_site.root / "site.toml").write_text(f"[engine]\nhost = '{engineless_site.env['DOCKER_HOST']}'\n")
    return Site.open(engineless_site.root)


def xaiva(site: Site, *words: str, answer: str = "") -> tuple[int, str]:
    """Exit code and output of a command."""
    result = CliRunner().invoke(root, ["--site", str(site.root), "clean", *words], input=answer)
    return result.exit_code, result.output


def test_it_runs_as_an_operation_that_holds_no_preset(cluttered: Site) -> None:
    ledger = site_ledger(cluttered)
    items = [item.id for item in plan_clean(cluttered).items]
    operation = ledger.wait(ledger.start("clean", "site", {"items": [*items]}, key=KEY).id, timeout=30)
    assert operation.state is OperationState.DONE, operation.failure
    assert operation.result is not None
    assert [row["what"] for row in operation.result["removed"]] == ["artifacts/gone-1", "artifacts/gone-2"]  # type: ignore[index, union-attr, call-overload]
    assert os.listdir(cluttered.artifacts) == ["a"]


def test_killed_in_the_middle_it_goes_on_the_next_time(cluttered: Site) -> None:
    words = [sys.executable, "-c", KILLED]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    killed = subprocess.run(words, cwd=cluttered.root, env=environment, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert sorted(os.listdir(cluttered.artifacts)) == ["a", "gone-2"]
    assert os.listdir(cluttered.artifacts / "gone-2" / "models") == []
    assert [item.id for item in plan_clean(cluttered).items] == ["artifacts:gone-2"]
    code, output = xaiva(cluttered, "--yes")
    assert code == 0, output
    assert os.listdir(cluttered.artifacts) == ["a"]
    assert os.listdir(cluttered.artifacts / "a" / "models") == ["m"]


def test_the_command_shows_the_plan_and_asks_first(cluttered: Site) -> None:
    code, output = xaiva(cluttered, "--plan")
    assert code == 0
    assert "artifacts/gone-1" in output
    assert "the preset gone-1 no longer exists" in output
    assert "unknown  images: " in output
    code, output = xaiva(cluttered, answer="n\n")
    assert code != 0
    assert len(os.listdir(cluttered.artifacts)) == 3
    code, output = xaiva(cluttered, answer="y\n")
    assert code == 0, output
    assert os.listdir(cluttered.artifacts) == ["a"]
    code, output = xaiva(cluttered)
    assert "nothing can go, as far as is known" in output


def test_the_document_has_the_plan_and_a_category_limits_it(cluttered: Site) -> None:
    code, output = xaiva(cluttered, "--plan", "--json")
    document = json.loads(output)
    assert [item["id"] for item in document["plan"]["items"]] == ["artifacts:gone-1", "artifacts:gone-2"]
    assert document["bytes"] == sum(item["size"] for item in document["plan"]["items"])
    code, output = xaiva(cluttered, "--only", "builds", "--only", "leftovers", "--yes")
    assert code == 0, output
    assert len(os.listdir(cluttered.artifacts)) == 3
    code, output = xaiva(cluttered, "--yes", "--json")
    assert json.loads(output)["operation"]["result"]["freed_bytes"] == document["bytes"]


def test_the_command_knows_all_categories() -> None:
    assert tuple(category.value for category in Category) == CATEGORIES
