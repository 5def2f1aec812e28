"""Recognises what stands in place of a file by its first bytes: pointers, HTML pages, error responses."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from urllib.parse import urlsplit

HEAD_BYTES = 64 << 10  # enough to recognise everything below
_MAX_QUOTED = 80  # characters of a title or an error that are repeated
POINTER_LIMIT = 1024  # bytes; the pointer of a large file is always smaller


@dataclass(frozen=True)
class Placeholder:
    """What a file is instead of what it should be, and the command that fetches the real one, if there is one."""

    description: str
    pull_command: str = ""

    def remedy(self, origin: str = "") -> str:
        """How to get the real file; `origin` is its URL, "" for a local file."""
        if origin.startswith(("http://", "https://")):
            if direct := direct_url(origin):
                return f"get it from {direct}"
            if self.pull_command:
                return (
                    f"give the address of the file itself; or clone the repository and run `{self.pull_command}` there"
                )
            return "open the address in a browser: it may need a login (token_variable), or be a page about the file"
        return (
            f"run `{self.pull_command}` in its repository, then try again"
            if self.pull_command
            else "get the file again"
        )


def direct_url(url: str) -> str:
    """The URL of the file itself when `url` is known to lead to its page or its pointer; else ""."""
    parts = urlsplit(url)
    for host, pattern, replacement in _DIRECT_URLS:
        address = f"{parts.hostname}{parts.path}"
        if re.fullmatch(host, parts.hostname or "") and re.match(pattern, address):
            return f"{parts.scheme}://{re.sub(pattern, replacement, address)}"
    return ""


# Pattern of the host, pattern of host and path of a page or pointer, replacement.
_DIRECT_URLS = (
    (r"huggingface\.co|hf-mirror\.com", r"^([^/]+/.+?)/(?:blob|raw)/(.+)$", r"\1/resolve/\2"),
    (r"raw\.githubusercontent\.com", r"^[^/]+/([^/]+/[^/]+)/(.+)$", r"media.githubusercontent.com/media/\1/\2"),
    (r"github\.com", r"^[^/]+/([^/]+/[^/]+)/(?:blob|raw)/(.+)$", r"media.githubusercontent.com/media/\1/\2"),
    (r"gitlab\.com", r"^([^/]+/.+?)/-/blob/(.+)$", r"\1/-/raw/\2"),
)


def recognise(head: bytes, size: int, name: str) -> Placeholder | None:
    """What stands in place of the file `name`, judged by its first HEAD_BYTES; None when it is not recognised.

    `size` is that of the file in bytes, 0 if unknown.
    """
    if not head:
        return Placeholder("it is empty")
    whole = max(size, len(head)) == len(head)
    if whole and not head.strip():
        return Placeholder("it contains only whitespace")
    name = name.lower()
    if head.startswith(_GZIP):  # a server may compress its pages
        head, name = _unzipped(head), name.removesuffix(".gz")
    text = _plain_text(head)
    for recognise_kind in (_lfs_pointer, _other_pointer, _html, _xml_error, _json_error, _text_error):
        placeholder = recognise_kind(text, len(text) if whole else size, name)
        if placeholder is not None:
            return placeholder
    return None


def _unzipped(head: bytes) -> bytes:
    """The first bytes of the content of a gzip file."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _plain_text(head: bytes) -> bytes:
    """Text as UTF-8 without byte order mark and leading whitespace; other content unchanged."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", errors="replace").encode()
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def recognise_pointer(content: bytes) -> Placeholder | None:
    """The pointer in the whole content of a small file; None when it is not a pointer."""
    text = _plain_text(content)
    return _lfs_pointer(text, len(text), "") or _other_pointer(text, len(text), "")


def format_size(size: int) -> str:
    """A size in MB, or in bytes below 100 kB."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"


def _lfs_pointer(head: bytes, size: int, _name: str) -> Placeholder | None:
    if size > POINTER_LIMIT or not re.match(rb"version https?://(git-lfs|hawser)\.github\.com/spec/", head):
        return None
    return _pointer("Git LFS", re.search(rb"^size (\d+)", head, re.MULTILINE), "git lfs pull")


def _other_pointer(head: bytes, size: int, _name: str) -> Placeholder | None:
    if size > POINTER_LIMIT:
        return None
    if head.startswith(b"# xet version "):
        return _pointer("Xet", re.search(rb"^filesize = (\d+)", head, re.MULTILINE), "")
    line = head.partition(b"\n")[0]
    if not re.match(rb"(\.?\.?/)*(\.git)?/?annex/objects/\S+\s*$", line):
        return None
    return _pointer("git-annex", re.search(rb"-s(\d+)-", line), "git annex get")


def _pointer(system: str, real: re.Match[bytes] | None, command: str) -> Placeholder:
    size = f" (the real one has {format_size(int(real[1]))})" if real else ""
    return Placeholder(f"it is a {system} pointer, not the file itself{size}", command)


def _html(head: bytes, _size: int, name: str) -> Placeholder | None:
    start = re.sub(rb"^\s*(<\?xml[^>]*\?>|<!--.*?-->|\s)*", b"", head, flags=re.DOTALL)[:20]
    begins = _PART_OF_PAGE if not name.endswith(_TEXT_SUFFIXES) else _PAGE
    if name.endswith((".html", ".htm", ".xhtml")) or not begins.match(start):
        return None
    title = re.search(rb"<title[^>]*>(.*?)</title", head, re.IGNORECASE | re.DOTALL)
    return Placeholder(f"it is an HTML page, not the file{_quoted(title[1] if title else b'')}")


_PAGE = re.compile(rb"<(!doctype html|html|head|body|script)", re.IGNORECASE)
_PART_OF_PAGE = re.compile(
    _PAGE.pattern + rb"|<(title|meta|link|style|frameset|center|div|h[1-6]|table|form|font|pre|p|a|br|b)[\s/>]",
    re.IGNORECASE,
)
_TEXT_SUFFIXES = (
    ".md",
    ".markdown",
    ".rst",
    ".txt",
    ".xml",
    ".svg",
    ".vue",
    ".tpl",
    ".j2",
)  # may begin with a part of a page


def _xml_error(head: bytes, _size: int, _name: str) -> Placeholder | None:
    """The error response of S3 and similar servers."""
    if not re.match(rb"(?i)(<\?xml[^>]*\?>)?\s*<(\w+:)?(error(response)?|ListBucketResult)[\s/>]", head):
        return None
    tags = (rb"code", rb"message")
    words = [match[1] for tag in tags if (match := re.search(rb"(?i)<(?:\w+:)?%s>(.*?)</" % tag, head, re.DOTALL))]
    return Placeholder(f"it is an error response of a storage server (XML), not the file{_quoted(b': '.join(words))}")


_ERROR_KEYS = (
    *("error", "errors", "errormessage", "error_message", "error_description", "fault", "exception"),
    *("message", "detail"),
)
_WEAK_KEYS = ("msg", "reason")  # an error only if there are no other keys
_BESIDE_ERRORS = {
    *("status", "code", "statuscode", "status_code", "errorcode", "error_code", "success", "ok"),
    *("documentation_url", "path", "timestamp", "type", "title"),
}


def _json_error(head: bytes, size: int, name: str) -> Placeholder | None:
    if size > len(head) or not head.startswith((b"{", b"[")):
        return None
    try:
        document = json.loads(head)
    except ValueError:
        return None
    if isinstance(document, list):
        document = document[0] if len(document) == 1 else None
    if not isinstance(document, dict):
        return None
    keys = {str(key).lower() for key in document}
    only_about_errors = not keys - {*_ERROR_KEYS, *_WEAK_KEYS} - _BESIDE_ERRORS
    names = (*_ERROR_KEYS, *(_WEAK_KEYS if only_about_errors else ()))
    values = [document[key] for key in document if str(key).lower() in names and document[key]]
    if not values or (name.endswith(_JSON_SUFFIXES) and not only_about_errors):
        return None  # any document may have such a key beside others
    return Placeholder(f"it is an error response (JSON), not the file{_quoted(_as_text(values[0]).encode())}")


_JSON_SUFFIXES = (".json", ".jsonl", ".gltf")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# Whole bodies of error responses; servers sometimes send them with status 200.
_TEXT_ERROR = re.compile(
    rb"\s*(http/[\d.]+ [45]\d\d .*|error code: \d+|(error:? +)?([45]\d\d:? *)?"
    rb"((file|page|entry|object|repository) )?(not found|forbidden|access (is )?denied"
    rb"|unauthori[sz]ed(: [^\n]*)?|bad gateway|service unavailable|internal server error|too many requests"
    rb"|rate limit exceeded|signature has expired|[^\n]* does not exist|access to [^\n]* is restricted[^\n]*"
    rb"|invalid (credentials|token|username or password)[^\n]*|no such (key|bucket|file)[^\n]*)[.!]?)\s*",
    re.IGNORECASE | re.DOTALL,
)


def _text_error(head: bytes, size: int, _name: str) -> Placeholder | None:
    if size > POINTER_LIMIT or not _TEXT_ERROR.fullmatch(head):
        return None
    return Placeholder(f"it is an error response, not the file{_quoted(head)}")


def _quoted(text: bytes) -> str:
    words = " ".join(text.decode(errors="replace").split())
    return f' ("{words[:_MAX_QUOTED]}{"…" if len(words) > _MAX_QUOTED else ""}")' if words else ""


_GZIP = b"\x1f\x8b"

# First bytes of well-known formats, to say what a file is that does not open as what its suffix claims.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"BZh", "a bzip2 file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"!<arch>\n", "an ar archive"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program (ELF)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"<?xml", "an XML document"),
)


def looks_like(head: bytes) -> str:
    """What a file seems to be, for messages: `a zip archive`, `text that begins with …`, or its first bytes."""
    for magic, words in _MAGIC:
        if head.startswith(magic):
            return words
    start = head[:40]
    if is_text(start):
        return f"text that begins with {start.decode(errors='replace').split(chr(10))[0]!r}"
    return f"something that begins with 0x{start[:8].hex()}"


def is_text(head: bytes) -> bool:
    """Whether `head` is text in UTF-8; its last character may be cut in two."""
    if not head or any(byte < 32 and byte not in b"\t\r\n" for byte in head):
        return False
    return "\ufffd" not in head.decode(errors="replace")[:-1]
