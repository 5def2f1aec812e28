"""The fake NVIDIA library for tests and screenshots: compiled once, driven by a file of directives."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from core.files import write_atomic
from tests.support import require

SOURCE = Path(__file__).parent.parent / "telemetry" / "fake_nvml.c"
TWO_GPUS = (
    "gpu rtx4090",
    "util 0 73",
    "used 0 9663676416",
    "gpu gtx1060",
    "util 1 18",
    "drift",
)


class FakeNvml:
    """A fake driver. A process sees it through `env`; `say` changes its answers at run time."""

    def __init__(self, folder: Path, *directives: str) -> None:
        self._file = folder / "fake-nvml.txt"
        self.env = {"LD_LIBRARY_PATH": str(_library_folder()), "XAIVA_FAKE_NVML": str(self._file)}
        self.say(*directives)

    def say(self, *directives: str) -> None:
        """Replace all directives (see fake_nvml.c)."""
        write_atomic(self._file, "\n".join(directives) + "\n")


def _library_folder() -> Path:
    """The folder that holds the compiled library; compiled again when its source changed."""
    key = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "xaiva-tests" / f"fake-nvml-{key}"
    library = cache / "libnvidia-ml.so.1"
    if library.is_file():
        return cache
    compiler = shutil.which("cc") or shutil.which("gcc")
    require(compiler, "a C compiler")
    assert compiler is not None
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        built = Path(scratch) / library.name
        command = [
            compiler,
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(built),
            str(SOURCE),
            "-lm",
        ]
        subprocess.run(command, check=True)
        built.rename(library)
    return cache
