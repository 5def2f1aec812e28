"""Renders the Dockerfile and its companion files from the template, the preset and the lock."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

from core import labels
from core.artifacts.lock_store import LockedPreset, lock_sha256
from core.artifacts.lockfile import FileKind, Lock, LockedFile
from core.errors import InputError, XaivaError
from core.files import write_atomic
from core.images import sbom
from core.images.template import read_template
from core.presets.model import Preset
from core.site import Site

SERVICE_LAYER = "service"
COMPILED_SOURCES = ("nv-codec-headers", "ffmpeg", "opencv", "tensorrt", "xaiva-media")  # builder stages, in this order
HELPER_SOURCES = ("python", "opencv_contrib")  # sources that another stage uses
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst")
# Not part of the build context, and never in an image: temporary files and partial downloads.
DOCKERIGNORE = "images\n**/.xaiva-tmp-*\n**/*.partial\nDockerfile\n.dockerignore\nlock.json\npylock.toml\n"


@dataclass(frozen=True)
class SourceArchive:
    """A locked source or wheel for the template; `archive` is its file name."""

    name: str
    path: str
    archive: str
    sha256: str


@dataclass(frozen=True)
class LayerStage:
    """One layer: the stage `below` it, its folder in the artifacts, and its requirement file in that folder."""

    name: str
    below: str
    folder: str
    requirements: str


@dataclass(frozen=True)
class CompiledStage:
    """One source that is compiled, and the stage `below` it."""

    name: str
    below: str
    file: SourceArchive


@dataclass(frozen=True)
class ModelFile:
    """A model file in the artifacts, and its path in the image."""

    path: str
    destination: str


def render_dockerfile(preset_name: str, preset: Preset, lock: Lock, template: str | None = None) -> str:
    """The text of the Dockerfile; `template` replaces the shipped one (a site's own `docker/Dockerfile.j2`).

    Raises InputError for an invalid template, a layer named like a stage, or a source that is not a tar archive.
    """
    import jinja2

    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    _check_layer_names(preset, lock)
    try:
        text = environment.from_string(template or read_template()).render(
            _template_variables(preset_name, preset, lock)
        )
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        location = f"docker/Dockerfile.j2{f', line {line}' if line else ''}"
        raise InputError(location, str(error), "correct the template, or remove it to use the shipped one") from error
    return text


def write_build_context(locked: LockedPreset) -> str:
    """Write the Dockerfile and its companions into the artifacts folder; returns the Dockerfile's text.

    Leaves unchanged files alone. The folder is then a complete build context.
    """
    text = render_dockerfile(locked.name, locked.preset, locked.lock, _site_template(locked.site))
    files = {
        "Dockerfile": text,
        ".dockerignore": DOCKERIGNORE,
        "sbom.json": sbom.render_sbom(locked.lock),
        "debs.sha256": _checksums(locked.lock, locked.lock.debs),
        "build-debs.sha256": _checksums(locked.lock, locked.lock.build_debs),
    }
    for name, content in files.items():
        path = locked.folder / name
        if not path.is_file() or path.read_bytes() != content.encode():
            write_atomic(path, content)
    return text


def _site_template(site: Site) -> str | None:
    """The text of the site's own template; None when it has none."""
    path = site.docker / "Dockerfile.j2"
    try:
        return path.read_text(encoding="utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise InputError(
            f"{path}", why or "it is not UTF-8 text", "correct it, or remove it to use the shipped one"
        ) from error


def service_layer(preset: Preset, lock: Lock) -> str:
    """The name of the layer with the inference service; empty when the image has none."""
    return SERVICE_LAYER if preset.inference_service and any(x.name == SERVICE_LAYER for x in lock.layers) else ""


def stage_names(preset: Preset, lock: Lock) -> list[str]:
    """Every stage of the Dockerfile in order: the values of `--target`."""
    compiled = [stage.name for stage in _compiled_stages(preset, lock)]
    builder = ["toolchain", *compiled, "builder", "built"] if compiled else []
    return ["base", system_stage(lock), *(layer.name for layer in lock.layers), *builder, "runtime", "dev"]


def system_stage(lock: Lock) -> str:
    """The name of the stage with the system packages and, if the image has one, the Python environment."""
    return "python" if lock.python_version else "system"


def site_packages(lock: Lock) -> str:
    """The folder of installed packages inside the image."""
    return f"/opt/xaiva/lib/python{lock.python_version}/site-packages"


def _template_variables(preset_name: str, preset: Preset, lock: Lock) -> dict[str, object]:
    options = preset.build_options
    compiled = _compiled_stages(preset, lock)
    standalone = _source(lock, "python") if lock.python_from == "source" else None
    plain_sources = [a for a in _archives(lock) if a.name not in (*COMPILED_SOURCES, *HELPER_SOURCES)]
    return {
        "preset_name": preset_name,
        "preset": preset,
        "lock": lock,
        "bases": [image for image in (lock.base_image, lock.runtime_base_image) if image is not None],
        "image_tag": labels.image_tag(preset_name),
        "layers": list(_layer_stages(lock)),
        "system_stage": system_stage(lock),
        "last_layer": lock.layers[-1].name if lock.layers else system_stage(lock),
        "service_layer": service_layer(preset, lock),
        "python": f"/opt/python/bin/python{lock.python_version}" if standalone else f"python{lock.python_version}",
        "python_source": standalone,
        "python_tag": lock.python_version.replace(".", ""),
        "site_packages": site_packages(lock),
        "compiled_stages": compiled,
        "contrib": _source(lock, "opencv_contrib"),
        "numpy": _numpy_wheel(lock),
        "ffmpeg_options": _shell_arguments(_ffmpeg_options(preset, lock)),
        "opencv_options": _shell_arguments(_opencv_options(preset, lock)),
        "xaiva_media_options": _shell_arguments(options.xaiva_media_cmake),
        "models": _models(preset, lock),
        "sources": plain_sources,
        "labels": {key: _quote_label(value) for key, value in _labels(preset_name, preset, lock).items()},
        "target_label": labels.TARGET,
    }


def _check_layer_names(preset: Preset, lock: Lock) -> None:
    names = stage_names(preset, lock)
    for layer in lock.layers:
        if names.count(layer.name) > 1 or not layer.name[0].isalpha():
            reserved = names.count(layer.name) > 1
            why = "it is the name of a build stage" if reserved else "the name of a stage must start with a letter"
            raise InputError(f"Layer {layer.name}", why, "give the layer another name in the preset and lock again")


def _layer_stages(lock: Lock) -> Iterator[LayerStage]:
    below = system_stage(lock)
    for layer in lock.layers:
        requirements = PurePosixPath(layer.requirements)
        yield LayerStage(layer.name, below, str(requirements.parent), requirements.name)
        below = layer.name


def _compiled_stages(preset: Preset, lock: Lock) -> list[CompiledStage]:
    stages: list[CompiledStage] = []
    for name in COMPILED_SOURCES:
        if name == "tensorrt" and not preset.tensorrt.enabled:
            continue
        if archive := _source(lock, name):
            stages.append(CompiledStage(name, stages[-1].name if stages else "toolchain", archive))
    return stages


def _archives(lock: Lock) -> Iterator[SourceArchive]:
    for file in lock.files:
        if file.kind is not FileKind.SOURCE:
            continue
        archive = PurePosixPath(file.path).name
        if not archive.endswith(TAR_SUFFIXES):
            raise InputError(
                f"Source {file.name} ({file.path})", "only tar archives can be built", "use its .tar.gz or .tar.xz"
            )
        yield SourceArchive(file.name, file.path, archive, file.sha256)


def _source(lock: Lock, name: str) -> SourceArchive | None:
    return next((archive for archive in _archives(lock) if archive.name == name), None)


def _numpy_wheel(lock: Lock) -> SourceArchive | None:
    """The wheel with the headers for OpenCV's Python module; mounted alone, so that no other wheel matters."""
    for file in lock.files:
        if file.kind is FileKind.WHEEL and canonicalize_name(file.name) == "numpy":
            return SourceArchive("numpy", file.path, PurePosixPath(file.path).name, file.sha256)
    return None


def _ffmpeg_options(preset: Preset, lock: Lock) -> list[str]:
    nvidia = ["--enable-ffnvcodec", "--enable-nvenc", "--enable-nvdec"] if _source(lock, "nv-codec-headers") else []
    return [*nvidia, *preset.build_options.ffmpeg_configure]


def _opencv_options(preset: Preset, lock: Lock) -> list[str]:
    contrib = _source(lock, "opencv_contrib")
    modules = ["-DOPENCV_EXTRA_MODULES_PATH=/tmp/build/opencv_contrib/modules"] if contrib else []
    return [*modules, *preset.build_options.opencv_cmake]


def _shell_arguments(options: list[str]) -> str:
    """The options quoted for the shell, each after a blank."""
    return "".join(f" {shlex.quote(option)}" for option in options)


def _models(preset: Preset, lock: Lock) -> list[ModelFile]:
    destinations = {model.name: model.destination for model in preset.models}
    models: list[ModelFile] = []
    for file in lock.files:
        if file.kind is FileKind.MODEL:
            destination = destinations.get(file.name)
            if destination is None:
                raise _stale_lock_error(f"model {file.name}")
            models.append(ModelFile(file.path, destination))
    return models


def _stale_lock_error(what: str) -> XaivaError:
    return XaivaError(f"The lock has the {what}, but the preset does not", "the preset has changed", "lock it again")


def _labels(preset_name: str, preset: Preset, lock: Lock) -> dict[str, str]:
    values = {
        "org.opencontainers.image.title": preset_name,
        "org.opencontainers.image.description": preset.metadata.description,
        "org.opencontainers.image.base.name": lock.base_image.reference,
        "org.opencontainers.image.base.digest": lock.base_image.manifest_digest or lock.base_image.config_digest,
        labels.PRESET: preset_name,
        labels.PRESET_SHA256: lock.preset_sha256,
        labels.LOCK_SHA256: lock_sha256(lock),
        labels.TARGET: "runtime",
        sbom.SBOM_LABEL: sbom.SBOM_PATH,
    }
    return {key: value for key, value in values.items() if value}


def _quote_label(value: str) -> str:
    """The value quoted for a Dockerfile instruction, so that nothing in it is expanded."""
    return '"' + re.sub(r'(["\\$])', r"\\\1", " ".join(value.split())) + '"'


def _checksums(lock: Lock, paths: list[str]) -> str:
    """Lines for `sha256sum --check` in the folder of the deb files."""
    by_path: dict[str, LockedFile] = {file.path: file for file in lock.files}
    return "".join(f"{by_path[path].sha256}  {PurePosixPath(path).name}\n" for path in sorted(paths))
