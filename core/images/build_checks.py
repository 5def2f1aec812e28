"""Checks before a build, so that it fails in a second and not after ten minutes."""

from __future__ import annotations

from collections.abc import Mapping

from core.artifacts.lock_check import check_locked
from core.artifacts.lock_store import LockedPreset, read_locked_preset
from core.artifacts.lockfile import FileKind
from core.artifacts.verification_cache import VerificationCache
from core.engine import docker_environment
from core.errors import ChecksFailed, InputError, XaivaError
from core.files import sha256_file
from core.findings import Finding, Level, has_errors
from core.images.dockerfile_lint import lint_dockerfile
from core.images.load import image_id
from core.images.render import stage_names
from core.presets.model import Preset
from core.site import Site


def preview_stages(site: Site, subject: str, target: str = "runtime") -> list[str]:
    """The stages of a build. Changes nothing and reads no artifact in full.

    Raises XaivaError for a problem that would stop the build before its first stage.
    """
    locked = read_locked_preset(site, subject)
    check_target(target, locked)
    check_artifacts(locked)
    check_secrets(locked.preset, docker_environment(site))
    names = stage_names(locked.preset, locked.lock)
    return names[: names.index(target) + 1]


def check_artifacts(locked: LockedPreset) -> None:
    """Check that every locked file has its size, and that everything is locked. The build checks the contents.

    Raises XaivaError naming the first files that are missing or truncated.
    """
    check_complete(locked)
    damaged = []
    for file in locked.lock.files:
        try:
            size = file.under(locked.folder).stat().st_size
        except OSError:
            size = -1
        if size != file.size:
            damaged.append(f"{file.path} ({'missing' if size < 0 else f'{size} of {file.size} bytes'})")
    if damaged:
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        why = ", ".join(damaged[:3]) + more
        raise XaivaError(
            f"Artifacts of {locked.name} in {locked.folder}", why, f"fetch them, online: xaiva sync {locked.name}"
        )


def check_complete(locked: LockedPreset) -> None:
    """Raise XaivaError naming the first part that the lock lacks."""
    if locked.lock.unlocked:
        first = locked.lock.unlocked[0]
        raise XaivaError(f"The lock of {locked.name} lacks {first.what}", first.why, first.remedy)


def check_models(locked: LockedPreset) -> None:
    """Check the hashes of models that were not verified on this disk yet, because no build step checks them.

    Raises XaivaError naming the first model that differs from the lock.
    """
    models = locked.lock.of_kind(FileKind.MODEL)
    verification_cache = VerificationCache(locked.site, locked.name)
    for model in models:
        path = model.under(locked.folder)
        if (
            not verification_cache.is_verified(model.path, path.stat(), model.sha256)
            and sha256_file(path) != model.sha256
        ):
            why = "its content is not the locked one"
            raise XaivaError(
                f"Model {model.path} in {locked.folder}", why, f"repair it, online: xaiva sync {locked.name}"
            )


def check_compatibility(locked: LockedPreset) -> list[Finding]:
    """What the compatibility check says of the locked packages on the machine that the preset names.

    Raises ChecksFailed for an error: the image would not work there.
    """
    findings = check_locked(locked)
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if errors:
        first = errors[0]
        remedy = f"{first.remedy}; or accept it: add {first.code} to `overrides`"
        raise ChecksFailed(f"The image of {locked.name} will not work: {first.what}", first.why, remedy)
    return findings


def check_target(target: str, locked: LockedPreset) -> None:
    """Raise InputError when the Dockerfile has no stage of that name."""
    names = stage_names(locked.preset, locked.lock)
    if target not in names:
        raise InputError(f"Target {target}", "the image has no such stage", f"it has {', '.join(names)}")


def check_secrets(preset: Preset, env: Mapping[str, str]) -> None:
    """Raise InputError when a build secret has no value."""
    for name in preset.build_secrets:
        if not env.get(name):
            raise InputError(f"Build secret {name}", "it is not set", f"set {name}=… in .env or the environment")


def check_dockerfile(text: str, file_name: str, env: Mapping[str, str]) -> list[Finding]:
    """Lint the Dockerfile against the engine's images. Raises ChecksFailed when the build would use a network."""
    findings = lint_dockerfile(
        text, image_present=lambda reference: bool(image_id(reference, env)), file_name=file_name
    )
    if has_errors(findings):
        first = findings[0]
        raise ChecksFailed(f"{first.where}: {first.what}", first.why, first.remedy)
    return findings
