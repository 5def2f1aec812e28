"""The preset: what an image is made of. The JSON Schema beside the preset files comes from these classes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
ImageReference = Annotated[
    str, Field(pattern=r"^[a-z0-9]+([._/:@-][A-Za-z0-9_]+([._-]+[A-Za-z0-9_]+)*)*$", max_length=255)
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PythonVersion = Annotated[str, Field(pattern=r"^3\.\d{1,2}$")]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
DebName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+~:-]+)?$")]


class Part(BaseModel):
    """Unknown keys are errors: a misspelt key must not be silently ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Metadata(Part):
    """For people."""

    description: str = ""
    tags: list[str] = []


class PyTorch(Part):
    """The PyTorch family. `version` may carry the CUDA tag as local version: `2.7.1+cu126`."""

    version: str
    components: list[Literal["torch", "torchvision", "torchaudio"]] = ["torch"]


class TensorRT(Part):
    """TensorRT; `version` is required when enabled."""

    enabled: bool = False
    version: str = ""


class BuildOptions(Part):
    """What is compiled in the builder stage. An empty version: not built."""

    ffmpeg_version: str = ""
    opencv_version: str = ""
    nv_codec_headers_version: str = ""
    xaiva_media_branch: str = ""
    ffmpeg_configure: list[str] = []
    opencv_cmake: list[str] = []
    xaiva_media_cmake: list[str] = []


class Layer(Part):
    """One ordered requirement list: inline `requirements`, or a `file` relative to the preset's folder."""

    name: Name
    requirements: list[str] = []
    file: str = ""


class Index(Part):
    """An extra Python index. `token_variable` and `username_variable` name variables of `.env`."""

    name: Name
    url: str
    username_variable: EnvironmentName | None = None
    token_variable: EnvironmentName | None = None


class Source(Part):
    """A source tree or archive: exactly one of `url` (with `sha256`), `git` (with `ref`) or `path`.

    Known names are compiled by the builder stage: `ffmpeg`, `opencv`, `opencv_contrib`, `nv-codec-headers`,
    `xaiva-media`, `tensorrt`, and `python` (a standalone build). Others are put under `/opt/src/<name>` in `dev`.
    """

    name: Name
    url: str = ""
    sha256: Sha256 | None = None
    git: str = ""
    ref: str = ""
    path: str = ""
    token_variable: EnvironmentName | None = None


class Model(Part):
    """A model file: one of `url` or `file`, its SHA-256, and where it lies in the image (under `/models`)."""

    name: Name
    url: str = ""
    file: str = ""
    sha256: Sha256
    destination: str
    token_variable: EnvironmentName | None = None


class Target(Part):
    """The site's machine, as far as it is known."""

    gpu: str = ""
    driver: str = ""
    vram_gib: float | None = None


class HealthCheck(Part):
    """How the engine asks whether the container is well. Times in seconds."""

    command: list[str]
    interval: float = 30
    timeout: float = 5
    start_period: float = 20
    retries: int = 3


class DevMode(Part):
    """Source bind-mounted into the container, with automatic reload."""

    enabled: bool = False
    source: str = "."


class Run(Part):
    """How a container is started from the image."""

    ports: list[str] = []
    volumes: list[str] = []
    environment: dict[EnvironmentName, str] = {}
    env_files: list[str] = []
    gpus: str = ""
    shm_size: str = ""
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = "unless-stopped"
    command: list[str] = []
    health_check: HealthCheck | None = None
    dev: DevMode = DevMode()


class Preset(Part):
    """One preset file. `name` is the file's stem and is not in the file."""

    json_schema: str | None = Field(default=None, alias="$schema")
    metadata: Metadata = Metadata()
    base_image: ImageReference
    runtime_base_image: ImageReference | None = None
    python_version: PythonVersion
    pytorch: PyTorch | None = None
    tensorrt: TensorRT = TensorRT()
    build_options: BuildOptions = BuildOptions()
    layers: list[Layer] = []
    pins: list[str] = []
    indexes: list[Index] = []
    debs: list[DebName] = []
    build_debs: list[DebName] = []
    sources: list[Source] = []
    models: list[Model] = []
    inference_service: bool = True
    target: Target | None = None
    overrides: list[str] = []
    run: Run = Run()
