"""The preset model: what an image is made of. The JSON Schema beside the presets is generated from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Annotated, Any, Literal, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from core.presets.fields import (
    CmakeOption,
    ConfigureOption,
    DebName,
    Destination,
    DriverVersion,
    EnvironmentName,
    ExactVersion,
    FindingCode,
    GitAddress,
    GitRef,
    HeadersVersion,
    HttpAddress,
    ImageReference,
    LayerFilePath,
    LayerName,
    Name,
    OptionalVersion,
    PackagePattern,
    Pin,
    PlainText,
    PythonVersion,
    RequirementLine,
    Sha256,
    field_error,
)
from core.presets.run_fields import (
    DeviceText,
    EnvFile,
    Gpus,
    PortText,
    ShmSize,
    VolumeText,
    check_ports_distinct,
    parse_volume,
)

_Item = TypeVar("_Item")


def _unique(key: Callable[[Any], Hashable], noun: str, *field: str) -> AfterValidator:
    """Reject a list in which two items have the same key; `field` is the part of the item with the key."""

    def check(items: list[_Item]) -> list[_Item]:
        first: dict[Hashable, int] = {}
        for index, item in enumerate(items):
            value = key(item)
            if value in first:
                what = f"the {noun} {value!r} is already number {first[value] + 1} of the list"
                raise field_error(what, "remove one of the two, or give it another name", index, *field)
            first[value] = index
        return items

    return AfterValidator(check)


_unique_text = _unique(lambda item: item, "entry")
_unique_name = {noun: _unique(lambda item: item.name, noun, "name") for noun in ("layer", "index", "source", "model")}


class PresetModel(BaseModel):
    """Strict: an unknown key or a number in place of a string is an error, so that no typo is silently ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(PresetModel):
    """Description and tags, for people."""

    description: str = ""
    tags: list[str] = []


class PyTorch(PresetModel):
    """The PyTorch family. `version` may carry the CUDA tag as local version: `2.7.1+cu126`."""

    version: ExactVersion
    components: Annotated[list[Literal["torch", "torchvision", "torchaudio"]], Field(min_length=1), _unique_text] = [
        "torch"
    ]

    @property
    def release(self) -> str:
        """The version without its tag: `2.7.1`."""
        return self.version.partition("+")[0]

    @property
    def tag(self) -> str:
        """The wheel tag, `cu126` or `cpu`; empty when the version carries none."""
        return self.version.partition("+")[2]


class TensorRT(PresetModel):
    """TensorRT; `version` is required when enabled."""

    enabled: bool = False
    version: OptionalVersion = ""

    @model_validator(mode="after")
    def _version_when_enabled(self) -> Self:
        if self.enabled and not self.version:
            raise field_error(
                "is missing although TensorRT is enabled", 'add, for example, "version": "10.9.0"', "version"
            )
        return self


class BuildOptions(PresetModel):
    """What the builder stage compiles. An empty version means not built."""

    ffmpeg_version: OptionalVersion = ""
    opencv_version: OptionalVersion = ""
    nv_codec_headers_version: HeadersVersion = ""
    xaiva_media_branch: GitRef = ""
    ffmpeg_configure: list[ConfigureOption] = []
    opencv_cmake: list[CmakeOption] = []
    xaiva_media_cmake: list[CmakeOption] = []


class Layer(PresetModel):
    """One ordered requirement list: inline `requirements`, or a `file` relative to the preset's folder."""

    name: LayerName
    requirements: list[RequirementLine] = []
    file: LayerFilePath = ""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.requirements) == bool(self.file):
            problem = "has both requirements and a file" if self.file else "has neither requirements nor a file"
            raise field_error(f"layer {self.name!r} {problem}", "give exactly one of `requirements` and `file`")
        return self


class Index(PresetModel):
    """An extra Python index. `token_variable` and `username_variable` name variables of `.env`.

    `packages` are names, or patterns with `*`, of packages that come only from this index; it is then used for nothing
    else. Without them it is used for every package, before the machine's own indexes.
    """

    name: Name
    url: HttpAddress
    username_variable: EnvironmentName | None = None
    token_variable: EnvironmentName | None = None
    packages: list[PackagePattern] = []

    @model_validator(mode="after")
    def _needs_address(self) -> Self:
        if not self.url:
            raise field_error("is empty", 'write "https://host/path/simple"', "url")
        return self


def _bound_once(indexes: list[Index]) -> list[Index]:
    """Reject a package pattern that is bound twice."""
    owners: dict[str, str] = {}
    for position, index in enumerate(indexes):
        for place, pattern in enumerate(index.packages):
            owner = owners.setdefault(canonicalize_name(pattern), index.name)
            if owner != index.name or canonicalize_name(pattern) in map(canonicalize_name, index.packages[:place]):
                remedy = "leave it with one index, once: a package comes from one place"
                raise field_error(
                    f"{pattern!r} is already bound to index {owner!r}", remedy, position, "packages", place
                )
    return indexes


MEDIA_SOURCE = "xaiva-media"
MEDIA_VARIABLE = "XAIVA_SOURCE_PATH"  # in .env: the folder of its source tree, unless the preset has such a source


class Source(PresetModel):
    """A source tree or archive: exactly one of `url` (with `sha256`), `git` (with `ref`) or `path`.

    Known names are compiled by the builder stage: `ffmpeg`, `opencv`, `opencv_contrib`, `nv-codec-headers`,
    `xaiva-media`, `tensorrt`, and `python` (a standalone build). Others are copied to `/opt/src/<name>` in `dev`.
    """

    name: Name
    url: HttpAddress = ""
    sha256: Sha256 | None = None
    git: GitAddress = ""
    ref: GitRef = ""
    path: PlainText = ""
    token_variable: EnvironmentName | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = [name for name in ("url", "git", "path") if getattr(self, name)]
        if len(origins) != 1:
            problem = " and ".join(origins) or "no origin"
            raise field_error(f"source {self.name!r} has {problem}", "give exactly one of `url`, `git` and `path`")
        if self.url and not self.sha256:
            raise field_error(
                f"source {self.name!r} has a url without sha256", "add what `sha256sum FILE` prints", "url"
            )
        if self.git and not self.ref:
            raise field_error(
                f"source {self.name!r} has git without ref", "add a branch, tag or commit as `ref`", "git"
            )
        return self


class Model(PresetModel):
    """A model file: one of `url` or `file`, its SHA-256, and its path in the image (under `/models`)."""

    name: Name
    url: HttpAddress = ""
    file: PlainText = ""
    sha256: Sha256
    destination: Destination
    token_variable: EnvironmentName | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.url) == bool(self.file):
            problem = "both url and file" if self.url else "neither url nor file"
            raise field_error(f"model {self.name!r} has {problem}", "give exactly one of `url` and `file`")
        return self


class Target(PresetModel):
    """The machine of the site, as far as it is known."""

    gpu: str = ""
    driver: DriverVersion = ""
    vram_gib: Annotated[float, Field(gt=0)] | None = None


class HealthCheck(PresetModel):
    """How the engine checks whether the container is healthy, instead of the image's own check. Times in seconds."""

    command: Annotated[list[str], Field(min_length=1)]
    interval: float = Field(default=30, gt=0)
    timeout: float = Field(default=5, gt=0)
    start_period: float = Field(default=20, ge=0)
    retries: int = Field(default=3, ge=1)


class DevMode(PresetModel):
    """Source bind-mounted into the container, with automatic reload."""

    enabled: bool = False
    source: PlainText = "."


class Run(PresetModel):
    """How a container is started from the image."""

    ports: Annotated[
        list[PortText],
        AfterValidator(check_ports_distinct),
    ] = []
    volumes: Annotated[list[VolumeText], _unique(lambda text: parse_volume(text).container, "mount point")] = []
    environment: dict[EnvironmentName, PlainText] = {}
    env_files: list[EnvFile] = []
    gpus: Gpus = ""
    devices: Annotated[list[DeviceText], _unique_text] = []
    shm_size: ShmSize = ""
    read_only: bool = False  # the root file system; volumes and /tmp stay writable
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = "unless-stopped"
    command: list[str] = []
    health_check: HealthCheck | None = None
    dev: DevMode = DevMode()


class Preset(PresetModel):
    """One preset file. `name` is the file's stem and is not in the file."""

    json_schema: str | None = Field(default=None, alias="$schema")
    metadata: Metadata = Metadata()
    base_image: ImageReference
    runtime_base_image: ImageReference | None = None
    python_version: PythonVersion = ""  # without it, the image gets no Python
    pytorch: PyTorch | None = None
    tensorrt: TensorRT = TensorRT()
    build_options: BuildOptions = BuildOptions()
    layers: Annotated[list[Layer], _unique_name["layer"]] = []
    pins: Annotated[
        list[Pin], _unique(lambda pin: (canonicalize_name(Requirement(pin).name), str(Requirement(pin).marker)), "pin")
    ] = []
    indexes: Annotated[list[Index], _unique_name["index"], AfterValidator(_bound_once)] = []
    debs: Annotated[list[DebName], _unique_text] = []
    build_debs: Annotated[list[DebName], _unique_text] = []
    no_build_isolation: Annotated[list[PackagePattern], _unique_text] = []  # built with the locked packages installed
    build_secrets: Annotated[list[EnvironmentName], _unique_text] = []  # variables of .env for the Xaiva Media build
    sources: Annotated[list[Source], _unique_name["source"]] = []
    models: Annotated[
        list[Model], _unique_name["model"], _unique(lambda model: model.destination, "destination", "destination")
    ] = []
    inference_service: bool = True
    target: Target | None = None
    overrides: Annotated[list[FindingCode], _unique_text] = []
    run: Run = Run()

    @model_validator(mode="after")
    def _python_where_needed(self) -> Self:
        if not self.python_version and (user := self._needs_python()):
            remedy = 'add, for example, "python_version": "3.11"'
            if self.inference_service:
                remedy += '; an image without Python needs "inference_service": false'
            raise field_error(f"is missing, and {user} needs Python", remedy, "python_version")
        return self

    def _needs_python(self) -> str:
        """The first part of the image that needs Python; empty when none does."""
        options = self.build_options
        users = {
            "the inference service": self.inference_service,
            "pytorch": self.pytorch is not None,
            "tensorrt": self.tensorrt.enabled,
            "OpenCV": bool(options.opencv_version or self.source("opencv")),
            "a layer": bool(self.layers),
        }
        return next((name for name, needs in users.items() if needs), "")

    def source(self, name: str) -> Source | None:
        """The source with that name, if there is one."""
        return next((source for source in self.sources if source.name == name), None)

    @property
    def base_image_cuda(self) -> str:
        """The CUDA version in the base image's name, `12.6.3`; empty without one."""
        return cuda_in_image_name(self.base_image)


def cuda_in_image_name(image: str) -> str:
    """The CUDA version in an image's name, `12.6.3`; empty without one."""
    match = re.search(r"cuda[:_-]?v?(\d+\.\d+(\.\d+)?)", image)
    return match.group(1) if match else ""
