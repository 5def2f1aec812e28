"""Findings about a layer's requirement file: direct references, and pip options that belong elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.markers import Marker

from core.findings import Finding
from core.presets.compat.image_packages import Resolved, image_environment
from core.presets.direct_references import explain_unlockable
from core.presets.index_entries import entries_for_find_links, entries_for_index, entry_json, indexes_of
from core.presets.layer_file import FileOption, LayerFile, LayerReference, format_places
from core.presets.model import Index, Preset
from core.redaction import redact_text

UNNAMED_PRESET = "PRESET"  # where the preset's name is not known
_NO_EFFECT = {
    "--prefer-binary": "images are built from wheels only",
    "--only-binary": "images are built from wheels only",
    "--require-hashes": "the SHA-256 of every file is locked and checked anyway",
    "--use-feature": "only pip uses it",
    "--config-settings": "it is for builds from source code, and images are built from wheels only",
    "--global-option": "it is for builds from source code, and images are built from wheels only",
    "--build-option": "it is for builds from source code, and images are built from wheels only",
    "--install-option": "it is for builds from source code, and images are built from wheels only",
}


def layer_findings(
    preset: Preset, layer: str, content: LayerFile, resolved: Resolved | None, name: str
) -> list[Finding]:
    """The findings about one layer of the preset `name`."""
    where = f"layers: {layer}"
    findings = []
    if content.is_empty and not content.options:
        findings.append(Finding.note("layer-empty", f"layer {layer} has no requirements", where=where))
    locked = {package.name for package in resolved.packages} if resolved else set()
    built = resolved.built if resolved else {}
    missing = [
        entry
        for entry in content.direct_references
        if holds_in_image(entry, preset.python_version)
        and (entry.reference.name or built.get(entry.reference.address)) not in locked
    ]
    for group in explain_unlockable(missing, name, preset.python_version):
        findings.append(Finding.warning("layer-source", group.what, group.why, group.remedy, where))
    for option in _group_repeated(content.options):
        findings += _option(option, preset, content.requirements, where, name)
    return findings


def _group_repeated(options: Sequence[FileOption]) -> list[FileOption]:
    """The options, with one that is on several lines only once."""
    places: dict[tuple[str, str], list[str]] = {}
    for option in options:
        places.setdefault((option.name, option.value), []).append(option.place)
    return [FileOption(format_places(positions), name, value) for (name, value), positions in places.items()]


def holds_in_image(entry: LayerReference, python: str) -> bool:
    """Whether the requirement's marker applies to an image with that Python."""
    return not entry.reference.marker or Marker(entry.reference.marker).evaluate(image_environment(python))


def _option(
    option: FileOption, preset: Preset, requirements: Sequence[str], where: str, name: str
) -> Iterator[Finding]:
    text = f"{option.place}: {option.name} {redact_text(option.value)}".rstrip()
    if option.name in ("--index-url", "--extra-index-url", "--find-links"):
        page = option.name == "--find-links"
        entries = (entries_for_find_links if page else entries_for_index)(option.value, requirements)
        yield from _index(text, entries, preset, where, name)
    elif option.name in _NO_EFFECT:
        yield Finding.note("layer-option", f"{text} changes nothing", _NO_EFFECT[option.name], where=where)
    elif option.name == "--trusted-host":
        yield Finding.note("layer-option", f"{text} has no effect", *_trusted_host(option.value), where)
    else:
        yield Finding.warning(
            "layer-option", f"{text} has no effect", *_REMEDIES[option.name](option.value, name), where
        )


def _index(text: str, entries: list[Index], preset: Preset, where: str, name: str) -> Iterator[Finding]:
    known_urls = {index.url.rstrip("/") for index in indexes_of(preset)}
    missing = [entry for entry in entries if entry.url.rstrip("/") not in known_urls]
    if entries and not missing:
        return
    why = "the preset says which index provides which package"
    if not entries:
        why = "it is a page or a folder of files, not an index"
        remedy = f"put its wheels into artifacts/{name}/local-wheels, or name each by its address: NAME @ URL"
        yield Finding.warning("layer-index", f"{text} is not used", why, remedy, where)
        return
    remedy = f'add to "indexes" of the preset: {", ".join(map(entry_json, missing))}'
    if not all(entry.packages for entry in missing):
        remedy += '; and bind to it the packages that only it has, as in "packages": ["ours-*"]'
    variables = sorted({entry.token_variable for entry in missing if entry.token_variable})
    if variables:
        remedy += f"; and put the token into .env as {', '.join(variables)}"
    yield Finding.warning("layer-index", f"{text} is not used", why, remedy, where)


def _pre(_: str, __: str) -> tuple[str, str]:
    why = "a pre-release is used only where a requirement names one"
    return why, "name it in the requirement, as in NAME>=2.6.0.dev0"


def _no_index(_: str, name: str) -> tuple[str, str]:
    why = "the indexes of the preset and of this machine are used anyway"
    return why, f"put the wheels into artifacts/{name}/local-wheels, and name their versions: NAME==VERSION"


def _no_binary(value: str, name: str) -> tuple[str, str]:
    why = "if an index has a wheel, the lock uses it"
    by_hand = f"pip wheel --no-deps --no-binary {value} --wheel-dir artifacts/{name}/local-wheels NAME==VERSION"
    return why, f"build it: {by_hand}; then lock again: xaiva lock {name}"


def _trusted_host(value: str) -> tuple[str, str]:
    why = "certificates are always checked"
    return why, f"if {value} has a certificate of your own, set SSL_CERT_FILE in .env to the file of its authority"


def _constraint(_: str, __: str) -> tuple[str, str]:
    why = "a constraint can only name versions, or a wheel by its http(s) address"
    return why, "if the package is needed, write this line into the file that asks for it"


_REMEDIES = {
    "--constraint": _constraint,
    "--pre": _pre,
    "--no-index": _no_index,
    "--no-binary": _no_binary,
}
