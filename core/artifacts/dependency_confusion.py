"""The findings on packages that several indexes have and that are bound to none."""

from __future__ import annotations

from collections.abc import Mapping

from core.findings import Finding


def confusion_findings(preset: str, shared: Mapping[str, list[str]]) -> list[Finding]:
    """A warning for each group of packages that the same indexes have."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, urls in shared.items():
        groups.setdefault(tuple(urls), []).append(name)
    return [
        Finding.warning(
            code="dependency-confusion",
            what=f"{', '.join(names)}: several indexes have packages of this name",
            why=f"{urls[0]} gave what is locked, {' and '.join(urls[1:])} could give another, and no binding decides",
            remedy=f'bind what is yours to its index in the preset, as in "packages": ["{names[0]}"]; then lock again',
            where=preset,
        )
        for urls, names in groups.items()
    ]
