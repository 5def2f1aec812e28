"""Real artifacts for the tests of the build line: debs from the base image's own apt, wheels from the index.

What had to be fetched is kept in the tests' cache; a preset's artifacts are then laid out of it, locked by hand.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

from core.artifacts import base_image, lock_store, service_wheel
from core.artifacts.generated_files import generated_files
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.engine import connect_engine
from core.files import sha256_file
from core.presets.model import Preset
from core.presets.store import preset_sha256
from core.progress import NullProgress, Stage
from core.site import Site
from tests.support import require
from tests.support.cache import cached
from tests.support.engine import BASE_IMAGE, TestEngine

PYTHON = "3.11"
DEBS = ("python3.11", "python3.11-venv")
LIBRARIES = ("python3.11-dev", "zlib1g-dev", "libjpeg-dev", "libpng-dev")
BUILD_DEBS = ("build-essential", "cmake", "pkg-config", "nasm", *LIBRARIES)
RUNTIME_DEBS = (*DEBS, "libjpeg62-turbo", "libpng16-16")
DOWNLOAD = """set -e
apt-get -qq update
mkdir -p /out/debs/partial /out/build-debs/partial
apt-get -qq install -y --no-install-recommends --download-only -o Dir::Cache::archives=/out/debs {debs} >/dev/null
apt-get -qq install -y --no-install-recommends -o Dir::Cache::archives=/out/debs {debs} >/dev/null
apt-get -qq install -y --no-install-recommends --download-only -o Dir::Cache::archives=/out/build-debs {build} \
  >/dev/null
chmod -R a+rX /out
"""


@dataclass
class Recorder:
    """A `Progress` that keeps everything, and cancels once the line `cancel_when` was logged."""

    cancel_when: str = ""
    asked: bool = False

    def __post_init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.lines: list[tuple[str, str]] = []

    def stage(self, stage: Stage) -> None:
        """Keep the newest."""
        self.stages[stage.id] = stage

    def log(self, line: str, stage: str = "") -> None:
        """Keep it."""
        self.lines.append((stage, line))
        if self.cancel_when and self.cancel_when == line:
            self.asked = True

    def cancelled(self) -> bool:
        """Whether it has been asked for."""
        return self.asked


def debs(engine: TestEngine, runtime: Sequence[str] = RUNTIME_DEBS, build: Sequence[str] = BUILD_DEBS) -> Path:
    """A folder with `debs/` and `build-debs/`: the closures as the base image's own apt sees them."""
    script = DOWNLOAD.format(debs=" ".join(runtime), build=" ".join(build))

    def make(folder: Path) -> None:
        _in_base(engine, folder, script)
        for rest in folder.glob("*/partial"):
            shutil.rmtree(rest)
        for rest in [*folder.glob("*/lock"), *folder.glob("*/*.bin")]:
            rest.unlink()

    return cached("debs", script, make)


def _in_base(engine: TestEngine, out: Path, script: str) -> None:
    """Run a script in the base image with the machine's network; `/out` in it is `out`."""
    engine.docker("run", "--rm", "--network", "host", "-v", f"{out}:/out", BASE_IMAGE, "sh", "-c", script)


def wheels(*requirements: str) -> list[Path]:
    """The wheels of these requirements and all they need, for the image's Python."""

    def make(folder: Path) -> None:
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(folder)]
        words += ["--python-version", PYTHON, *(f"--platform=manylinux_2_{n}_x86_64" for n in (17, 28)), *requirements]
        done = subprocess.run(words, capture_output=True, text=True)
        require(done.returncode == 0, f"a Python package index: {done.stderr[-500:]}")

    return sorted(cached("wheels", " ".join(requirements), make).glob("*.whl"))


def service_wheels(folder: Path) -> list[Path]:
    """The layer `service`: a wheel of this checkout, and all that it needs."""
    own = folder / service_wheel.wheel_name()
    own.write_bytes(service_wheel.build())
    return [own, *wheels(*service_wheel.service_requirements())]


class Artifacts:
    """Lays out one preset's artifacts and its lock in a site."""

    def __init__(self, site: Site, name: str, preset: Preset) -> None:
        self.site, self.name, self.preset = site, name, preset
        self.folder = lock_store.artifacts_folder(site, name)
        self.files: list[LockedFile] = []
        self.layers: list[LockedLayer] = []
        self.base: LockedImage | None = None
        self.debs: list[str] = []
        self.build_debs: list[str] = []

    def add(self, source: Path, path: str, kind: FileKind, name: str = "", version: str = "") -> str:
        """Bring one file in; returns its path in the artifacts."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        size, digest = target.stat().st_size, sha256_file(target)
        self.files = [file for file in self.files if file.path != path]
        what = {"kind": kind, "url": f"file:{path}", "name": name, "version": version}
        self.files.append(LockedFile(path=path, size=size, sha256=digest, **what))
        return path

    def add_debs(self, folder: Path, build: bool = True) -> None:
        """Bring in the closures that `debs` fetched."""
        for part, paths in (("debs", self.debs), ("build-debs", self.build_debs)):
            for file in sorted((folder / part).glob("*.deb")) if build or part == "debs" else ():
                name, version, _ = file.stem.split("_")
                paths.append(self.add(file, f"{part}/{file.name}", FileKind.DEB, name, version.replace("%3a", ":")))

    def add_layer(self, name: str, files: Sequence[Path]) -> None:
        """A layer of these wheels; an older one of that name is replaced where it stands."""
        shutil.rmtree(self.folder / "layers" / name, ignore_errors=True)
        self.files = [file for file in self.files if not file.path.startswith(f"layers/{name}/")]
        paths = []
        for file in files:
            distribution, version = _metadata(file)
            paths.append(self.add(file, f"layers/{name}/wheels/{file.name}", FileKind.WHEEL, distribution, version))
        layer = LockedLayer(name=name, requirements=f"layers/{name}/requirements.txt", wheels=paths)
        at = next((i for i, old in enumerate(self.layers) if old.name == name), len(self.layers))
        self.layers[at : at + 1] = [layer]

    def add_base(self, engine: TestEngine, image: str = BASE_IMAGE) -> LockedImage:
        """The base image as `docker save` gives it, unpacked."""
        client = connect_engine(Site(self.site.root, self.site.settings, engine.env), timeout=120)
        saved = base_image.save_image(client, image, self.folder, NullProgress())
        saved.write_manifests(self.folder)
        self.base = saved.image
        paths = {file.path for file in saved.files}
        self.files = [file for file in self.files if file.path not in paths] + list(saved.files)
        return saved.image

    def write(self, **fields: object) -> Lock:
        """Write the lock, the preset and what follows from them; `fields` are further ones of the lock."""
        assert self.base is not None
        values = {
            "preset": self.name,
            "preset_sha256": preset_sha256(self.preset),
            "python_version": self.preset.python_version,
            "base_image": self.base,
            "layers": self.layers,
            "debs": self.debs,
            "build_debs": self.build_debs,
            "files": self.files,
        }
        lock = Lock.model_validate({**values, **fields})
        self.site.presets.mkdir(exist_ok=True)
        text = self.preset.model_dump_json(exclude_defaults=True, by_alias=True)
        (self.site.presets / f"{self.name}.json").write_text(text)
        lock_store.write_lock(self.site, self.name, lock)
        for path, content in generated_files(lock).items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
        return lock


def preset_of(**fields: object) -> Preset:
    """A preset on the tests' base image."""
    return Preset.model_validate({"base_image": BASE_IMAGE, "python_version": PYTHON, **fields})


def make_wheel(folder: Path, name: str, version: str, modules: Mapping[str, str]) -> Path:
    """A small, real, pure wheel with these module files."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with ZipFile(path, "w") as zipped:
        for file, content in modules.items():
            zipped.writestr(file, content)
        zipped.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        zipped.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        names = "".join(f"{file.split('/')[0].removesuffix('.py')}\n" for file in modules)
        zipped.writestr(f"{info}/top_level.txt", names)
        zipped.writestr(f"{info}/RECORD", "")
    return path


def _metadata(wheel: Path) -> tuple[str, str]:
    with ZipFile(wheel) as zipped:
        name = next(entry for entry in zipped.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry))
        fields = Parser().parsestr(zipped.read(name).decode())
    return str(fields["Name"]), str(fields["Version"])


SOURCES = ("ffmpeg", "opencv")
FETCH_SOURCES = """set -e
sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/*.sources
apt-get -qq update
cd /out
apt-get -qq source --download-only {names}
chmod -R a+rX /out
"""


def sources(engine: TestEngine) -> dict[str, Path]:
    """Name → upstream archive of Debian's source packages."""
    script = FETCH_SOURCES.format(names=" ".join(SOURCES))
    folder = cached("sources", script, lambda out: _in_base(engine, out, script))
    return {name: next(folder.glob(f"{name}_*.orig.tar.*[!c]")) for name in SOURCES}


def pack(folder: Path, archive: Path) -> Path:
    """A tree as a tar with one folder at its top."""
    subprocess.run(["tar", "--sort=name", "-C", str(folder.parent), "-cf", str(archive), folder.name], check=True)
    return archive
