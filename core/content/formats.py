"""Checks whether a file opens as what its suffix claims. Accepts any file whose suffix is not in the table."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import BinaryIO

from core.content.placeholders import (
    HEAD_BYTES,
    POINTER_LIMIT,
    Placeholder,
    format_size,
    is_text,
    looks_like,
    recognise_pointer,
)

_MAX_DECOMPRESSED = (
    64 << 20
)  # bytes of a compressed file that is decompressed to its end; of a larger one only the beginning is
_BLOCK = 512  # bytes in a block of a tar
_NO_CONTENT = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
_MAX_JSON_BYTES = 64 << 20


class _FormatError(Exception):
    """The file is not of the expected format; the text says why."""


class _ContainsPointer(Exception):
    """An archive has a pointer in place of a file."""

    def __init__(self, name: str, pointer: Placeholder) -> None:
        super().__init__(f"it contains {name}, and {pointer.description}")
        self.pull_command = pointer.pull_command


def check_format(path: Path, size: int, name: str) -> Placeholder | None:
    """What is wrong with the file at `path`, judged by the suffix of `name`; None when nothing is wrong."""
    lowered = name.lower()
    entry = next(((noun, opens) for suffix, noun, opens in FORMATS if lowered.endswith(suffix)), None)
    if entry is None:
        return None
    noun, opens = entry
    try:
        with open(path, "rb") as file:
            opens(file, size, name)
    except _FormatError as misfit:
        return Placeholder(f"it is not a valid {noun}: {misfit}")
    except _ContainsPointer as archive:
        return Placeholder(str(archive), archive.pull_command)
    except NotImplementedError:
        return None  # zipfile does not know the version or method, which does not make the file wrong
    return None


def _head(file: BinaryIO, count: int = HEAD_BYTES) -> bytes:
    file.seek(0)
    return file.read(count)


def _expect_magic(file: BinaryIO, magic: bytes, at: int = 0) -> None:
    head = _head(file)
    if head[at : at + len(magic)] != magic:
        raise _FormatError(f"it looks like {looks_like(head)}")


def _cut_short(missing: int) -> _FormatError:
    return _FormatError(f"it is cut short, {format_size(missing)} are missing")


# -- models -----------------------------------------------------------------------------------------------------------

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # of protobuf
_GRAPH = 7  # onnx.proto, ModelProto: a model without a graph is not a model


def _onnx(file: BinaryIO, size: int, _name: str) -> None:
    """Walk through the fields of a ModelProto without reading their contents."""
    fields: set[int] = set()
    file.seek(0)
    try:
        for number, end in _fields(file, size):
            if end > size:
                if _GRAPH in fields | {number}:
                    raise _cut_short(end - size)
                raise ValueError
            fields.add(number)
    except (ValueError, EOFError):
        raise _FormatError(f"it looks like {looks_like(_head(file))}") from None
    if _GRAPH not in fields:
        raise _FormatError("it has no graph")


def _fields(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """(number, end position) of each field. Raises ValueError when the file is not a protobuf, EOFError."""
    while file.tell() < size:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if not 1 <= number <= 100:
            raise ValueError
        if kind == _VARINT:
            _varint(file)
        elif kind in (_FIXED64, _FIXED32):
            file.seek(8 if kind == _FIXED64 else 4, os.SEEK_CUR)
        elif kind == _BYTES:
            length = _varint(file)
            file.seek(length, os.SEEK_CUR)
        else:
            raise ValueError
        yield number, file.tell()


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise EOFError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError


def _safetensors(file: BinaryIO, size: int, _name: str) -> None:
    length = int.from_bytes(_head(file, 8), "little")
    if not 2 <= length <= size - 8:
        if size >= 8 and length < 100_000_000 and file.read(1) == b"{":
            raise _cut_short(8 + length - size)
        raise _FormatError(f"it looks like {looks_like(_head(file))}")
    try:
        header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise _FormatError("its header cannot be read") from None
    if (needed := 8 + length + max(ends, default=0)) > size:
        raise _cut_short(needed - size)


def _torch(file: BinaryIO, size: int, name: str) -> None:
    """PyTorch writes a zip since 1.6, before that a pickle or a tar."""
    head = _head(file, _BLOCK)
    if head.startswith(b"PK"):
        _zip(file, size, name)
    elif not (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") and not _is_tar(head):
        raise _FormatError(f"it looks like {looks_like(head)}")


def _magic(magic: bytes, at: int = 0) -> Callable[[BinaryIO, int, str], None]:
    def opens(file: BinaryIO, _size: int, _name: str) -> None:
        _expect_magic(file, magic, at)

    return opens


def _binary(file: BinaryIO, size: int, _name: str) -> None:
    """A format without a fixed beginning: refuses only text, and zeros, which a failed download leaves."""
    head = _head(file)
    if is_text(head):
        raise _FormatError(f"it looks like {looks_like(head)}")
    file.seek(max(0, size - HEAD_BYTES))
    if not head.strip(b"\0") and not file.read().strip(b"\0"):
        raise _FormatError("it contains only zeros")


def _json(file: BinaryIO, size: int, _name: str) -> None:
    if size > _MAX_JSON_BYTES:
        return
    try:
        json.loads(_head(file, size))
    except ValueError as error:
        raise _FormatError(str(error)) from None


# -- packages ---------------------------------------------------------------------------------------------------------


def _zip(file: BinaryIO, _size: int, _name: str) -> zipfile.ZipFile:
    head = _head(file)
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError):
        if head.startswith(b"PK\x03\x04"):
            raise _FormatError("it is cut short: its table of contents is missing") from None
        raise _FormatError(f"it looks like {looks_like(head)}") from None


def _opens_zip(file: BinaryIO, size: int, name: str) -> None:
    _zip(file, size, name).close()


def _zip_of_files(file: BinaryIO, size: int, name: str) -> None:
    with _zip(file, size, name) as archive:
        for entry in archive.infolist():
            if entry.flag_bits & 1 or not 0 < entry.file_size <= POINTER_LIMIT:
                continue  # encrypted, or too large for a pointer
            try:
                content = archive.read(entry)
            except NotImplementedError:
                continue  # zipfile does not know the compression
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
                raise _FormatError(f"{entry.filename} inside it cannot be read: it is damaged") from None
            _refuse_pointer(entry.filename, content)


def _wheel(file: BinaryIO, size: int, name: str) -> None:
    from packaging.utils import canonicalize_name, parse_wheel_filename
    from packaging.version import InvalidVersion, Version

    try:
        project, version, *_ = parse_wheel_filename(name.rpartition("/")[2])
    except ValueError:
        return  # the name is not that of a wheel, so nothing installs it as one
    with _zip(file, size, name) as archive:
        inside = [path for path in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", path)]
        if not inside:
            raise _FormatError("it has no dist-info/METADATA")
        try:
            message = HeaderParser().parsestr(archive.read(inside[0]).decode(errors="replace"))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
            raise _FormatError("its METADATA cannot be read: it is damaged") from None
    try:
        same = canonicalize_name(message["Name"] or "") == project and Version(message["Version"] or "") == version
    except InvalidVersion:
        same = False
    if not same:
        raise _FormatError(f"it is the wheel of {message['Name']} {message['Version']}")


def _deb(file: BinaryIO, size: int, _name: str) -> None:
    _expect_magic(file, b"!<arch>\n")
    names = []
    at = 8
    while at < size:
        file.seek(at)
        header = file.read(60)
        if len(header) < 60:
            raise _cut_short(60 - len(header))
        if header[58:] != b"`\n":
            raise _FormatError("its table of contents is damaged")
        names.append(header[:16].decode(errors="replace").strip().rstrip("/"))
        length = int(header[48:58])
        if at + 60 + length > size:
            raise _cut_short(at + 60 + length - size)
        at += 60 + length + length % 2
    if names[:1] != ["debian-binary"] or not any(member.startswith("control.tar") for member in names):
        raise _FormatError("it lacks debian-binary or control")


# -- archives ---------------------------------------------------------------------------------------------------------


def _is_tar(block: bytes) -> bool:
    if block[:_BLOCK] == bytes(_BLOCK):
        return True  # an empty archive
    try:
        tarfile.TarInfo.frombuf(block[:_BLOCK], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _tar(file: BinaryIO, size: int, _name: str) -> None:
    head = _head(file)
    if not _is_tar(head):
        raise _FormatError(f"it looks like {looks_like(head)}")
    if size % _BLOCK:
        raise _cut_short(_BLOCK - size % _BLOCK)
    at = 0
    while at + _BLOCK <= size:
        file.seek(at)
        try:
            entry = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
        except tarfile.TarError:
            return  # the end, or an unknown variant of tar
        if entry.isreg() and 0 < entry.size <= POINTER_LIMIT:
            _refuse_pointer(entry.name, file.read(entry.size))
        at += _BLOCK + (-(-entry.size // _BLOCK) * _BLOCK if entry.type not in _NO_CONTENT else 0)
    if at > size:
        raise _cut_short(at - size)


def _compressed(
    magic: bytes, opened: Callable[[BinaryIO], BinaryIO], holds_tar: bool
) -> Callable[[BinaryIO, int, str], None]:
    def opens(file: BinaryIO, size: int, _name: str) -> None:
        _expect_magic(file, magic)
        file.seek(0)
        try:
            with opened(file) as inside:
                head = inside.read(_BLOCK)
                if holds_tar and size <= _MAX_DECOMPRESSED and _is_tar(head):
                    inside.seek(0)
                    _refuse_pointers_of_tar(inside)
                while size <= _MAX_DECOMPRESSED and inside.read(1 << 20):
                    pass
        except EOFError:
            raise _FormatError("it is cut short") from None
        except (OSError, zlib.error, lzma.LZMAError, ValueError):
            raise _FormatError("it is damaged") from None
        if holds_tar and not _is_tar(head):
            raise _FormatError(f"inside, it looks like {looks_like(head)}")

    return opens


def _refuse_pointers_of_tar(file: BinaryIO) -> None:
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=file, mode="r|") as archive:
        for entry in archive:
            if 0 < entry.size <= POINTER_LIMIT and entry.isreg() and (content := archive.extractfile(entry)):
                _refuse_pointer(entry.name, content.read())


def _refuse_pointer(name: str, content: bytes) -> None:
    """Raise _ContainsPointer when a file of an archive is a pointer."""
    if pointer := recognise_pointer(content):
        raise _ContainsPointer(name, pointer)


def _open_gzip(file: BinaryIO) -> BinaryIO:
    return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]


def _open_xz(file: BinaryIO) -> BinaryIO:
    return lzma.LZMAFile(file)  # type: ignore[return-value]


def _open_bzip2(file: BinaryIO) -> BinaryIO:
    return bz2.BZ2File(file)  # type: ignore[return-value]


_GZIP, _XZ, _BZIP2, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd"

# Suffix, noun and check; the first matching suffix counts.
FORMATS: tuple[tuple[str, str, Callable[[BinaryIO, int, str], None]], ...] = (
    (".onnx", "ONNX model", _onnx),
    *((suffix, "TensorRT engine", _binary) for suffix in (".engine", ".plan", ".trt")),
    *((suffix, "binary file", _binary) for suffix in (".bin", ".pb", ".ckpt", ".torchscript")),
    (".ort", "ONNX Runtime model", _magic(b"ORTM", 4)),
    (".safetensors", "safetensors file", _safetensors),
    (".pt", "PyTorch file", _torch),
    (".pth", "PyTorch file", _torch),
    (".gguf", "GGUF model", _magic(b"GGUF")),
    (".tflite", "TensorFlow Lite model", _magic(b"TFL3", 4)),
    (".h5", "HDF5 file", _magic(b"\x89HDF\r\n\x1a\n")),
    (".hdf5", "HDF5 file", _magic(b"\x89HDF\r\n\x1a\n")),
    (".keras", "Keras model", _opens_zip),
    (".npy", "NumPy array", _magic(b"\x93NUMPY")),
    (".npz", "NumPy archive", _opens_zip),
    (".json", "JSON document", _json),
    (".whl", "wheel", _wheel),
    (".deb", "Debian package", _deb),
    (".tar.gz", "tar.gz archive", _compressed(_GZIP, _open_gzip, True)),
    (".tgz", "tar.gz archive", _compressed(_GZIP, _open_gzip, True)),
    (".tar.xz", "tar.xz archive", _compressed(_XZ, _open_xz, True)),
    (".txz", "tar.xz archive", _compressed(_XZ, _open_xz, True)),
    (".tar.bz2", "tar.bz2 archive", _compressed(_BZIP2, _open_bzip2, True)),
    (".tbz2", "tar.bz2 archive", _compressed(_BZIP2, _open_bzip2, True)),
    (".tar.zst", "tar.zst archive", _magic(_ZSTD)),
    (".gz", "gzip file", _compressed(_GZIP, _open_gzip, False)),
    (".xz", "xz file", _compressed(_XZ, _open_xz, False)),
    (".bz2", "bzip2 file", _compressed(_BZIP2, _open_bzip2, False)),
    (".zst", "zstd file", _magic(_ZSTD)),
    (".tar", "tar archive", _tar),
    (".zip", "zip archive", _zip_of_files),
    (".7z", "7z archive", _magic(b"7z\xbc\xaf\x27\x1c")),
)
