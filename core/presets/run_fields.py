"""The field types of a preset's run settings: ports, volumes, GPUs, sizes.

The checks and the launch both parse them here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from core.presets.fields import field_error

_PORT = re.compile(
    r"^((?P<ip>\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):)?(?P<host>\d{1,5}(-\d{1,5})?)"
    r":(?P<container>\d{1,5}(-\d{1,5})?)(/(?P<protocol>tcp|udp))?$"
)
_DEVICE = r"^/dev/[A-Za-z0-9][A-Za-z0-9/_.:-]*$"
_SHM = r"^([1-9]\d*(\.\d+)?([bB]|[kKmMgG][bB]?)?)?$"
_VOLUME_OPTION = r"[A-Za-z][\w.=/-]*"
_GPUS = (
    r"^(all|none|\d+(,\d+)*|(GPU|MIG)-[0-9A-Za-z-]+(,(GPU|MIG)-[0-9A-Za-z-]+)*"
    r"|[a-z0-9.-]+/[a-z0-9.-]+=[\w.:-]+)?$"
)


@dataclass(frozen=True)
class PortMapping:
    """One published port. An empty `ip` means all addresses of the host."""

    host: int
    container: int
    protocol: str = "tcp"
    ip: str = ""


@dataclass(frozen=True)
class VolumeMount:
    """One mount. `host` is an absolute path, a path relative to the site (`./data`) or the name of a volume.

    `options` are the engine's options without `ro` and `rw`, unchanged: `Z`, `rshared`, …
    """

    host: str
    container: str
    read_only: bool = False
    options: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether it is a named volume of the engine."""
        return not self.host.startswith((".", "/"))


def parse_ports(text: str) -> list[PortMapping]:
    """Parse `[IP:]HOST:CONTAINER[/udp]`, where both may be ranges (`8000-8010:8000-8010`) of one size.

    Raises a validation error with a remedy.
    """
    match = _PORT.fullmatch(text)
    if not match:
        digits = re.search(r"\d+", text)
        example = f"{digits.group()}:{digits.group()}" if digits else "8600:8600"
        raise field_error(f"{text!r} is not a port mapping", f'write host:container, as "{example}"')
    host, container = _range(text, match["host"]), _range(text, match["container"])
    if len(host) != len(container):
        raise field_error(
            f"{text!r} has {len(host)} ports of the host for {len(container)} of the container",
            f'give both ranges the same size, as "{match["host"]}:{match["host"]}"',
        )
    ip = (match["ip"] or "").strip("[]")
    try:
        ipaddress.ip_address(ip or "0.0.0.0")
    except ValueError:
        raise field_error(f"{ip!r} is not an address", 'write, for example, "127.0.0.1:8600:8600"') from None
    return [PortMapping(*pair, match["protocol"] or "tcp", ip) for pair in zip(host, container, strict=True)]


def _range(text: str, span: str) -> range:
    """The ports of `8600` or `8000-8010`."""
    first, _, last = span.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not ports:
        raise field_error(
            f"{text!r} has a range that ends before it begins", f'write the lower port first: "{last}-{first}"'
        )
    if ports[0] < 1 or ports[-1] > 65535:
        raise field_error(f"{text!r} has a port outside 1 to 65535", 'write host:container, as "8600:8600"')
    return ports


def check_ports_distinct(texts: list[str]) -> list[str]:
    """Reject a list in which two entries use the same port of the host."""
    taken: dict[tuple[str, int], list[tuple[str, int]]] = {}  # (protocol, port) to (address, entry)
    for index, text in enumerate(texts):
        for port in parse_ports(text):
            entries = taken.setdefault((port.protocol, port.host), [])
            for ip, other in entries:
                if _same_address(ip, port.ip):
                    what = f"host port {port.host}/{port.protocol} is already taken by number {other + 1} of the list"
                    raise field_error(what, "publish one of the two on another port of the host", index)
            entries.append((port.ip, index))
    return texts


def _same_address(one: str, other: str) -> bool:
    """Whether two host addresses overlap; an empty one means all."""
    if one == other or not (one and other):
        return True
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return first.version == second.version and (first.is_unspecified or second.is_unspecified)


def parse_volume(text: str) -> VolumeMount:
    """Parse `HOST:CONTAINER[:OPTIONS]`, where the options are the engine's own, separated by commas.

    Raises a validation error with a remedy.
    """
    parts = text.split(":")
    options = tuple(parts[2].split(",")) if len(parts) == 3 else ()
    if len(parts) not in (2, 3) or not all(re.fullmatch(_VOLUME_OPTION, option) for option in options):
        raise field_error(
            f"{text!r} is not a volume", 'write host:container, as "./data:/data" or "./models:/models:ro,Z"'
        )
    if {"ro", "rw"} <= set(options):
        raise field_error(f"{text!r} is both read-only and writable", 'write "ro" or "rw"')
    host, container = parts[0], parts[1]
    if not re.fullmatch(r"^(\./|/|\.$)[^\x00-\x1f$`~]*$|^[A-Za-z0-9][A-Za-z0-9_.-]+$", host):
        raise field_error(
            f"{host!r} is not a path or volume name", 'write "./data" (in the site), "/srv/data" or a name'
        )
    if ".." in PurePosixPath(host).parts:
        raise field_error(f"{host!r} is outside the site", "write the absolute path instead")
    target = PurePosixPath(container)
    if not target.is_absolute() or ".." in target.parts or len(target.parts) < 2:
        raise field_error(f"{container!r} is not an absolute path in the container", 'write, for example, "/data"')
    others = tuple(option for option in options if option not in ("ro", "rw"))
    return VolumeMount(host, container, "ro" in options, others)


def _check_port(text: str) -> str:
    parse_ports(text)
    return text


def _check_volume(text: str) -> str:
    parse_volume(text)
    return text


def _check_env_file(text: str) -> str:
    if not text or ".." in PurePosixPath(text).parts or re.search(r"[\x00-\x1f]", text):
        raise field_error(f"{text!r} is not a file of the site", 'write, for example, "cameras.env"')
    return text


def _check_device(text: str) -> str:
    if not re.fullmatch(_DEVICE, text) or ".." in PurePosixPath(text).parts:
        raise field_error(f"{text!r} is not a device of the host", 'write, for example, "/dev/video0"')
    return text


def _check_shm(text: str) -> str:
    if not re.fullmatch(_SHM, text):
        raise field_error(f"{text!r} is not a size", 'write, for example, "512m" or "2g"')
    return text


def _check_gpus(text: str) -> str:
    if not re.fullmatch(_GPUS, text):
        raise field_error(
            f"{text!r} does not name GPUs",
            'write "all", indexes as "0,1", a UUID as "GPU-…", or a CDI device as "nvidia.com/gpu=all"; "" for none',
        )
    return text


_PORT_IN_SCHEMA = re.sub(r"\?P<\w+>", "", _PORT.pattern)  # other regex dialects spell group names differently

PortText = Annotated[str, AfterValidator(_check_port), Field(json_schema_extra={"pattern": _PORT_IN_SCHEMA})]
VolumeText = Annotated[str, AfterValidator(_check_volume)]
EnvFile = Annotated[str, AfterValidator(_check_env_file)]
DeviceText = Annotated[str, AfterValidator(_check_device), Field(json_schema_extra={"pattern": _DEVICE})]
ShmSize = Annotated[str, AfterValidator(_check_shm), Field(json_schema_extra={"pattern": _SHM})]
Gpus = Annotated[str, AfterValidator(_check_gpus), Field(json_schema_extra={"pattern": _GPUS})]
