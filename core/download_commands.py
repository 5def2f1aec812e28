"""Finds commands that download: package managers, clients of hubs and stores, and calls that fetch a model.

Only the text of a command is examined, not the scripts that it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from core.shell_commands import Call, parse_calls, parse_words


class DownloadCommand(NamedTuple):
    """A command that downloads: its text, the reason, and what to do instead."""

    command: str
    why: str
    remedy: str


class _Fetcher(NamedTuple):
    names: re.Pattern[str]  # of the program
    arguments: re.Pattern[str]  # their beginning, without options before them
    harmless: re.Pattern[str] | None  # what keeps it from using the network
    why: str
    remedy: str


_HOST = r"(?:[^\s/@]*@)?(?:localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\]|\$\{?HOSTNAME\}?)(?![\w.-])"
_LOCAL = rf"(?!.*(?<!file)://(?!{_HOST}))(?=.*(?:file://|(?:^|[\s/'\"]){_HOST}))"  # a local address, and no other
_REMOTE = r"(?=\s).*(?:(?<!file)://|\s[\w.@-]+:(?!//)\S)"  # followed by a URL or HOST:PATH
_SAYS_ITSELF = r"^(?:-V|-h|--version)$"
_ASKS_NOTHING = rf"{_SAYS_ITSELF}|^$"
_AS_SOURCE = "add the file to the sources of the preset; it then comes from sources/"
_AS_MODEL = "add it to the models of the preset; it then comes from models/"
_AS_LAYER = "add the packages to a layer of the preset; their wheels are then locked"
_AN_INDEX, _A_STORE = "it contacts a package index", "it downloads from a hub or a store"
_OFFLINE = r"--offline\b|--no-index\b|\b(?:UV_OFFLINE|UV_NO_INDEX|PIP_NO_INDEX)=(?:1|true|yes|on)\b"
_FILES_ALONE = (
    r"^(?:pip\s+)?install(?=.*\s--no-deps\b)(?=.*(?:\s--no-build-isolation\b|\.whl))"
    r"(?:\s+(?:-\S+|\.{0,2}/\S*|\.|\S+\.whl))*$"
)
_HUB_OFFLINE = r"\b(?:HF_HUB|TRANSFORMERS|HF_DATASETS)_OFFLINE=(?:1|true|yes|on)\b"


def _fetcher(names: str, arguments: str, harmless: str, why: str, remedy: str) -> _Fetcher:
    stays = re.compile(harmless, re.IGNORECASE | re.DOTALL) if harmless else None
    return _Fetcher(re.compile(names), re.compile(arguments, re.DOTALL), stays, why, remedy)


def _verbs(*words: str) -> str:
    return rf"(?:{'|'.join(words)})(?:\s|$)"


_FETCHERS = (
    _fetcher(
        r"pip[0-9.]*",
        _verbs("install", "download", "wheel", "lock"),
        f"{_OFFLINE}|{_FILES_ALONE}",
        "pip without --no-index contacts a package index",
        "add --no-index --find-links",
    ),
    _fetcher(
        "uv",
        _verbs(r"pip\s+(?:install|sync|compile)", "sync", "lock", "add", "run", "tool", r"python\s+install"),
        f"{_OFFLINE}|{_FILES_ALONE}",
        _AN_INDEX,
        _AS_LAYER,
    ),
    _fetcher(r"uvx|pip-sync|easy_install", r"\S", f"{_OFFLINE}|{_ASKS_NOTHING}", _AN_INDEX, _AS_LAYER),
    _fetcher(
        "poetry|pdm|pipenv|rye|pixi|hatch|pipx",
        _verbs("install", "add", "update", "upgrade", "sync", "lock", r"self\s+(?:add|update)", r"env\s+create"),
        _OFFLINE,
        _AN_INDEX,
        _AS_LAYER,
    ),
    _fetcher("pixi|hatch|pipx", _verbs("run", "inject"), _OFFLINE, _AN_INDEX, _AS_LAYER),
    _fetcher(
        "conda|mamba|micromamba|conda-lock",
        _verbs("install", "create", "update", "upgrade", r"env\s+(?:create|update)"),
        r"--offline\b",
        "it contacts a package channel",
        _AS_LAYER,
    ),
    _fetcher(
        "apt|apt-get|aptitude",
        _verbs(
            "update", "install", "upgrade", "dist-upgrade", "full-upgrade", "download", "source", "build-dep", "satisfy"
        ),
        r"(?=.*Dir::Etc::SourceList=/dev/null\b)(?=.*Dir::Etc::SourceParts=/dev/null\b)|--no-download\b",
        "apt contacts the base image's package sources",
        "install files from debs/ with -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null",
    ),
    *(
        _fetcher(
            names,
            arguments,
            r"--no-network\b|--cacheonly\b",
            "a package manager contacts its mirrors",
            "lock the packages",
        )
        for names, arguments in {
            "apk": _verbs("add", "update", "upgrade", "fetch"),
            "dnf|dnf5|yum|microdnf|tdnf|zypper": _verbs(
                "install",
                "in",
                "update",
                "up",
                "upgrade",
                "dup",
                "reinstall",
                "download",
                "refresh",
                "ref",
                "makecache",
                "builddep",
                "distro-sync",
                "swap",
                r"group\s?install",
                r"module\s+\w+",
                "source-install",
            ),
            "pacman": r".*(?:^|\s)(?:-S(?!c)\w*|--sync)(?:\s|$)",
            "snap|flatpak|brew": _verbs("install", "update", "upgrade", "refresh", "tap"),
            "add-apt-repository": r"\S",
            "rpm": ".*://",
        }.items()
    ),
    _fetcher(
        "curl|wget|aria2c|axel|lftp|gdown|sftp|ftp|https?",
        r"\S",
        rf"^{_LOCAL}|--unix-socket\b|{_ASKS_NOTHING}",
        "it downloads",
        _AS_SOURCE,
    ),
    _fetcher("scp|rsync", r"(?:.*\s)?[\w.@-]+:(?!//)\S|.*://", "", "it downloads", _AS_SOURCE),
    _fetcher("gpg2?|apt-key", r".*--(?:keyserver|recv-keys?)\b", "", "it downloads", _AS_SOURCE),
    *(
        _fetcher(
            names,
            arguments,
            "",
            "it contacts a git server" if names.startswith("g") else "it contacts a version control server",
            "add the repository to the sources of the preset; its snapshot then comes from sources/",
        )
        for names, arguments in {
            "git": rf"clone{_REMOTE}|clone\s.*\$|"
            + _verbs(
                "fetch",
                "pull",
                "ls-remote",
                r"remote\s+update",
                r"submodule\s+(?:update|add)",
                r"lfs\s+(?:pull|fetch|clone)",
            ),
            "git-lfs": _verbs("pull", "fetch", "clone"),
            "gh": _verbs(r"repo\s+clone", r"release\s+download"),
            "svn": _verbs("checkout", "co", "update", "up", "export"),
            "hg": rf"clone{_REMOTE}|" + _verbs("pull"),
            "dvc": _verbs("pull", "fetch", "get", "import"),
        }.items()
    ),
    *(
        _fetcher(
            names,
            arguments,
            rf"--offline\b|--local\b|--no-install\b|\s-o\b|{_SAYS_ITSELF}",
            _AN_INDEX,
            "lock what it installs as a source or a wheel",
        )
        for names, arguments in {
            "npm": _verbs("i", "ci", "install", "add", "create", "exec", "update", "init"),
            "pnpm|bun": _verbs("i", "install", "add", "create", "dlx", "update", "x"),
            "yarn": r"$|--(?!version|help)|" + _verbs("install", "add", "create", "dlx", "up", "upgrade"),
            "npx|bunx|cpanm?": r"\S",
            "deno": rf"{_verbs('cache', 'install')}|run\s.*://",
            "cargo": _verbs("install", "fetch", "add", "update"),
            "go": _verbs("get", "install", r"mod\s+(?:download|tidy)") + r"|run\s.*@",
            "gem|composer|luarocks": _verbs("install", "update", "require", "create-project"),
            "bundle|bundler": r"$|" + _verbs("install", "update"),
            "rustup": _verbs("install", "update", "default", r"(?:toolchain|target|component)\s+(?:install|add)"),
            "nvm|pyenv|asdf|sdk|mise": _verbs("install"),
            "mvnw?|gradlew?": r"(?!--?v)\S",
        }.items()
    ),
    *(
        _fetcher(names, arguments, _HUB_OFFLINE, _A_STORE, _AS_MODEL)
        for names, arguments in {
            "huggingface-cli|hf": _verbs("download", "sync"),
            "modelscope|kaggle|ngc|wandb": _verbs(r"(?:[\w-]+\s+)*(?:download\S*|get|pull)"),
            "ollama": _verbs("pull", "run"),
            "spacy": _verbs("download"),
            r"nltk\.downloader": r"\S",
            r"vllm(?:\.\S+)?|sglang(?:\.\S+)?|text-generation-launcher": (
                r"(?:serve\s+|.*--model(?:-id|-path)?[\s=])(?!models?/)[\w-][\w.-]*/[\w.-]+(?:\s|$)"
            ),
            "llama-server|llama-cli": r".*(?:-hf|--hf-repo)(?:\s|=)",
            "tritonserver": r".*(?:s3|gs|as)://",
            "aws": r".*\bs3\s+(?:cp|sync|mv)(?:\s|$)|.*\bs3api\s+get-object(?:\s|$)",
            "gsutil|gcloud|s5cmd|s3cmd|azcopy": (rf"(?:storage\s+)?(?:cp|copy|sync|rsync|get){_REMOTE}"),
            "az": _verbs(r"storage\s+\S+\s+(?:download\S*|copy|sync)"),
            "rclone": rf"(?:copy|sync|copyto|copyurl){_REMOTE}",
            "mc": r"(?:cp|mirror|get)\s(?:.*\s)?[\w-]+/",
        }.items()
    ),
    *(
        _fetcher(names, arguments, "", "it contacts a registry", _AS_SOURCE)
        for names, arguments in {
            "docker|podman|nerdctl|buildah|crane|oras|helm": _verbs("pull", r"compose\s+pull"),
            "ctr": _verbs(r"images?\s+pull"),
            "skopeo": r"copy\s.*docker://",
        }.items()
    ),
)


class _CodeFetcher(NamedTuple):
    """A call in code of any language that downloads."""

    pattern: re.Pattern[str]
    harmless: re.Pattern[str]
    why: str
    remedy: str


_NAMED = r"\s*\(\s*(?:\w+\s*=\s*)?[rf]?\\?['\"](?!\.{0,2}/|~)"  # a call with a name that is not a path
_CODE = (
    _CodeFetcher(
        re.compile(
            r"\b(?:torch\.hub|hub)\.(?:load|help|list)\s*\("
            r"|\b(?:load_state_dict_from_url|download_url_to_file|(?:nltk|gdown|stanza|spacy\.cli)\.download"
            r"|utils\.get_file)\s*\("
            rf"|\b(?:snapshot_download|hf_hub_download|cached_download|from_pretrained|whisper\.load_model"
            rf"|SentenceTransformer|WhisperModel){_NAMED}|\bpipeline{_NAMED}\w+-"
            rf"|\bload_dataset{_NAMED}(?!(?:json|csv|parquet|text|arrow|imagefolder|audiofolder|webdataset)\\?['\"])"
            r"|[(,]\s*pretrained\s*=\s*True\b"
            r"|\bweights\s*=\s*(?:\\?['\"](?:DEFAULT|IMAGENET)|\w+_Weights\.)"
        ),
        re.compile(
            r"local_files_only\s*=\s*True|source\s*=\s*\\?['\"]local|model\s*=\s*\\?['\"]\.{0,2}/"
            rf"|hub\.\w+\s*\(\s*r?\\?['\"]\.{{0,2}}/|{_HUB_OFFLINE}"
        ),
        "it fetches a model or data from a hub",
        _AS_MODEL,
    ),
    _CodeFetcher(
        re.compile(
            r"\b(?:urlretrieve|urlopen|(?:requests|httpx)\.(?:get|post|request|stream))\s*\(|\bwget\.download\s*\("
        ),
        re.compile(_LOCAL),
        "it downloads",
        _AS_SOURCE,
    ),
    _CodeFetcher(
        re.compile(r"\binstall\.packages\(|\bPkg\.add\("),
        re.compile(r"\brepos\s*=\s*NULL"),
        _AN_INDEX,
        "lock what it installs as a source or a wheel",
    ),
)
_NOT_INTERPRETERS = frozenset(
    {"echo", "printf", "grep", "sed", "awk", "cat", "rm", "ls", "test"}
)  # their arguments are not executed


# Addresses in the site's network: private ones, host names without a dot, and local domains.
_ON_SITE = re.compile(
    r"(?<=://)(?:[^\s/@]*@)?(?:10(?:\.\d+){3}|192\.168(?:\.\d+){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d+){2}"
    r"|[A-Za-z][\w-]*(?:\.(?:local|lan|internal|home\.arpa))?)(?=[:/\s'\"]|$)"
)


def find_downloads(text: str, *, on_site: bool = False) -> Iterator[DownloadCommand]:
    """The commands in a shell line or in a JSON list of words that download; each command once.

    `on_site` is for commands that run at the site: they may use the machines there, while a build has no network.
    """
    by_command: dict[str, DownloadCommand] = {}
    for call in _calls(text):
        command = " ".join(call.text.split())[:80]
        checked_call = _with_the_site_as_localhost(call) if on_site else call
        fetcher = _by_program(checked_call) or _by_code(checked_call)
        if fetcher:
            by_command.setdefault(command, DownloadCommand(command, fetcher.why, fetcher.remedy))
    yield from by_command.values()


def _calls(text: str) -> Iterator[Call]:
    if text.startswith("["):  # the exec form
        try:
            return parse_words([str(word) for word in json.loads(text)])
        except ValueError:
            pass  # an engine, too, treats it as shell text
    return parse_calls(text)


def _with_the_site_as_localhost(call: Call) -> Call:
    text, *arguments = (_ON_SITE.sub("localhost", word) for word in (call.text, *call.arguments))
    return Call(call.name, arguments, text)


def _by_program(call: Call) -> _Fetcher | None:
    if "--help" in call.arguments:
        return None
    starts = list(_starts(call.arguments))
    for fetcher in _FETCHERS:
        if fetcher.names.fullmatch(call.name) and any(fetcher.arguments.match(start) for start in starts):
            arguments = " ".join(call.arguments)
            if not (fetcher.harmless and (fetcher.harmless.search(call.text) or fetcher.harmless.search(arguments))):
                return fetcher
    return None


def _starts(arguments: list[str]) -> Iterator[str]:
    """The arguments from each word that may be the subcommand: options and their values may come before it."""
    yield " ".join(arguments)
    for index, word in enumerate(arguments):
        if not word.startswith("-"):
            yield " ".join(arguments[index:])
            if index == 0 or not arguments[index - 1].startswith("-"):
                return


def _by_code(call: Call) -> _CodeFetcher | None:
    if call.name in _NOT_INTERPRETERS:
        return None
    for part in re.split(r"[;\n]", call.text):
        for fetch in _CODE:
            if fetch.pattern.search(part) and not fetch.harmless.search(part):
                return fetch
    return None
