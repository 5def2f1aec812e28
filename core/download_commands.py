"""Finds commands that download: package managers, clients of hubs and stores, and calls that fetch a model.

Works on the text of a command alone; what a script inside of it does is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Download(NamedTuple):
    """A command that downloads: its text, why it is one, and what to do instead."""

    command: str
    why: str
    remedy: str


class _Fetcher(NamedTuple):
    pattern: re.Pattern[str]
    harmless: re.Pattern[str] | None  # what makes it stay on this machine
    why: str
    remedy: str


_LOCAL = r"(?:file://|(?:https?://)?(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?![\w.-]))"
_AS_SOURCE = "name the file as a source of the preset; it then comes from sources/"
_AS_MODEL = "name it as a model of the preset; it then comes from models/"
_AS_LAYER = "name the packages in a layer of the preset; their wheels are then locked"
_OPTIONS = r"(?:\s+-\S+(?:\s+(?=-))?)*"  # between a program and its command


def _programs(names: str, commands: str) -> str:
    """A pattern for `NAME [OPTIONS] COMMAND`; a program may be named by its path."""
    return rf"(?<![\w.-])(?:{names}){_OPTIONS}\s+(?:{commands})(?![\w-])"


def _fetcher(pattern: str, harmless: str, why: str, remedy: str) -> _Fetcher:
    return _Fetcher(re.compile(pattern), re.compile(harmless, re.IGNORECASE) if harmless else None, why, remedy)


_FETCHERS = (
    _fetcher(
        _programs(r"pip[0-9.]*|uv\s+pip", "install|download|wheel|sync|compile"),
        r"--no-index\b|--offline\b",
        "pip without --no-index asks a package index",
        "add --no-index --find-links",
    ),
    _fetcher(
        "|".join(
            (
                _programs("uv", r"sync|lock|add|run|tool|python\s+install"),
                r"(?<![\w.-])uvx\s",
                _programs("poetry|pdm|pipenv|rye|pixi|hatch", r"install|add|update|upgrade|sync|lock|self|run|env"),
                _programs("pipx", "install|run|upgrade|inject"),
                r"(?<![\w.-])(?:pip-sync|easy_install)(?![\w-])",
            )
        ),
        r"--offline\b|--no-index\b|UV_OFFLINE=1|UV_NO_INDEX=1",
        "it asks a package index",
        _AS_LAYER,
    ),
    _fetcher(
        _programs("conda|mamba|micromamba", r"install|create|update|upgrade|env\s+(?:create|update)"),
        r"--offline\b",
        "it asks a package channel",
        _AS_LAYER,
    ),
    _fetcher(
        r"\b(?:apt(?:-get)?|aptitude)\b[^;&|]*"
        r"\b(?:update|install|upgrade|dist-upgrade|full-upgrade|download|source|build-dep)\b",
        r"(?=.*Dir::Etc::SourceList=/dev/null\b)(?=.*Dir::Etc::SourceParts=/dev/null\b)",
        "apt asks the base image's package sources",
        "install files from debs/ with -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null",
    ),
    _fetcher(
        r"(?<![\w./-])(?:apk\s+(?:\S+\s+)*?(?:add|update|upgrade|fetch)|(?:dnf|yum|microdnf|tdnf|zypper)\s+(?!clean)"
        r"|pacman\s+-S|snap\s+install|flatpak\s+install|brew\s+install|add-apt-repository)",
        r"--no-network\b|--cacheonly\b",
        "a package manager asks its mirrors",
        "lock the packages",
    ),
    _fetcher(
        r"(?:(?:^|[\s;&|(\"'`])|^\s*/\S*/)(?:curl|wget|aria2c|axel|lftp|gdown)\s+(?!--version)"
        r"|(?<![\w.-])(?:scp|rsync|sftp)\s[^;&|]*\w:[^\s]"
        r"|--(?:keyserver|recv-keys?)\b",
        _LOCAL,
        "it downloads",
        _AS_SOURCE,
    ),
    _fetcher(
        r"\bgit\s+(?:\S+\s+){0,4}?(?:clone|fetch|pull|submodule|ls-remote)\b"
        r"|" + _programs("svn|hg", "checkout|co|clone|update|pull") + "|" + _programs("dvc", "pull|fetch|get|import"),
        r"\bclone(?:\s+-\S+(?:\s+\d+)?)*\s+(?:file://|\.{0,2}/)\S",
        "it asks a git server",
        "name the repository as a source of the preset; its snapshot then comes from sources/",
    ),
    _fetcher(
        "|".join(
            (
                _programs("npm|yarn|pnpm|bun", "i|ci|install|add|create|exec|dlx|update"),
                r"(?<![\w.-])(?:npx|bunx)\s",
                _programs("cargo", "install|fetch|add|update"),
                _programs("go", r"get|install|mod\s+download"),
                _programs("gem|bundle|composer|luarocks|cpan|cpanm", "i|install|update|require"),
                _programs("rustup", r"toolchain|update|target|component|default"),
                r"\binstall\.packages\(",
                r"\bPkg\.add\(",
            )
        ),
        r"--offline\b|--local\b|--frozen\b",
        "it asks a package index",
        "lock what it brings as a source or a wheel",
    ),
    _fetcher(
        "|".join(
            (
                _programs("huggingface-cli|hf", "download|sync"),
                _programs("modelscope|kaggle|ngc|wandb", r"download|(?:\w+\s+)+(?:download\S*|get|pull)"),
                _programs("ollama", "pull|run"),
                _programs("spacy", "download"),
                r"(?<![\w.-])aws\s+(?:\S+\s+)*?s3\s+(?:cp|sync|mv)(?![\w-])",
                r"(?<![\w.-])(?:gsutil|gcloud\s+storage|rclone|mc)\s+(?:-\S+\s+)*(?:cp|copy|sync|rsync|mirror)(?![\w-])",
                r"(?<![\w.-])az\s+storage\s",
                r"\bnltk\.downloader\b",
            )
        ),
        "",
        "it downloads from a hub or a store",
        _AS_MODEL,
    ),
    _fetcher(
        _programs("docker|podman|skopeo|crane|oras|helm", "pull|copy"),
        "",
        "it asks a registry",
        _AS_SOURCE,
    ),
    _fetcher(
        r"\b(?:torch\.hub|hub)\.(?:load|help|list)\s*\(|\b(?:load_state_dict_from_url|download_url_to_file|snapshot_download"
        r"|hf_hub_download|cached_download|load_dataset|get_file|nltk\.download|gdown\.download"
        r"|spacy\.cli\.download|whisper\.load_model|SentenceTransformer|WhisperModel)\s*\(|\bfrom_pretrained\s*\(\s*r?\\?['\"]|\bpretrained\s*=\s*True\b",
        r"local_files_only\s*=\s*True|source\s*=\s*['\"]local|\(\s*r?\\?['\"]?\.{0,2}/|\(\s*\)",
        "it fetches a model or data from a hub",
        _AS_MODEL,
    ),
    _fetcher(
        r"\b(?:urlretrieve|urlopen|(?:requests|httpx)\.(?:get|post|request|stream))\s*\(|\bwget\.download\s*\(",
        _LOCAL,
        "it downloads",
        _AS_SOURCE,
    ),
)


def downloads(text: str) -> Iterator[Download]:
    """The commands of a shell line, or of a JSON list of words, that download; one entry a command."""
    if text.startswith("["):  # the form without a shell
        text = " ".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text))
    for command in re.split(r"&&|\|\||[;|\n]", text):
        for fetcher in _FETCHERS:
            if fetcher.pattern.search(command) and not (fetcher.harmless and fetcher.harmless.search(command)):
                yield Download(" ".join(command.split())[:80], fetcher.why, fetcher.remedy)
                break
