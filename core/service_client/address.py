"""The address of an inference service, and where it was set."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.site import SERVICE_VARIABLE, Site

SERVICE_PORT = 8600  # what the service listens on in its container
DEFAULT_URL = f"http://127.0.0.1:{SERVICE_PORT}"
SET_URL_REMEDY = "set [service] url in site.toml, which the console reloads automatically"
DEMO_REMEDY = "quit, and start the demo again: xaiva demo"  # its service is never started a second time


@dataclass(frozen=True)
class ServiceAddress:
    """The address of a service, and where it was found."""

    url: str
    named_by: str = ""
    """Where the address was set; empty: by a program."""
    container: str = ""
    """The container that publishes the address, if it is known."""
    remedy: str = f"launch a preset, or {SET_URL_REMEDY}"
    """What to do if nothing answers there."""
    assumed: bool = False
    """The address is only the default: nobody set it, and no container publishes it."""

    def __str__(self) -> str:
        return f"Inference service {self.url}{f' (named by {self.named_by})' if self.named_by else ''}"


def named_service(site: Site) -> tuple[str, str]:
    """The address, container or preset of the service as it was set, and where it was set; empty if it was not.

    The first of these wins: `--service` or a choice in the console, XAIVA_SERVICE, `site.toml`.
    """
    if site.service:
        return site.service
    if text := site.env.get(SERVICE_VARIABLE, ""):
        return text, SERVICE_VARIABLE
    return site.settings.service.url, "site.toml, [service] url"


def named_or_default_address(site: Site, why: str = "") -> ServiceAddress:
    """The address that was set, else the default. Does not ask an engine."""
    text, named_by = named_service(site)
    if is_url(text):
        address = ServiceAddress(text if "://" in text else f"http://{text}", named_by)
        return replace(address, remedy=DEMO_REMEDY) if site.settings.demo else address
    return ServiceAddress(DEFAULT_URL, f"default{why}", assumed=True)


def is_url(text: str) -> bool:
    """Whether the text is an address, with or without a scheme, and not a name."""
    return ":" in text or "/" in text
