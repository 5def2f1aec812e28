"""The values that the preset form offers for each field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.version import Version

from core.presets.compat.checking import site_facts
from core.presets.compat.facts import Facts
from core.site import Site

FIELD_CHOICES = {  # field of a preset → its values in `Choices`
    "base_image": "base_images",
    "runtime_base_image": "base_images",
    "python_version": "pythons",
    "pytorch.version": "torch",
    "tensorrt.version": "tensorrt",
    "build_options.ffmpeg_version": "ffmpeg",
    "build_options.opencv_version": "opencv",
    "build_options.nv_codec_headers_version": "nv_codec_headers",
    "target.gpu": "gpus",
}


@dataclass(frozen=True)
class Choices:
    """The values in the tables, newest first. A form suggests them and accepts others, too."""

    base_images: list[str]
    pythons: list[str]
    wheel_tags: list[str]
    tensorrt: list[str]
    nv_codec_headers: list[str]
    ffmpeg: list[str]
    opencv: list[str]
    gpus: list[str]
    facts: Facts

    def of_field(self, field: str, python: str) -> list[str]:
        """The values of a field of FIELD_CHOICES; those of PyTorch and TensorRT depend on the Python ("" for any)."""
        if field == "pytorch.version":
            return self.torch_versions(python)
        if field == "tensorrt.version":
            return self.tensorrt_versions(python)
        return list(getattr(self, FIELD_CHOICES[field]))

    def torch_versions(self, python: str) -> list[str]:
        """`2.7.1+cu126`, …: every known wheel for a Python ("" for any), newest first."""
        versions = [
            f"{pair.torch}+{tag}"
            for row in self.facts.torch.values()
            if not python or python in (*row.python, *row.experimental_python)
            for pair in row.versions
            for tag in (*row.tags, *row.experimental_tags)
        ]
        return sorted(versions, key=Version, reverse=True)

    def tensorrt_versions(self, python: str) -> list[str]:
        """TensorRT releases for a Python ("" for any), newest first."""
        rows = reversed(self.facts.tensorrt.values())
        return [row.newest for row in rows if not python or python in row.python]


def choices(site: Site | None = None) -> Choices:
    """The choices from the tables with the site's overlay."""
    facts = site_facts(site)
    return Choices(
        base_images=list(facts.base_images),
        pythons=_newest(python for row in facts.torch.values() for python in row.python),
        wheel_tags=[row.key for row in reversed(facts.wheel_tags.values())],
        tensorrt=[row.newest for row in reversed(facts.tensorrt.values())],
        nv_codec_headers=_newest(facts.nv_codec_headers),
        ffmpeg=_newest(facts.ffmpeg),
        opencv=_newest(facts.opencv),
        gpus=list(facts.gpus),
        facts=facts,
    )


def _newest(versions: Iterable[str]) -> list[str]:
    return sorted(set(versions), key=Version, reverse=True)
