"""Why a script in a helper container failed, read from what its tools wrote, and what to do about that cause."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

LAST_LINES = 6  # of the output that are quoted where no cause was found in it
_END_LINES = 30  # of a build: what it lacked and did without stands further up
NETWORK_REMEDY = "check the network of the engine's machine, and the proxies in .env"

Explained = tuple[str, str]  # why, and the remedy
_Cause = Callable[["re.Match[str]"], Explained]


def missing_module(lines: Sequence[str]) -> str:
    """The module for whose lack a build ended; "" when it ended for another reason."""
    end = "\n".join(lines[-_END_LINES:])
    named: list[str] = re.findall(r"(?:ModuleNotFoundError|ImportError): No module named '?([A-Za-z_][\w.]*)", end)
    return named[-1].partition(".")[0] if named else ""


def explain(lines: Sequence[str], code: int) -> Explained:
    """Why the script that wrote `lines` ended with status `code`, and the remedy. An unknown cause is quoted."""
    text = "\n".join(lines)
    for pattern, cause in _CAUSES:
        if found := re.search(pattern, text, re.MULTILINE):
            return cause(found)
    words = " ".join(line.strip() for line in lines[-LAST_LINES:] if line.strip())
    return words or f"it ended with status {code}", "read the log of this operation: it has all that the tools wrote"


def _header(found: re.Match[str]) -> Explained:
    return f"the header {found[1]} is missing", "add the Debian package that has it to build_debs, and build again"


def _cuda(_: re.Match[str]) -> Explained:
    return "it compiles for CUDA, and the base image has no nvcc", "take a base image with it: its tag says `devel`"


def _memory(found: re.Match[str]) -> Explained:
    return f"the engine's machine ran out of memory ({found[0].strip()})", "end other work there, and build again"


def _disk(_: re.Match[str]) -> Explained:
    return "the disk of the engine is full", "make room there: docker system df, docker builder prune"


def _authority(_: re.Match[str]) -> Explained:
    why = "the certificate of a server cannot be verified"
    return why, "set SSL_CERT_FILE in .env to the file with your network's certificate authority"


def _network(found: re.Match[str]) -> Explained:
    return found[0].strip()[:300], NETWORK_REMEDY


def _unmet(found: re.Match[str]) -> Explained:
    needs = "; ".join(" ".join(line.split()) for line in found[1].splitlines())
    return f"the packages do not go together: {needs}", "leave out the version of one of them under debs and build_debs"


def _no_distribution(found: re.Match[str]) -> Explained:
    versions = f"; there is {found[2]}" if found[2] not in ("", "none") else ""
    return (
        f"no index has a source archive or wheel of {found[1]} that fits{versions}",
        "correct the name or the version",
    )


# In this order: what a build says of itself is nearer to the cause than what a tool tried on the way.
_CAUSES: tuple[tuple[str, _Cause], ...] = (
    (r"No space left on device", _disk),
    (r"^.*(?:Killed signal terminated program|out of memory allocating|virtual memory exhausted).*$", _memory),
    (r"fatal error: (\S+?\.(?:h|hpp|hh|cuh)): No such file", _header),
    (r"CUDA_HOME environment variable is not set|nvcc: (?:command )?not found|No such file.*nvcc", _cuda),
    (r"unmet dependencies:\n((?: .*\n?)+)", _unmet),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|Certificate verification failed", _authority),
    (
        r"^.*(?:[Tt]emporary failure (?:in name resolution|resolving)|Could not resolve|Failed to establish a new"
        r" connection|Network is unreachable|Could not connect to|Unable to connect to|Cannot initiate the connection"
        r"|ReadTimeoutError|ProxyError|[Cc]onnection (?:timed out|reset by peer)).*$",
        _network,
    ),
    (r"satisfies the requirement (\S+) .*?\(from versions: ([^)]*)\)", _no_distribution),
)
