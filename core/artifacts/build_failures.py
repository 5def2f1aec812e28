"""Explains why a script in a helper container failed, from the output of its tools: the cause and its remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

QUOTED_LINES = 6  # of the output, when it shows no known cause
_END_LINES = 30  # of a build's output; optional things that it lacked are named further up
_PIP_RETRY = re.compile(r"Retry\(total=[1-9]")  # pip tries again; it fails only with total=0
_TOOL_PACKAGES = {  # program → its Debian package, where the names differ
    "cargo": "cargo, rustc",
    "mysql_config": "default-libmysqlclient-dev",
    "pg_config": "libpq-dev",
    "rustc": "cargo, rustc",
}
_REMOVED_MODULES = re.compile(  # no longer in the standard library of 3.12 and 3.13
    "asynchat|asyncore|audioop|cgi|cgitb|crypt|distutils|imghdr|imp|lib2to3|pipes|smtpd|sndhdr|telnetlib"
)
ENGINE_NETWORK_REMEDY = "check the network of the engine's machine, and the proxies in .env"

Explanation = tuple[str, str]  # why, and the remedy
_Cause = Callable[["re.Match[str]"], Explanation]


def missing_module(lines: Sequence[str]) -> str:
    """The missing module that made a build fail; "" when it failed for another reason."""
    end = "\n".join(lines[-_END_LINES:])
    modules: list[str] = re.findall(r"(?:ModuleNotFoundError|ImportError): No module named '?([A-Za-z_][\w.]*)", end)
    return modules[-1].partition(".")[0] if modules else ""


def remedy_for_module(module: str) -> str:
    """How to provide a module to a build, as part of a remedy."""
    if module == "pkg_resources":
        return "add setuptools<81 (it has pkg_resources) to a layer"
    return f"add the package that has {module} to a layer"


def is_removed_module(module: str) -> bool:
    """Whether newer versions of Python dropped the module from the standard library; no package has it then."""
    return bool(_REMOVED_MODULES.fullmatch(module))


def explain_failure(lines: Sequence[str], code: int) -> Explanation:
    """Why the script that wrote `lines` ended with status `code`, and the remedy.

    The last lines are quoted when the cause is unknown.
    """
    lines = [line for line in lines if not _PIP_RETRY.search(line)]
    whole, end = "\n".join(lines), "\n".join(lines[-_END_LINES:])
    for pattern, cause in _CAUSES:
        if match := re.search(pattern, end if cause in _OPTIONAL_LOOKUPS else whole, re.MULTILINE):
            return cause(match)
    last_words = " ".join(line.strip() for line in lines[-QUOTED_LINES:] if line.strip())
    return (
        last_words or f"it ended with status {code}",
        "read the log of this operation: it has the full output of the tools",
    )


def _header(match: re.Match[str]) -> Explanation:
    return f"the header {match[1]} is missing", "add the Debian package that has it to build_debs, and build again"


def _library(match: re.Match[str]) -> Explanation:
    name = next(group for group in match.groups() if group)
    why = f"the library {name} is missing"
    return why, "add the Debian package with its files for development (lib…-dev) to build_debs, and build again"


def _tool(match: re.Match[str]) -> Explanation:
    name = next(group for group in match.groups() if group).rpartition("/")[2].lower()
    package = _TOOL_PACKAGES.get(name, name)
    return f"the program {name} is missing", f"add its Debian package to build_debs ({package}), and build again"


def _rust(_: re.Match[str]) -> Explanation:
    return (
        "the Rust compiler is missing",
        f"add its Debian packages to build_debs ({_TOOL_PACKAGES['cargo']}), and build again",
    )


def _compiler(match: re.Match[str]) -> Explanation:
    why = f"the compiler rejects its source: {match[0].strip()}"
    return why, "choose a version that fits this Python and the locked packages; the log has all errors"


def _no_apt(_: re.Match[str]) -> Explanation:
    return "the base image has no apt-get", "use a Debian or Ubuntu base image"


def _other_python(match: re.Match[str]) -> Explanation:
    pythons = next(group for group in match.groups()[1:] if group)
    return f"it needs Python {pythons}", "choose a version for this Python, or change python_version in the preset"


def _other_cuda(match: re.Match[str]) -> Explanation:
    why = f"the base image has CUDA {match[1]}, and the locked PyTorch is for {match[2]}"
    return why, f"choose a base image with CUDA {match[2]}, or PyTorch for {match[1]}"


def _cuda(_: re.Match[str]) -> Explanation:
    return (
        "it compiles for CUDA, and the base image has no nvcc",
        "choose a base image that has it: its tag contains `devel`",
    )


def _memory(match: re.Match[str]) -> Explanation:
    return f"the engine's machine ran out of memory ({match[0].strip()})", "stop other work there, and build again"


def _disk(_: re.Match[str]) -> Explanation:
    return "the disk of the engine is full", "free some space there: docker system df, docker builder prune"


def _authority(_: re.Match[str]) -> Explanation:
    why = "the certificate of a server cannot be verified"
    return why, "set SSL_CERT_FILE in .env to the file with your network's certificate authority"


def _network(match: re.Match[str]) -> Explanation:
    return match[0].strip()[:300], ENGINE_NETWORK_REMEDY


def _unmet(match: re.Match[str]) -> Explanation:
    needs = "; ".join(" ".join(line.split()) for line in match[1].splitlines())
    return f"the packages conflict: {needs}", "remove one of them, or its version, from debs and build_debs"


def _no_distribution(match: re.Match[str]) -> Explanation:
    versions = f"; available: {match[2]}" if match[2] not in ("", "none") else ""
    return (
        f"no index has a matching source archive or wheel of {match[1]}{versions}",
        "correct the name or the version",
    )


# A build may look for these and do without them: they are the cause only at the end of the output.
_OPTIONAL_LOOKUPS = (_tool, _library, _network)
# Order matters: what a build reports itself is nearer to the cause than what a tool tried on the way.
_CAUSES: tuple[tuple[str, _Cause], ...] = (
    (r"No space left on device|Disk quota exceeded", _disk),
    (
        r"^.*(?:Killed signal terminated program|out of memory allocating|virtual memory exhausted|failed: Killed"
        r"|died due to signal 9|\bMemoryError\b).*$",
        _memory,
    ),
    (
        r"detected CUDA version \(([\d.]+)\) mismatches the version that was used to compile\s+PyTorch \(([\d.]+)\)",
        _other_cuda,
    ),
    (
        r"CUDA_HOME environment variable is not set|KeyError: 'CUDA_HOME'|nvcc: (?:command )?not found"
        r"|No such file.*nvcc|fatal error: cuda\w*\.h: No such file",
        _cuda,
    ),
    (r"fatal error: (\S+): No such file", _header),
    (r"apt-(?:get|cache): (?:command )?not found", _no_apt),
    (r"can't find Rust compiler|Cargo, the Rust package manager, is not installed", _rust),
    (
        r"No such file or directory: '([\w.+/-]+)'\s*(?:error: subprocess-exited|$)"
        r"|command '([\w.+/-]+)' failed: No such|sh: (?:\d+: )?([\w.+-]+): (?:command )?not found"
        r"|(\w+) executable not found|(CMake|pkg-config) (?:must be installed|is required for)"
        r"|Unknown compiler\(s\): \[\['([\w.+-]+)'",
        _tool,
    ),
    (
        r"No package '([\w.+-]+)' found|Package '?([\w.+-]+)'?(?:, required by .*,| was) not found"
        r"|Dependency \"([\w.+-]+)\" not found|configuration file provided by\s+\"(\w+)\""
        r"|CMake Error.*\n\s*Could NOT find (\w+)|ld: cannot find -l([\w.+-]+)",
        _library,
    ),
    (
        r"different python version: (?:.*; )?(\S+) Requires-Python ([^;\n]+)(?:;.*)?\n.*requirement [\w.-]+==\1 "
        r"|requires a different Python: \S+ not in '([^']+)'|Cannot install on Python version .*versions (\S+) are",
        _other_python,
    ),
    (r"^ *(?!\S*(?:conftest|_configtest|CMake))\S+:\d+(?::\d+)?: (?:fatal )?error: .*$", _compiler),
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
