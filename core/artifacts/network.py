"""HTTP with the machine's proxies and certificate authorities, and with credentials that go only to their own host."""

from __future__ import annotations

import base64
import os
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3

from core.artifacts.index_settings import ca_file, index_username, machine_index_urls, strip_credentials
from core.artifacts.lockfile import FileKind, LockedFile
from core.errors import XaivaError
from core.presets.model import Index
from core.site import Site

MAX_REDIRECTS = 10
CONNECT_SECONDS = 10
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
SECRET_HEADERS = ("authorization", "cookie")


class Network:
    """The HTTP connections of one operation. Thread-safe; `close` cuts every response that is being read."""

    def __init__(self, site: Site) -> None:
        self._env = site.env
        self._read_seconds = site.settings.sync.stall_seconds
        self._size = site.settings.sync.connections
        self._tls = _tls_context(site.env)
        self._proxies = _proxies(site.env)
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._logins = {urlsplit(url).netloc.rpartition("@")[2]: login for url, login in _logins(site.env)}
        self._open: set[urllib3.BaseHTTPResponse] = set()

    def credentials(self, file: LockedFile, url: str) -> dict[str, str]:
        """The request headers for `file` at `url`; its token goes only to its own origin, not to a mirror.

        Raises XaivaError when its token variable is not set.
        """
        if file.token_variable and _origin(url) == _origin(file.url):
            token = self._env.get(file.token_variable, "")
            if not token:
                raise XaivaError(
                    f"{file.path}: no token",
                    f"{file.token_variable} is not set",
                    f"put {file.token_variable} into .env",
                )
            if file.kind is FileKind.WHEEL or file.username_variable:
                return {"Authorization": _basic(index_username(self._env, file.username_variable), token)}
            return {"Authorization": f"Bearer {token}"}
        return self.machine_credentials(url) if file.kind is FileKind.WHEEL else {}

    def index_credentials(self, index: Index) -> dict[str, str]:
        """The request headers for the pages of a preset's index; empty when its token is not set."""
        token = self._env.get(index.token_variable, "") if index.token_variable else ""
        return {"Authorization": _basic(index_username(self._env, index.username_variable), token)} if token else {}

    def machine_credentials(self, url: str) -> dict[str, str]:
        """The request headers for the host of `url`, from the machine's index settings."""
        login = self._logins.get(urlsplit(url).netloc)
        return {"Authorization": login} if login else {}

    def request(self, method: str, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Send a request and follow redirects, without credentials once they leave the host. Does not read the body.

        Raises urllib3's own errors. Pass the response to `release` afterwards.
        """
        request_headers = {"Accept-Encoding": "identity", "User-Agent": "xaiva", **headers}
        for _ in range(MAX_REDIRECTS):
            response: Any = self._pool(url).request(
                method,
                url,
                headers=request_headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=self._read_seconds),
            )
            location = response.headers.get("location") if response.status in REDIRECT_STATUSES else None
            if not location:
                with self._lock:
                    self._open.add(response)
                return response  # type: ignore[no-any-return]
            response.drain_conn()
            response.release_conn()
            target = urljoin(url, location)
            if _origin(target) != _origin(url):
                request_headers = {
                    name: value for name, value in request_headers.items() if name.lower() not in SECRET_HEADERS
                }
            url = target
        raise urllib3.exceptions.MaxRetryError(self._pool(url).connection_from_url(url), url)

    def release(self, response: urllib3.BaseHTTPResponse, whole: bool) -> None:
        """Return the connection of a response to the pool if its body has been read (`whole`), or close it."""
        with self._lock:
            self._open.discard(response)
        if whole:
            response.drain_conn()
            response.release_conn()
        else:
            response.close()

    def close(self) -> None:
        """Cut all responses that are being read; the threads that read them get an error at once."""
        with self._lock:
            being_read = list(self._open)
        for response in being_read:
            try:
                response.shutdown()
            except (OSError, ValueError, AttributeError):
                pass  # it has ended by itself
        for pool in list(self._pools.values()):
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all", "")
        if proxy and proxy_bypass_environment(parts.netloc.rpartition("@")[2], self._proxies):
            proxy = ""
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._new_pool(proxy)
            return self._pools[proxy]

    def _new_pool(self, proxy: str) -> urllib3.PoolManager:
        common: dict[str, Any] = {"num_pools": 64, "maxsize": self._size, "ssl_context": self._tls, "block": False}
        if not proxy:
            return urllib3.PoolManager(**common)
        address = proxy if "://" in proxy else f"http://{proxy}"
        parts = urlsplit(address)
        headers = {}
        if parts.username:
            headers["proxy-authorization"] = _basic(unquote(parts.username), unquote(parts.password or ""))
        return urllib3.ProxyManager(strip_credentials(address), proxy_headers=headers, **common)


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    """Scheme → proxy in the site's environment, by the rules of the standard library for the process environment."""
    proxies: dict[str, str] = {}
    for name, value in sorted(env.items()):  # lower case comes last and wins, as usual; an empty value means no proxy
        if name.lower().endswith("_proxy"):
            proxies[name.lower().removesuffix("_proxy")] = value
    return {scheme: value for scheme, value in proxies.items() if value}


def _tls_context(env: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    bundle = ca_file(env)
    if bundle:
        try:
            context.load_verify_locations(*((None, bundle) if os.path.isdir(bundle) else (bundle, None)))
        except (OSError, ssl.SSLError) as error:
            raise XaivaError(
                f"Certificate authorities {bundle}", str(error), "correct SSL_CERT_FILE, REQUESTS_CA_BUNDLE or PIP_CERT"
            ) from error
    return context


def _logins(env: Mapping[str, str]) -> list[tuple[str, str]]:
    """(URL, Authorization header) of the machine's index URLs that have credentials."""
    logins = []
    for url in machine_index_urls(env):
        parts = urlsplit(url)
        if parts.username:
            logins.append((url, _basic(unquote(parts.username), unquote(parts.password or ""))))
    return logins


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
