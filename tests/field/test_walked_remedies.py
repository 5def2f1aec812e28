"""A remedy that nobody walked: it names a cause that was not found, or a way that leads nowhere.

Every command, option, field and page that a message of xaiva names exists; a cause such as the network, the disk or an
engine that is down is named only where it was found; and what a remedy says is done here, word for word. Here are
builds of wheels, system packages, files that cannot be written, repositories and servers; `test_image_archives.py` and
`test_engine_addresses.py` hold the same kind for what is given to `xaiva load` and for how the engine is named.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.artifacts import lock_store, remote_metadata, source_snapshots
from core.artifacts.build_failures import explain_failure, is_removed_module, missing_module, remedy_for_module
from core.artifacts.debs import DebRequest, resolve_debs
from core.artifacts.lockfile import FileKind, LockedFile
from core.artifacts.network import Network
from core.artifacts.uv_compile import ResolveRequest
from core.artifacts.uv_errors import error_from_refusal
from core.engine import connect_engine
from core.errors import XaivaError
from core.files import write_remedy
from core.progress import NullProgress
from core.site import Site
from tests.support.artifacts import wheel_file
from tests.support.command_line import xaiva
from tests.support.engine import BASE_IMAGE
from tests.support.index import Fault, Index, serve

NAME = "walked"

# -- builds of wheels -------------------------------------------------------------------------------------------------

CAUSES: dict[str, tuple[str, str, str]] = {  # what the tools wrote → words of the cause, words of the remedy
    "header": ("src/a.c:1:10: fatal error: ogg/ogg.h: No such file or directory\nerror: command '/usr/bin/gcc' failed",
               "the header ogg/ogg.h is missing", "build_debs"),
    "no-nvcc": ("OSError: CUDA_HOME environment variable is not set. Please set it.", "no nvcc", "devel"),
    "disk": ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
             "the disk of the engine is full", "docker system df"),
    "memory": ("g++: fatal error: Killed signal terminated program cc1plus", "ran out of memory", "stop other work"),
    "names": ("W: Failed to fetch http://a/Release  Temporary failure resolving 'a'\nE: Unable to locate package x",
              "Temporary failure resolving 'a'", "check the network"),
    "refused": ("WARNING: Retrying after connection broken by 'NewConnectionError: Failed to establish a new"
                " connection: [Errno 111] Connection refused'", "Connection refused", "check the network"),
    "authority": ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))",
                  "certificate of a server", "SSL_CERT_FILE"),
    "version": ("ERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1.0, 2.5)\n"
                "ERROR: No matching distribution found for x==9", "available: 1.0, 2.5", "correct the name"),
    "unmet": ("The following packages have unmet dependencies:\n libssl-dev : Depends: libssl3 (= 3.0.15-1) but"
              " 3.0.17-1 is to be installed\nE: Unable to correct problems, you have held broken packages.",
              "libssl-dev : Depends: libssl3 (= 3.0.15-1) but 3.0.17-1 is to be installed", "or its version"),
    "tried-again": ("WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError(1)': /simple/\n"
                    "ERROR: the backend says no", "the backend says no", "read the log"),
    "given-up": ("WARNING: Retrying (Retry(total=0)) after connection broken by 'ReadTimeoutError(1)': /simple/\n"
                 "ERROR: No matching distribution found for setuptools", "ReadTimeoutError", "check the network"),
    "compiler": ("connection broken by 'ReadTimeoutError(1)'\n      src/x.c:12:5: error: unknown type name 'T'\n"
                 "error: command '/usr/bin/gcc' failed with exit code 1", "x.c:12:5: error: unknown", "a version"),
    "try-of-a-compiler": ("_configtest.c:1:5: error: what\nERROR: the backend says no", "says no", "read the log"),
    "header-without-suffix": ("a.c:1:1: fatal error: Eigen/Core: No such file", "Eigen/Core", "build_debs"),
    "cuda-header": ("a.cu:1:1: fatal error: cuda_runtime.h: No such file or directory", "no nvcc", "devel"),
    "other-cuda": ("The detected CUDA version (12.4) mismatches the version that was used to compile\nPyTorch (11.8).",
                   "CUDA 12.4, and the locked PyTorch is for 11.8", "CUDA 11.8, or PyTorch for 12.4"),
    "rust": ("error: can't find Rust compiler\nerror: metadata-generation-failed", "Rust compiler", "cargo, rustc"),
    "cmake": ("RuntimeError: CMake must be installed to build: dlib", "the program cmake is missing", "(cmake)"),
    "cmake-not-found": ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", "program cmake", "(cmake)"),
    "pg_config": ("Error: pg_config executable not found.", "the program pg_config is missing", "libpq-dev"),
    "shell": ("/bin/sh: 1: mysql_config: not found", "program mysql_config", "default-libmysqlclient-dev"),
    "fortran": ("meson.build:1:0: ERROR: Unknown compiler(s): [['gfortran'], ['flang']]", "gfortran", "(gfortran)"),
    "pkg-config": ("No package 'libavformat' found", "the library libavformat is missing", "build_debs"),
    "meson": ('meson.build:3:0: ERROR: Dependency "openblas" not found, tried pkgconfig', "openblas", "build_debs"),
    "cmake-package": ("CMake Error at a.cmake:2 (message):\n  Could NOT find OpenSSL, try", "OpenSSL", "build_debs"),
    "linker": ("/usr/bin/ld: cannot find -lcuda: No such file or directory", "the library cuda", "build_debs"),
    "optional": ("No package 'x' found\nsh: 1: git: not found\n" + "compiling\n" * 40 + "ERROR: the backend says no",
                 "the backend says no", "read the log"),
    "killed": ("error: command '/usr/bin/gcc' failed: Killed", "ran out of memory", "stop other work"),
    "nvcc-killed": ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "ran out of memory", "stop other work"),
    "quota": ("OSError: [Errno 122] Disk quota exceeded", "the disk of the engine is full", "docker system df"),
    "python": ("ERROR: Ignored the following versions that require a different python version: 1.0 Requires-Python <3; "
               "0.5 Requires-Python >=3.7,<3.11\nERROR: Could not find a version that satisfies the requirement x==0.5 "
               "(from versions: 2.0)", "it needs Python >=3.7,<3.11", "python_version"),
    "version-of-no-python": ("ERROR: Ignored the following versions that require a different python version: 1.0 "
                             "Requires-Python <3\nERROR: Could not find a version that satisfies the requirement x==9 "
                             "(from versions: 2.0)", "available: 2.0", "correct the name"),
    "python-of-setup": ("RuntimeError: Cannot install on Python version 3.12.1; only versions >=3.7,<3.11 are good",
                        "it needs Python >=3.7,<3.11", "python_version"),
    "no-apt": ("apt-get: not found", "the base image has no apt-get", "Debian or Ubuntu"),
    "unknown": ("something\nERROR: the backend says no", "the backend says no", "read the log"),
}  # fmt: skip


@pytest.mark.parametrize("case", CAUSES)
def test_a_failed_build_names_the_cause_that_was_found_and_no_other(case: str) -> None:
    text, words, remedy = CAUSES[case]
    why, found_remedy = explain_failure(text.splitlines(), 1)
    assert words in why
    assert remedy in found_remedy
    assert ("check the network" in found_remedy) is (remedy == "check the network")


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


PROVIDERS = {"packaging": "has packaging", "pkg_resources": "setuptools<81", "imp": "", "distutils": "", "cgi": ""}


@pytest.mark.parametrize("module", PROVIDERS)
def test_what_gives_a_module_to_a_build_is_named(module: str) -> None:
    assert is_removed_module(module) is not bool(PROVIDERS[module])  # no package brings what Python has no more
    assert PROVIDERS[module] in remedy_for_module(module)


def source_archive(folder: Path, name: str, setup: str, **files: str) -> None:
    """A package that comes as source only, with such a setup.py."""
    texts = {"setup.py": setup, f"{name}.py": "", "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"}
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as tar:
        for path, text in {**texts, **files}.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{path}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))


def setup_py(name: str, *imports: str) -> str:
    lines = [f"import {module}" for module in imports]
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
    wheel_file(served / "ninjademo-1.0-py3-none-any.whl", "ninjademo", "1.0", "there = True")
    source_archive(served, "flashdemo", setup_py("flashdemo", "torchdemo", "ninjademo"))
    declares = '[build-system]\nrequires = ["setuptools", "backenddemo>=1.0"]\nbuild-backend = "backenddemo"\n'
    source_archive(served, "declaring", setup_py("declaring", "torchdemo"), **{"pyproject.toml": declares})
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


def walk(site: Site, remedy: str) -> subprocess.CompletedProcess[str]:
    """Do what a remedy says: each `xaiva …` in it, in its order. The last outcome; a lock may stay partial (3)."""
    commands = [shlex.split(text) for text in re.findall(r"xaiva ([^,;()]+)", remedy)]
    assert commands
    done = [xaiva(site, *words) for words in commands]
    assert {process.returncode for process in done[:-1]} <= {0, 3}, done
    return done[-1]


@pytest.mark.index
def test_a_lock_names_the_module_and_the_command_that_works(site: Site, index: Index) -> None:
    write_preset(site, index, "flashdemo")
    locked = lock_without_engine(site)
    (flash,) = (entry for entry in locked.unlocked if "flashdemo" in entry.what)
    assert "its build needs the module torchdemo, which it does not declare" in flash.why
    assert f"xaiva sync {NAME}, then xaiva wheel {NAME} flashdemo --no-build-isolation" in flash.remedy


def lock_without_engine(site: Site) -> lock_store.Lock:
    away = Site(site.root, site.settings, {**site.env, "DOCKER_HOST": "unix:///nowhere/docker.sock"})
    xaiva(away, "lock", NAME)
    return lock_store.read_lock(site, NAME)


@pytest.mark.index
@pytest.mark.engine
@pytest.mark.slow
def test_the_remedies_of_a_wheel_lead_to_a_complete_lock(engine_site: Site, builder: str, index: Index) -> None:
    site, fields = engine_site, {"base_image": builder, "no_build_isolation": ["declar*"]}
    write_preset(site, index, "flashdemo", "declaring", **fields)
    xaiva(site, "lock", NAME)
    lock = lock_store.read_lock(site, NAME)
    remedies = {re.split(r"\W", entry.what)[0]: entry.remedy for entry in lock.unlocked}
    assert set(remedies) == {"flashdemo", "declaring"}, lock.unlocked
    isolated = xaiva(site, "wheel", NAME, "flashdemo==1.0")
    assert "its build needs the module torchdemo, which it does not declare" in isolated.stderr, isolated
    assert "network" not in isolated.stderr.partition("→")[2]
    in_no_layer = walk(site, isolated.stderr.partition("→")[2])
    assert "its build needs the module ninjademo, which it does not declare" in in_no_layer.stderr, in_no_layer
    assert "add the package that has ninjademo to a layer" in in_no_layer.stderr
    write_preset(site, index, "flashdemo", "declaring", "ninjademo", **fields)
    wheel = walk(site, in_no_layer.stderr.partition("→")[2])
    assert wheel.returncode == 0, wheel
    by_field = walk(site, remedies["declaring"].replace(" --no-build-isolation", ""))  # the preset says so, too
    assert by_field.returncode == 0, by_field
    assert lock_store.read_lock(site, NAME).unlocked == []
    write_preset(site, index, base_image=builder, debs=["nosuchdeb"])
    wrong = xaiva(site, "wheel", NAME, "flashdemo")
    assert "its package sources have no nosuchdeb" in wrong.stderr


REQUIREMENTS: dict[str, tuple[str, str, str]] = {  # what is typed → words of the cause, words of the remedy
    "wheel": ("a-1.0-py3-none-any.whl", "needs no build", f"artifacts/{NAME}/local-wheels"),
    "wheel-of-the-web": ("https://h/a-1.0-py3-none-any.whl", "needs no build", f"artifacts/{NAME}/local-wheels"),
    "file": ("a @ file:///home/me/a", "cannot reach it", "pip wheel --no-deps"),
    "git-over-ssh": ("a @ git+ssh://git@h/a", "cannot reach it", "pip wheel --no-deps"),
    "folder": ("./a", "cannot reach it", "pip wheel --no-deps"),
    "nothing": ("", "asks for nothing", "name==version"),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUIREMENTS)
def test_a_requirement_that_no_container_can_build_has_the_way_that_works(case: str, site: Site, index: Index) -> None:
    text, words, remedy = REQUIREMENTS[case]
    write_preset(site, index)
    done = xaiva(site, "wheel", NAME, text)
    assert words in done.stderr
    assert remedy in done.stderr.partition("→")[2]


@pytest.mark.index
def test_wheels_that_are_not_synced_are_asked_for(site: Site, index: Index) -> None:
    write_preset(site, index)
    lock_without_engine(site)
    done = xaiva(site, "wheel", NAME, "flashdemo", "--no-build-isolation")
    assert "1 of its 1 wheels are not in" in done.stderr
    assert f"xaiva sync {NAME}" in done.stderr


FETCHES: dict[str, tuple[str, str, str]] = {  # what uv says of an index → what xaiva says of it, words of the remedy
    "status": ("HTTP status server error (503 Service Unavailable) for url (https://i/x/)", "refuses", "browser"),
    "certificate": ("invalid peer certificate: UnknownIssuer", "is not trusted", "SSL_CERT_FILE"),
    "refused": ("tcp connect error: Connection refused (os error 111)", "does not answer", "check the network"),
    "name": ("dns error: failed to lookup address information", "does not answer", "check the network"),
}  # fmt: skip


@pytest.mark.parametrize("case", FETCHES)
def test_an_index_that_refuses_is_no_network_that_fails(case: str) -> None:
    words, said, remedy = FETCHES[case]
    refusal = f"error: Failed to fetch: `https://i/simple/x/`\n  Caused by: {words}"
    error = error_from_refusal(refusal, ResolveRequest(NAME, [("common", ["x"])], [], [], "3.11", "linux"), {})
    assert said in error.what
    assert remedy in error.remedy
    assert ("network," in error.remedy) is (remedy == "check the network")


# -- system packages --------------------------------------------------------------------------------------------------

PACKAGES: dict[str, tuple[list[str], list[str]]] = {  # what is asked for → what the one sentence has
    "names": (["libgl1-mesa-glx-old", "hello", "nosuchdeb"], ["no libgl1-mesa-glx-old, nosuchdeb"]),
    "version": (["hello=9.9-9"], [r"hello=9\.9-9 \(it has 2\.10-\S+\)"]),
    "both": (["nosuchdeb", "hello=9.9-9", "bc=0"], [r"no nosuchdeb, hello=9\.9-9 \(it has \S+\), bc=0 \(it has \S+\)"]),
    "name-with-version": (["nosuchdeb=1.0"], [r"no nosuchdeb=1\.0"]),
    "architecture": (["hello:arm64"], ["no hello:arm64"]),
    "exclude-each-other": (["systemd-sysv", "sysvinit-core"], ["conflict: .*sysvinit-core"]),
    "virtual": (["mail-transport-agent"], [r"mail-transport-agent \(a virtual package: choose \S+ or "]),
}


@pytest.mark.engine
@pytest.mark.parametrize("case", PACKAGES)
def test_every_wrong_package_is_named_in_one_sentence(case: str, engine_site: Site) -> None:
    asked, patterns = PACKAGES[case]
    request = DebRequest("3.11", asked[:2], asked[2:])
    with pytest.raises(XaivaError) as caught:
        resolve_debs(connect_engine(engine_site, 60), BASE_IMAGE, request, engine_site.env, NullProgress())
    for pattern in patterns:
        assert re.search(pattern, caught.value.why)
    assert len(caught.value.why) < 600
    assert "debs and build_debs" in caught.value.remedy


# -- causes decide ----------------------------------------------------------------------------------------------------

WRITES: dict[str, tuple[int, str]] = {
    "full": (errno.ENOSPC, "make room"),
    "quota": (errno.EDQUOT, "make room"),
    "read-only": (errno.EROFS, "mount that disk writable"),
    "permission": (errno.EACCES, "owner or the permissions"),
    "no-folder": (errno.ENOENT, "whether its folder is there"),
}


@pytest.mark.parametrize("case", WRITES)
def test_a_file_that_cannot_be_written_has_the_remedy_of_its_cause(case: str) -> None:
    number, words = WRITES[case]
    remedy = write_remedy(OSError(number, os.strerror(number)))
    assert words in remedy
    assert ("room" in remedy) is (words == "make room")


GIT: dict[str, tuple[str, str]] = {  # what git said → words of the remedy
    "ref": ("fatal: couldn't find remote ref v9", "correct the ref"),
    "login": ("fatal: could not read Username for 'https://h': terminal prompts disabled", "check the token"),
    "address": ("fatal: repository 'https://h/x/' not found", "correct the address"),
    "name": ("fatal: unable to access 'https://h/': Could not resolve host: h", "the network"),
    "certificate": ("fatal: unable to access 'https://h/': server certificate verification failed", "SSL_CERT_FILE"),
    "unknown": ("fatal: early EOF", "try it by hand"),
}


@pytest.mark.parametrize("case", GIT)
def test_a_repository_that_cannot_be_had_has_the_remedy_of_its_cause(case: str) -> None:
    words, remedy = GIT[case]
    assert remedy in source_snapshots.git_remedy(words)


STATUSES = {401: "check the token", 404: "gone from its origin", 429: "wait until", 503: "wait until", 418: "browser"}


@pytest.mark.parametrize("status", STATUSES)
def test_a_server_that_refuses_is_no_network_that_fails(status: int, site: Site, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with serve(tmp_path) as running:
        running.always["model.onnx"] = Fault(status=status)
        file = LockedFile(path="m", size=0, sha256="", kind=FileKind.MODEL, url=running.file_url("model.onnx"))
        network = Network(site)
        try:
            with pytest.raises(remote_metadata.SourceUnreachable) as caught:
                remote_metadata.download_for_hash(file, lambda _: tmp_path / "out", network, NullProgress())
        finally:
            network.close()
    assert f"the server answers {status}" in caught.value.why
    assert STATUSES[status] in caught.value.remedy
