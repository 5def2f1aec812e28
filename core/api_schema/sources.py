"""Normalises the source of a camera as people paste it. Ambiguous text is left unchanged."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote

_QUOTES = (('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("„", "“"), ("‘", "’"), ("«", "»"), ("<", ">"))
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_WITHOUT_INVISIBLE = dict.fromkeys(map(ord, _INVISIBLE))
_NETWORK = re.compile(r"(rtsps?|https?|udp|tcp):[/\\]{2}(.*)", re.I | re.S)
_FILE = re.compile(r"file:(.*)", re.I | re.S)
_SPECIAL = {" ": "%20", "/": "%2F", "\\": "%5C", "?": "%3F", "#": "%23", "@": "%40"}  # in a login
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:@\s]*)(?::\d*)?")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+)(?::\d+)?")
_IPV6_AND_PORT = re.compile(r"(.+):(554|80|443|8080|8554|\d{5})")  # a group of an IPv6 address has at most four digits


def normalised_source(text: str) -> str:
    """Remove surrounding blanks and quotes, lower the scheme, and turn a file URL into a path.

    In a network address, special characters of the login are percent-encoded, and an IPv6 address gets brackets.
    Normalising twice gives the same as normalising once.
    """
    text = _strip_wrapping(text)
    if match := _NETWORK.match(text):
        return f"{match[1].lower()}://{_normalise_network_part(match[2].translate(_WITHOUT_INVISIBLE))}"
    if match := _FILE.match(text):
        return _file_path(match[1])
    return text


def _strip_wrapping(text: str) -> str:
    previous = None
    while text != previous:
        previous, text = text, text.strip().strip(_INVISIBLE)
        for opening, closing in _QUOTES:
            if len(text) > 1 and text[0] == opening and text[-1] == closing:
                text = text[1:-1]
    return text


def _normalise_network_part(rest: str) -> str:
    login, location = _split_login(rest)
    end = re.search(r"[/\\?#]", location)
    host, path_and_query = (location[: end.start()], location[end.start() :]) if end else (location, "")
    path = re.match(r"[^?#]*", path_and_query)
    assert path is not None
    path_and_query = path[0].replace("\\", "/") + path_and_query[path.end() :]
    return (
        login + _bracket_ipv6(host) + path_and_query.replace(" ", "%20").replace("&amp;", "&")
    )  # copied from a web page


def _split_login(rest: str) -> tuple[str, str]:
    """Split off the login with its @, percent-encoded. An @ that may belong to the path is not taken for one."""
    end = re.search(r"[/?#]", rest)
    authority = rest[: end.start()] if end else rest
    if "@" in authority:
        at = authority.rindex("@")
    elif "@" in rest and not _HOST_AND_PORT.fullmatch(authority):
        at = rest.rindex("@")  # not a host: a /, ? or # in the password ended it early
        if not _HOST.fullmatch(re.split(r"[/?#]", rest[at + 1 :])[0]):
            return "", rest
    else:
        return "", rest
    login = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", rest[:at])
    return "".join(_SPECIAL.get(letter, letter) for letter in login) + "@", rest[at + 1 :]


def _bracket_ipv6(host: str) -> str:
    """Add brackets to an IPv6 address, unless its last part could also be a port."""
    if host.startswith("[") or host.count(":") < 2:
        return host
    port = _IPV6_AND_PORT.fullmatch(host)
    if port and _is_ipv6(port[1]):
        return host if _is_ipv6(host) else f"[{port[1]}]:{port[2]}"
    return f"[{host}]" if _is_ipv6(host) else host


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _file_path(rest: str) -> str:
    """The path of a `file:` URL. A URL with another host is left unchanged and refused later."""
    rest = rest.replace("\\", "/")
    if rest.lower().startswith("//localhost/"):
        rest = rest[len("//localhost") :]
    elif rest.startswith(("///", "//~/")):
        rest = rest[2:]
    elif rest.startswith("//"):
        return f"file:{rest}"
    path = unquote(rest)
    return path[1:] if path.startswith("/~/") else path
