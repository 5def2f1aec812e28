"""A remedy that nobody walked: it names a cause that was not found, or a way that leads nowhere.

Every command, option, field and page that a message of xaiva names exists; a cause such as the network, the disk or an
engine that is down is named only where it was found; and what a remedy says is done here, word for word. It applies to
builds of wheels, to system packages, to image archives, and to the address of the engine.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.artifacts import store
from core.artifacts.build_failures import explain, missing_module
from core.artifacts.debs import Request, closure
from core.engine import connect
from core.errors import InputError
from core.progress import NullProgress
from core.site import Site
from tests.support.artifacts import wheel_file
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.index import Index, serve

NAME = "walked"
BUILDER = "with-compiler:1"

# -- builds of wheels -------------------------------------------------------------------------------------------------

CAUSES: dict[str, tuple[str, str, str]] = {  # what the tools wrote → words of the cause, words of the remedy
    "header": ("src/a.c:1:10: fatal error: ogg/ogg.h: No such file or directory\nerror: command '/usr/bin/gcc' failed",
               "the header ogg/ogg.h is missing", "build_debs"),
    "no-nvcc": ("OSError: CUDA_HOME environment variable is not set. Please set it.", "no nvcc", "devel"),
    "disk": ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
             "the disk of the engine is full", "docker system df"),
    "memory": ("g++: fatal error: Killed signal terminated program cc1plus", "ran out of memory", "end other work"),
    "names": ("W: Failed to fetch http://a/Release  Temporary failure resolving 'a'\nE: Unable to locate package x",
              "Temporary failure resolving 'a'", "check the network"),
    "refused": ("WARNING: Retrying after connection broken by 'NewConnectionError: Failed to establish a new connection:"
                " [Errno 111] Connection refused'", "Connection refused", "check the network"),
    "authority": ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))",
                  "certificate of a server", "SSL_CERT_FILE"),
    "version": ("ERROR: Could not find a version that satisfies the requirement flash-attn==99 (from versions: 1.0, 2.5)\n"
                "ERROR: No matching distribution found for flash-attn==99", "there is 1.0, 2.5", "correct the name"),
    "unmet": ("The following packages have unmet dependencies:\n libssl-dev : Depends: libssl3 (= 3.0.15-1) but 3.0.17-1 is"
              " to be installed\nE: Unable to correct problems, you have held broken packages.",
              "libssl-dev : Depends: libssl3 (= 3.0.15-1) but 3.0.17-1 is to be installed", "leave out the version"),
    "unknown": ("something\nERROR: the backend says no", "the backend says no", "read the log"),
}  # fmt: skip


@pytest.mark.parametrize("case", CAUSES)
def test_a_failed_build_names_the_cause_that_was_found_and_no_other(case: str) -> None:
    text, words, remedy = CAUSES[case]
    why, found = explain(text.splitlines(), 1)
    assert words in why
    assert remedy in found
    assert ("check the network" in found) is (remedy == "check the network")


MODULES: dict[str, tuple[str, str]] = {
    "module": ("ModuleNotFoundError: No module named 'torch'", "torch"),
    "submodule": ("ModuleNotFoundError: No module named 'torch.utils'", "torch"),
    "old-python": ("ImportError: No module named numpy", "numpy"),
    "backend": ("╰─> ModuleNotFoundError: No module named 'hatchling'", "hatchling"),
    "long-before-another-error": ("ModuleNotFoundError: No module named 'ninja'\n" + "compiling\n" * 40 + "error", ""),
    "none": ("error: command gcc failed", ""),
}


@pytest.mark.parametrize("case", MODULES)
def test_the_module_that_a_build_lacks_is_named(case: str) -> None:
    text, module = MODULES[case]
    assert missing_module(text.splitlines()) == module


def source_archive(folder: Path, name: str, setup: str, **files: str) -> None:
    """A package that comes as source only, with such a setup.py."""
    texts = {"setup.py": setup, f"{name}.py": "", "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"}
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as tar:
        for path, text in {**texts, **files}.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{path}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))


def setup_py(name: str, *imports: str) -> str:
    lines = [f"import {one}" for one in imports]
    return "\n".join(
        [*lines, "from setuptools import setup", f"setup(name={name!r}, version='1.0', py_modules=[{name!r}])"]
    )


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index with `torchdemo`, and with what needs it at build time without saying so."""
    served = tmp_path / "served"
    served.mkdir()
    wheel_file(served / "torchdemo-1.0-py3-none-any.whl", "torchdemo", "1.0", "there = True")
    wheel_file(served / "backenddemo-1.0-py3-none-any.whl", "backenddemo", "1.0", "from setuptools.build_meta import *")
    source_archive(served, "flashdemo", setup_py("flashdemo", "torchdemo"))
    declares = '[build-system]\nrequires = ["setuptools", "backenddemo>=1.0"]\nbuild-backend = "backenddemo"\n'
    source_archive(served, "declaring", setup_py("declaring", "torchdemo"), **{"pyproject.toml": declares})
    source_archive(served, "hopeless", setup_py("hopeless", "nobodyhasit"))
    with serve(served) as running:
        yield running


def write_preset(site: Site, index: Index, *requirements: str, **more: object) -> None:
    preset = {
        "base_image": BASE_IMAGE,
        "python_version": "3.11",
        "layers": [{"name": "common", "requirements": ["torchdemo", *requirements]}],
        "indexes": [{"name": "private", "url": f"{index.url}/simple"}],
        "inference_service": False,
        **more,
    }
    (site.presets / f"{NAME}.json").write_text(json.dumps(preset))


def xaiva(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, as an engineer types it."""
    argv = [sys.executable, "-m", "core.cli", "--site", str(site.root), *words]
    return subprocess.run(argv, env=dict(site.env), capture_output=True, text=True, check=False)


def walk(site: Site, remedy: str) -> subprocess.CompletedProcess[str]:
    """Do what a remedy says: each `xaiva …` in it, in its order. The last one's outcome."""
    commands = [shlex.split(text) for text in re.findall(r"xaiva ([^,;()]+)", remedy)]
    assert commands
    done = [xaiva(site, *words) for words in commands]
    assert [one.returncode for one in done[:-1]] == [0] * (len(done) - 1), done
    return done[-1]


@pytest.mark.index
def test_a_lock_names_the_module_and_the_command_that_works(site: Site, index: Index) -> None:
    write_preset(site, index, "flashdemo")
    locked = lock_without_engine(site)
    (flash,) = (one for one in locked.unlocked if "flashdemo" in one.what)
    assert "its build needs the module torchdemo, which it does not declare" in flash.why
    assert f"xaiva sync {NAME}, then xaiva wheel {NAME} flashdemo --no-build-isolation" in flash.remedy


def lock_without_engine(site: Site) -> store.Lock:
    away = Site(site.root, site.settings, {**site.env, "DOCKER_HOST": "unix:///nowhere/docker.sock"})
    xaiva(away, "lock", NAME)
    return store.read_lock(site, NAME)


@pytest.fixture(scope="module")
def builder(engine: TestEngine) -> str:
    """A base image that has what every build of a wheel installs: each build is then quick."""
    script = (
        "apt-get update -q && apt-get install -y -q --no-install-recommends build-essential ca-certificates git "
        "pkg-config python3.11 python3.11-venv python3.11-dev"
    )
    engine.docker("run", "--name", "builder", "--network", "host", BASE_IMAGE, "sh", "-c", script)
    engine.docker("commit", "builder", BUILDER)
    engine.docker("rm", "builder")
    return BUILDER


@pytest.mark.index
@pytest.mark.engine
@pytest.mark.slow
def test_the_remedies_of_a_wheel_lead_to_a_complete_lock(engine_site: Site, builder: str, index: Index) -> None:
    site = engine_site
    write_preset(site, index, "flashdemo", "declaring", base_image=builder)
    xaiva(site, "lock", NAME)
    lock = store.read_lock(site, NAME)
    remedies = {re.split(r"\W", one.what)[0]: one.remedy for one in lock.unlocked}
    assert set(remedies) == {"flashdemo", "declaring"}, lock.unlocked
    isolated = xaiva(site, "wheel", NAME, "flashdemo==1.0")
    assert "its build needs the module torchdemo, which it does not declare" in isolated.stderr, isolated
    assert "network" not in isolated.stderr.partition("→")[2]
    again = walk(site, isolated.stderr.partition("→")[2])
    assert again.returncode == 0, again
    write_preset(site, index, "flashdemo", "declaring", base_image=builder, no_build_isolation=["declar*"])
    by_field = walk(site, remedies["declaring"].replace(" --no-build-isolation", ""))  # the preset says so, too
    assert by_field.returncode == 0, by_field
    assert store.read_lock(site, NAME).unlocked == []
    hopeless = walk(site, xaiva(site, "wheel", NAME, "hopeless", "--no-build-isolation").stderr)
    assert "needs the module nobodyhasit" in hopeless.stderr
    assert "add the package that has nobodyhasit to a layer" in hopeless.stderr
    write_preset(site, index, base_image=builder, debs=["nosuchdeb"])
    wrong = xaiva(site, "wheel", NAME, "flashdemo")
    assert "its package sources have no nosuchdeb" in wrong.stderr


@pytest.mark.index
def test_wheels_that_are_not_synced_are_asked_for(site: Site, index: Index) -> None:
    write_preset(site, index)
    lock_without_engine(site)
    done = xaiva(site, "wheel", NAME, "flashdemo", "--no-build-isolation")
    assert "1 of its 1 wheels are not in" in done.stderr
    assert f"xaiva sync {NAME}" in done.stderr


# -- system packages --------------------------------------------------------------------------------------------------

PACKAGES: dict[str, tuple[list[str], list[str]]] = {  # what is asked for → what the one sentence has
    "names": (["libgl1-mesa-glx-old", "hello", "nosuchdeb"], ["no libgl1-mesa-glx-old, nosuchdeb"]),
    "version": (["hello=9.9-9"], [r"hello=9\.9-9 \(it has 2\.10-\S+\)"]),
    "both": (["nosuchdeb", "hello=9.9-9", "bc=0"], [r"no nosuchdeb, hello=9\.9-9 \(it has \S+\), bc=0 \(it has \S+\)"]),
    "name-with-version": (["nosuchdeb=1.0"], [r"no nosuchdeb=1\.0"]),
    "virtual": (["mail-transport-agent"], [r"mail-transport-agent \(a virtual package: take \S+ or "]),
}


@pytest.mark.engine
@pytest.mark.parametrize("case", PACKAGES)
def test_every_wrong_package_is_named_in_one_sentence(case: str, engine_site: Site) -> None:
    asked, patterns = PACKAGES[case]
    request = Request("3.11", asked[:2], asked[2:])
    with pytest.raises(InputError) as caught:
        closure(connect(engine_site, 60), BASE_IMAGE, request, engine_site.env, NullProgress())
    for pattern in patterns:
        assert re.search(pattern, caught.value.why)
    assert len(caught.value.why) < 600
    assert "debs and build_debs" in caught.value.remedy
