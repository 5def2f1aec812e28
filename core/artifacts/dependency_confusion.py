"""Findings about dependency confusion: packages that several indexes have, without a binding to one of them."""

from __future__ import annotations

from collections.abc import Mapping

from core.findings import Finding


def confusion_findings(preset: str, shared: Mapping[str, list[str]]) -> list[Finding]:
    """A warning for each group of packages in `shared` (package → index URLs) that the same indexes have."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, urls in shared.items():
        groups.setdefault(tuple(urls), []).append(name)
    return [
        Finding.warning(
            code="dependency-confusion",
            what=f"{', '.join(names)}: several indexes have packages of this name",
            why=f"this lock took it from {urls[0]}; a lock made elsewhere may take one from {' and '.join(urls[1:])}",
            remedy=f'bind your own packages to their index in the preset: "packages": ["{names[0]}"]; then lock again',
            where=preset,
        )
        for urls, names in groups.items()
    ]
