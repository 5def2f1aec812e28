"""Redacts texts, environments and documents: secrets in addresses, and values under secret names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from core.redaction.addresses import HIDDEN, is_plain, redact_address, redact_query

MIN_SECRET_LENGTH = 6  # characters; shorter values are too common to be hidden everywhere

_IN_TEXT = re.compile(
    r"[a-z][a-z0-9+.-]{0,20}:\\?/\\?/(?:"
    r"[^\s/@:\"'<>]{1,100}:(?!(?:\d+|port)\b)[^\n@]{0,100}@[^\s\"'<>`]*"  # a password may contain blanks or quotes
    r"|(?:(?!\\[nrt\"])[^\s\"'<>`])*)"
    r"|[a-z][a-z0-9+.-]{0,20}(?:%(?:25)*3A|:)%(?:25)*2F%(?:25)*2F[^\s\"'<>`&]*",
    re.I,
)
_WITHOUT_SCHEME = re.compile(  # not a mail address after a word, a Windows path, a time or a version
    r"(?<![\w@.+%*-])(?<!\w/)(?!(?:e?mail(?:to)?|(?:reply-)?to|from|b?cc|recipients?|contact|sips?|xmpp|acct|git|ssh|unit):)"
    r"(?!\d+:\d+\b|[a-z]:[\\/])[\w.+%-]+:(?!\\?/\\?/)[^\s\"'<>]{1,200}@(?!sha\d+(?::|%3A)|v?\d+(?:\.\d+){0,2}(?![\w.:]))(?=[\w\[])",
    re.I,
)
_ASSIGNED = re.compile(
    r"(?<![\w.-])([\w.-]+)(\\?[\"']?\s?:?=>?\s?|\\?[\"']\s*:\s*|:\s*(?=[\"']))"
    r"(\\\"[^\"]*\\\"|b?\"(?:[^\"\\]|\\.)*\"|b?'(?:[^'\\]|\\.)*'"
    r"|(?:(?:Bearer|Basic|Digest)\s)?(?:[^\s\"'&;,\\]|[&;,](?![\w.-]*[=\s\"']|$))+)",
)
_HEADER = re.compile(  # up to the closing quotation mark or the end of the line
    r"\b((?:proxy-)?authorization|(?:set-)?cookie|(?:x-[\w-]{1,40}|api|auth|access)-key|[\w-]{1,40}-(?:token|secret))(\s*:\s*)"
    r"((?:[^\n\"']|(?<==)\"[^\n\"]*\")+)",
    re.I,
)
_OPTION = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)(\s+|=)(\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'-][^\s\"']*)")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+(?!\*)(?![a-z]+(?![\w~+/=-]))[A-Za-z0-9._~+/=-]{6,}")
_QUERY = re.compile(r"(?<![\w/:%])(/[\w./%-]*\?)([^\s\"'<>`]+)")  # after a path, as in an access log
_ELEMENT = re.compile(r"(<(?:\w+:)?(?:password|token|secret)\w*(?:\s[^<>]*)?>)[^<>]+(?=</)", re.I)  # of XML
_SIGNATURE = re.compile(r"\b(signature=)[0-9a-f]{16,}", re.I)  # of a presigned address
_TOKEN = re.compile(  # tokens with a known prefix, and private keys
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|sk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AKIA\w{16}"
    r"|AIza[\w-]{35}|pypi-AgE[\w-]{20,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
_LINE = re.compile(r"^([ \t-]*[\w.-]+)(:[ \t]*)([^\s\"'{\[]\S*)[ \t]*$", re.M)  # of YAML
_NOT_A_VALUE = re.compile(  # a placeholder for a value, or a word about one
    r"\*+|…|\.{2,3}|:[a-z_]+|[\[\](){}`]+|<[A-Za-z_ -]*>?|\$[A-Z][A-Z0-9_]*|\$[({]+[A-Za-z_. /:-]*[)}]*|\{[a-z_]*\}?"
    r"|(?i:null|none|true|false|yes|no|on|off|ok|un?set|is|was|to|or|and|enabled|disabled|missing|required|needed|invalid"
    r"|expired|wrong|hidden)|FILE|PATH|NAME|VALUE|VARIABLE|TOKEN|PASSWORD|SECRET|KEY"
)
_COUNTED_NAME = re.compile(r"(?:tokens|secrets|passwords|credentials|webhooks)(?![a-z])", re.I)  # numbers count them
_SECRET_NAME = re.compile(
    r"passw(?:or)?d|passphrase|secret|token(?!i[sz])|credential|cookie|authorization"
    r"|(?:api|access|account|auth|ssh|private|signing|encryption|master|licen[sc]e)[_-]?key|webhook"
    r"|(?:require|admin|root|user|login|auth|mail|smtp|ftp|http|proxy|rtsp|cam|camera|web|db|key|store)(?:pass|pwd?)(?![a-z])",
    re.I,
)
_SECRET_WORD = re.compile(
    r"(?:^|[_.\W])(?:keys?|auth|authorization|dsn|pass|pwd?|login|pin|creds?|bearer|jwt|salt|signature|psk|otp|totp|community)(?=$|[_.\W])",
    re.I,
)
_HARMLESS_NAME = re.compile(
    r"^(?:PWD|OLDPWD|GPG_KEY|Sandbox_?Key)$|public|(?:max|min|num|total|new)[_.-](?:\w+[_.-])?tokens$"
    r"|(?:^|[_.-])(?:file|path|dir|folder|jar|name|sock|socket|method|type|timeout|ttl|length|size|count|limit|enabled|variable"
    r"|parallelism|algorithm|expiry|expires|hours|minutes|seconds|days)$",
    re.I,
)
_HARMLESS_VALUE = re.compile(  # of a `.env` variable with a neutral name: numbers, a word, hosts, paths
    r"[\d.,:]*|\d+[A-Za-z]{1,3}|[A-Za-z]{1,12}|(?:[\w-]+\.)+[\w-]+(?::\d+)?|[\w.+-]+@[\w.-]+|[\w.~-]*(?:/[\w.+-]*)+"
)
_PASSWORD = re.compile(r"://[^\s/:@]*:([^\s/@]{6,})@")  # of an address
_FILE = re.compile(r"/run/secrets/[\w.-]+|/[\w./-]+\.(?:pem|key|crt|cer|json|txt|conf)")

_LOGINS = ("-u", "--user", "--proxy-user")  # options whose value may be name:password

_site_secrets: set[str] = set()  # secrets of the opened site or of the service
_site_pattern: re.Pattern[str] | None = None


def redact_text(value: str, extra_secrets: re.Pattern[str] | None = None) -> str:
    """Hide known secrets, passwords and tokens in `value`, and redact every address in it.

    `extra_secrets` is a result of `secrets_of`.
    """
    for secrets in (_site_pattern, extra_secrets):
        value = secrets.sub(HIDDEN, value) if secrets else value
    if "/" in value or "%" in value:
        value = _IN_TEXT.sub(lambda match: _redact_embedded(match[0]), value)
    if "@" in value:
        value = _WITHOUT_SCHEME.sub(f"{HIDDEN}@", value)
    if "=" in value or ":" in value:
        value = _LINE.sub(_redact_assignment, _ASSIGNED.sub(_redact_assignment, value))
        value = _SIGNATURE.sub(rf"\1{HIDDEN}", _HEADER.sub(_redact_header, value))
    if "?" in value:
        value = _QUERY.sub(lambda match: match[1] + redact_query(match[2]), value)
    if "</" in value:
        value = _ELEMENT.sub(rf"\1{HIDDEN}", value)
    if "-" in value:
        value = _OPTION.sub(_redact_option, value)
    return _BEARER.sub(rf"\1 {HIDDEN}", _TOKEN.sub(HIDDEN, value))


def _redact_embedded(text: str) -> str:
    if "://" not in text.replace("\\/", "/"):
        return f"{re.split('%|:', text, maxsplit=1)[0]}%3A%2F%2F{HIDDEN}"
    address = text.rstrip(").,;:]}!\\")
    redacted = redact_address(address)
    if "\\/" in address:
        redacted = redacted.replace("/", "\\/")
    return redacted + text[len(address) :]


def _redact_assignment(match: re.Match[str]) -> str:
    name, sign, value = match.groups()
    bare = value.strip("\\\"'")
    if not bare or not _holds_secret(name, bare):
        return match[0]
    return f"{name}{sign}{value.replace(bare, HIDDEN)}"


def _holds_secret(name: str, value: str) -> bool:
    """Whether `value` is a secret in a text that says `name=value`."""
    if _NOT_A_VALUE.fullmatch(value.rstrip(")]}.:`") or value):
        return False
    if name.lower() in ("pass", "pwd"):  # a count or a folder is harmless
        return not re.fullmatch(r"\d+|[/~].*", value)
    count = _COUNTED_NAME.search(name) and re.fullmatch(r"[\d.,]+", value)
    return not count and bool(_SECRET_NAME.search(name)) and is_secret_name(name)


def _redact_header(match: re.Match[str]) -> str:
    value = re.sub("^(?:Bearer|Basic|Digest) ", "", match[3]).strip()
    return match[0] if _NOT_A_VALUE.fullmatch(value) else f"{match[1]}{match[2]}{HIDDEN}"


def _redact_option(match: re.Match[str]) -> str:
    option, blank, value = match.groups()
    bare = value.strip("\"'")
    if _is_login(option, bare) or (option.startswith("--") and bare and _holds_secret(option.lstrip("-"), bare)):
        return f"{option}{blank}{value.replace(bare, HIDDEN)}"
    return f"{option}{blank}{value if value == bare else _OPTION.sub(_redact_option, value)}"


def _is_login(option: str, value: str) -> bool:
    """Whether an option has the value name:password; two numbers are a user and a group."""
    return option in _LOGINS and bool(re.fullmatch(r"(?!\d+:\d+$)[^:]*:.+", value))


def is_secret_name(name: str) -> bool:
    """Whether a variable, label, option or key with that name has a secret value."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return not _HARMLESS_NAME.search(name) and bool(_SECRET_NAME.search(name) or _SECRET_WORD.search(name))


def set_secrets(environment: Mapping[str, str], dotenv: Mapping[str, str] | None = None) -> None:
    """Make `redact_text` hide these secrets wherever they occur, in place of those set before.

    From `environment`, these are the values under secret names; from `dotenv`, the site's own file of secrets, also
    every value that does not look harmless.
    """
    _site_secrets.clear()
    _site_secrets.update(value for name, value in (dotenv or {}).items() if _may_be_secret(name, value))
    add_secrets(environment)


def add_secrets(environment: Mapping[str, str]) -> None:
    """Make `redact_text` also hide the values under secret names."""
    global _site_pattern
    _site_secrets.update(_secrets(environment.items()))
    _site_pattern = _compile_pattern(_site_secrets)


def known_secrets() -> frozenset[str]:
    """The secrets that `redact_text` hides wherever they occur."""
    return frozenset(_site_secrets)


def has_token(text: str) -> bool:
    """Whether the text holds a token with a known prefix, or a private key."""
    return _TOKEN.search(text) is not None


def secrets_of(data: Any) -> re.Pattern[str] | None:
    """A pattern of the values under secret names in a JSON document; None without any."""
    return _compile_pattern(set(_secrets_in(data)))


def _secrets_in(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        yield from _secrets((str(key), value) for key, value in data.items() if isinstance(value, str))
        for value in data.values():
            yield from _secrets_in(value)
    elif isinstance(data, (list, tuple)):
        words = [one for one in data if isinstance(one, str)]
        yield from _secrets(one.lstrip("-").partition("=")[::2] for one in words)
        yield from _secrets((one.lstrip("-"), after) for one, after in pairwise(words) if one.startswith("-"))
        for one in data:
            yield from _secrets_in(one)


def _secrets(variables: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The values under secret names, and passwords in addresses under any name."""
    for name, value in variables:
        if is_secret_name(name) and len(value) >= MIN_SECRET_LENGTH and not _FILE.fullmatch(value):
            yield value
        elif password := _PASSWORD.search(value):
            yield password[1]


def _compile_pattern(values: set[str]) -> re.Pattern[str] | None:
    lines = {line.strip() for value in values for line in value.splitlines() if len(line.strip()) >= MIN_SECRET_LENGTH}
    lines |= {form for line in lines for form in _encoded_forms(line)}
    pattern = "|".join(re.escape(line) for line in sorted(lines, key=len, reverse=True))
    return re.compile(pattern) if pattern else None


def _encoded_forms(value: str) -> set[str]:
    """A value as URLs and JSON encode it."""
    encoded = {quote(value, safe=""), quote(value)}
    lower = {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in encoded}
    escaped = json.dumps(value)[1:-1]
    return encoded | lower | {escaped, escaped.replace("/", "\\/")}


def redact_variable(name: str, value: str, extra_secrets: re.Pattern[str] | None = None) -> str:
    """Redact the value of a variable, a label or a key."""
    return (
        HIDDEN if value and is_secret_name(name) and not _FILE.fullmatch(value) else redact_text(value, extra_secrets)
    )


def redact_arguments(words: Sequence[str], extra_secrets: re.Pattern[str] | None = None) -> list[str]:
    """Redact a command line, or variables as NAME=value."""
    redacted: list[str] = []
    option = ""
    for word in words:
        name, equals, value = word.partition("=")
        if option and not word.startswith("-"):
            login = _is_login(option, word)
            redacted.append(HIDDEN if login else redact_variable(option.lstrip("-"), word, extra_secrets))
        elif equals and _is_login(name, value):
            redacted.append(f"{name}={HIDDEN}")
        elif equals and re.fullmatch(r"-{0,2}[A-Za-z_][\w.-]*", name):
            redacted.append(f"{name}={redact_variable(name.lstrip('-'), value, extra_secrets)}")
        else:
            redacted.append(redact_text(word, extra_secrets))
        option = word if word.startswith("-") and not equals else ""
    return redacted


def redact_document(data: Any) -> Any:
    """Redact a JSON document, such as the engine's description of a container.

    A value under a secret name is hidden in the rest of the document, too.
    """
    return _redact_value(data, "", secrets_of(data))


def _redact_value(data: Any, name: str, extra_secrets: re.Pattern[str] | None) -> Any:
    if isinstance(data, str):
        return redact_variable(name, data, extra_secrets)
    if isinstance(data, Mapping):
        within = name if is_secret_name(name) else ""
        return {
            redact_text(str(key), extra_secrets): _redact_value(value, within or str(key), extra_secrets)
            for key, value in data.items()
        }
    if isinstance(data, (list, tuple)):
        if all(isinstance(one, str) for one in data):
            return [HIDDEN] * len(data) if is_secret_name(name) else redact_arguments(data, extra_secrets)
        return [_redact_value(one, name, extra_secrets) for one in data]
    if isinstance(data, (int, float)) and not isinstance(data, bool) and not _COUNTED_NAME.search(name):
        return HIDDEN if is_secret_name(name) else data
    return data


def _may_be_secret(name: str, value: str) -> bool:
    if len(value) < MIN_SECRET_LENGTH:
        return False
    if is_secret_name(name):
        return True
    words = all(is_plain(part) for part in re.split("[/:@]", value))
    return not (name.startswith("XAIVA_") or "://" in value or (words and _HARMLESS_VALUE.fullmatch(value)))
