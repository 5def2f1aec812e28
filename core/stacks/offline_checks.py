"""What in the files of a service needs a network, or what a build here cannot do: with file and line."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import InputError
from core.findings import Finding
from core.images.dockerfile_lint import lint_dockerfile
from core.stacks.compose import line_of
from core.stacks.fingerprint import read_dockerfile
from core.stacks.model import BuildSection, Service, Stack, is_remote

_KNOWN_KEYS = frozenset(
    (
        *("context", "dockerfile", "dockerfile_inline", "args", "target", "labels", "tags", "additional_contexts"),
        *("secrets", "cache_from", "cache_to", "no_cache", "pull", "network", "platforms", "shm_size", "extra_hosts"),
    )
)


def offline_findings(stack: Stack, service: Service) -> Iterator[Finding]:
    """Everything of a service that would not work at a site without a network."""

    def error(why: str, remedy: str, *keys: str) -> Finding:
        line = line_of(stack.file, ["services", service.name, *keys])
        where = f"{stack.file}:{line}" if line else str(stack.file)
        return Finding.error("stack-offline", f"services.{'.'.join((service.name, *keys))}", why, remedy, where=where)

    policy = str(service.resolved.get("pull_policy") or "")
    if policy in ("always", "daily", "weekly") or policy.startswith("every_"):
        yield error(f"{policy!r} asks a registry", "pull_policy: never", "pull_policy")
    if service.resolved.get("volumes_from"):  # the id of a container would be a part of its configuration
        yield error("xaiva cannot see when that container is another one", "use volumes with names", "volumes_from")
    if service.build is None:
        return
    if is_remote(str(service.build.resolved.get("context"))):
        yield error("the engine would download it", "put the files beside the compose file", "build", "context")
        return
    for name, place in service.build.contexts.items():
        keys = ("build", "additional_contexts", name)
        if is_remote(place) and not place.startswith("docker-image://"):
            yield error("the engine would download it", "put the files beside the compose file", *keys)
        if place.startswith("service:"):
            yield error("xaiva cannot build with it", "copy from an image: docker-image://NAME", *keys)
    for key in sorted(set(service.build.resolved) - _KNOWN_KEYS):
        yield error("xaiva cannot build with it", "remove it, or build with docker compose by hand", "build", key)
    yield from _lint(stack, service, service.build)


def _lint(stack: Stack, service: Service, build: BuildSection) -> Iterator[Finding]:
    try:
        text = read_dockerfile(build)
    except InputError:
        return  # the fingerprint says so
    name = str(build.dockerfile)
    if build.resolved.get("dockerfile_inline"):
        line = line_of(stack.file, ["services", service.name, "build", "dockerfile_inline"])
        name = f"{stack.file}, line {line}, Dockerfile"
    yield from lint_dockerfile(text, file_name=name)
