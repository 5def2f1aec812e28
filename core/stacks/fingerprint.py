"""The fingerprint of a service's image: everything that its build depends on, and nothing that it cannot see."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from core import labels
from core.errors import InputError, os_reason
from core.files import sha256_bytes
from core.images.dockerfile_lint import expand_variables, parse_instructions
from core.stacks.context_files import HashCache, changed_files, context_files
from core.stacks.model import BuildSection

_MAX_NAMED = 3  # changed files in a reason
_NOT_BUILT = (
    "context",
    "dockerfile",
    "dockerfile_inline",
    "args",
    "additional_contexts",
    "tags",
    "labels",
    "cache_from",
    "cache_to",
    "no_cache",
    "pull",
)


class Fingerprint(BaseModel):
    """What an image is made of. Values are hashes, or words without secrets."""

    model_config = ConfigDict(frozen=True)

    parts: dict[str, str]
    """Part → its hash: `Dockerfile`, `argument NAME`, `base image NAME`, `builder`, and the other keys of `build`."""
    files: dict[str, str]
    """Path in the context → its hash."""

    @property
    def files_sha256(self) -> str:
        """The hash of all files together."""
        return sha256_bytes(json.dumps(self.files, sort_keys=True).encode())

    def label(self) -> str:
        """The text for the label of the image: all parts, and one hash for the files."""
        return json.dumps({"parts": self.parts, "files": self.files_sha256}, sort_keys=True, separators=(",", ":"))


class LabelledFingerprint(BaseModel):
    """A fingerprint as the label of an image has it."""

    model_config = ConfigDict(frozen=True)

    parts: dict[str, str]
    files: str


def read_label(image_labels: Mapping[str, str]) -> LabelledFingerprint | None:
    """The fingerprint in the labels of an image; None when it has none that can be read."""
    try:
        return LabelledFingerprint.model_validate_json(image_labels.get(labels.FINGERPRINT, ""))
    except ValidationError:
        return None


def take_fingerprint(
    build: BuildSection, base_identities: Mapping[str, str], builder: str, cache: HashCache
) -> Fingerprint:
    """The fingerprint of a build as it would be now.

    `base_identities` has the identity of each image that the Dockerfile names; `builder` names the builder and its
    version. Raises InputError for a context or Dockerfile that cannot be read.
    """
    parts = {
        "Dockerfile": sha256_bytes(read_dockerfile(build).encode()),
        "builder": builder,
        **{f"argument {name}": sha256_bytes(value.encode()) for name, value in build.arguments.items()},
        **{f"base image {name}": identity for name, identity in base_identities.items()},
    }
    for key, value in build.resolved.items():
        if key not in _NOT_BUILT:
            parts[key] = sha256_bytes(json.dumps(value, sort_keys=True).encode())
    files = context_files(build.context, build.dockerfile, cache)
    for name, folder in build.folders.items():
        # A further context has no Dockerfile of its own, but may have a `.dockerignore`.
        parts[f"context {name}"] = sha256_bytes(
            json.dumps(context_files(folder, folder / "Dockerfile", cache), sort_keys=True).encode()
        )
    return Fingerprint(parts=parts, files=files)


def changes(old: LabelledFingerprint, old_files: Mapping[str, str] | None, new: Fingerprint, context: str) -> list[str]:
    """Why an image has to be built again, the most telling reason first; empty when nothing has changed.

    `old_files` are the files of the old image's build, None when this machine did not build it; `context` is the name
    of the context's folder, for the names of files.
    """
    reasons = [f"{name} {_verb(name in old.parts, name in new.parts)}" for name in _different(old.parts, new.parts)]
    if old.files != new.files_sha256:
        named = changed_files(old_files, new.files) if old_files is not None else []
        reasons += [f"{context}/{line}" for line in named[:_MAX_NAMED]] or [f"files in {context}/ changed"]
        if len(named) > _MAX_NAMED:
            reasons.append(f"{len(named) - _MAX_NAMED} more files")
    return reasons


def _different(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _verb(before: bool, after: bool) -> str:
    return "changed" if before and after else "is new" if after else "is gone"


def read_dockerfile(build: BuildSection) -> str:
    """The text of a build's Dockerfile, which may stand in the compose file. Raises InputError."""
    if inline := build.resolved.get("dockerfile_inline"):
        return str(inline)
    try:
        return build.dockerfile.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{build.dockerfile}", os_reason(error), "correct `build` of the service") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{build.dockerfile}", "it is not UTF-8 text", "save it as UTF-8") from error


def base_images(build: BuildSection) -> list[str]:
    """The images that the Dockerfile takes from outside of itself, in their order. Raises InputError."""
    named = _outside_images(read_dockerfile(build), build.arguments)
    images = [build.contexts.get(name, name) for name in named]
    images = [
        image.removeprefix("docker-image://")
        for image in images
        if image not in build.contexts.values() or image.startswith("docker-image://")
    ]
    return list(dict.fromkeys(images))


def _outside_images(text: str, arguments: Mapping[str, str]) -> Iterator[str]:
    stages: set[str] = set()
    known: dict[str, str] = {}
    for step in parse_instructions(text):
        if step.word == "ARG":
            for name, _, default in (word.partition("=") for word in step.text.split()):
                known[name] = arguments.get(name, expand_variables(default.strip("\"'"), known))
        names = []
        if step.word == "FROM":
            words = step.text.split()
            names = words[:1]
        elif step.word in ("COPY", "ADD"):
            names = [step.flags["from"]] if "from" in step.flags else []
        elif step.word == "RUN":
            mounts = step.flags.get("mount", "").splitlines()
            options = [dict(part.partition("=")[::2] for part in mount.split(",")) for mount in mounts]
            names = [mount["from"] for mount in options if mount.get("from")]
        for name in names:
            image = expand_variables(name, known)
            if image.lower() not in stages and image != "scratch" and not image.isdigit():
                yield image
        if step.word == "FROM" and len(words) == 3:
            stages.add(words[2].lower())
