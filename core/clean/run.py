"""The operation `clean`: removes what was chosen of a plan and can still go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from core.clean.holds import live_operations
from core.clean.model import CleanItem, Findings, Removable
from core.clean.plan import survey
from core.errors import Cancelled, InputError, XaivaError, os_reason
from core.findings import Finding
from core.progress import Progress, stage
from core.site import Site


def run(site: Site, _subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Remove the items of the option `items` (ids of a plan) that a new plan has, too.

    The outcome: `removed` and `kept` (objects with `what` and `why`, and `bytes` of what was removed), `freed_bytes` as
    far as sizes are known, and if some item could not be removed `findings`, an error for each. Raises Cancelled.
    """
    chosen = options.get("items")
    if not isinstance(chosen, list):
        raise InputError("Option items of a clean-up", "it is not a list of ids", "take them from: xaiva clean --plan")
    names = [str(name) for name in chosen]
    before = {operation.id for operation in live_operations(site)}
    with survey(site) as findings:
        clean_up = _CleanUp(site, progress, before)
        for removable in findings.removable:
            if removable.item.id in names:
                clean_up.remove(removable)
        clean_up.keep_others(names, findings)
    return clean_up.outcome()


@dataclass
class _CleanUp:
    """A running clean-up, with what has become of each item. `before`: ids of operations that the plan knows."""

    site: Site
    progress: Progress
    before: set[int]
    removed: list[tuple[CleanItem, int | None]] = field(default_factory=list)
    kept: list[JsonValue] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)

    def remove(self, removable: Removable) -> None:
        """Remove one item; when it fails, the others still go."""
        item = removable.item
        newer = [operation for operation in live_operations(self.site) if operation.id not in self.before]
        if newer:
            self._keep(item.what, f"{newer[0].title()} has started and may need it")
            return
        try:
            with stage(self.progress, item.id, f"remove {item.what}"):
                freed = removable.remove()
            self.removed.append((item, item.size if freed is None else freed))
        except Cancelled:
            raise
        except XaivaError as error:
            self._fail(item, error.summary, error.remedy)
        except OSError as error:
            self._fail(item, f"{error.filename or item.what}: {os_reason(error)}", "")

    def keep_others(self, names: list[str], findings: Findings) -> None:
        """Note why chosen items that no longer can go have stayed."""
        reasons = {item.id: (item.what, item.why) for item in findings.kept}
        listed = {removable.item.id for removable in findings.removable}
        for name in names:
            if name not in listed:
                what, why = reasons.get(name, (name, self._why_unlisted(name, findings)))
                self._keep(what, why)

    def outcome(self) -> dict[str, JsonValue]:
        """The outcome of the operation."""
        removed: list[JsonValue] = [
            {"what": item.what, "why": _freed_text(freed), "bytes": freed} for item, freed in self.removed
        ]
        errors: list[JsonValue] = [finding.model_dump(mode="json") for finding in self.errors]
        freed_bytes = sum(freed or 0 for _, freed in self.removed)
        outcome: dict[str, JsonValue] = {"freed_bytes": freed_bytes, "removed": removed, "kept": self.kept}
        return {**outcome, "findings": errors} if errors else outcome

    @staticmethod
    def _why_unlisted(name: str, findings: Findings) -> str:
        unknown = {part.category.value: part.why for part in findings.unknown}
        return unknown.get(name.partition(":")[0], "it is gone already, or nothing says any more that it can go")

    def _keep(self, what: str, why: str) -> None:
        self.kept.append({"what": what, "why": why})

    def _fail(self, item: CleanItem, why: str, remedy: str) -> None:
        self._keep(item.what, why)
        self.errors.append(Finding.error("clean", f"{item.what} could not be removed", why, remedy))


def _freed_text(size: int | None) -> str:
    return "removed, of unknown size" if size is None else f"{size / 1e6:.1f} MB freed"
