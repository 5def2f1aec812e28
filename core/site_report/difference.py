"""What the next shipment to a site can leave out."""

from __future__ import annotations

from core.site_report.model import SiteReport

_ALGORITHM = "sha256:"


def blobs_at_site(report: SiteReport) -> set[str]:
    """The SHA-256, as hexadecimal text, of contents that the site surely has: locked files and layers of images."""
    return files_at_site(report) | layers_at_site(report)


def files_at_site(report: SiteReport) -> set[str]:
    """Locked files that were verified there and have not changed since. A right size alone does not count."""
    return set(report.blobs.value.verified) if report.blobs.value else set()


def layers_at_site(report: SiteReport) -> set[str]:
    """Layers of the images in the engine, by their digest before compression."""
    layers = [layer for image in report.images.value or () for layer in image.layers]
    return {layer.removeprefix(_ALGORITHM) for layer in layers if layer.startswith(_ALGORITHM)}
