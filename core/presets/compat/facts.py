"""The compatibility tables: the shipped rows, and those of a site's overlay folder, which win."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.version import Version
from pydantic import ValidationError

from core.errors import InputError
from core.files import list_files
from core.presets.compat.rows import (
    BaseImageRow,
    BringsRow,
    CudaRow,
    FamilyRow,
    FfmpegRow,
    GpuRow,
    HeadersRow,
    NumpyRow,
    OnnxRuntimeRow,
    OpenCvRow,
    PackageRow,
    Pair,
    ReleaseRow,
    RequireCudaRow,
    Row,
    SameImportRow,
    SystemRow,
    TensorflowRow,
    TensorRTRow,
    TorchRow,
    VersionedRow,
    VramRow,
    WheelTagRow,
)
from core.validation_errors import every_problem

DATA = Path(__file__).parent / "data"
OVERLAY = "compat"  # the folder in `<site>/docker/`

_TABLES: dict[str, type[Row]] = {
    "torch": TorchRow,
    "wheel_tags": WheelTagRow,
    "cuda": CudaRow,
    "require_cuda": RequireCudaRow,
    "tensorrt": TensorRTRow,
    "nv_codec_headers": HeadersRow,
    "onnxruntime": OnnxRuntimeRow,
    "gpus": GpuRow,
    "base_images": BaseImageRow,
    "systems": SystemRow,
    "families": FamilyRow,
    "opencv": OpenCvRow,
    "ffmpeg": FfmpegRow,
    "tensorflow": TensorflowRow,
    "vram": VramRow,
    "packages": PackageRow,
    "releases": ReleaseRow,
    "numpy": NumpyRow,
    "same_import": SameImportRow,
    "brings": BringsRow,
}


@dataclass(frozen=True)
class OverlayProblem:
    """A row or file of the overlay that cannot be used; the shipped rows are used instead."""

    path: Path
    what: str
    remedy: str


@dataclass(frozen=True)
class Facts:
    """All tables, each from key to row: sorted where keys are versions, else in the order of the file."""

    torch: dict[str, TorchRow]  # by minor release, `2.7`
    wheel_tags: dict[str, WheelTagRow]  # by tag, `cu126`
    cuda: dict[str, CudaRow]  # by minor version, `12.6`
    require_cuda: dict[str, RequireCudaRow]  # by CUDA minor version of the image
    tensorrt: dict[str, TensorRTRow]  # by first release of a range
    nv_codec_headers: dict[str, HeadersRow]  # by release, without its n
    onnxruntime: dict[str, OnnxRuntimeRow]  # by first release of a range
    gpus: dict[str, GpuRow]  # by name without the maker's, `GTX 1060`
    base_images: dict[str, BaseImageRow]  # by image reference
    systems: dict[str, SystemRow]  # by name and release, `debian12`
    families: dict[str, FamilyRow]  # by name, `alpine`; the first that fits counts
    opencv: dict[str, OpenCvRow]  # by release
    ffmpeg: dict[str, FfmpegRow]  # by branch
    tensorflow: dict[str, TensorflowRow]  # by minor release
    vram: dict[str, VramRow]  # by what needs the memory
    packages: dict[str, PackageRow]  # by package and release
    releases: dict[str, ReleaseRow]  # by package and first release
    numpy: dict[str, NumpyRow]  # by package and releases
    same_import: dict[str, SameImportRow]  # by import name
    brings: dict[str, BringsRow]  # by package
    problems: list[OverlayProblem] = field(default_factory=list)

    def torch_row(self, release: str) -> TorchRow | None:
        """The row of a torch version, `2.7.1` or `2.7.1+cu126`."""
        return self.torch.get(minor(release))

    def pair(self, release: str) -> Pair | None:
        """The torchvision and torchaudio for a torch version."""
        row = self.torch_row(release)
        public = Version(Version(release).public)
        return next((pair for pair in row.versions if Version(pair.torch) == public), None) if row else None

    def tensorrt_row(self, version: str) -> TensorRTRow | None:
        """The row whose range contains a TensorRT version."""
        parsed = Version(".".join(str(part) for part in (*Version(version).release, 0, 0)[:3]))
        rows = self.tensorrt.values()
        return next((row for row in rows if Version(row.first) <= parsed <= Version(row.last)), None)


def minor(version: str) -> str:
    """The first two parts of a version: `2.7.1+cu126` → `2.7`."""
    release = (*Version(version).release, 0)
    return f"{release[0]}.{release[1]}"


def load_facts(overlay: Path | None = None) -> Facts:
    """Load the shipped tables and those in the folder `overlay`, whose rows win.

    A file of the overlay that cannot be used is in `problems` and changes nothing.
    """
    tables: dict[str, dict[str, Any]] = {name: dict(rows) for name, rows in _shipped().items()}
    problems: list[OverlayProblem] = []
    try:
        paths = list_files(overlay, ".json") if overlay else []
    except InputError as error:
        problems.append(OverlayProblem(overlay or DATA, error.why, error.remedy))
        paths = []
    for path in paths:
        if path.stem not in _TABLES:
            problems.append(OverlayProblem(path, "there is no such table", f"tables: {', '.join(_TABLES)}"))
            continue
        kind = _TABLES[path.stem]
        try:
            tables[path.stem].update(_read(path, kind))
            if issubclass(kind, VersionedRow):
                tables[path.stem] = dict(sorted(tables[path.stem].items(), key=lambda row: Version(row[0])))
        except (OSError, ValueError) as error:
            problems.append(OverlayProblem(path, _one_line(error), f"compare it with {path.name} in {DATA.name}/"))
    return Facts(**tables, problems=problems)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, dict[str, Row]]:
    return {name: _read(DATA / f"{name}.json", kind) for name, kind in _TABLES.items()}


def _read(path: Path, kind: type[Row]) -> dict[str, Row]:
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise ValueError('the file is not an object with a list "rows"')
    return {row.key: row for row in (kind.model_validate(item) for item in rows)}


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return every_problem(error)[0]
    return str(error).splitlines()[0]
