"""A remedy that nobody walked: it names a cause that was not found, or a way that leads nowhere.

Every command, option, field and page that a message of xaiva names exists; a cause such as the network, the disk or an
engine that is down is named only where it was found; and what a remedy says is done here, word for word. It applies to
builds of wheels, to system packages, to image archives, and to the address of the engine.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.artifacts import remote, store, trees
from core.artifacts.build_failures import explain, is_removed, missing_module, provider_of
from core.artifacts.debs import Request, closure
from core.artifacts.lockfile import Kind, LockedFile
from core.artifacts.network import Network
from core.artifacts.uv_compile import Wanted
from core.artifacts.uv_refusals import error_of
from core.containers.service import find_service
from core.doctor import examine
from core.engine import EngineError, connect, endpoint
from core.errors import InputError, XaivaError
from core.files import write_remedy
from core.images.archive import check_image_archive
from core.progress import NullProgress
from core.site import EngineSettings, Site, SiteSettings
from tests.support.artifacts import wheel_file
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.index import Fault, Index, serve

NAME = "walked"

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
    "refused": ("WARNING: Retrying after connection broken by 'NewConnectionError: Failed to establish a new"
                " connection: [Errno 111] Connection refused'", "Connection refused", "check the network"),
    "authority": ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))",
                  "certificate of a server", "SSL_CERT_FILE"),
    "version": ("ERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1.0, 2.5)\n"
                "ERROR: No matching distribution found for x==9", "there is 1.0, 2.5", "correct the name"),
    "unmet": ("The following packages have unmet dependencies:\n libssl-dev : Depends: libssl3 (= 3.0.15-1) but"
              " 3.0.17-1 is to be installed\nE: Unable to correct problems, you have held broken packages.",
              "libssl-dev : Depends: libssl3 (= 3.0.15-1) but 3.0.17-1 is to be installed", "or its version"),
    "tried-again": ("WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError(1)': /simple/\n"
                    "ERROR: the backend says no", "the backend says no", "read the log"),
    "given-up": ("WARNING: Retrying (Retry(total=0)) after connection broken by 'ReadTimeoutError(1)': /simple/\n"
                 "ERROR: No matching distribution found for setuptools", "ReadTimeoutError", "check the network"),
    "compiler": ("connection broken by 'ReadTimeoutError(1)'\n      src/x.c:12:5: error: unknown type name 'T'\n"
                 "error: command '/usr/bin/gcc' failed with exit code 1", "x.c:12:5: error: unknown", "a version of"),
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
    "killed": ("error: command '/usr/bin/gcc' failed: Killed", "ran out of memory", "end other work"),
    "nvcc-killed": ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "ran out of memory", "end other work"),
    "quota": ("OSError: [Errno 122] Disk quota exceeded", "the disk of the engine is full", "docker system df"),
    "python": ("ERROR: Ignored the following versions that require a different python version: 1.0 Requires-Python <3; "
               "0.5 Requires-Python >=3.7,<3.11\nERROR: Could not find a version that satisfies the requirement x==0.5 "
               "(from versions: 2.0)", "it is for Python >=3.7,<3.11", "python_version"),
    "version-of-no-python": ("ERROR: Ignored the following versions that require a different python version: 1.0 "
                             "Requires-Python <3\nERROR: Could not find a version that satisfies the requirement x==9 "
                             "(from versions: 2.0)", "there is 2.0", "correct the name"),
    "python-of-setup": ("RuntimeError: Cannot install on Python version 3.12.1; only versions >=3.7,<3.11 are good",
                        "it is for Python >=3.7,<3.11", "python_version"),
    "no-apt": ("apt-get: not found", "the base image has no apt-get", "Debian or Ubuntu"),
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


PROVIDERS = {"packaging": "has packaging", "pkg_resources": "setuptools<81", "imp": "", "distutils": "", "cgi": ""}


@pytest.mark.parametrize("module", PROVIDERS)
def test_what_gives_a_module_to_a_build_is_named(module: str) -> None:
    assert is_removed(module) is not bool(PROVIDERS[module])  # no package brings what Python has no more
    assert PROVIDERS[module] in provider_of(module)


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


def xaiva(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, as an engineer types it."""
    argv = [sys.executable, "-m", "core.cli", "--site", str(site.root), *words]
    return subprocess.run(argv, env=dict(site.env), capture_output=True, text=True, check=False)


def walk(site: Site, remedy: str) -> subprocess.CompletedProcess[str]:
    """Do what a remedy says: each `xaiva …` in it, in its order. The last outcome; a lock may stay partial (3)."""
    commands = [shlex.split(text) for text in re.findall(r"xaiva ([^,;()]+)", remedy)]
    assert commands
    done = [xaiva(site, *words) for words in commands]
    assert {one.returncode for one in done[:-1]} <= {0, 3}, done
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


@pytest.mark.index
@pytest.mark.engine
@pytest.mark.slow
def test_the_remedies_of_a_wheel_lead_to_a_complete_lock(engine_site: Site, builder: str, index: Index) -> None:
    site, fields = engine_site, {"base_image": builder, "no_build_isolation": ["declar*"]}
    write_preset(site, index, "flashdemo", "declaring", **fields)
    xaiva(site, "lock", NAME)
    lock = store.read_lock(site, NAME)
    remedies = {re.split(r"\W", one.what)[0]: one.remedy for one in lock.unlocked}
    assert set(remedies) == {"flashdemo", "declaring"}, lock.unlocked
    isolated = xaiva(site, "wheel", NAME, "flashdemo==1.0")
    assert "its build needs the module torchdemo, which it does not declare" in isolated.stderr, isolated
    assert "network" not in isolated.stderr.partition("→")[2]
    in_no_layer = walk(site, isolated.stderr.partition("→")[2])
    assert "its build needs the module ninjademo, which it does not declare" in in_no_layer.stderr, in_no_layer
    assert "add the package that has ninjademo to a layer" in in_no_layer.stderr
    write_preset(site, index, "flashdemo", "declaring", "ninjademo", **fields)
    built = walk(site, in_no_layer.stderr.partition("→")[2])
    assert built.returncode == 0, built
    by_field = walk(site, remedies["declaring"].replace(" --no-build-isolation", ""))  # the preset says so, too
    assert by_field.returncode == 0, by_field
    assert store.read_lock(site, NAME).unlocked == []
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
    error = error_of(refusal, Wanted(NAME, [("common", ["x"])], [], [], "3.11", "linux"), {})
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
    "exclude-each-other": (["systemd-sysv", "sysvinit-core"], ["do not go together: .*sysvinit-core"]),
    "virtual": (["mail-transport-agent"], [r"mail-transport-agent \(a virtual package: take \S+ or "]),
}


@pytest.mark.engine
@pytest.mark.parametrize("case", PACKAGES)
def test_every_wrong_package_is_named_in_one_sentence(case: str, engine_site: Site) -> None:
    asked, patterns = PACKAGES[case]
    request = Request("3.11", asked[:2], asked[2:])
    with pytest.raises(XaivaError) as caught:
        closure(connect(engine_site, 60), BASE_IMAGE, request, engine_site.env, NullProgress())
    for pattern in patterns:
        assert re.search(pattern, caught.value.why)
    assert len(caught.value.why) < 600
    assert "debs and build_debs" in caught.value.remedy


# -- image archives ---------------------------------------------------------------------------------------------------

OTHER_FILES: dict[str, tuple[str, bytes, str]] = {  # file, content → words of the remedy
    "zip": ("image.zip", b"PK\3\4" + bytes(600), "docker save IMAGE"),
    "text": ("Dockerfile", b"FROM debian\n", "docker save IMAGE"),
    "disk": ("box.qcow2", b"QFI\xfb" + bytes(600), "docker save IMAGE"),
    "compressed-text": ("notes.gz", gzip.compress(b"hello"), "docker save IMAGE"),
    "version": ("image-1.12", b"\1" * 600, "docker save IMAGE"),
    "cut": ("image.tar.gz", gzip.compress(bytes(9999))[:-9], "get the file again"),
    "empty": ("image.tar", b"", "get the file again"),
    "part": ("image.tar.ab", b"\1" * 600, "cat {root}/image.tar.* > image.tar"),
    "first-part": ("image.tar.gz.00", gzip.compress(bytes(9999))[:-9], "cat {root}/image.tar.gz.* > image.tar"),
    "part-without-prefix": ("xab", b"\1" * 600, "cat {root}/x* > image.tar"),
    "part-of-name": ("image.part-1", b"\1" * 600, "cat {root}/image.part-* > image.tar"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_FILES)
def test_a_file_is_got_again_only_where_it_came_in_part(case: str, tmp_path: Path) -> None:
    name, content, remedy = OTHER_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        check_image_archive(tmp_path / name)
    assert remedy.format(root=tmp_path) in caught.value.remedy
    assert ("file again" in caught.value.remedy) is (remedy == "get the file again")


SYSTEM = ("bin/", "dev/", "etc/", "etc/hosts", "usr/")
ARCHIVES: dict[str, tuple[str, tuple[str, ...], str, str]] = {  # file, entries → words of the cause, of the remedy
    "export": ("web.tar", (".dockerenv", *SYSTEM), "`docker export` writes it", "docker import"),
    "export-compressed": ("web.tar.gz", SYSTEM, "`docker export` writes it", "docker save IMAGE"),
    "export-with-dots": ("web.tar", tuple(f"./{name}" for name in SYSTEM), "`docker export` writes it", "docker save"),
    "export-without-suffix": ("web", SYSTEM, "`docker export` writes it", "docker save"),
    "export-of-one-binary": ("web.tar", (".dockerenv", "app"), "`docker export` writes it", "docker import"),
    "build-context": ("ctx.tar", ("Dockerfile", "app.py"), "a build context with a Dockerfile", "build it"),
    "in-a-folder": ("i.tar", ("image/", "image/manifest.json"), "in the folder image of it", "tar -C image"),
    "archive-in-archive": ("i.tar", ("README", "img.tar"), "an archive with img.tar in it", "load img.tar"),
    "anything": ("i.tar", ("a.txt", "b.txt"), "it holds a.txt, b.txt", "docker save"),
    "nothing": ("i.tar", (), "it holds nothing", "docker save"),
}  # fmt: skip


def archive(path: Path, names: tuple[str, ...]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name in names:
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(entry)
    return path


@pytest.mark.parametrize("case", ARCHIVES)
def test_what_is_given_in_the_place_of_an_image_is_named(case: str, tmp_path: Path) -> None:
    name, entries, words, remedy = ARCHIVES[case]
    with pytest.raises(InputError) as caught:
        check_image_archive(archive(tmp_path / name, entries))
    assert words in caught.value.why
    assert remedy in caught.value.remedy


IMAGES = {
    "save": ("blobs/", "blobs/sha256/", "index.json", "manifest.json", "oci-layout"),
    "save-of-an-old-engine": (f"{'a' * 64}/", f"{'a' * 64}/layer.tar", "manifest.json", "repositories"),
    "podman": (f"{'a' * 64}.tar", f"{'b' * 64}.json", "manifest.json"),
    "oci": ("blobs/", "blobs/sha256/", "index.json", "oci-layout"),
    "with-dots": ("./", "./manifest.json"),
}


@pytest.mark.parametrize("name", ["image.tar", "image.tar.gz", "image"])
@pytest.mark.parametrize("case", IMAGES)
def test_an_image_passes(case: str, name: str, tmp_path: Path) -> None:
    check_image_archive(archive(tmp_path / name, IMAGES[case]))


def test_a_compressed_image_passes_whatever_its_name_says(tmp_path: Path) -> None:
    archive(tmp_path / "image.tar.gz", IMAGES["save"]).rename(tmp_path / "image.tar")
    check_image_archive(tmp_path / "image.tar")
    (tmp_path / "image.tar").write_bytes((tmp_path / "image.tar").read_bytes()[:-20])
    with pytest.raises(InputError, match="cut short"):
        check_image_archive(tmp_path / "image.tar")


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a folder"):
        check_image_archive(tmp_path)


@pytest.mark.engine
def test_a_real_export_is_named_and_the_remedy_makes_an_image(engine_site: Site, engine: TestEngine) -> None:
    site, file = engine_site, engine_site.root / "web.tar"
    engine.docker("create", "--name", "exported", BASE_IMAGE, "true")
    engine.docker("export", "-o", str(file), "exported")
    done = xaiva(site, "load", NAME, "--file", str(file))
    assert "it is the root file system of a container" in done.stderr
    (imported,) = re.findall(r"docker (import \S+) NAME:TAG", done.stderr)
    engine.docker(*imported.split(), "imported:1")
    engine.docker("save", "-o", str(file), "imported:1")  # the other way of the remedy
    engine.docker("rm", "exported")
    assert xaiva(site, "load", NAME, "--file", str(file)).returncode == 0
    unpack_without_manifest(file, site.root / "oci.tar")
    oci = xaiva(site, "load", NAME, "--file", str(site.root / "oci.tar"))
    assert oci.returncode == 0 or "an OCI layout without a manifest.json" in oci.stderr, oci


def unpack_without_manifest(saved: Path, file: Path) -> None:
    """The same image as an OCI layout alone."""
    with tarfile.open(saved) as source, tarfile.open(file, "w") as target:
        for entry in source:
            if entry.name not in ("manifest.json", "repositories"):
                target.addfile(entry, source.extractfile(entry) if entry.isreg() else None)


# -- the engine's address ---------------------------------------------------------------------------------------------

SECRET = "h0rse/b@ttery#1"
ADDRESSES: dict[str, tuple[str, str, str]] = {  # DOCKER_HOST → words of the cause, words of the remedy
    "path": ("/var/run/docker.sock", "it has no scheme", "write unix:///var/run/docker.sock"),
    "user-at-host": ("me@gpu-box", "it has no scheme", "write ssh://me@gpu-box"),
    "one-slash": ("unix:/var/run/docker.sock", "it has no scheme", "unix:///path"),
    "one-slash-tcp": ("tcp:/10.0.0.5:2375", "it has no scheme", "tcp://host:port"),
    "path-of-home": ("~/docker.sock", "it has no scheme", "unix:///path"),
    "path-from-here": ("./docker.sock", "it has no scheme", "unix:///path"),
    "http": ("http://10.0.0.5:2375", "http:// is not supported", "tcp://host:port"),
    "capitals": ("TCP://10.0.0.5:2375", "TCP:// is not supported", "tcp://host:port"),
    "unknown": ("podman://x", "podman:// is not supported", "unix:///path"),
    "pipe": ("npipe:////./pipe/docker_engine", "npipe:// is not supported", "unix:///path"),
    "ssh-alone": ("ssh://", "it names no host", "ssh://"),
    "ssh-user-alone": ("ssh://me@", "it names no host", "ssh://"),
    "unix-two-slashes": ("unix://var/run/docker.sock", "no socket by its whole path", "unix:///path"),
    "port": ("tcp://10.0.0.5:http", "Port could not be cast", "tcp://host:port"),
    "port-no-scheme": ("10.0.0.5:http", "Port could not be cast", "tcp://host:port"),
    "port-too-high": ("10.0.0.5:99999", "Port out of range", "tcp://host:port"),
    "password": (f"ssh://me:{SECRET}@gpu-box", "it holds a password", "ssh-copy-id"),
    "password-port": (f"ssh://me:{SECRET}@gpu-box:22/run/docker.sock", "it holds a password", "ssh-copy-id"),
    "password-no-scheme": (f"me:{SECRET}@gpu-box", "it has no scheme", "ssh://"),
    "password-no-host": (f"ssh://me:{SECRET}@", "it holds a password", "ssh-copy-id"),
}  # fmt: skip


@pytest.mark.parametrize("named_by", ["DOCKER_HOST", "site.toml", "context"])
@pytest.mark.parametrize("case", ADDRESSES)
def test_an_address_of_an_engine_that_is_none_is_named_as_that(case: str, named_by: str, tmp_path: Path) -> None:
    host, words, remedy = ADDRESSES[case]
    with pytest.raises(InputError) as caught:
        connect(site_of(tmp_path, host, named_by))
    text = str(caught.value)
    assert words in caught.value.why
    assert remedy in caught.value.remedy
    assert "systemctl start" not in text
    assert not any(part in text for part in (SECRET, "h0rse", "ttery"))


CONTEXTS: dict[str, tuple[str, str]] = {  # meta.json of a context → its engine, or words of the cause
    "no-host": ('{"Endpoints": {"docker": {}}}', "unix:///var/run/docker.sock"),  # as the docker client has it
    "host-null": ('{"Endpoints": {"docker": {"Host": null}}}', "unix:///var/run/docker.sock"),
    "host-port": ('{"Endpoints": {"docker": {"Host": "10.0.0.5:1"}}}', "tcp://10.0.0.5:1"),
    "other-endpoint": ('{"Endpoints": {"kubernetes": {}}}', "its description names no Docker engine"),
    "list": ("[]", "its description names no Docker engine"),
    "endpoint-text": ('{"Endpoints": {"docker": "x"}}', "its description names no Docker engine"),
    "cut": ("{", "its description cannot be read: Expecting property name"),
}


@pytest.mark.parametrize("case", CONTEXTS)
def test_a_context_is_used_as_the_docker_client_does_or_said_to_be_broken(case: str, tmp_path: Path) -> None:
    text, result = CONTEXTS[case]
    site = site_of(tmp_path, "", "context")
    next(tmp_path.rglob("meta.json")).write_text(text)
    try:
        assert endpoint(site).host == result
    except EngineError as error:
        assert result in error.why  # noqa: PT017 - both outcomes stand in the table


def site_of(root: Path, host: str, named_by: str) -> Site:
    """A site whose engine is named in one of the ways there are."""
    env = {"DOCKER_CONFIG": str(root / "docker")}
    if named_by == "site.toml":
        return Site(root, SiteSettings(engine=EngineSettings(host=host)), env)
    if named_by == "DOCKER_HOST":
        return Site(root, SiteSettings(), {**env, "DOCKER_HOST": host})
    meta = root / "docker/contexts/meta" / hashlib.sha256(b"far").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": host}}}))
    return Site(root, SiteSettings(), {**env, "DOCKER_CONTEXT": "far"})


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("10.0.0.5:2375", "tcp://10.0.0.5:2375"),
        ("gpu-box", "tcp://gpu-box:2375"),
        ("[::1]:2376", "tcp://[::1]:2376"),
        (":2375", "tcp://localhost:2375"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://gpu-box:", "tcp://gpu-box:2375"),
        ("tcp://me:secret@gpu-box:1", "tcp://gpu-box:1"),  # a login is for ssh alone
        ("unix://", "unix:///var/run/docker.sock"),
        (" ", "unix:///var/run/docker.sock"),  # as if it were not set
        ("tcp://10.0.0.5", "tcp://10.0.0.5:2375"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        (" tcp://10.0.0.5:1 ", "tcp://10.0.0.5:1"),
        ("ssh://me@gpu-box", "ssh://me@gpu-box"),
        ("unix:///run/docker.sock", "unix:///run/docker.sock"),
    ],
)
def test_an_address_as_the_docker_client_takes_it_is_used(given: str, used: str, tmp_path: Path) -> None:
    assert endpoint(site_of(tmp_path, given, "DOCKER_HOST")).host == used


NOBODY: dict[str, tuple[str, str, str, bool]] = {  # where nobody answers → cause, remedy, whether it names systemctl
    "port": ("127.0.0.1:{port}", "tcp://127.0.0.1:{port} (named by DOCKER_HOST): nobody", "dockerd --host", False),
    "left-over": ("unix://{root}/old.sock", "nobody listens there", "systemctl start docker", True),
    "other-path": ("unix://{root}/none.sock", "there is no such socket", "correct the path", False),
    "folder": ("unix://{root}", "it is a folder, and no socket", "correct the path", False),
    "file": ("unix://{root}/file", "it is a file, and no socket", "correct the path", False),
}  # fmt: skip


@pytest.mark.parametrize("case", NOBODY)
def test_starting_the_engine_is_the_remedy_where_it_is_found_not_to_run(case: str, tmp_path: Path) -> None:
    host, words, remedy, start = NOBODY[case]
    (tmp_path / "file").touch()
    with socket.socket() as silent, socket.socket(socket.AF_UNIX) as left_over:
        silent.bind(("127.0.0.1", 0))
        left_over.bind(f"{tmp_path}/old.sock")
        place = {"root": str(tmp_path), "port": str(silent.getsockname()[1])}
        with pytest.raises(EngineError) as caught:
            connect(site_of(tmp_path, host.format_map(place), "DOCKER_HOST"))
    assert words.format_map(place) in str(caught.value)
    assert remedy in caught.value.remedy
    assert ("systemctl start" in caught.value.remedy) is start


@pytest.mark.parametrize("words", [["ps"], ["doctor"], ["status"], ["load", NAME], ["launch", NAME]])
def test_a_password_of_the_engine_is_printed_nowhere(words: list[str], site: Site, index: Index) -> None:
    write_preset(site, index)
    secret = Site(site.root, site.settings, {**site.env, "DOCKER_HOST": f"ssh://me:{SECRET}@gpu-box.invalid"})
    done = xaiva(secret, *words)
    logs = [path.read_text(errors="replace") for path in (site.root / ".xaiva").rglob("*.log")]
    assert not [text for text in (done.stdout, done.stderr, *logs) if "h0rse" in text or "ttery" in text]


BROKEN: dict[str, tuple[str | None, str]] = {  # config.json of the docker client → words of the cause; None: a folder
    "cut": ('{"currentContext": "far"', "it is not valid JSON"),
    "deep": ("[" * 100_000, "it is not valid JSON"),
    "comma": ('{"auths": {},}', "it is not valid JSON"),
    "not-text": ("\udcff\udcfe", "it is not valid JSON"),
    "list": ("[]", "it is not a JSON object"),
    "null": ("null", "it is not a JSON object"),
    "text": ('"x"', "it is not a JSON object"),
    "context-number": ('{"currentContext": 5}', "currentContext is not a text"),
    "auths-list": ('{"auths": []}', "auths is not an object"),
    "proxies-list": ('{"proxies": []}', "proxies is not an object"),
    "proxies-text": ('{"proxies": {"default": "http://p"}}', "an entry of proxies is not an object"),
    "helper-number": ('{"credsStore": 1}', "credsStore is not a text"),
    "folder": (None, "Is a directory"),
}  # fmt: skip
FINE = ("", "{}", '{"auths": null, "credsStore": null}', '{"currentContext": ""}', '{"new": 5}')


@pytest.mark.parametrize("named_by", ["DOCKER_HOST", "default"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_configuration_of_the_docker_client_is_said(case: str, named_by: str, tmp_path: Path) -> None:
    content, words = BROKEN[case]
    path = write_configuration(tmp_path, content)
    with pytest.raises(InputError) as caught:
        connect(site_of_configuration(tmp_path, named_by))
    assert str(path) in caught.value.what
    assert words in caught.value.why
    assert "DOCKER_CONFIG" in caught.value.remedy or f"mv {path}" in caught.value.remedy


@pytest.mark.engine
@pytest.mark.parametrize("content", FINE)
def test_a_configuration_that_the_docker_client_takes_is_taken(
    content: str, tmp_path: Path, engine: TestEngine
) -> None:
    write_configuration(tmp_path, content)
    env = {"DOCKER_CONFIG": str(tmp_path / "docker"), "DOCKER_HOST": engine.host}
    assert connect(Site(tmp_path, SiteSettings(), env)).ping()


def test_a_broken_configuration_is_a_finding_of_the_doctor(tmp_path: Path) -> None:
    write_configuration(tmp_path, "{")
    findings = {finding.code: finding for finding in examine(site_of_configuration(tmp_path, "default"))}
    assert "it is not valid JSON" in findings["engine"].why


def write_configuration(root: Path, content: str | None) -> Path:
    path = root / "docker/config.json"
    path.parent.mkdir()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content.encode(errors="surrogateescape"))
    return path


def site_of_configuration(root: Path, named_by: str) -> Site:
    env = {"DOCKER_CONFIG": str(root / "docker")}
    return Site(root, SiteSettings(), {**env, "DOCKER_HOST": "tcp://127.0.0.1:9"} if named_by == "DOCKER_HOST" else env)


def test_the_service_is_still_found_while_the_engine_is_named_wrongly(tmp_path: Path) -> None:
    write_configuration(tmp_path, "{")
    address = find_service(site_of_configuration(tmp_path, "default"))
    assert address.url == "http://127.0.0.1:8600"
    assert "it is not valid JSON" in address.named_by


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
    assert remedy in trees.git_remedy(words)


STATUSES = {401: "check the token", 404: "gone from its origin", 429: "wait until", 503: "wait until", 418: "browser"}


@pytest.mark.parametrize("status", STATUSES)
def test_a_server_that_refuses_is_no_network_that_fails(status: int, site: Site, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with serve(tmp_path) as running:
        running.always["model.onnx"] = Fault(status=status)
        file = LockedFile(path="m", size=0, sha256="", kind=Kind.MODEL, url=running.file_url("model.onnx"))
        network = Network(site)
        try:
            with pytest.raises(remote.Unreachable) as caught:
                remote.fetch_unknown(file, lambda _: tmp_path / "out", network, NullProgress())
        finally:
            network.close()
    assert f"the server answers {status}" in caught.value.why
    assert STATUSES[status] in caught.value.remedy
