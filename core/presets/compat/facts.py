"""The compatibility tables: shipped rows, with those of a site's overlay folder on top."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from packaging.version import Version
from pydantic import ValidationError

from core.presets.compat.rows import (
    BaseImageRow,
    CudaRow,
    FfmpegRow,
    GpuRow,
    HeadersRow,
    OnnxRuntimeRow,
    OpenCvRow,
    PackageRow,
    Pair,
    RequireCudaRow,
    Row,
    SystemRow,
    TensorflowRow,
    TensorRTRow,
    TorchRow,
    VramRow,
    WheelTagRow,
)

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
    "opencv": OpenCvRow,
    "ffmpeg": FfmpegRow,
    "tensorflow": TensorflowRow,
    "vram": VramRow,
    "packages": PackageRow,
}

_R = TypeVar("_R", bound=Row)


@dataclass(frozen=True)
class OverlayProblem:
    """A row or file of the overlay that cannot be used; the shipped rows stand in its place."""

    path: Path
    what: str
    remedy: str


@dataclass(frozen=True)
class Facts:
    """All tables, each a mapping from key to row in the order of the file. Nothing here reads a disk."""

    tables: dict[str, dict[str, Row]]
    problems: list[OverlayProblem] = field(default_factory=list)

    def _table(self, name: str, kind: type[_R]) -> dict[str, _R]:
        return {key: row for key, row in self.tables[name].items() if isinstance(row, kind)}

    @property
    def torch(self) -> dict[str, TorchRow]:
        """By minor release, `2.7`."""
        return self._table("torch", TorchRow)

    @property
    def wheel_tags(self) -> dict[str, WheelTagRow]:
        """By tag, `cu126`."""
        return self._table("wheel_tags", WheelTagRow)

    @property
    def cuda(self) -> dict[str, CudaRow]:
        """By minor version, `12.6`."""
        return self._table("cuda", CudaRow)

    @property
    def require_cuda(self) -> dict[str, RequireCudaRow]:
        """By CUDA minor version of the image."""
        return self._table("require_cuda", RequireCudaRow)

    @property
    def tensorrt(self) -> dict[str, TensorRTRow]:
        """By first release of a range."""
        return self._table("tensorrt", TensorRTRow)

    @property
    def headers(self) -> dict[str, HeadersRow]:
        """By release of nv-codec-headers without its n."""
        return self._table("nv_codec_headers", HeadersRow)

    @property
    def onnxruntime(self) -> dict[str, OnnxRuntimeRow]:
        """By first release of a range."""
        return self._table("onnxruntime", OnnxRuntimeRow)

    @property
    def gpus(self) -> dict[str, GpuRow]:
        """By name without the maker's, `GTX 1060`."""
        return self._table("gpus", GpuRow)

    @property
    def base_images(self) -> dict[str, BaseImageRow]:
        """By image reference."""
        return self._table("base_images", BaseImageRow)

    @property
    def systems(self) -> dict[str, SystemRow]:
        """By name and release, `debian12`."""
        return self._table("systems", SystemRow)

    @property
    def opencv(self) -> dict[str, OpenCvRow]:
        """By release."""
        return self._table("opencv", OpenCvRow)

    @property
    def ffmpeg(self) -> dict[str, FfmpegRow]:
        """By branch."""
        return self._table("ffmpeg", FfmpegRow)

    @property
    def tensorflow(self) -> dict[str, TensorflowRow]:
        """By minor release."""
        return self._table("tensorflow", TensorflowRow)

    @property
    def vram(self) -> dict[str, VramRow]:
        """By name."""
        return self._table("vram", VramRow)

    @property
    def packages(self) -> dict[str, PackageRow]:
        """By name."""
        return self._table("packages", PackageRow)

    def torch_row(self, release: str) -> TorchRow | None:
        """The row of a torch version, `2.7.1` or `2.7.1+cu126`."""
        return self.torch.get(minor(release))

    def pair(self, release: str) -> Pair | None:
        """What torchvision and torchaudio go with a torch version."""
        row = self.torch_row(release)
        wanted = Version(release).public
        return next((pair for pair in row.versions if pair.torch == wanted), None) if row else None

    def tensorrt_row(self, version: str) -> TensorRTRow | None:
        """The row of the range that a TensorRT version falls into."""
        wanted = Version(".".join(str(part) for part in (*Version(version).release, 0, 0)[:3]))
        rows = self.tensorrt.values()
        return next((row for row in rows if Version(row.first) <= wanted <= Version(row.last)), None)


def minor(version: str) -> str:
    """The first two parts of a version: `2.7.1+cu126` → `2.7`."""
    release = (*Version(version).release, 0)
    return f"{release[0]}.{release[1]}"


def load_facts(overlay: Path | None = None) -> Facts:
    """The shipped tables with the rows of `overlay` (a folder of the same file names) on top.

    A file of the overlay that cannot be used is named in `problems` and changes nothing.
    """
    tables = {name: dict(rows) for name, rows in _shipped().items()}
    problems: list[OverlayProblem] = []
    for path in sorted(overlay.glob("*.json")) if overlay and overlay.is_dir() else []:
        if path.stem not in _TABLES:
            problems.append(OverlayProblem(path, "there is no such table", f"tables: {', '.join(_TABLES)}"))
            continue
        try:
            tables[path.stem].update(_read(path, _TABLES[path.stem]))
        except (OSError, ValueError) as error:
            problems.append(OverlayProblem(path, _one_line(error), f"compare it with {path.name} in {DATA.name}/"))
    return Facts(tables, problems)


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
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).splitlines()[0]
