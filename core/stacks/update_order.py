"""In which order a container of a service is replaced: the new one beside the old one, after it, or in its place."""

from __future__ import annotations

from collections.abc import Collection

from core.stacks.model import Service


def only_one_reason(service: Service, image_volumes: Collection[str] = ()) -> str:
    """Why compose cannot create a new container beside the old one; empty when it can.

    `image_volumes` are the folders that the image keeps in volumes without a name.
    """
    if name := service.resolved.get("container_name"):
        return f"both would have the name {name}"
    mounted = {volume.target.rstrip("/") for volume in service.volumes if volume.source or volume.kind != "volume"}
    unnamed = [volume.target for volume in service.volumes if volume.kind == "volume" and not volume.source]
    for target in [*unnamed, *sorted(image_volumes)]:
        if target.rstrip("/") not in mounted:
            return f"its volume at {target} has no name, and a second container would get an empty one"
    for network in (service.resolved.get("networks") or {}).values():
        for key in ("ipv4_address", "ipv6_address", "mac_address"):
            if (network or {}).get(key):
                return f"both would have the address {network[key]}"
    return ""


def stop_first_reason(service: Service) -> str:
    """Why the old container must stop before the new one starts; empty when both may run for a moment."""
    for port in service.ports:
        if port.host_port:
            return f"both would publish port {port.host_port}"
    if service.resolved.get("network_mode") == "host":
        return "both would use the ports of the host"
    for volume in service.volumes:
        if volume.kind in ("volume", "bind") and not volume.read_only:
            return f"both would write to {volume.source or volume.target}"
    if service.gpus.count or service.gpus.ids:
        return "both would need VRAM of the same GPUs"
    if service.resolved.get("devices"):
        return "both would use the same devices"
    return ""


def describe_order(service: Service, image_volumes: Collection[str]) -> str:
    """The order for the plan; empty when the new container starts first."""
    if reason := only_one_reason(service, image_volumes):
        return f"the new container takes the place of the old one, because {reason}"
    if reason := stop_first_reason(service):
        return f"the old container stops first, because {reason}"
    return ""
