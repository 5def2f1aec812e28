"""Python index settings: the machine's own, as pip and uv read them, and a preset's indexes with their tokens."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from core.errors import XaivaError
from core.presets.model import Index

UV_INDEX_VARIABLES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
CHILD_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NETRC")
PASSED_PREFIXES = ("UV_", "SSL_")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def strip_credentials(url: str) -> str:
    """The URL without user name and password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def uv_environment(env: Mapping[str, str], indexes: Collection[Index]) -> dict[str, str]:
    """The environment of a uv child: the machine's settings, and the tokens, which arguments would expose.

    Raises XaivaError for a configuration file of pip that cannot be read.
    """
    child = {name: value for name, value in env.items() if name in CHILD_VARIABLES or name.startswith(PASSED_PREFIXES)}
    child.update({name: value for name, value in env.items() if name.lower() in PROXY_VARIABLES})
    if not any(child.get(name) for name in UV_INDEX_VARIABLES):
        child.update(_pip_settings_for_uv(env, mixed=all(index.packages for index in indexes)))
    if "SSL_CERT_FILE" not in child and (bundle := ca_file(env)):
        child["SSL_CERT_FILE"] = bundle
    for index in indexes:
        name = re.sub(r"[^A-Z0-9]", "_", index.name.upper())
        if index.token_variable and env.get(index.token_variable):
            child[f"UV_INDEX_{name}_USERNAME"] = index_username(env, index.username_variable)
            child[f"UV_INDEX_{name}_PASSWORD"] = env[index.token_variable]
    return child


def index_username(env: Mapping[str, str], variable: str | None) -> str:
    """The user name for a token; `__token__` without a variable, which is the convention of package indexes."""
    return (env.get(variable, "") if variable else "") or "__token__"


def ca_file(env: Mapping[str, str]) -> str:
    """The file of certificate authorities that the environment names, or ""."""
    return next((env[name] for name in CA_VARIABLES if env.get(name)), "")


def machine_index_urls(env: Mapping[str, str]) -> list[str]:
    """Index URLs of the machine's own settings, including credentials."""
    return _urls(uv_environment(env, []), *UV_INDEX_VARIABLES)


def pip_config(env: Mapping[str, str], indexes: Iterable[Index]) -> str:
    """A configuration file of pip with the machine's index settings and a preset's indexes. May contain tokens."""
    settings = uv_environment(env, [])
    main = _urls(settings, "UV_DEFAULT_INDEX", "UV_INDEX_URL")[:1]
    extra = [*_urls(settings, "UV_INDEX", "UV_EXTRA_INDEX_URL"), *(_with_token(index, env) for index in indexes)]
    lines = ["[global]", *(f"index-url = {url}" for url in main)]
    lines += ["extra-index-url =", *(f"    {url}" for url in extra)] if extra else []
    return "\n".join(lines) + "\n"


def _urls(settings: Mapping[str, str], *variables: str) -> list[str]:
    """The URLs in variables of uv, where each may be written `name=url`."""
    words = " ".join(settings.get(variable, "") for variable in variables).split()
    return [re.sub(r"^[\w-]+=(?=https?://)", "", word) for word in words]


def _with_token(index: Index, env: Mapping[str, str]) -> str:
    token = env.get(index.token_variable or "", "")
    if not token:
        return index.url
    parts = urlsplit(index.url)
    login = f"{quote(index_username(env, index.username_variable), safe='')}:{quote(token, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def mixes_indexes(child: Mapping[str, str]) -> bool:
    """Whether uv, with this environment, takes a package from any of several indexes."""
    return child.get("UV_INDEX_STRATEGY", "").startswith("unsafe")


def _pip_settings_for_uv(env: Mapping[str, str], mixed: bool) -> dict[str, str]:
    """pip's index settings as uv's variables. Folders are omitted: no other machine could sync from them.

    pip treats its indexes as one and takes the best version of all. With `mixed` this holds here, too: an extra index
    of a machine often has old copies of packages that the main one has newer. When an index of the preset is asked for
    every package, the first index that has a package wins: nothing of the machine's may mix into the preset's.
    """
    config = _pip_config(env)
    main = env.get("PIP_INDEX_URL") or config.get("index-url", "")
    extra = (env.get("PIP_EXTRA_INDEX_URL") or config.get("extra-index-url", "")).split()
    extra = [url for url in extra if url.startswith(("http://", "https://"))]
    settings: dict[str, str] = {}
    if main.startswith(("http://", "https://")):
        settings["UV_DEFAULT_INDEX"] = main
    if extra:
        settings["UV_INDEX"] = " ".join(extra)
        if mixed and not env.get("UV_INDEX_STRATEGY"):
            settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return settings


def _pip_config(env: Mapping[str, str]) -> dict[str, str]:
    """The section `global` of pip's files. An unreadable file is an error: it may name the only right index."""
    if env.get("PIP_CONFIG_FILE") == os.devnull:
        return {}
    home = Path(env.get("HOME", "") or Path.home())
    config_home = Path(env.get("XDG_CONFIG_HOME", "") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    if env.get("PIP_CONFIG_FILE"):
        files.append(Path(env["PIP_CONFIG_FILE"]))
    parser = configparser.RawConfigParser()
    for path in files:
        try:
            parser.read_string(path.read_text(encoding="utf-8"), str(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (configparser.Error, OSError, UnicodeDecodeError) as error:
            raise XaivaError(
                f"pip's index settings in {path}",
                " ".join(str(error).split()),
                "correct the file, or set UV_DEFAULT_INDEX or PIP_CONFIG_FILE=/dev/null in its place",
            ) from error
    return dict(parser["global"]) if parser.has_section("global") else {}
