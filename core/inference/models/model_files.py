"""The state of a model file and of the weights beside it: their SHA-256, and whether they were replaced since."""

from __future__ import annotations

from pathlib import Path

from core.errors import InputError, os_reason
from core.files import sha256_file
from core.inference.settings import MIB

FileStamp = tuple[tuple[str, int, int, int], ...]
"""Name, inode, bytes and time of change of each file."""

_digests: dict[FileStamp, str] = {}  # so that an unchanged model is not hashed again


def file_stamp(path: Path) -> FileStamp:
    """What changes when the model is replaced. Raises OSError."""
    states = [(f"{file}", file.stat()) for file in _parts(path)]
    return tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states)


def hash_model(path: Path) -> tuple[FileStamp, str]:
    """The model's stamp, and the SHA-256 of its files. Raises InputError for files that cannot be read."""
    try:
        stamp = file_stamp(path)
        if stamp not in _digests:
            _digests[stamp] = " ".join(sha256_file(file) for file in _parts(path))
    except OSError as error:
        raise InputError(f"Model {path}", os_reason(error), "put it there again, and check its permissions") from error
    return stamp, _digests[stamp]


def declared_memory(stamp: FileStamp) -> int:
    """Bytes to charge until it was measured: weights, also those in files beside the model, and activations."""
    return 100 * MIB + 3 * sum(size for _, _, size, _ in stamp)


def _parts(path: Path) -> list[Path]:
    """The model file, and the files of its weights that some exporters write beside it: `x.onnx.data`."""
    return sorted(file for file in path.parent.iterdir() if file.name.startswith(path.name) and file.is_file())
