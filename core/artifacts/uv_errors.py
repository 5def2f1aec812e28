"""Turns errors of uv into errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.artifacts.index_binding import BINDING_PROJECT, LOCAL_WHEELS_INDEX
from core.artifacts.uv_compile import PINS, ResolveRequest, package_name
from core.artifacts.uv_output import missing_packages, possible_names, refused_index
from core.errors import XaivaError
from core.presets.index_entries import entry_json, pytorch_entry, pytorch_tag_of
from core.presets.model import Index
from core.presets.package_binding import index_for


class ResolutionConflict(XaivaError):
    """The requirements in `request` cannot be met together."""

    def __init__(self, what: str, why: str, remedy: str, request: ResolveRequest) -> None:
        super().__init__(what, why, remedy)
        self.request = request


def error_from_refusal(refusal: str, request: ResolveRequest, bound: Mapping[str, Index]) -> XaivaError:
    """The error for a message of uv; `bound` has the packages with a single index."""
    text = re.sub(r"(?m)^(error|\s*cause):\s*", "", refusal).strip()
    if "Failed to fetch" in refusal or "dns error" in refusal:
        return _fetch_error(" ".join(text.split()))
    if refused := refused_index(refusal):
        return machine_index_error(refused[0], f"it answers {refused[1]}")
    head, unsolvable, text = text.partition("No solution found when resolving dependencies")
    if not unsolvable:
        return XaivaError(
            f"The requirements of {request.preset} cannot be resolved", head, "correct what the message names"
        )
    text = text.partition("\n\nhint: ")[0].strip().replace(f"{BINDING_PROJECT} depends on", "you require")
    packages = possible_names(text)
    if tagged := _tagged_without_index(request, set(missing_packages(refusal))):
        tag = pytorch_tag_of(tagged)
        why = f"no index of this preset has a release with +{tag}: PyTorch's index for {tag} has them"
        return XaivaError(tagged, why, f'add to "indexes" of the preset: {entry_json(pytorch_entry(tag))}')
    requirements = _requirements_by_place(request, packages)
    bindings = {name: f"from {index_label(bound[name])} alone" for name in sorted(packages & bound.keys())}
    rows = [*requirements.items(), *bindings.items()]
    return ResolutionConflict(
        f"The requirements of {request.preset} cannot be met together ({', '.join(requirements)})",
        "\n".join([re.sub(r"(?m)^ {9}", "  ", text), *(f"  {name}: {what}" for name, what in rows)]),
        "loosen one of the versions named above, in its layer or in pins",
        request,
    )


def _fetch_error(why: str) -> XaivaError:
    """The error for an index that provided nothing. The remedy is about the network only if no server answered."""
    if "HTTP status" in why:
        remedy = "open that address in a browser: its server refuses the request; then lock again"
        return XaivaError("The package index refuses the request", why, remedy)
    if "certificate" in why:
        remedy = "set SSL_CERT_FILE in .env to the file with your network's certificate authority, then lock again"
        return XaivaError("The package index is not trusted", why, remedy)
    remedy = "check the network, proxy and index settings (UV_DEFAULT_INDEX or PIP_INDEX_URL), then lock again"
    return XaivaError("The package index does not answer", why, remedy)


def machine_index_error(url: str, why: str) -> XaivaError:
    """The error for an index of the machine's own settings that refuses; `url` is without credentials."""
    return XaivaError(
        f"The package index {url} cannot be used",
        why,
        "check this machine's index settings (UV_… and PIP_… variables, pip.conf, .netrc, a keyring), then lock again",
    )


def index_label(index: Index) -> str:
    """Name and URL of an index, for messages."""
    return f"index {index.name} ({index.url})" if index.name != LOCAL_WHEELS_INDEX else "local-wheels"


def _tagged_without_index(request: ResolveRequest, missing: set[str]) -> str:
    """A requirement such as `torch==2.1.0+cu118` whose package is missing and has no index in the preset, or ""."""
    lines = [line for _, lines in [*request.layers, (PINS, request.pins)] for line in lines]
    tagged = (line for line in lines if package_name(line) in missing and pytorch_tag_of(line))
    return next(
        (line for line in tagged if not (index_for(package_name(line), request.indexes) or request.unbound)), ""
    )


def _requirements_by_place(request: ResolveRequest, packages: set[str]) -> dict[str, str]:
    """`layer NAME` or `pins` → its requirements of these packages."""
    rows = [*((f"layer {name}", lines) for name, lines in request.layers), (PINS, request.pins)]
    requirements = {place: ", ".join(line for line in lines if package_name(line) in packages) for place, lines in rows}
    return {place: text for place, text in requirements.items() if text}
