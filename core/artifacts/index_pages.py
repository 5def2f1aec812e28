"""Reads pages of Python indexes without uv: whether a URL is an index at all, and whether it has a package."""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

import urllib3
from packaging.requirements import Requirement
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from core.artifacts.index_failures import IndexFailure, failure_from_status, not_an_index
from core.artifacts.index_settings import machine_index_urls, mixes_indexes, strip_credentials, uv_environment
from core.artifacts.network import Network
from core.artifacts.uv_output import Wheel
from core.presets.model import Index

_MAX_PAGE_BYTES = 4 << 20  # the first links of a longer page are enough
_THREADS = 8
_ENDLESS_REDIRECT = 302  # stands for a page with too many redirects
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
_FILE = re.compile(r"\.(whl|tar\.gz|tgz|tar\.bz2|tar\.xz|zip|egg|exe)$")
_EMPTY = re.compile(r"\b(links for|simple|index|listing)\b", re.IGNORECASE)  # the title of an index page without links
_LINK = re.compile(r"""<a\s[^>]*?href\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)


@dataclass(frozen=True)
class IndexPage:
    """The response of a URL; `kind` is its media type."""

    url: str
    status: int
    kind: str
    text: str

    def links_to(self, pattern: re.Pattern[str]) -> bool:
        """Whether a link of the page matches the pattern."""
        if "json" in self.kind:
            return '"files"' in self.text and bool(re.search(r'"filename"', self.text))
        return any(pattern.search(urljoin(self.url, link).partition("#")[0].partition("?")[0]) for link in self.links())

    def links(self) -> list[str]:
        """The URLs that the page links to."""
        return _LINK.findall(self.text)

    def files(self) -> list[tuple[str, str]]:
        """(name, SHA-256) of the files on the page; the SHA-256 is "" when the page does not have it."""
        if "json" in self.kind:
            try:
                entries = json.loads(self.text)["files"]
                return [(entry["filename"], entry.get("hashes", {}).get("sha256", "")) for entry in entries]
            except (ValueError, KeyError, TypeError, AttributeError):
                return []
        links = [urlsplit(html.unescape(link)) for link in self.links()]
        return [
            (unquote(link.path.rpartition("/")[2]), dict(parse_qsl(link.fragment)).get("sha256", "")) for link in links
        ]

    def is_index(self, pattern: re.Pattern[str]) -> bool:
        """Whether this is a page of an index: it links to `pattern`, or is empty in the way of an empty index."""
        if "json" in self.kind:
            return self.kind.startswith("application/vnd.pypi.simple") and bool(re.search(r'"api-version"', self.text))
        if "pypi:repository-version" in self.text or self.links_to(pattern):
            return True
        if self.links() or "<" not in self.text or re.search(r"<(form|script|input)\b", self.text, re.IGNORECASE):
            return False
        visible_text = " ".join(re.sub(r"<[^>]*>", " ", self.text).split())
        return not visible_text or bool(_EMPTY.search(visible_text))


class IndexPages:
    """Reads pages of a preset's indexes with their tokens, and of the machine's with the logins in their URLs.

    It does not know logins that only uv finds (netrc, a keyring), so a missing response proves nothing.
    """

    def __init__(self, network: Network, indexes: Iterable[Index]) -> None:
        self._network = network
        self.unresponsive: set[str] = set()  # URLs of indexes that did not respond; they are not requested again
        self._logins = {index.url.rstrip("/"): network.index_credentials(index) for index in indexes}

    def failure_at_root(self, index: Index) -> IndexFailure | None:
        """The failure of an index without any result, if there is no index at its URL; else None."""
        root = index.url.rstrip("/") + "/"
        page = self._read(root)
        if page is None:
            return None
        if page.status in (404, 410):
            return failure_from_status(page.status, f"{page.status} at its root", index.token_variable)
        below = re.compile(re.escape(page.url) + r"[^/]+/?$")
        return not_an_index() if page.status == 200 and not page.is_index(below) else None

    def failure_of_package(self, index: Index, package: str) -> IndexFailure | None:
        """The failure of an index that lists no release of a package, if its page is not an index page; else None."""
        page = self._read(f"{index.url.rstrip('/')}/{package}/")
        return not_an_index() if page is not None and page.status < 400 and not page.is_index(_FILE) else None

    def source_archive(self, index: Index, requirement: Requirement) -> tuple[str, str]:
        """(version, SHA-256) of the newest matching source archive that an index lists; ("", "") without one."""
        page = self._read(f"{index.url.rstrip('/')}/{canonicalize_name(requirement.name)}/")
        archives = []
        for filename, sha256 in page.files() if page is not None and page.status == 200 else ():
            with contextlib.suppress(InvalidSdistFilename):
                archives.append((parse_sdist_filename(filename)[1], sha256))
        matching = [
            (version, sha256) for version, sha256 in archives if sha256 and requirement.specifier.contains(version)
        ]
        version, sha256 = max(matching, default=("", ""))
        return str(version), sha256

    def indexes_with(self, packages: Iterable[str], urls: Iterable[str]) -> dict[str, list[str]]:
        """Package → those of the indexes at `urls` that list releases of it. Omits packages that none has."""
        pairs = [(package, url) for package in packages for url in urls]
        with ThreadPoolExecutor(_THREADS) as pool:
            answers = list(pool.map(self._has_releases, *zip(*pairs, strict=True))) if pairs else []
        urls_by_package: dict[str, list[str]] = {}
        for (package, url), has_releases in zip(pairs, answers, strict=True):
            if has_releases:
                urls_by_package.setdefault(package, []).append(url)
        return urls_by_package

    def _has_releases(self, package: str, url: str) -> bool:
        page = None if url in self.unresponsive else self._read(f"{url.rstrip('/')}/{package}/")
        if page is None:
            self.unresponsive.add(url)
        return page is not None and page.status == 200 and page.links_to(_FILE)

    def _read(self, url: str) -> IndexPage | None:
        """The page at a URL; None without a response."""
        credentials = next((login for root, login in self._logins.items() if f"{url}/".startswith(f"{root}/")), {})
        try:
            response = self._network.request(
                "GET", url, {**(credentials or self._network.machine_credentials(url)), "Accept": _ACCEPT}
            )
        except urllib3.exceptions.MaxRetryError:
            return IndexPage(url, _ENDLESS_REDIRECT, "", "")
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        try:
            body = response.read(_MAX_PAGE_BYTES, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        finally:
            self._network.release(response, whole=False)
        kind = response.headers.get("content-type", "").lower()
        return IndexPage(url, response.status, kind, body.decode(errors="replace"))


def shared_packages(
    wheels: Iterable[Wheel], indexes: list[Index], bound: Mapping[str, Index], env: Mapping[str, str], pages: IndexPages
) -> dict[str, list[str]]:
    """Package → URLs of the indexes that have it, its own first. `indexes` are those without bound packages."""
    preset_urls = [_plain_url(index.url) for index in indexes]
    if not preset_urls:
        return {}
    homes = {wheel.name: _plain_url(wheel.index) for wheel in wheels if wheel.index and wheel.name not in bound}
    machine_urls = [_plain_url(url) for url in machine_index_urls(env) if url.startswith(("http://", "https://"))]
    other_urls = [url for url in dict.fromkeys([*machine_urls, *homes.values()]) if url not in preset_urls]
    mixed = mixes_indexes(uv_environment(env, indexes))
    shared = {}
    for home in dict.fromkeys(homes.values()):
        if home not in preset_urls and not mixed:
            continue  # the preset's indexes were asked first and had none of these
        others = [url for url in [*preset_urls, *(other_urls if home in preset_urls else ())] if url != home]
        names = [name for name, url in homes.items() if url == home]
        shared.update({name: [home, *urls] for name, urls in pages.indexes_with(names, others).items()})
    return dict(sorted(shared.items()))


def _plain_url(url: str) -> str:
    return strip_credentials(url).rstrip("/")
