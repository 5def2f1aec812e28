"""Rehearsal: what a site would do from a medium, in namespaces without a network; each planted fault is named."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.carry import pack, rehearsal, signing
from core.carry.console_files import ConsoleFile, console_files
from core.carry.shipment import blob_path
from core.errors import XaivaError
from core.files import sha256_bytes
from core.images.template import read_template
from core.site import Site
from tests.carry.conftest import empty_site
from tests.images import support
from tests.support import require, until
from tests.support.artifacts import RecordingProgress
from tests.support.checkout import checkout, fetch_wheels
from tests.support.console_medium import Office, pack_console, small_checkout
from tests.support.engine import TestEngine

pytestmark = [pytest.mark.engine, pytest.mark.index]

NAME = "small"
ALL = ["install", "verify", "check", "build", "launch"]
Rehearse = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Site], list[ConsoleFile]]]:
    """This project with the wheels that this Python needs: what a site installs."""
    folder = checkout(tmp_path_factory.mktemp("console") / "checkout")
    fetch_wheels(folder / "wheelhouse")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.carry.preparation.console_files", lambda site: console_files(site, folder))
        yield lambda site: console_files(site, folder)


@pytest.fixture(scope="module")
def shared(engine: TestEngine, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with a key and a locked preset, whose container sleeps in place of a service."""
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    site = empty_site(tmp_path_factory.mktemp("office") / "site")
    signing.create_key(site)
    run = {"command": ["sleep", "600"], "volumes": ["./data:/data"], "ports": ["127.0.0.1:8099:8000"]}
    layers = [{"name": "common", "requirements": ["idna"]}]
    artifacts = support.Artifacts(site, NAME, support.preset_of(layers=layers, run=run))
    artifacts.add_debs(support.debs(engine), build=False)
    artifacts.add_base(engine)
    artifacts.add_layer("common", support.wheels("idna==3.10"))
    artifacts.write()
    return site


@pytest.fixture(scope="module")
def packed(shared: Site, console: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A medium with the preset, which is right."""
    medium = tmp_path_factory.mktemp("packed")
    pack.run(shared, str(medium), {"presets": [NAME]}, RecordingProgress())
    return medium


@pytest.fixture
def medium(packed: Path, tmp_path: Path) -> Path:
    """A medium of which files may be removed and replaced."""
    return shutil.copytree(packed, tmp_path / "a medium", copy_function=os.link)


@pytest.fixture
def rehearse(shared: Site) -> Iterator[Rehearse]:
    """Rehearse the preset; whatever happens, nothing of it is left."""

    def run(**options: object) -> dict[str, Any]:
        return dict(rehearsal.run(shared, NAME, options, RecordingProgress()))  # type: ignore[arg-type]

    yield run
    assert not list((shared.state / "rehearsal").glob("*"))


def only_finding(result: dict[str, Any], level: str = "error") -> dict[str, str]:
    [finding] = [item for item in result["findings"] if item["level"] == level]
    return dict(finding)


def wheel_blob(site: Site, medium: Path) -> Path:
    [wheel] = (site.artifacts / NAME).rglob("idna-*.whl")
    return medium / blob_path(sha256_bytes(wheel.read_bytes()))


def test_from_the_pack_to_a_running_container(rehearse: Rehearse, console: object) -> None:
    result = rehearse()
    assert (result["passed"], result["complete"], result["findings"]) == (ALL, True, [])


def test_the_site_sees_nothing_of_the_office(
    rehearse: Rehearse, shared: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher of this medium prints what it sees, and refuses."""
    monkeypatch.delenv("LANG", raising=False)
    monkeypatch.delenv("LC_ALL", raising=False)
    for name in ("HTTPS_PROXY", "PIP_INDEX_URL", "UV_INDEX_URL", "DOCKER_HOST", "XAIVA_HOME"):
        monkeypatch.setenv(name, "http://192.0.2.1/")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.cache/uv").mkdir(parents=True)
    (tmp_path / "home/.cache/uv/wheel").touch()
    script = [
        'echo "variables: $(env | cut -d= -f1 | sort | tr "\\n" " ")"',
        f'echo "files: $(cd {shared.root} && find artifacts presets docker "$HOME" {tmp_path}/home/.cache -type f)"',
        'echo "routes out: $(grep -w 00000000.*0003 /proc/net/route)"',
        "echo '→ go home'; exit 1",
    ]
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick/xaiva").write_text("\n".join(script))
    finding = only_finding(rehearse(medium=str(tmp_path / "stick")))
    assert finding["why"].splitlines() == ["variables: HOME PATH PWD TMPDIR ", "files: ", "routes out: "]
    assert finding["remedy"] == "go home"


def test_a_wheel_that_the_medium_lacks(rehearse: Rehearse, shared: Site, medium: Path) -> None:
    """The office has it, and the site would not."""
    blob = wheel_blob(shared, medium)
    blob.unlink()
    result = rehearse(medium=str(medium))
    assert result["passed"] == []
    finding = only_finding(result)
    assert (finding["what"], finding["why"]) == (str(blob), "it is missing")
    assert finding["remedy"]
    assert only_finding(result, "warning")["what"] == "Not rehearsed: verify, check, build, launch"


def test_a_bit_that_flipped_on_the_medium(
    rehearse: Rehearse, shared: Site, medium: Path, console: Callable[[Site], list[ConsoleFile]]
) -> None:
    blob = medium / blob_path(console(shared)[0].sha256)
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.unlink()
    blob.write_bytes(data)
    finding = only_finding(rehearse(medium=str(medium)))
    assert finding["why"].endswith(f"console.tar, {blob}: its bytes have changed: their SHA-256 is not its name")
    assert finding["remedy"] == "do not use this medium; pack it again at the office"


def test_a_build_that_needs_the_network(rehearse: Rehearse, shared: Site, medium: Path) -> None:
    template = shared.docker / "Dockerfile.j2"
    fetch = " AS base\nRUN bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'\n"
    template.write_text(read_template().replace(" AS base\n", fetch, 1))
    try:
        pack.run(shared, str(medium), {"presets": [NAME]}, RecordingProgress())
        result = rehearse(medium=str(medium))
    finally:
        template.unlink()
    assert result["passed"] == ["install", "verify", "check"]
    assert "Network is unreachable" in only_finding(result)["why"]


def small_medium(folder: Path, office: Office, site: Site, requirement: str = "") -> Path:
    source = small_checkout(folder / "checkout")
    with open(source / "requirements/console.txt", "a") as requirements:
        requirements.write(requirement)
    pack_console(folder / "small", office, source, site)
    return folder / "small"


def test_a_wheelhouse_without_a_wheel(rehearse: Rehearse, shared: Site, tmp_path: Path) -> None:
    """The pack cannot know for which Pythons a requirement with a condition needs a wheel."""
    office = Office(signing.signing_key(shared), signing.fingerprint(shared))
    lacking = f'absent==1.0 ; python_version >= "3.10" --hash=sha256:{"0" * 64}\n'
    finding = only_finding(rehearse(medium=str(small_medium(tmp_path, office, shared, lacking))))
    assert (finding["what"], finding["where"]) == ("The command failed", "step install")
    assert "absent" in finding["why"]
    assert "the wheelhouse lacks a file" in finding["remedy"]


def test_a_medium_with_a_key_that_is_not_on_paper(rehearse: Rehearse, shared: Site, tmp_path: Path) -> None:
    stranger = Office.create(tmp_path)
    finding = only_finding(rehearse(medium=str(small_medium(tmp_path, stranger, shared))))
    assert stranger.fingerprint in finding["why"]
    assert signing.fingerprint(shared) in finding["why"]
    assert finding["remedy"] == "do not use this medium; ask the office who packed it"


def path_without(program: str, folder: Path) -> str:
    """A folder with links to all programs of PATH but one."""
    folder.mkdir()
    for place in map(Path, os.environ["PATH"].split(":")):
        for path in place.iterdir() if place.is_dir() else ():
            if path.name != program and not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(path)
    return str(folder)


def test_without_an_engine_it_says_what_nobody_knows(
    rehearse: Rehearse, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without("dockerd", tmp_path / "bin"))
    before = sorted(packed.rglob("*"))
    result = rehearse(medium=str(packed))
    assert sorted(packed.rglob("*")) == before, "a medium is only read"
    assert (result["passed"], result["complete"]) == (["install", "verify", "check"], False)
    warning = only_finding(result, "warning")
    assert warning["what"] == "Not rehearsed: build, launch"
    assert "dockerd" in warning["why"]


def test_it_refuses_to_rehearse_with_a_network(
    rehearse: Rehearse, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without("unshare", tmp_path / "bin"))
    with pytest.raises(XaivaError, match="there is no unshare here"):
        rehearse(medium=str(packed))


def test_a_killed_rehearsal_leaves_only_a_folder(rehearse: Rehearse, shared: Site, packed: Path) -> None:
    options = {"medium": str(packed)}
    process = multiprocessing.get_context("fork").Process(
        target=rehearsal.run, args=(shared, NAME, options, RecordingProgress())
    )
    process.start()
    [pid_file] = until(lambda: list((shared.state / "rehearsal").glob("*/dockerd.log")))
    folder = str(pid_file.parent)
    assert until(lambda: processes_with(folder))
    process.kill()
    process.join()
    until(lambda: not processes_with(folder))
    rehearsal.remove_leftovers(shared)


def processes_with(word: str) -> list[str]:
    """The processes that have it in their command."""
    texts = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return [text for text in texts if word in text]
