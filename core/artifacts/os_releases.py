"""Linux distributions and their C libraries, which decide which wheels a base image can load."""

from __future__ import annotations

import re

# `ID VERSION_ID` of os-release → newest manylinux minor its glibc can load, as far as uv knows names (2.40).
# Sources: the distributions' package lists (glibc 2.31, 2.35, 2.36, 2.39, 2.41) and PEP 600.
GLIBC_MINOR = {
    "debian 11": 31,
    "debian 12": 36,
    "debian 13": 40,
    "ubuntu 20.04": 31,
    "ubuntu 22.04": 35,
    "ubuntu 24.04": 39,
}
# The distribution by the name of an image, for when the image itself is unavailable.
IMAGE_NAME_PATTERNS = {
    r"bullseye|debian-?11": "debian 11",
    r"bookworm|debian-?12": "debian 12",
    r"trixie|debian-?13": "debian 13",
    r"focal|ubuntu:?-?20\.04": "ubuntu 20.04",
    r"jammy|ubuntu:?-?22\.04": "ubuntu 22.04",
    r"noble|ubuntu:?-?24\.04": "ubuntu 24.04",
}
OLDEST_PLATFORM = "x86_64-manylinux_2_28"  # every current base image can load it


def wheel_platform(os_release: str) -> str:
    """The platform to resolve wheels for, in uv's notation; `os_release` is `ID VERSION_ID`."""
    minor = GLIBC_MINOR.get(os_release)
    return f"x86_64-manylinux_2_{minor}" if minor else OLDEST_PLATFORM


def guess_os_release(reference: str) -> str:
    """The distribution that an image's name mentions, or ""."""
    return next((name for pattern, name in IMAGE_NAME_PATTERNS.items() if re.search(pattern, reference)), "")
