"""Builds the image of a service from its own context, with the network off."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core import labels
from core.engine import resolve_endpoint
from core.errors import Cancelled, XaivaError
from core.images import buildx
from core.images.build_stages import StageTree
from core.images.engine_space import check_engine_space
from core.progress import Progress
from core.site import Site
from core.stacks.fingerprint import Fingerprint, read_dockerfile
from core.stacks.model import BuildSection, Service, Stack
from core.stacks.observe import keep_built_files

# Of a base image that a preset made; the image of a service would inherit them, and be taken for the preset's.
_NOT_INHERITED = (labels.PRESET, labels.PRESET_SHA256, labels.LOCK_SHA256, labels.TARGET, labels.BUILD_ID)


def build_request(service: Service, fingerprint: Fingerprint, builder: str) -> buildx.BuildRequest:
    """What to build for a service that has a `build` section, with its fingerprint as a label."""
    assert service.build is not None
    build = service.build
    return buildx.BuildRequest(
        context=build.context,
        dockerfile=build.dockerfile,
        target=build.target,
        tag=service.image,
        builder=builder,
        labels={
            **dict.fromkeys(_NOT_INHERITED, ""),
            **build.resolved.get("labels", {}),
            labels.FINGERPRINT: fingerprint.label(),
        },
        arguments=build.arguments,
        options=_options(build),
    )


def build_service(
    site: Site, stack: Stack, service: Service, fingerprint: Fingerprint, env: Mapping[str, str], progress: Progress
) -> None:
    """Build the image under the service's own tag; its fingerprint becomes a label.

    Raises XaivaError with the last words of the step that failed, Cancelled. The image before then stays.
    """
    assert service.build is not None
    build = service.build
    # What certainly needs room: the context, once for the engine and once in the image.
    size = sum((build.context / path).lstat().st_size for path in fingerprint.files if (build.context / path).exists())
    check_engine_space(site, 2 * size, f"the image of {service.name}")
    request = build_request(service, fingerprint, buildx.builder_name(resolve_endpoint(site)))
    tree = StageTree(progress)
    with tempfile.TemporaryDirectory(prefix="xaiva-build-") as scratch:
        if build.resolved.get("dockerfile_inline"):
            dockerfile = Path(scratch) / "Dockerfile"
            dockerfile.write_text(read_dockerfile(build))
            request = replace(request, dockerfile=dockerfile)
        result = buildx.run_build(request, env, tree, progress)
    if result.cancelled or result.code:
        tree.end_running(result.cancelled)
    if result.cancelled:
        raise Cancelled(f"Build of {service.name}", "", "the completed steps stay in the cache")
    if result.code:
        step = tree.failed_step()
        lines = step.last_lines if step else tree.client_output[-1:]
        why = " / ".join(line.strip() for line in lines) or "buildx gave no message"
        raise XaivaError(f"Build of {service.name}", why, f"correct {service.build.dockerfile}, and start again")
    keep_built_files(site, stack.name, service.name, fingerprint.files)


def _options(build: BuildSection) -> list[str]:
    """The words for buildx that not every build has."""
    words = [f"--build-context={name}={place}" for name, place in build.contexts.items()]
    words += [f"--secret=id={name},{source}" for name, source in build.secrets.items()]
    words += [f"--tag={tag}" for tag in build.resolved.get("tags") or ()]
    if platforms := build.resolved.get("platforms"):
        words.append(f"--platform={','.join(platforms)}")
    if size := build.resolved.get("shm_size"):
        words.append(f"--shm-size={size}")
    return words
