"""Makes a preset from a requirement file: copies it with the files that it includes, and adds the indexes it names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from core.errors import InputError
from core.files import write_atomic
from core.findings import Finding, Level
from core.presets.compat import check
from core.presets.index_entries import entries_for_find_links, entries_for_index, pytorch_entry, pytorch_tag_of
from core.presets.layer_file import LayerFile, read_layer_file, referenced_files
from core.presets.model import Index
from core.presets.requirement_text import ENV_REFERENCE
from core.presets.store import STARTER, create, explain_os_errors, load, new_preset_path
from core.site import Site

LAYERS_FOLDER = "layers"  # the folder beside the presets
LAYER_NAME = "requirements"


@dataclass(frozen=True)
class CreatedPreset:
    """A new preset, the files that were copied for it, and `findings` about what could not be carried over."""

    path: Path
    copied: list[Path]
    findings: list[Finding]


def create_from_requirements(site: Site, name: str, source: Path) -> CreatedPreset:
    """Write the preset `name` with one layer of the requirement file `source`.

    Raises InputError for a name that is taken and for a file that pip cannot read either; then nothing is written.
    """
    new_preset_path(site, name)
    root, files, content = _read(source)
    folder = site.presets / LAYERS_FOLDER / name
    if folder.exists():
        raise InputError(f"{folder}", "that folder already exists", "choose another name, or remove it")
    layer = {"name": LAYER_NAME, "file": f"{LAYERS_FOLDER}/{name}/{files[0]}"}
    entries = [entry.model_dump(exclude_defaults=True, exclude_none=True) for entry in _indexes(content)]
    preset = {**json.loads(STARTER), "layers": [layer], **({"indexes": entries} if entries else {})}
    copied = [folder / file for file in files]
    try:
        for file, target in zip(files, copied, strict=True):
            with explain_os_errors(target):
                write_atomic(target, (root / file).read_bytes())
        path = create(site, name, json.dumps(preset, indent=2) + "\n")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return CreatedPreset(path, copied, _import_findings(site, name, path))


def _read(source: Path) -> tuple[Path, list[str], LayerFile]:
    """The common folder of a file and all that it includes, their paths in it, and what they require."""
    root = Path(source.absolute().anchor)
    paths = [root / file for file in referenced_files(root, str(source.resolve().relative_to(root)))] or [
        source.resolve()
    ]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    files = [str(path.relative_to(folder)) for path in paths]
    content = read_layer_file(folder, files[0])
    addresses = [(option.place, option.value) for option in content.options]
    addresses += [(entry.place, entry.reference.address) for entry in content.direct_references]
    problems = content.problems + [_login(place) for place, address in addresses if _has_login(address)]
    if problems:
        what = "".join(f"\n  {what} → {remedy}" for what, remedy in problems)
        raise InputError(f"{source}", f"{len(problems)} problems{what}", "correct these lines in a copy of the file")
    return folder, files, content


def _has_login(address: str) -> bool:
    parts = urlsplit(address)
    secret = parts.password or ("" if "ssh" in parts.scheme else parts.username)
    return not ENV_REFERENCE.fullmatch(unquote(secret)) if secret else False


def _login(place: str) -> tuple[str, str]:
    remedy = "write ${WHEELS_TOKEN} in its place, and put the token into .env as WHEELS_TOKEN"
    return f"{place}: the address contains a password or token, which a preset must not contain", remedy


def _indexes(content: LayerFile) -> list[Index]:
    """The indexes that the file names; each package is bound to the first index that claims it."""
    entries: list[Index] = []
    for option in content.options:
        if option.name in ("--index-url", "--extra-index-url"):
            entries += entries_for_index(option.value, content.requirements)
        elif option.name == "--find-links":
            entries += entries_for_find_links(option.value, content.requirements)
    tags = dict.fromkeys(filter(None, map(pytorch_tag_of, content.requirements)))
    return list(_merge_entries([*entries, *map(pytorch_entry, tags)]))


def _merge_entries(entries: Iterable[Index]) -> Iterable[Index]:
    urls: set[str] = set()
    names: set[str] = set()
    bound: set[str] = set()
    for entry in entries:
        packages = [package for package in entry.packages if canonicalize_name(package) not in bound]
        if entry.url in urls or (entry.packages and not packages):
            continue
        name = next(name for number in range(1, 99) if (name := _numbered(entry.name, number)) not in names)
        urls.add(entry.url)
        names.add(name)
        bound.update(map(canonicalize_name, packages))
        yield entry.model_copy(update={"name": name, "packages": packages})


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _import_findings(site: Site, name: str, path: Path) -> list[Finding]:
    codes = ("layer-index", "layer-option", "layer-source", "index-missing")
    findings = check(load(path), site=site, name=name)
    return [finding for finding in findings if finding.code in codes and finding.level is not Level.NOTE]
