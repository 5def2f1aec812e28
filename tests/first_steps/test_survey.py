"""What the steps see of a real engine, and what the command line prints."""

from __future__ import annotations

import json

import pytest

from core import labels
from core.cli.app import run
from core.first_steps.steps import first_steps
from core.first_steps.survey import install_advice, survey
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.small_preset import NAME, without_engine, write_preset


@pytest.mark.engine
def test_the_image_and_the_container_of_a_real_engine(engine_site: Site, engine: TestEngine) -> None:
    def states() -> dict[str, str]:
        return {step.name: step.state.value for step in first_steps(survey(engine_site))}

    write_preset(engine_site)
    assert (states()["engine"], states()["preset"], states()["lock"]) == ("done", "done", "next")
    tag = labels.image_tag(NAME)
    engine.docker("tag", BASE_IMAGE, tag)
    try:
        assert (states()["build"], states()["launch"]) == ("done", "next")
        marks = [f"--label={labels.PRESET}={NAME}", f"--label={labels.SITE}={engine_site.root}"]
        engine.docker("run", "-d", "--init", "--name", "steps", *marks, tag, "sleep", "600")
        assert states()["launch"] == "done"
        engine.docker("kill", "steps")
        assert states()["launch"] == "failed"
    finally:
        engine.docker("rm", "-f", "steps", check=False)
        engine.docker("rmi", tag, check=False)


def test_the_command_prints_each_step_and_the_next_command(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    write_preset(site)
    assert run(["--site", str(site.root), "steps", "--preset", NAME]) == 0
    out = capsys.readouterr().out
    assert "→ Engine  next" in out
    assert f"{NAME}: you chose it" in out
    assert run(["--site", str(site.root), "steps", "--json"]) == 0
    names = [step["name"] for step in json.loads(capsys.readouterr().out)["steps"]]
    assert names == ["engine", "preset", "lock", "sync", "build", "launch", "camera"]


def test_what_to_install_is_said_only_where_no_engine_is_installed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engine.DEFAULT_HOST", f"unix://{site.root}/none.sock")
    here = Site(site.root, site.settings, {"DOCKER_HOST": f"unix://{site.root}/none.sock"})
    elsewhere = without_engine(site)  # another socket than that of this machine's own engine
    for installed in (False, True):
        monkeypatch.setattr("core.engine.engine_is_installed", lambda installed=installed: installed)
        for asked, expected in ((here, not installed), (elsewhere, False)):
            error = survey(asked).containers.error
            assert error is not None
            assert (install_advice(error) is not None) == expected
