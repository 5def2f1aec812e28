"""Files generated from the lock alone: requirement files, `pylock.toml`, apt's `Packages`."""

from __future__ import annotations

import json

from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedLayer

PYLOCK_NAME = "pylock.toml"


def generated_files(lock: Lock) -> dict[str, bytes]:
    """Path in the artifacts folder → content. The same lock gives the same bytes."""
    by_path = lock.by_path()
    files = {PYLOCK_NAME: pylock_text(lock).encode()}
    for layer in lock.layers:
        files[layer.requirements] = requirements_text(layer, by_path).encode()
    for name, paths in (("debs", lock.debs), ("build-debs", lock.build_debs)):
        if paths:
            files[f"{name}/Packages"] = packages_text(lock, [by_path[path] for path in paths]).encode()
    return files


def requirements_text(layer: LockedLayer, by_path: dict[str, LockedFile]) -> str:
    """A layer's packages with version and hash, for `pip install --no-index --no-deps --require-hashes`."""
    lines = [
        f"{file.name}=={file.version} --hash=sha256:{file.sha256}" for file in map(by_path.__getitem__, layer.wheels)
    ]
    return "".join(f"{line}\n" for line in sorted(lines))


def pylock_text(lock: Lock) -> str:
    """The wheels of all layers as a standard lock file (PEP 751). Paths are relative to the artifacts folder."""
    lines = ['lock-version = "1.0"', 'created-by = "xaiva"', f'requires-python = "=={lock.python_version}.*"']
    lines.append("environments = [\"sys_platform == 'linux' and platform_machine == 'x86_64'\"]")
    for wheel in sorted(lock.of_kind(FileKind.WHEEL), key=lambda file: (file.name, file.path)):
        origin = [f"name = {_toml(wheel.path.rpartition('/')[2])}", f"path = {_toml(wheel.path)}"]
        if wheel.url.startswith(("http://", "https://")):
            origin.insert(1, f"url = {_toml(wheel.url)}")
        lines += ["", "[[packages]]", f"name = {_toml(wheel.name)}", f"version = {_toml(wheel.version)}"]
        lines.append(
            f'wheels = [{{ {", ".join(origin)}, size = {wheel.size}, hashes = {{ sha256 = "{wheel.sha256}" }} }}]'
        )
    return "\n".join(lines) + "\n"


def _toml(text: str) -> str:
    """A basic string of TOML: one of JSON, in which DEL is escaped, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def packages_text(lock: Lock, debs: list[LockedFile]) -> str:
    """An apt index of the debs, for a `deb [trusted=yes] file:… ./` source."""
    stanzas = []
    for deb in sorted(debs, key=lambda file: file.path):
        fields = lock.deb_fields.get(deb.path, {})
        fixed = {"Filename": "./" + deb.path.rpartition("/")[2], "Size": str(deb.size), "SHA256": deb.sha256}
        head = {"Package": deb.name, "Version": deb.version}
        stanzas.append("".join(f"{key}: {value}\n" for key, value in {**head, **fields, **fixed}.items()))
    return "\n".join(stanzas)
