"""Files generated from the lock alone: requirement files, `pylock.toml`, apt's `Packages`."""

from __future__ import annotations

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
    import tomli_w

    wheels = sorted(lock.of_kind(FileKind.WHEEL), key=lambda file: (file.name, file.path))
    return tomli_w.dumps(
        {
            "lock-version": "1.0",
            "environments": ["sys_platform == 'linux' and platform_machine == 'x86_64'"],
            **({"requires-python": f"=={lock.python_version}.*"} if lock.python_version else {}),
            "created-by": "xaiva",
            "packages": [
                {"name": wheel.name, "version": wheel.version, "wheels": [_pylock_wheel(wheel)]} for wheel in wheels
            ],
        }
    )


def _pylock_wheel(wheel: LockedFile) -> dict[str, object]:
    url = {"url": wheel.url} if wheel.url.startswith(("http://", "https://")) else {}
    name, hashes = wheel.path.rpartition("/")[2], {"sha256": wheel.sha256}
    return {"name": name, **url, "path": wheel.path, "size": wheel.size, "hashes": hashes}


def packages_text(lock: Lock, debs: list[LockedFile]) -> str:
    """An apt index of the debs, for a `deb [trusted=yes] file:… ./` source."""
    stanzas = []
    for deb in sorted(debs, key=lambda file: file.path):
        fields = lock.deb_fields.get(deb.path, {})
        fixed = {"Filename": "./" + deb.path.rpartition("/")[2], "Size": str(deb.size), "SHA256": deb.sha256}
        head = {"Package": deb.name, "Version": deb.version}
        stanzas.append("".join(f"{key}: {value}\n" for key, value in {**head, **fields, **fixed}.items()))
    return "\n".join(stanzas)
