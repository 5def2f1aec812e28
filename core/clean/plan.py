"""The plan of a clean-up: a look at every part of the site that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from core.clean import files, images
from core.clean.holds import Holds, read_holds
from core.clean.model import Category, CleanPlan, Findings, UnknownPart
from core.engine import EngineError, connect_engine
from core.errors import XaivaError
from core.site import Site

if TYPE_CHECKING:
    import docker

_ENGINE_SECONDS = 120.0  # an engine may need long to measure its images
_FILE_LOOKS: dict[Category, Callable[[Site, Holds, Findings], None]] = {
    Category.ARTIFACTS: files.find_artifacts,
    Category.BUILDS: files.find_builds,
    Category.OPERATIONS: files.find_operation_files,
    Category.LEFTOVERS: files.find_leftovers,
    Category.CLIPS: files.find_clips,
}
_ENGINE_CATEGORIES = (Category.IMAGES, Category.CACHE, Category.CONTAINERS)


def plan_clean(site: Site) -> CleanPlan:
    """What a clean-up would remove, with sizes and reasons, and what it would not. May take a minute.

    A part that cannot be looked at is in `unknown`, and nothing of it is listed. Raises XaivaError when the ledger
    cannot be read, because then nobody knows what is in use.
    """
    with survey(site) as findings:
        return findings.plan()


@contextmanager
def survey(site: Site) -> Iterator[Findings]:
    """What can go, with the functions that remove it, which work while the block runs. Raises as `plan_clean`."""
    findings = Findings()
    try:
        client = connect_engine(site, _ENGINE_SECONDS)
    except XaivaError as error:
        _look_at_files(site, read_holds(site, {}), findings)
        for category in _ENGINE_CATEGORIES:
            _note_unknown(findings, category, error)
        yield findings
        return
    with closing(client):
        _look_at_everything(site, client, findings)
        yield findings


def _look_at_everything(site: Site, client: docker.DockerClient, findings: Findings) -> None:
    try:
        holds = read_holds(site, images.read_mounts(client))
    except EngineError as error:
        _look_at_files(site, read_holds(site, {}), findings)
        for category in (*_ENGINE_CATEGORIES, Category.ARTIFACTS):
            _note_unknown(findings, category, error)
        return
    _look_at_files(site, holds, findings)
    try:
        images.find_images(site, client, holds, findings)
    except XaivaError as error:
        _note_unknown(findings, Category.IMAGES, error)
        _note_unknown(findings, Category.CACHE, error)
    try:
        images.find_helpers(client, findings)
    except XaivaError as error:
        _note_unknown(findings, Category.CONTAINERS, error)


def _look_at_files(site: Site, holds: Holds, findings: Findings) -> None:
    for category, look in _FILE_LOOKS.items():
        try:
            look(site, holds, findings)
        except (XaivaError, OSError) as error:
            _note_unknown(findings, category, error)


def _note_unknown(findings: Findings, category: Category, error: Exception) -> None:
    """Note a category that could not be looked at, and drop what was found of it before the error."""
    findings.removable = [removable for removable in findings.removable if removable.item.category is not category]
    why, remedy = (error.summary, error.remedy) if isinstance(error, XaivaError) else (str(error), "")
    findings.unknown.append(UnknownPart(category=category, why=why, remedy=remedy))
