"""The address of an inference service, and what named it."""

from __future__ import annotations

from dataclasses import dataclass

from core.site import Site

SERVICE_PORT = 8600  # what the service listens on in its container
DEFAULT_URL = f"http://127.0.0.1:{SERVICE_PORT}"
SERVICE_VARIABLE = "XAIVA_SERVICE"
SET_URL_REMEDY = "set [service] url in site.toml, which the console reloads automatically"


@dataclass(frozen=True)
class ServiceAddress:
    """Where a service is. `named_by` says what chose the address, "" when it was given by a program.

    `container` publishes it ("" when it was named without one). `remedy` is for when nothing answers there. `assumed`:
    nobody named it and no container publishes it; a service may be there all the same.
    """

    url: str
    named_by: str = ""
    container: str = ""
    remedy: str = f"launch a preset, or {SET_URL_REMEDY}"
    assumed: bool = False

    def __str__(self) -> str:
        return f"Inference service {self.url}{f' (named by {self.named_by})' if self.named_by else ''}"


def named_service(site: Site) -> tuple[str, str]:
    """The service that somebody named, an address or the name of a container or preset, and what names it.

    First that is set wins: `--service` or a choice in the console, XAIVA_SERVICE, `site.toml`. Empty for none.
    """
    if site.service:
        return site.service
    if text := site.env.get(SERVICE_VARIABLE, ""):
        return text, SERVICE_VARIABLE
    return site.settings.service.url, "site.toml, [service] url"


def named_or_default_address(site: Site, why: str = "") -> ServiceAddress:
    """The address that was named, else the usual one: all that is known without asking an engine."""
    text, named_by = named_service(site)
    if is_url(text):
        return ServiceAddress(text if "://" in text else f"http://{text}", named_by)
    return ServiceAddress(DEFAULT_URL, f"default{why}", assumed=True)


def is_url(text: str) -> bool:
    """Whether it is an address, with or without its scheme, and no name."""
    return ":" in text or "/" in text
