"""Kind: what a requirement file says is not what is locked, or a remedy for one of its lines does not lead to a lock.

It applies to what indexes give (constraints, hashes, addresses, tags) and to wheels that are built for a line which no
index serves: here by real uv, real pip and, once, in a container. What is read of a file is in
`test_real_requirement_files.py`, quicker.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.artifacts import lock, lock_store, service_wheel
from core.artifacts.local_wheels import with_local_wheels
from core.artifacts.locked_wheels import LockedWheels, lock_wheels
from core.artifacts.lockfile import Unlocked
from core.artifacts.network import Network
from core.artifacts.wheel_contents import top_level_modules
from core.cli.app import root
from core.errors import InputError, XaivaError
from core.presets.compat import LockedPackage, Resolved, check
from core.presets.index_entries import PYTORCH_INDEX
from core.presets.layers import ExpandedPreset
from core.presets.store import load_named
from core.site import Site
from tests.support.artifacts import RecordingProgress, wheel_file
from tests.support.index import Index, serve
from tests.support.requirement_files import FILE, NAME, preset_text, read, write

SHA = "ab" * 32
PYTHON = "3.10"


@pytest.fixture
def ground(site: Site, tmp_path: Path) -> Iterator[tuple[Site, Index]]:
    """The site with an index on the loopback as its machine's only one, and no engine."""
    files = tmp_path / "index"
    wheel_file(files / "six-1.16.0-py3-none-any.whl", "six", "1.16.0")
    wheel_file(files / "six-1.17.0-py3-none-any.whl", "six", "1.17.0")
    wheel_file(files / "six-1.17.0-1-py3-none-any.whl", "six", "1.17.0", "# built again")
    wheel_file(files / "ours-2.0-py3-none-any.whl", "ours", "2.0", "# another's of that name")
    with serve(files) as index:
        yield Site(site.root, site.settings, {**site.env, "UV_DEFAULT_INDEX": f"{index.url}/simple"}), index


def expanded_layer(site: Site, body: str, **fields: object) -> ExpandedPreset:
    """The expanded layer of a requirement file with this body."""
    write(site, body)
    (site.presets / f"{NAME}.json").write_text(preset_text(inference_service=False, **fields))
    return lock.expanded_layers(site, load_named(site, NAME))


def served_locally(site: Site, body: str) -> tuple[list[str], list[Unlocked]]:
    """The layer's lines after `local-wheels`, and what is not locked; without any index."""
    expanded = expanded_layer(site, body)
    after, _, unlocked = with_local_wheels(expanded, local_wheels(site), NAME, PYTHON)
    ((_, lines),) = after.layers
    return lines, unlocked


def lock_layer(site: Site, body: str, **fields: object) -> LockedWheels:
    """Lock the layer's file from indexes and local-wheels, with the real uv."""
    expanded, network = expanded_layer(site, body, **fields), Network(site)
    try:
        return lock_wheels(site, NAME, expanded, PYTHON, "x86_64-manylinux_2_28", None, network, RecordingProgress())
    finally:
        network.close()


def local_wheels(site: Site) -> Path:
    return lock_store.artifacts_folder(site, NAME) / lock_store.LOCAL_WHEELS


def wheels(locked: LockedWheels) -> list[str]:
    return sorted(file.path.rpartition("/")[2] for file in locked.files)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# A layer's file, with the address of the index for {url} and the hash of a file of it for {its name}; what is locked.
LOCKED: dict[str, tuple[str, list[str]]] = {
    "a mark, Windows lines, a continued line, a constraint and an option behind a requirement": (
        "\ufeff-c limits.txt\r\nsix \\\r\n  >1 --extra-index-url {url}/simple\r\n",
        ["six-1.16.0-py3-none-any.whl"],
    ),
    "an address, as a constraint and without a blank before its marker": (
        "-c wheel.txt\nsix\nours @ {url}/files/ours-2.0-py3-none-any.whl;python_version>'3'\n",
        ["ours-2.0-py3-none-any.whl", "six-1.16.0-py3-none-any.whl"],
    ),
    "a file that it names, and the hash of one of two files": (
        "-r more.txt\nsix==1.17.0 \\\n --hash=sha256:{six-1.17.0-py3-none-any.whl}\n",
        ["ours-2.0-py3-none-any.whl", "six-1.17.0-py3-none-any.whl"],
    ),
    "comments only": ("# six\n", []),
}


@pytest.mark.parametrize(("body", "names"), LOCKED.values(), ids=LOCKED)
def test_what_the_file_says_is_what_is_locked(ground: tuple[Site, Index], body: str, names: list[str]) -> None:
    site, index = ground
    write(site, "six<1.17\nours<9\n", "layers/limits.txt")  # nobody asks for `ours` there
    write(site, f"{index.file_url('six-1.16.0-py3-none-any.whl')}\n", "layers/wheel.txt")
    write(site, "six\n-r ../ours.txt\n", "layers/more.txt")
    write(site, "ours\n", "ours.txt")
    body = body.replace("{url}", index.url)
    body = re.sub(r"\{([^}]+\.whl)\}", lambda match: digest(index.folder / match[1]), body)
    locked = lock_layer(site, body)
    assert wheels(locked) == names
    assert locked.unlocked == []


@pytest.mark.parametrize(
    "body",
    [
        f"six==1.16.0 --hash=sha256:{SHA}\n",
        f"https://h.example.org/six-1.16.0-py3-none-any.whl#sha256={SHA}\n",
        "-c limits.txt\nsix==1.16.0\n",
    ],
)
def test_a_hash_is_kept_wherever_it_stands(site: Site, body: str) -> None:
    write(site, f"six==1.16.0 --hash=sha256:{SHA}\n", "layers/limits.txt")
    assert read(site, body).hashes == {"six": [SHA]}


def test_a_file_with_another_hash_ends_the_lock(ground: tuple[Site, Index]) -> None:
    site, index = ground
    with pytest.raises(XaivaError) as raised:
        lock_layer(site, f"six==1.16.0 --hash=sha256:{SHA}\n")
    actual = digest(index.folder / "six-1.16.0-py3-none-any.whl")
    assert actual in f"{raised.value.why} {raised.value.remedy}"
    # Follow the remedy.
    (right,) = re.findall(r"--hash=sha256:\w+", raised.value.remedy)
    assert wheels(lock_layer(site, f"six==1.16.0 {right}\n")) == ["six-1.16.0-py3-none-any.whl"]


def test_a_lock_says_in_which_index_a_tag_lies(ground: tuple[Site, Index]) -> None:
    site, index = ground
    wheel_file(index.folder / "torch-1.13.1-py3-none-any.whl", "torch", "1.13.1")
    with pytest.raises(XaivaError) as raised:
        lock_layer(site, "torch==1.13.1+cu117\n")
    assert PYTORCH_INDEX.format(tag="cu117") in raised.value.remedy
    # Follow the remedy, with a copy of that index.
    (entry,) = re.findall(r"\{.*\}", raised.value.remedy)
    wheel_file(index.folder / "torch-1.13.1+cu117-py3-none-any.whl", "torch", "1.13.1+cu117")
    copy = {**json.loads(entry), "url": f"{index.url}/simple"}
    assert wheels(lock_layer(site, "torch==1.13.1+cu117\n", indexes=[copy])) == ["torch-1.13.1+cu117-py3-none-any.whl"]


def test_a_wheel_built_by_hand_comes_before_that_of_an_index(ground: tuple[Site, Index]) -> None:
    """The remedies of `--no-binary`, of a page of links and of an address work: local-wheels comes first."""
    site, _ = ground
    wheel_file(local_wheels(site) / "six-1.16.0-py3-none-any.whl", "six", "1.16.0", "# mine")
    wheel_file(local_wheels(site) / "ours-1.0-py3-none-any.whl", "ours", "1.0")
    locked = lock_layer(site, "--no-binary six\nsix==1.16.0\nours @ git+https://h.example.org/ours.git@v1\n")
    assert {file.url for file in locked.files} == {
        "file:local-wheels/six-1.16.0-py3-none-any.whl",
        "file:local-wheels/ours-1.0-py3-none-any.whl",
    }
    assert locked.unlocked == []


BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "ours-1.0-py3-none-any.whl", "ours-1.0.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("ours.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: ours\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


def repository(folder: Path, within: str = "") -> Path:
    """A git repository, with the tag v1, of a project that `pip wheel` builds without any other package."""
    project = folder / within
    project.mkdir(parents=True)
    (project / "backend.py").write_text(BACKEND)
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (project / "pyproject.toml").write_text(f'{build}[project]\nname = "ours"\nversion = "1.0"\n')
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"], ["update-server-info"]):
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words]
        subprocess.run(git, cwd=folder, check=True, capture_output=True)
    return folder


def test_the_way_to_a_wheel_is_walked(ground: tuple[Site, Index], tmp_path: Path) -> None:
    """The command in the remedy works as printed; then the name of its wheel is recorded."""
    site, _ = ground
    line = f"git+file://{repository(tmp_path / 'ours')}"
    (part,) = lock_layer(site, f"six==1.16.0\n{line}\n").unlocked
    assert f"{FILE} line 2" in part.what
    (command,) = re.findall(r"pip wheel .*?\"(?=;|$)", part.remedy)
    words = [sys.executable, "-m", *shlex.split(command)]
    subprocess.run(words, cwd=site.root, check=True, capture_output=True)
    locked = lock_layer(site, "six==1.16.0\nours==1.0\n")
    assert locked.unlocked == []
    assert wheels(locked) == ["ours-1.0-py3-none-any.whl", "six-1.16.0-py3-none-any.whl"]
    assert [file.url for file in locked.files if file.name == "ours"] == ["file:local-wheels/ours-1.0-py3-none-any.whl"]


# What `xaiva wheel` writes into addresses.txt, with a line by hand.
BUILT = """\
ours @ git+https://h.example.org/a.git
ours @ git+https://h.example.org/a.git@v1
ours @ https://h.example.org/a.tar.gz
# by hand
ours @ /home/a
"""
# A requirement that no index serves, and what the wheel ours-1.0 in local-wheels makes of it.
ADDRESSED: dict[str, tuple[str, str]] = {
    "a wheel beside it": ("./ours-1.0-py3-none-any.whl", "ours==1.0"),
    "a wheel of a freeze": ("ours @ file:///croot/ours/ours-1.0-py3-none-any.whl", "ours==1.0"),
    "a wheel behind a login": ("https://me:pw123456@h.example.org/ours-1.0-py3-none-any.whl", "ours==1.0"),
    "extras and a marker": (
        "ours[fast] @ git+https://h.example.org/ours.git@v1 ; python_version < '4'",
        'ours[fast]==1.0 ; python_version < "4"',
    ),
    "an egg with extras": ("git+ssh://git@h.example.org/ours.git#egg=ours[fast]", "ours[fast]==1.0"),
    "an editable one": ("-e git+file:///srv/ours#egg=ours", "ours==1.0"),
    "a folder of a freeze": ("ours @ file:///croot/ours_167/work", "ours==1.0"),
    "another system's": ("ours @ git+https://h.example.org/ours.git ; sys_platform == 'win32'", ""),
    # by addresses.txt
    "a bare address": ("git+https://h.example.org/a.git", "ours==1.0"),
    "a bare address with a marker": (
        "git+https://h.example.org/a.git@v1 ; python_version > '3'",
        'ours==1.0 ; python_version > "3"',
    ),
    "a bare folder": ("/home/a", "ours==1.0"),
    "a bare archive": ("https://h.example.org/a.tar.gz", "ours==1.0"),
}


@pytest.mark.parametrize(("line", "served"), ADDRESSED.values(), ids=ADDRESSED)
def test_a_wheel_in_local_wheels_stands_for_an_address(site: Site, line: str, served: str) -> None:
    missing = served_locally(site, f"{line}\n")
    assert [len(part) for part in missing] == ([0, 1] if served else [0, 0])
    assert "pw123456" not in str(missing)
    wheel_file(local_wheels(site) / "ours-1.0-py3-none-any.whl", "ours", "1.0")
    (local_wheels(site) / "addresses.txt").write_text(BUILT)
    assert served_locally(site, f"{line}\n") == ([served] if served else [], [])


def test_a_login_comes_into_no_ledger(site: Site) -> None:
    expanded_layer(site, "six\n")
    words = ["--site", str(site.root), "wheel", NAME, "git+https://hunter22:x@h.example.org/a.git"]
    result = CliRunner().invoke(root, words)
    assert isinstance(result.exception, InputError)
    assert "hunter22" not in f"{result.output} {result.exception}"
    assert not [path for path in site.root.rglob("*") if path.is_file() and b"hunter22" in path.read_bytes()]


@pytest.mark.parametrize("line", ["ours @ git+https://h.example.org/a.git", "git+https://h.example.org/a.git"])
def test_what_is_locked_is_no_finding(site: Site, line: str) -> None:
    expanded_layer(site, f"{line}\n")
    preset = load_named(site, NAME)
    locked = (LockedPackage("ours", "1.0", "model"),)
    built = {"git+https://h.example.org/a.git": "ours"}
    assert "layer-source" in [finding.code for finding in check(preset, site=site, resolved=Resolved(), name=NAME)]
    findings = check(preset, site=site, resolved=Resolved(locked, built=built), name=NAME)
    assert "layer-source" not in [one.code for one in findings]


def test_a_file_on_the_web_is_fetched_as_its_remedy_says(ground: tuple[Site, Index]) -> None:
    site, index = ground
    (index.folder / "base.txt").write_text("six==1.16.0\n")
    _, (part,) = served_locally(site, f"-r {index.file_url('base.txt')}\n")
    (command, line) = re.findall(r"\((curl .*?)\), and write (.*)$", part.remedy)[0]
    subprocess.run(shlex.split(command), cwd=site.presets / "layers", check=True, capture_output=True)
    assert served_locally(site, f"{line}\n") == (["six==1.16.0"], [])


@pytest.mark.index
@pytest.mark.engine
@pytest.mark.slow
def test_the_wheel_of_a_bare_address_serves_its_line(engine_site: Site, builder: str, tmp_path: Path) -> None:
    """The remedy of the lock works, in a container of the base image, with a git server on the loopback."""
    site = engine_site
    preset = {"base_image": builder, "python_version": "3.11"}
    served = repository(tmp_path / "ours", within="python").parent
    with serve(served) as index:
        line = f"git+{index.file_url('ours/.git')}@v1#subdirectory=python"
        (part,) = lock_layer(site, f"six\n{line}\n", **preset).unlocked
        (command,) = re.findall(r"xaiva (wheel .*?);", part.remedy)
        words = [sys.executable, "-m", "core.cli", "--site", str(site.root), *shlex.split(command)]
        done = subprocess.run(words, env=dict(site.env), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert "package: ours" in done.stdout
    locked = lock_layer(site, f"six\n{line}\n", **preset)
    assert locked.unlocked == []
    assert "ours-1.0-py3-none-any.whl" in wheels(locked)


# What a wheel installs, and whether it would overwrite the service.
CONTENTS: dict[str, tuple[str, bool]] = {
    "a package": ("core/__init__.py", True),
    "a package without its own code": ("tui/widgets/table.py", True),
    "a module": ("core.py", True),
    "a compiled module": ("core.cpython-310-x86_64-linux-gnu.so", True),
    "a package under data": ("ours-1.0.data/purelib/core/__init__.py", True),
    "a package inside another": ("ours/core/__init__.py", False),
    "a longer name": ("core_tools.py", False),
    "libraries beside it": ("core.libs/libx.so.1", False),
}


@pytest.mark.parametrize(("name", "refused"), CONTENTS.values(), ids=CONTENTS)
def test_a_wheel_that_would_overwrite_the_service(tmp_path: Path, name: str, refused: bool) -> None:
    with zipfile.ZipFile(tmp_path / "ours-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(name, "")
        wheel.writestr("core-1.0.dist-info/METADATA", "")
    assert bool(top_level_modules(tmp_path / "ours-1.0-py3-none-any.whl") & {"core", "tui"}) is refused


@pytest.mark.parametrize("place", ["index", "index without ranges", "local-wheels"])
def test_a_wheel_with_a_package_of_xaiva_ends_the_lock(
    ground: tuple[Site, Index], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    site, index = ground
    path = (local_wheels(site) if place == "local-wheels" else index.folder) / "shadow-1.0-py3-none-any.whl"
    wheel_file(path, "shadow", "1.0")
    with zipfile.ZipFile(path, "a") as wheel:
        wheel.writestr("core/__init__.py", "")
        for number in range(1000):  # the table of contents is longer than what is fetched first
            wheel.writestr(f"shadow_data/{number:0100}", "")
    wheel_file(
        index.folder / "needs_shadow-1.0-py3-none-any.whl", "needs_shadow", "1.0", more="Requires-Dist: shadow\n"
    )
    wheel_file(index.folder / "onnxruntime-1.20-py3-none-any.whl", "onnxruntime", "1.20")
    index.ranges = place != "index without ranges"
    monkeypatch.setattr(service_wheel, "service_requirements", lambda: ["six"])
    write(site, "needs_shadow\nonnxruntime\n")
    progress = RecordingProgress()

    (site.presets / f"{NAME}.json").write_text(preset_text())
    with pytest.raises(XaivaError, match=r"shadow 1\.0 \(layer model\) has a top-level package core") as caught:
        lock.run(site, NAME, {}, progress)
    assert '"inference_service": false' in caught.value.remedy
    assert ("sends no ranges" in progress.text()) is not index.ranges

    (site.presets / f"{NAME}.json").write_text(preset_text(inference_service=False))
    lock.run(site, NAME, {}, progress)
    assert "shadow" in {file.name for file in lock_store.read_lock(site, NAME).files}
