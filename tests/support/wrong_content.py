"""Files that are something else than their names promise, and files that are what they promise."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345678\n" % (b"4d7a" * 16)
ANNEX = b"/annex/objects/SHA256E-s12345678--0123abcd.onnx\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in \xc2\xb7 Models</title></head><body>%s</body></html>"
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)


# name, bytes → what the message says
WRONG: dict[str, tuple[str, bytes, str]] = {
    "lfs-onnx": ("yolo.onnx", LFS, "it is a Git LFS pointer, not the file itself (the real one has 12.3 MB)"),
    "lfs-with-crlf": ("yolo.pt", LFS.replace(b"\n", b"\r\n"), "Git LFS pointer"),
    "lfs-of-an-older-version": (
        "yolo.engine",
        LFS.replace(b"git-lfs.github.com/spec/v1", b"hawser.github.com/spec/v1"),
        "Git LFS pointer",
    ),
    "lfs-without-a-suffix": ("weights", LFS, "Git LFS pointer"),
    "lfs-of-a-json": ("labels.json", LFS, "Git LFS pointer"),
    "lfs-wheel": ("demo-1.0-py3-none-any.whl", LFS, "Git LFS pointer"),
    "lfs-deb": ("demo_1.0_amd64.deb", LFS, "Git LFS pointer"),
    "lfs-after-a-blank-line": ("yolo.engine", b"\n" + LFS, "Git LFS pointer"),
    "lfs-in-utf-16": ("yolo.engine", LFS.decode().encode("utf-16"), "Git LFS pointer"),
    "lfs-over-http": ("weights", LFS.replace(b"https", b"http"), "Git LFS pointer"),
    "lfs-in-gzip": ("labels.gz", gzip.compress(LFS), "Git LFS pointer"),
    "xet": ("weights", b"# xet version 0\nfilesize = 12345678\nhash = 'a'\n", "it is a Xet pointer"),
    "link-as-text": ("yolo.engine", b"../../weights/yolo.engine", "not a valid TensorRT engine: it looks like text"),
    "annex": ("yolo.onnx", ANNEX, "it is a git-annex pointer, not the file itself (the real one has 12.3 MB)"),
    "annex-link-as-text": ("yolo.onnx", b"../.git/annex/objects/x/y/SHA256E-s1--a/SHA256E-s1--a", "git-annex pointer"),
    "login-page": ("yolo.onnx", PAGE % b"", 'it is an HTML page, not the file ("Sign in · Models")'),
    "large-page": ("ffmpeg.tar.xz", PAGE % (b"x" * 300_000), "it is an HTML page"),
    "page-after-a-comment": ("yolo.gguf", b"\n<!-- x -->\n<HTML lang=en>", "it is an HTML page"),
    "page-as-xhtml": ("a.zip", b'<?xml version="1.0"?><!DOCTYPE html><html/>', "it is an HTML page"),
    "page-without-a-suffix": ("weights", b"\xef\xbb\xbf<!doctype HTML><p>", "it is an HTML page"),
    "page-in-utf-16": ("yolo.plan", (PAGE % b"").decode().encode("utf-16"), "it is an HTML page"),
    "page-in-gzip": ("weights", gzip.compress(PAGE % b""), "it is an HTML page"),
    "part-of-a-page": ("weights", b"<h1>Not Found</h1><p>The requested URL", "it is an HTML page"),
    "page-that-moves-on": ("weights", b'<meta http-equiv="refresh" content="0;url=/login">', "it is an HTML page"),
    "page-of-a-redirect": ("weights", b'<a href="https://example.org/login">Found</a>.\n\n', "it is an HTML page"),
    "dav-error": (
        "weights",
        b'<?xml version="1.0"?>\n<d:error xmlns:d="DAV:"><s:message>File not found</s:message></d:error>',
        "File not found",
    ),
    "listing-of-a-bucket": ("weights", b'<?xml version="1.0"?><ListBucketResult/>', "storage server (XML)"),
    "s3-error": ("yolo.onnx", DENIED, "it is an error response of a storage server (XML)"),
    "s3-error-says-why": ("weights.bin", DENIED, "AccessDenied: Access Denied"),
    "json-error": ("yolo.safetensors", b'{"error": "Repository not found"}', '("Repository not found")'),
    "json-error-as-json": ("labels.json", b'{"message": "Not Found", "status": "404"}', "error response (JSON)"),
    "json-error-of-an-api": ("weights.bin", b'{"detail":"Authentication required"}', "error response (JSON)"),
    "json-error-nested": ("a.tar.gz", b'{"errors":[{"status":404,"message":"no"}]}', "error response (JSON)"),
    "json-error-after-blanks": ("weights", b'\xef\xbb\xbf\n {"detail": "Not found."}', "error response (JSON)"),
    "json-error-of-a-portal": ("weights", b'{"code": 404, "msg": "no such file"}', "error response (JSON)"),
    "json-error-with-success": ("weights", b'{"success": false, "reason": "denied"}', '("denied")'),
    "json-error-in-a-list": ("weights", b'[{"error": "denied"}]', '("denied")'),
    "text-error-of-http": ("weights", b"HTTP/1.1 403 Forbidden\r\nServer: x\r\n\r\n", "it is an error response"),
    "text-error-of-a-registry": ("weights", b"error: unauthorized: authentication required", "it is an error response"),
    "text-error-of-a-login": ("weights", b"Invalid username or password.", "it is an error response"),
    "text-error-of-a-gate": (
        "weights",
        b"Access to model o/m is restricted. You must be authenticated to access it.",
        "it is an error response",
    ),
    "text-as-engine": ("yolo.engine", b"see the other folder\n", "not a valid TensorRT engine: it looks like text"),
    "text-as-bin": ("weights.bin", b"see the other folder\n", "not a valid binary file: it looks like text"),
    "zeros": ("yolo.engine", bytes(100_000), "it contains only zeros"),
    "blanks": ("weights", b"\n", "it contains only whitespace"),
    "text-error": ("weights.bin", b"404: Not Found", 'it is an error response, not the file ("404: Not Found")'),
    "text-error-of-a-hub": ("yolo.onnx", b"Entry not found", "it is an error response"),
    "empty": ("yolo.onnx", b"", "it is empty"),
    "empty-without-a-suffix": ("weights", b"", "it is empty"),
    "text-as-onnx": ("yolo.onnx", b"see the other folder\n", "not a valid ONNX model: it looks like text"),
    "zip-as-onnx": ("yolo.onnx", b"PK\x03\x04" + bytes(100), "not a valid ONNX model: it looks like a zip archive"),
    "gzip-as-tar": ("a.tar", gzip.compress(bytes(2048)), "it looks like a gzip file"),
    "json-as-safetensors": ("a.safetensors", b"[1, 2, 3, 4, 5]", "not a valid safetensors file"),
    "text-in-gzip": ("a.tar.gz", gzip.compress(b"x" * 600), "inside, it looks like text"),
    "no-json": ("a.json", b"{'a': 1}", "not a valid JSON document"),
    "text-as-7z": ("a.7z", b"see the other folder\n", "not a valid 7z archive"),
}


def archive(suffix: str = "") -> bytes:
    """A tar of some random bytes, compressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(3):
            content = random.Random(number).randbytes(5000)
            entry = tarfile.TarInfo(f"a/{number}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    squeeze: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        "gz": gzip.compress,
        "xz": lzma.compress,
        "bz2": bz2.compress,
    }
    return squeeze[suffix](out.getvalue())


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as into:
        for name, text in files.items():
            into.writestr(name.replace("__", "/"), text)
    return out.getvalue()


def wheel(name: str = "demo", version: str = "1.0") -> bytes:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return zipped(**{f"{name}-{version}.dist-info/METADATA": metadata, "demo.py": "x = 1\n" * 500})


def packed_unknown(content: bytes, what: str) -> bytes:
    """A zip archive with a compression method or version that no current library knows."""
    local, central = content.index(b"PK\3\4"), content.index(b"PK\1\2")
    out = bytearray(content)
    for at in (local + 8, central + 10) if what == "method" else (local + 4, central + 6):
        out[at : at + 2] = struct.pack("<H", 250)
    return bytes(out)


def deb() -> bytes:
    def member(name: str, content: bytes) -> bytes:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        return header + content + b"\n" * (len(content) % 2)

    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", archive("xz")), ("data.tar.xz", archive("xz"))]
    return b"!<arch>\n" + b"".join(member(*part) for part in parts)


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(400)


def with_pointer(suffix: str) -> bytes:
    """An archive of a repository with pointers in place of its large files."""
    out = io.BytesIO()
    if suffix == "zip":
        with zipfile.ZipFile(out, "w") as into:
            into.writestr("src/yolo.onnx", LFS)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode=f"w:{suffix}") as tar:
        entry = tarfile.TarInfo("src/yolo.onnx")
        entry.size = len(LFS)
        tar.addfile(entry, io.BytesIO(LFS))
    return out.getvalue()


for name, suffix in (("a.tar", ""), ("a.tar.gz", "gz"), ("a.tar.xz", "xz"), ("a.zip", "zip")):
    WRONG[f"pointer-in-{name[2:]}"] = (name, with_pointer(suffix), "it contains src/yolo.onnx, and it is a Git LFS")


GOOD: dict[str, tuple[str, bytes]] = {
    "safetensors": ("a.safetensors", safetensors()),
    "torch-zip": ("a.pt", zipped(archive__data_pkl="x" * 900)),
    "torch-pickle": ("a.pth", pickle.dumps({"w": [1.0] * 100}, protocol=2)),
    "wheel": ("demo-1.0-py3-none-any.whl", wheel()),
    "wheel-spelt-otherwise": ("Demo_Kit-1.0.0-py3-none-any.whl", wheel("demo-kit", "1.0")),
    "wheel-with-a-local-version": ("demo-1.0+cu126-cp310-cp310-linux_x86_64.whl", wheel("demo", "1.0+cu126")),
    "deb": ("demo_1.0_amd64.deb", deb()),
    "tar": ("a.tar", archive()),
    "tar.gz": ("a.tar.gz", archive("gz")),
    "tgz": ("a.tgz", archive("gz")),
    "tar.xz": ("a.tar.xz", archive("xz")),
    "tar.bz2": ("a.tar.bz2", archive("bz2")),
    "zip": ("a.zip", zipped(a="1" * 500)),
    "zip-of-an-unknown-method": ("a.zip", packed_unknown(zipped(a="1" * 500), "method")),
    "zip-of-a-newer-version": ("a.zip", packed_unknown(zipped(a="1" * 500), "version")),
    "wheel-of-an-unknown-method": ("demo-1.0-py3-none-any.whl", packed_unknown(wheel(), "method")),
    "gguf": ("a.gguf", b"GGUF\3\0\0\0" + bytes(100)),
    "tflite": ("a.tflite", b"\x1c\0\0\0TFL3" + bytes(100)),
    "engine": ("a.engine", random.Random(1).randbytes(500)),
    "unknown": ("weights.bin", random.Random(2).randbytes(500)),
    "no-suffix": ("weights", random.Random(3).randbytes(500)),
    "labels": ("labels.json", b'{"message": "a class of its own", "error": 3, "person": 0}'),
    "json-list": ("labels.json", b'["person", "car"]'),
    "openvino": ("model.xml", b'<?xml version="1.0"?><net name="a" version="11"></net>'),
    "page-that-is-wanted": ("manual.html", PAGE % b""),
    "text": ("LICENSE.txt", b"Not found in the wild, all the same a licence.\n"),
    "readme-about-lfs": ("README.md", b"A pointer begins with: version https://git-lfs.github.com/spec/v1\n"),
    "readme-that-begins-with-a-picture": ("README.md", b'<p align="center"><img src="a.png"></p>\n'),
    "picture": ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'),
    "page-that-is-wanted-in-gzip": ("manual.html.gz", gzip.compress(PAGE % b"")),
    "bin-with-a-line-of-text-first": ("words.bin", b"3000000 300\n" + b"word " * 20 + random.Random(4).randbytes(500)),
    "bin-that-begins-with-zeros": ("weights.bin", bytes(100_000) + random.Random(4).randbytes(500)),
    "pickle-as-text": ("a.pkl", pickle.dumps({"w": [1.0]}, protocol=0)),
    "about-itself": ("config", b'{"title": "a", "type": "b", "reason": "c", "classes": []}'),
    "config-without-suffix": ("config", b'{"classes": ["person"], "input": 640}'),
}
