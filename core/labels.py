"""The names and labels of xaiva's images and containers in the engine."""

from __future__ import annotations

PRESET = "org.xaiva.preset"
PRESET_SHA256 = "org.xaiva.preset.sha256"
LOCK_SHA256 = "org.xaiva.lock.sha256"
TARGET = "org.xaiva.target"  # the build stage: runtime, dev or a layer
SITE = "org.xaiva.site"  # the site folder a container was launched from
REPLACED_STATE = (
    "org.xaiva.before"  # the state of the container whose place another takes, as it was when that one was made
)
HELPER_OWNER = "org.xaiva.helper"  # the process that removes the container before it ends
BUILD_ID = "org.xaiva.build"  # the id of the build that made the image


def image_tag(preset: str, target: str = "runtime") -> str:
    """The tag of a preset's newest image: `xaiva/<preset>:latest`, or `:<target>` for another stage."""
    return f"xaiva/{preset}:{'latest' if target == 'runtime' else target}"


def container_name(preset: str) -> str:
    """The name under which a preset's container is launched, unless another one is given."""
    return f"xaiva-{preset}"
