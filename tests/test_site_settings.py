"""`site.toml` key by key: where a value comes from, what is wrong with it, and changing it without harm to the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.errors import InputError, XaivaError
from core.site import Site
from core.site_settings import (
    Setting,
    SettingsEditConflict,
    SettingsFile,
    SettingSource,
    read_settings,
    reset_setting,
    set_setting,
    setting_fields,
)

WRITTEN = """\
# The site at the north gate.
name = "north"  # shown in the title

[sync]
# The line is slow.
retries = 9   # more than usual
conections = 4

[engine]
host = "ssh://root@10.0.0.7"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(WRITTEN)
    return tmp_path


def of(listing: SettingsFile, key: str) -> Setting:
    return next(setting for setting in listing.settings if setting.key == key)


def test_each_key_says_where_its_value_comes_from(folder: Path) -> None:
    (folder / ".env").write_text("ACME_TOKEN=hunter2hunter2\nXAIVA_SERVICE=http://10.0.0.8:8600\n")
    listing = read_settings(folder, {"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert [setting.key for setting in listing.settings][:-1] == [key for key, _ in setting_fields()]
    retries, ca, url = (of(listing, key) for key in ("sync.retries", "service.ca", "service.url"))
    assert (retries.value, retries.default, retries.source, retries.line) == (9, 6, SettingSource.FILE, 6)
    assert retries.expected == "a whole number from 0 to 50"
    assert (ca.value, ca.source, ca.line) == ("", SettingSource.DEFAULT, None)
    assert (url.value, url.variable) == ("http://10.0.0.8:8600", "XAIVA_SERVICE")
    assert of(listing, "engine.host").source is SettingSource.FILE  # it wins over DOCKER_HOST
    assert {variable.name: variable.set_in for variable in listing.variables} == {
        "XAIVA_SERVICE": ".env",
        "XAIVA_SERVICE_TOKEN": "",
        "ACME_TOKEN": ".env",
    }


def test_the_engine_of_the_environment_counts_when_the_file_names_none(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://10.0.0.9:2375", "DOCKER_CONTEXT": "other"}
    listing = read_settings(tmp_path, environ)
    assert of(listing, "engine.host").variable == "DOCKER_HOST"
    assert of(listing, "engine.context").source is SettingSource.DEFAULT


def test_unknown_keys_and_wrong_values_are_listed_with_their_lines(folder: Path) -> None:
    (folder / "site.toml").write_text(WRITTEN.replace("retries = 9", "retries = 900"))
    listing = read_settings(folder, {})
    unknown = of(listing, "sync.conections")
    assert (unknown.known, unknown.line, unknown.problem) == (False, 7, "there is no such key")
    assert "50" in of(listing, "sync.retries").problem
    (folder / "site.toml").write_text("sync = 3\n")
    assert of(read_settings(folder, {}), "sync").problem == "it must be a table"


def test_a_file_that_is_no_toml_says_the_line(folder: Path) -> None:
    (folder / "site.toml").write_text('name = "a"\nname = \n')
    (problem,) = read_settings(folder, {}).problems
    assert problem.remedy == "correct line 2"
    with pytest.raises(InputError, match="not valid TOML"):
        set_setting(folder, "sync.retries", "3")


def test_setting_one_key_leaves_every_other_line(folder: Path) -> None:
    path = folder / "site.toml"
    os.chmod(path, 0o640)
    set_setting(folder, "sync.retries", "3")
    assert path.read_text() == WRITTEN.replace("retries = 9 ", "retries = 3 ")
    assert path.stat().st_mode & 0o777 == 0o640
    reset_setting(folder, "sync.conections")  # what xaiva does not know can only be removed
    set_setting(folder, "operations.keep", "50")
    set_setting(folder, "sync.mirrors", json.dumps({"https://a.example/": "https://b.example/"}))
    set_setting(folder, "name", 'Tor "7"')
    settings = Site.open(folder, {}).settings
    assert (settings.name, settings.operations.keep, settings.sync.retries) == ('Tor "7"', 50, 3)
    assert settings.sync.mirrors == {"https://a.example/": "https://b.example/"}
    kept = [line for line in WRITTEN.splitlines() if "#" in line and "retries" not in line and "name" not in line]
    assert all(line in path.read_text() for line in kept)
    reset_setting(folder, "sync.retries")
    assert Site.open(folder, {}).settings.sync.retries == 6


def test_the_first_key_makes_the_file(tmp_path: Path) -> None:
    set_setting(tmp_path, "sync.stall_seconds", "7.5")
    assert (tmp_path / "site.toml").read_text() == "[sync]\nstall_seconds = 7.5\n"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sync.retries", "51", "50"),
        ("sync.retries", "many", "a whole number"),
        ("sync.retries", "true", "a whole number"),
        ("sync.mirrors", "[]", "a table"),
        ("sync.retrys", "3", "did you mean sync.retries?"),
        ("sync", "3", "no such key"),
        ("engine.host", "tcp://user:*****@host", "hidden"),
    ],
)
def test_what_the_model_refuses_is_not_written(folder: Path, key: str, value: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        set_setting(folder, key, value)
    assert said in str(caught.value)
    assert (folder / "site.toml").read_text() == WRITTEN


def test_what_somebody_else_changed_is_named_and_not_overwritten(folder: Path) -> None:
    seen = of(read_settings(folder, {}), "sync.retries")
    set_setting(folder, "sync.retries", "4")
    with pytest.raises(SettingsEditConflict, match="it is 4 in the file now") as caught:
        set_setting(folder, "sync.retries", "5", seen=seen)
    set_setting(folder, "sync.retries", "5", seen=caught.value.current)
    set_setting(folder, "name", "south", seen=of(read_settings(folder, {}), "name"))
    assert of(read_settings(folder, {}), "sync.retries").value == 5


def test_what_cannot_be_changed_alone_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text('sync = 3\n"a.b" = 4\n')
    with pytest.raises(XaivaError, match="without changing other keys"):
        set_setting(tmp_path, "sync.retries", "3")
    with pytest.raises(XaivaError, match="without changing other keys"):
        reset_setting(tmp_path, "a.b")
    assert path.read_text() == 'sync = 3\n"a.b" = 4\n'


def test_a_write_protected_file_stays_as_it_is(folder: Path) -> None:
    os.chmod(folder / "site.toml", 0o444)
    with pytest.raises(XaivaError, match="write-protected"):
        set_setting(folder, "sync.retries", "3")
    assert (folder / "site.toml").read_text() == WRITTEN
