"""The labels and names that xaiva gives its images and containers."""

from __future__ import annotations

PRESET = "org.xaiva.preset"
PRESET_SHA256 = "org.xaiva.preset.sha256"
LOCK_SHA256 = "org.xaiva.lock.sha256"
TARGET = "org.xaiva.target"  # the build stage: runtime, dev or a layer
SITE = "org.xaiva.site"  # the site folder a container was launched from
RUN_SHA256 = "org.xaiva.settings.sha256"  # on a container: the run settings that its preset had at the launch
REPLACED_STATE = "org.xaiva.before"  # on a new container: the state that the container it replaces had
HELPER_OWNER = "org.xaiva.helper"  # the identity of the process that has to remove the container
BUILD_ID = "org.xaiva.build"
FINGERPRINT = "org.xaiva.fingerprint"  # of the image of a stack's service: what it was built from
COMPOSE_PROJECT = "com.docker.compose.project"  # docker compose gives it to the containers of a project
COMPOSE_SERVICE = "com.docker.compose.service"
COMPOSE_HASH = "com.docker.compose.config-hash"


def image_tag(preset: str, target: str = "runtime") -> str:
    """The tag of a preset's newest image: `xaiva/<preset>:latest`, or `:<target>` for another stage."""
    return f"xaiva/{preset}:{'latest' if target == 'runtime' else target}"


def preset_of_tag(tag: str) -> str:
    """The preset whose newest image has that tag; empty for any other tag."""
    name = tag.removeprefix("xaiva/").removesuffix(":latest")
    return name if tag == image_tag(name) else ""


def container_name(preset: str) -> str:
    """The default name of a preset's container."""
    return f"xaiva-{preset}"
