"""Builds the image of a service from its own context, with the network off."""

from __future__ import annotations

from collections.abc import Mapping

from core.engine import resolve_endpoint
from core.errors import Cancelled, XaivaError
from core.images import buildx
from core.images.build_stages import StageTree
from core.progress import Progress
from core.site import Site
from core.stacks.fingerprint import LABEL, Fingerprint
from core.stacks.model import Service, Stack
from core.stacks.observe import keep_built_files


def build_service(
    site: Site, stack: Stack, service: Service, fingerprint: Fingerprint, env: Mapping[str, str], progress: Progress
) -> None:
    """Build the image under the service's own tag; its fingerprint becomes a label.

    Raises XaivaError with the last words of the step that failed, Cancelled. The image before then stays.
    """
    assert service.build is not None
    request = buildx.BuildRequest(
        context=service.build.context,
        dockerfile=service.build.dockerfile,
        target=service.build.target,
        tag=service.image,
        builder=buildx.builder_name(resolve_endpoint(site)),
        labels={LABEL: fingerprint.label()},
        arguments=service.build.arguments,
    )
    tree = StageTree(progress)
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
