"""What `./xaiva` installs for whom, what it says meanwhile, and who does it: uv or pip."""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.setup.support import MACHINE, OF_THE_DEMO, PYTHON, ROOT, environment, run
from tests.support.pty_session import PtySession

UV = str(Path(sys.executable).with_name("uv"))


@pytest.fixture
def site(office: Path) -> Path:
    """The office's folder before it is set up, with a wheelhouse. Its `xaiva` does nothing."""
    shutil.rmtree(office / ".venv")
    shutil.copytree(office.parent / "index", office / "wheelhouse")
    (office / "tui.py").touch()
    return office


def _role(folder: Path) -> str:
    return (folder / ".venv/.xaiva-installed").read_text().partition(" ")[0]


def test_the_demo_adds_its_packages_and_the_folder_keeps_them(site: Path) -> None:
    wheel = (site / "wheelhouse" / OF_THE_DEMO).rename(site / OF_THE_DEMO)
    code, said = run(site, "demo", XAIVA_PYTHON=PYTHON)
    assert code == 1
    assert "is for the console alone: copy one made by `./xaiva --wheelhouse demo`" in said
    assert run(site, "demo", "--help")[0] == 0  # help needs no packages of the demo
    assert _role(site) == "console"

    wheel.rename(site / "wheelhouse" / OF_THE_DEMO)
    code, said = run(site, "demo")
    assert code == 0, said
    assert re.search(r"^xaiva: 3 of 3  camera 1\.0  1 kB\nxaiva: installing 1 packages, 1 kB …\n", said, re.M)
    assert re.search(rf"^xaiva: set up in \d+ s; {site}/\.venv takes \d+ MB\n\Z", said, re.M)
    for again in ([], ["--setup"], ["--setup", "demo"]):
        assert run(site, *again) == (0, "")
    assert _role(site) == "demo"


@pytest.mark.parametrize("words", ["--setup console", "--setup dev more", "--wheelhouse -x", "--wheelhouse a b"])
def test_words_that_it_does_not_know_change_nothing(office: Path, words: str) -> None:
    assert run(office, *words.split()) == (2, "")


def test_uv_installs_where_it_can(site: Path) -> None:
    code, said = run(site, "--setup", "demo", XAIVA_PYTHON=PYTHON, UV=UV)
    assert code == 0, said
    assert "pip" not in said
    assert any((site / ".venv/lib").glob("*/site-packages/camera.py"))

    (site / ".venv/.xaiva-installed").unlink()
    code, said = run(site, "--setup", "demo", UV="false")
    assert code == 0, said
    assert "uv could not install them; pip tries" in said

    shutil.rmtree(site / "wheelhouse")
    (site / ".venv/.xaiva-installed").unlink()
    code, said = run(site, "--setup", "demo", UV=UV)
    assert code == 0, said
    assert "pip installs, because its settings name an index and those of uv do not" in said


def test_a_uv_whose_hash_the_requirements_do_not_name_is_not_run(site: Path) -> None:
    with zipfile.ZipFile(site / f"wheelhouse/uv-1.0-py3-none-manylinux_2_17_{MACHINE}.whl", "w") as wheel:
        wheel.writestr("uv-1.0.data/scripts/uv", f"#!/bin/sh\ntouch '{site}/was-run'\n")
    code, said = run(site, "--setup", XAIVA_PYTHON=PYTHON)
    assert code == 0, said
    assert "installing 2 packages" in said  # by pip
    assert not (site / "was-run").exists()


def test_a_terminal_has_one_line_that_changes_and_may_be_interrupted(site: Path, silent_index: socket.socket) -> None:
    wheelhouse = (site / "wheelhouse").rename(site / "later")
    command = [str(site / "xaiva"), "--setup"]
    around = environment(site, XAIVA_PYTHON=PYTHON, HOME=str(site), PATH=f"/usr/bin:/bin:{site}/.local/bin")
    index = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple"}
    with PtySession(command, columns=240, rows=24, env=around | index) as terminal:
        connection, _ = silent_index.accept()  # pip waits for an answer
        with connection:
            terminal.press("ctrl+c")
            assert terminal.wait_end() == 130
        assert "xaiva: interrupted; run it again to finish." in terminal.text
    assert not (site / ".venv/.xaiva-installed").exists()

    wheelhouse.rename(site / "wheelhouse")
    (site / ".local/bin").mkdir(parents=True)
    with PtySession(command, columns=240, rows=24, env=around) as terminal:
        assert terminal.wait_end() == 0
        shown = terminal.text
        assert b"xaiva: 2 of 2  tool 2.0  1 kB" in terminal.sent
    first, second, third, *_ = [line.rstrip() for line in shown.splitlines()]
    assert first.startswith(f"xaiva: setting up {site}/.venv (Python 3.")
    assert second.startswith("xaiva: set up in ")
    assert third == f"xaiva: → to type `xaiva` in any folder: ln -s '{site}/xaiva' {site}/.local/bin/"


# -- the lines of pip -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pip_progress() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pip_progress", ROOT / "requirements/pip_progress.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PIP_SAYS = {
    "one from the index": ("  Downloading numpy-2.4.6-cp311-cp311-any.whl (16.9 MB)", "numpy 2.4.6  16.9 MB"),
    "one from a mirror": ("  Downloading http://m/a%2Bb/x_y-1.0-py3-none-any.whl (250 kB)", "x-y 1.0  250 kB"),
    "one of unknown size": ("  Downloading click-8.5.1-py3-none-any.whl", "click 8.5.1"),
    "one from the cache": ("  Using cached click-8.5.1-py3-none-any.whl (980 bytes)", "click 8.5.1  1 kB"),
    "one that is gone": ("Processing ./a b/click-8.5.1-py3-none-any.whl (from -r x.txt (line 1))", "click 8.5.1"),
    "metadata": ("  Downloading click-8.5.1-py3-none-any.whl.metadata (2.6 kB)", None),
    "anything else": ("Collecting click==8.5.1 (from -r requirements.txt (line 1))", None),
}  # fmt: skip


@pytest.mark.parametrize(("line", "said"), PIP_SAYS.values(), ids=PIP_SAYS)
def test_a_line_of_pip_is_understood(pip_progress: ModuleType, line: str, said: str | None) -> None:
    lines: list[str] = []
    progress = pip_progress.Progress(3, lines.append)
    progress.read("Ignoring tomli: markers 'python_full_version < \"3.11\"' don't match your environment")
    progress.read("Requirement already satisfied: idna==3.20 in ./lib (from -r requirements.txt (line 4)) (3.20)")
    progress.read(line)
    assert lines == ([] if said is None else [f"2 of 2  {said}"])
