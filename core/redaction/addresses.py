"""Redacts addresses: hides the login and everything that is not known to be harmless."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

HIDDEN = "***"

# Other schemes (Apprise has a hundred) have their tokens anywhere: nothing after the scheme is shown.
_CAMERA = re.compile(r"rtsp[stu]?|rtmps?|srt|udp|rtp|mms|onvif", re.I)
_KNOWN_SCHEMES = re.compile(
    r"https?|wss?|tcp|unix|npipe|ssh|sftp|ftps?|git|file|smtps?|ldaps?|s3|oci|docker(?:-image)?|sqlite|postgres(?:ql)?"
    r"|mysql|mariadb|rediss?|mongodb|amqps?|nats|mqtts?|socks5h?",
    re.I,
)
_LOCAL = re.compile(r"file|unix|npipe|sqlite(?:\+\w+)?", re.I)  # a path of this machine
_NO_SECRET = re.compile(
    r"\s*(?:(?:file|unix|sqlite(?:\+\w+)?):///|docker-image://)|ssh://\[user@\]host|[^:]*://(?:…|\.\.\.)?$", re.I
)
_LONGEST = 8192  # characters; longer texts are not parsed, which would take too long
_USER_ALONE = frozenset(("ssh", "sftp"))  # they use keys, not passwords: the user's name is part of the address
_TOKEN_HOSTS = re.compile(  # their paths are tokens, or topics that serve as tokens
    r"(?:^|\.)(?:ntfy\.sh|slack\.com|discord(?:app)?\.com|telegram\.org|office(?:365)?\.com"
    r"|chat\.googleapis\.com|zapier\.com|ifttt\.com|pushover\.net|pipedream\.net|webhook\.site|opsgenie\.com|pagerduty\.com|twilio\.com)(?::\d+)?$",
    re.I,
)
_PORTS = {"rtsp": "554", "rtsps": "322", "http": "80", "https": "443"}
_URL = re.compile(r"^\s*([a-z][a-z0-9+.-]*):\\?/\\?/(.*)$", re.I | re.S)
_AFTER_HOST = re.compile(r"[/?#]")
_HOST = re.compile(r"(?:\[[0-9a-f:.]+(?:%[\w.-]+)?\]|[^\s:@%\[\]\\*,]*)(?::(?:\d{0,5}|port))?", re.I)
_CERTAIN_HOST = re.compile(  # not a user name or token: an @ after it belongs to the path
    r"(?:\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\]|localhost)(?::\d+)?|[\w-]+(?:\.[\w-]+)+", re.I
)
_HARMLESS_QUERY = re.compile(
    r"camera|channel|chn?|subtype|stream(?:type)?|resolution|res|fps|(?:frame|bit)?rate|(?:video)?codec|audio|video|width"
    r"|height|size|quality|compression|profile|format|transport(?:mode)?|unicast|multicast|proto(?:col)?|tls|sslmode"
    r"|type|mode|interval|page|limit|overlay|source|track|version|tag|ref|branch",
    re.I,
)
_SHORT_VALUE = re.compile(r"[A-Za-z0-9_.:x-]{0,12}")
_CHUNK = re.compile(
    r"[A-Za-z]?[a-z]{0,18}|[A-Z]{1,12}|(?:[A-Z]?[a-z]{1,12}){1,3}|[A-Za-z]{1,12}\d{1,4}|\d{1,8}|\d{1,5}x\d{1,5}|\w{1,6}"
    r"|\d{0,3}[a-z]{1,8}\d{1,4}[a-z]?|[hH]26[45]\w{0,10}"
)
_HEADING = re.compile(  # of a page; and the fragments that pip reads after the address of a repository
    r"[a-z]{2,}(?:-[a-z\d.]{1,14})+|(?:(?:^|&)(?:egg=[A-Za-z][\w.\[\],-]*|subdirectory=[\w./-]+))+"
)
_CLONE = re.compile(r"(?:git|hg|svn|bzr)\+\w+", re.I)  # repositories use logins or keys: their paths contain no secret
_REPOSITORY = re.compile(r"[\w./~+-]+(?:@[\w./+-]+)?")  # with a ref
_DIGEST = re.compile(r"sha\d+:[0-9a-f]+")
_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)=(.*?)(?=[_&;,][A-Za-z][A-Za-z0-9.-]*=|$)", re.S)
_BEFORE_A_SECRET = re.compile(r"(?:user|usr|username|login|pass|passwd|password|pwd|token|key|api_?key|secret)", re.I)
_LOGIN_PARAMETER = re.compile(
    rf"u|p|pw|psw|{_BEFORE_A_SECRET.pattern}|user_?(?:name|id)|account|loginuser?|loginpass?|auth|access_?token", re.I
)
_PLACEHOLDER = re.compile(
    r"[*∗＊•●]{3,}|(?:%(?:25)*2A){3,}|(?:[<\[(]|%3C)(?:hidden|redacted|masked|password)(?:[>\])]|%3E)|(?:%E2%80%A2){3,}"
    r"|…|%E2%80%A6|(?<=//)\*+(?=[:@])|(?<=:)(?:\*+|x{5}|redacted)(?=@)",
    re.I,
)


class _Parts(NamedTuple):
    """A parsed address. `path` begins with a slash; `query` and `fragment` are without `?` and `#`."""

    scheme: str
    login: str | None  # empty if nothing is before the @
    host: str
    path: str
    query: str | None
    fragment: str | None

    @property
    def text(self) -> str:
        """The whole address."""
        login = "" if self.login is None else f"{self.login}@"
        query = "" if self.query is None else f"?{self.query}"
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.scheme}://{login}{self.host}{self.path}{query}{fragment}"


def redact_address(url: str) -> str:
    """Hide the login of `url` and everything in path, query and fragment that is not known to be harmless.

    Of an address that cannot be parsed only the scheme is left.
    """
    if _NO_SECRET.match(url):
        return url
    parts = _split(url) if len(url) <= _LONGEST else None
    if parts is None:
        match = _URL.match(url)
        return f"{match[1].lower()}://{HIDDEN}" if match else _redact_schemeless(url)
    if parts.login is None and _LOCAL.fullmatch(parts.scheme):
        return url
    login = parts.login
    if login and (":" in login or parts.scheme.lower().rpartition("+")[2] not in _USER_ALONE):
        login = HIDDEN
    is_repository = parts.login is None and _CLONE.fullmatch(parts.scheme) and _REPOSITORY.fullmatch(parts.path)
    path = parts.path if parts.path in ("", "/") or is_repository else _redact_path(parts.path, parts.host)
    query = None if parts.query is None else redact_query(parts.query)
    fragment = HIDDEN if parts.fragment and not _HEADING.fullmatch(parts.fragment) else parts.fragment
    return parts._replace(login=login, path=path, query=query, fragment=fragment).text


def host_of(url: str) -> str:
    """Scheme and host of an address, for people who may not see more."""
    parts = _split(url) if len(url) <= _LONGEST else None
    if parts is None:
        match = _URL.match(url)
        return f"{match[1].lower()}://{HIDDEN}" if match else HIDDEN
    return f"{parts.scheme}://{re.sub(r':[0-9]*$', '', parts.host)}"


def login_of(url: str) -> tuple[str, ...]:
    """The credentials in an address, comparable between channels and spellings; empty for none.

    Without a named user, password or token they are everything that `redact_address` hides.
    """
    parts, redacted_url = _split(url), redact_address(url)
    if parts is None or redacted_url == url:
        return ()
    if parts.login:
        return tuple(unquote(part) for part in parts.login.partition(":"))
    pairs = [pair for place in re.split(r"[/?#]", url) for pair in _PAIR.findall(place)]
    if login_pairs := sorted(
        (name.lower(), unquote(value)) for name, value in pairs if _LOGIN_PARAMETER.fullmatch(name)
    ):
        return tuple(text for pair in login_pairs for text in pair)
    before, after = (re.split(r"[/?#&;]", text) for text in (url, redacted_url))
    if len(before) != len(after):
        return (url,)
    return tuple(text for text, redacted in zip(before, after, strict=True) if text != redacted)


def has_placeholder(text: str) -> bool:
    """Whether an address contains, or another text is, a placeholder for a secret."""
    is_address = "://" in text or "@" in text
    return bool(_PLACEHOLDER.search(text) if is_address else _PLACEHOLDER.fullmatch(text))


def matches_redacted(sent: str, redacted: str) -> bool:
    """Whether `sent` equals `redacted`, however its hidden parts are written."""
    return _PLACEHOLDER.sub(HIDDEN, sent) == redacted


def restore_secrets(sent: str, stored: str) -> str | None:
    """Fill in the hidden parts of `sent` from `stored`, an address with the same scheme, host and port.

    None if `stored` does not have them.
    """
    sent = _PLACEHOLDER.sub(HIDDEN, sent)
    if HIDDEN not in sent or sent == redact_address(stored):
        return stored if HIDDEN in sent else sent
    new, old = _split(sent), _split(stored)
    if new is None or old is None or _endpoint(new) != _endpoint(old):
        return None
    filled = new._replace(
        login=_restore_login(new.login, old.login),
        path=_restore_path(new.path, old.path, old.host),
        query=_restore_query(new.query, old.query),
        fragment=(old.fragment or HIDDEN) if new.fragment == HIDDEN else new.fragment,
    )
    return None if HIDDEN in filled.text else filled.text


def _split(url: str) -> _Parts | None:
    """Parse an address; None if that fails. A login may contain / ? # @ unescaped."""
    match = _URL.match(url)
    if match is None or not _is_known(match[1]):
        return None
    scheme, rest = match[1], match[2].replace("\\/", "/")
    end = _end_of_host(rest, 0)
    if "@" in rest[end:] and (_CAMERA.fullmatch(scheme) or not _holds_at(scheme, rest[:end], rest[end:])):
        end = _end_of_host(rest, rest.rindex("@"))
    login, at, host = rest[:end].rpartition("@")
    if not _HOST.fullmatch(host):
        return None
    before, mark, fragment = rest[end:].partition("#")
    path, question, query = before.partition("?")
    return _Parts(scheme, login if at else None, host, path, query if question else None, fragment if mark else None)


def _end_of_host(rest: str, begin: int) -> int:
    match = _AFTER_HOST.search(rest, begin)
    return match.start() if match else len(rest)


def _holds_at(scheme: str, place: str, after: str) -> bool:
    """Whether the @ in `after` does not end a login: the host is certain, and a path or a ref follows."""
    _, at, host = place.rpartition("@")
    ref = scheme.lower().startswith("git+") and re.fullmatch(r"[^@]*@[\w.-]+", after)
    return bool(_CERTAIN_HOST.fullmatch(host)) and (not at or bool(ref))


def _is_known(scheme: str) -> bool:
    """Whether one part of the scheme is known, as in `postgresql+psycopg` and `git+https`."""
    return any(_KNOWN_SCHEMES.fullmatch(part) or _CAMERA.fullmatch(part) for part in scheme.split("+"))


def _redact_path(path: str, host: str) -> str:
    if _TOKEN_HOSTS.search(host):
        return f"/{HIDDEN}"
    segments: list[str] = []
    before = ""
    for segment in path.split("/"):
        secret = segment and _BEFORE_A_SECRET.fullmatch(before)
        segments.append(HIDDEN if secret else _redact_segment(segment))
        before = segment
    return "/".join(segments)


def _redact_segment(segment: str) -> str:
    first = _PAIR.search(segment)
    if first is None:
        is_harmless = is_plain(re.sub(r"(?<=\.git)@", ".", unquote(unquote(segment))))  # x.git@ref of a clone
        return segment if is_harmless or _DIGEST.fullmatch(segment) else HIDDEN
    before = segment[: first.start()]
    pairs = _PAIR.sub(lambda pair: f"{pair[1]}={_redact_value(pair[1], pair[2])}", segment[first.start() :])
    return f"{before if is_plain(before.rstrip(';&')) else HIDDEN}{pairs}"


def is_plain(text: str) -> bool:
    """Whether the text consists of words, numbers and file endings, unlike logins and random tokens."""
    if re.search(r"[^\w.,+~ -]", text):
        return False
    return all(_CHUNK.fullmatch(chunk) for chunk in re.split(r"[._,+~ -]+", text))


def redact_query(query: str) -> str:
    """Hide the values of a query that are not known to be harmless."""
    return "".join(_redact_parameter(piece) for piece in re.split(r"([&;])", query))


def _redact_parameter(piece: str) -> str:
    name, equals, value = piece.partition("=")
    if piece in ("", "&", ";"):
        return piece
    if not equals:
        return name if _HARMLESS_QUERY.fullmatch(name) else HIDDEN
    return f"{name if is_plain(name) else HIDDEN}={_redact_value(name, value)}"


def _redact_value(name: str, value: str) -> str:
    harmless = _HARMLESS_QUERY.fullmatch(name) and _SHORT_VALUE.fullmatch(value) and is_plain(value.replace(":", "."))
    return value if harmless or not value else HIDDEN


def _endpoint(parts: _Parts) -> tuple[str, str, str]:
    scheme, host = parts.scheme.lower(), parts.host.lower()
    port = re.search(r":(\d+)$", host)
    return scheme, re.sub(r":\d*$", "", host), port[1] if port else _PORTS.get(scheme, "")


def _restore_login(new: str | None, old: str | None) -> str | None:
    """Restore name and password separately, so that a new password can be sent with the stored name."""
    if new is None or HIDDEN not in new:
        return new
    if not old:
        return HIDDEN
    if new == HIDDEN:
        return old
    name, colon, password = new.partition(":")
    old_name, _, old_password = old.partition(":")
    if password == HIDDEN and name not in (HIDDEN, old_name):
        return HIDDEN  # the password of somebody else
    return f"{old_name if name == HIDDEN else name}{colon}{old_password if password == HIDDEN else password}"


def _restore_path(new: str, old: str, host: str) -> str:
    """Restore each hidden segment from the old segment that looks the same when redacted.

    That is the one at the same index, or the only one.
    """
    if new == _redact_path(old, host) and HIDDEN in new:
        return old
    new_parts, old_parts = new.split("/"), old.split("/")
    redacted_parts = _redact_path(old, host).split("/")
    if len(redacted_parts) != len(old_parts):
        return new  # the whole path is hidden, and it is another one
    for place, part in enumerate(new_parts):
        if HIDDEN in part:
            candidates = [old_parts[index] for index, redacted in enumerate(redacted_parts) if redacted == part]
            if place < len(redacted_parts) and redacted_parts[place] == part:
                new_parts[place] = old_parts[place]
            elif len(candidates) == 1:
                new_parts[place] = candidates[0]
            elif place < len(redacted_parts):
                new_parts[place] = _restore_pairs(part, old_parts[place])
    return "/".join(new_parts)


def _restore_pairs(new: str, old: str) -> str:
    old_values = {match[1]: match[2] for match in _PAIR.finditer(old)}
    return _PAIR.sub(lambda pair: f"{pair[1]}={old_values.get(pair[1], HIDDEN) if pair[2] == HIDDEN else pair[2]}", new)


def _restore_query(new: str | None, old: str | None) -> str | None:
    if new is None or HIDDEN not in new:
        return new
    old_pieces: dict[str, list[str]] = {}
    for piece in re.split(r"[&;]", old or ""):
        old_pieces.setdefault(_redact_parameter(piece).partition("=")[0], []).append(piece)
    pieces = re.split(r"([&;])", new)
    for place, piece in enumerate(pieces):
        candidates = old_pieces.get(piece.partition("=")[0], [])
        if piece == HIDDEN or piece.endswith(f"={HIDDEN}"):
            pieces[place] = candidates.pop(0) if candidates else piece
        elif candidates:
            candidates.pop(0)
    return "".join(pieces)


def _redact_schemeless(text: str) -> str:
    """Redact an address without a scheme."""
    return f"{HIDDEN}@{text.rpartition('@')[2]}" if re.match(r"[^\s/@]*:.*@", text, re.S) else text
