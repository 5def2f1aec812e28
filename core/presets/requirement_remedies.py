"""Suggests a correction for a requirement line that neither pip nor uv can read."""

from __future__ import annotations

import re
from collections.abc import Callable

from packaging.requirements import InvalidRequirement, Requirement

_NAME = r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?(?:\[[^\]]*\])?)"
_NUMBER = r"v?(\d[\w.!+-]*?)"

_COMMAND = r"(?:[!%]?\s*)?(?:python\S* -m )?(?:uv )?pip3? install (?:-\S+ )*"
_NUMBER_ALONE = re.compile(_NUMBER)
_REPOSITORY = re.compile(rf"(?P<name>{_NAME}\s*@\s*)?(?:(?P<scheme>git|ssh)://|(?=[\w.-]+@[\w.-]+:))(?P<place>\S+)")

# A wrong form and its correction. The first that matches and gives a valid requirement is suggested.
_CORRECTIONS: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (rf"{_COMMAND}(.+)", r"\1"),
    (r"[-*]\s+(.+)", r"\1"),  # a list of YAML or Markdown
    (r"""["'](.+)["'],?""", r"\1"),  # a list of TOML, JSON or Python
    (r"(.+?)\s*[,;]", r"\1"),
    (rf"{_NAME}\s*=\s*{_NUMBER}=\S+", r"\1==\2"),  # conda list --export
    (rf"{_NAME}\s*=\s*{_NUMBER}", r"\1==\2"),
    (rf"{_NAME}\s*===?=?\s*{_NUMBER}-(\d+)", r"\1==\2.post\3"),
    (rf"{_NAME}\s+{_NUMBER}", r"\1==\2"),
    (rf"{_NAME}\s*@\s*{_NUMBER}", r"\1==\2"),
    (rf"{_NAME}\s*\^\s*(\d+(?:\.\d+)*)", lambda match: f"{match[1]}>={match[2]},<{_next_major(match[2])}"),
    (rf"{_NAME}\s*~\s*{_NUMBER}", r"\1~=\2"),
    (rf"{_NAME}\s*(?:=>|≥)\s*{_NUMBER}", r"\1>=\2"),
    (rf"{_NAME}\s*(?:=<|≤)\s*{_NUMBER}", r"\1<=\2"),
    (rf"{_NAME}\s*(>=|<=|>|<|~=)\s*(\d[\d.]*)\.\*", r"\1\2\3"),
    (rf"{_NAME}\s*==\s*(\d+(?:\.\d+)*)\.?[x*]", r"\1==\2.*"),
    (rf"{_NAME}\s*(==|>=|<=|>|<|~=|!=)\s*v(\d[\w.]*)", r"\1\2\3"),
    (rf"{_NAME}\s*(==|>=|<=|>|<|~=|!=)\s*", r"\1"),
    (rf"{_NAME}\s*\((\d[\w.]*)\)", r"\1==\2"),
    (r"([\w.-]+)\s*([<>=!~]+[^\[\]]+?)\s*(\[[^\]]+\])", r"\1\3\2"),
    (r"(\S+?)((?:[<>=!~]=?\S+\s*)+)(?:and|&&?)\s*([<>=!~].+)", r"\1\2,\3"),
    (r"([^<>=!~]+)((?:\s*[<>=!~]=?[^,\s]+)(?:\s+[<>=!~]=?[^,\s]+)+)", lambda match: _with_commas(match)),
    (r"(.*(?:python_version|python_full_version)\s*[<>=!~]+\s*)(\d[\d.]*)(.*)", r'\1"\2"\3'),
]


def remedy_of(line: str) -> str:
    """The remedy for a line that cannot be read."""
    if line.startswith("@EXPLICIT") or re.match(r"_\w+=", line):
        return "remove it: only conda uses it; `pip list --format=freeze` writes a file of Python packages"
    if re.match(r"<{7}|={7}|>{7}|\|{7}", line):
        return "resolve the merge conflict that left this line"
    if repository := _REPOSITORY.fullmatch(line.strip()):
        return f"write {repository['name'] or ''}{_with_scheme(repository)}"
    for pattern, right in _CORRECTIONS:
        match = re.fullmatch(pattern, line.strip())
        if match is None:
            continue
        corrected = match.expand(right) if isinstance(right, str) else right(match)
        if corrected and corrected != line and _is_requirement(corrected):
            return f"write {corrected}"
    if several := _split_requirements(re.sub(_COMMAND, "", line)):
        return f"write each on a line of its own: {', '.join(several)}"
    return 'write it as in "numpy>=1.26.4,<2" (PEP 508), or remove it'


def _split_requirements(line: str) -> list[str]:
    """The requirements of a line that lists several: `torch==2.0.0 torchvision==0.15.1`; else empty."""
    words = line.replace(",", " ").split()
    several = len(words) > 1 and all(re.match(_NAME, word) and _is_requirement(word) for word in words)
    return words if several and not _NUMBER_ALONE.fullmatch(words[1]) else []


def _with_scheme(repository: re.Match[str]) -> str:
    """The address of a repository in pip's form: in `git@host:path` the colon becomes a slash."""
    if repository["scheme"] == "git":
        return f"git+https://{repository['place']}"  # most hosts no longer serve `git://`
    place = repository["place"] if repository["scheme"] else repository["place"].replace(":", "/", 1)
    return f"git+ssh://{place}"


def _is_requirement(text: str) -> bool:
    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


def _next_major(version: str) -> str:
    return str(int(version.partition(".")[0]) + 1)


def _with_commas(match: re.Match[str]) -> str:
    return match[1].strip() + ",".join(match[2].split())
