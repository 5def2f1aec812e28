"""Collects the facts of a site report: every section by a function of its own, all at once, each with a time-out."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from typing import Any

from pydantic import BaseModel

from core.artifacts.service_wheel import version
from core.errors import XaivaError
from core.open_enum import describe_misfit
from core.operations.ledger import Ledger
from core.redaction import redact_text
from core.site import Site
from core.site_report.engine_facts import engine_facts, image_facts
from core.site_report.history_facts import crash_facts, operation_facts, shipment_facts
from core.site_report.machine_facts import disk_facts, gpus_facts, host_facts
from core.site_report.model import Section, SiteReport
from core.site_report.preset_facts import blob_facts, preset_facts, with_images
from core.site_report.service_facts import events_facts, service_facts
from core.site_report.site_secrets import site_secrets

SECTION_SECONDS = 30.0  # for all sections together, since they are collected at the same time
_HASH = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_Answer = tuple[Any, str]


def collect_report(site: Site, ledger: Ledger, seconds: float = SECTION_SECONDS) -> SiteReport:
    """The report of a site now. Never fails: a source that does not answer is a section that says so."""
    sections: dict[str, Callable[[], Any]] = {
        "host": host_facts,
        "gpus": gpus_facts,
        "engine": partial(engine_facts, site),
        "disks": partial(disk_facts, site),
        "images": partial(image_facts, site),
        "presets": partial(preset_facts, site),
        "blobs": partial(blob_facts, site),
        "service": partial(service_facts, site),
        "events": partial(events_facts, site),
        "operations": partial(operation_facts, ledger),
        "crashes": partial(crash_facts, site),
        "shipments": partial(shipment_facts, site),
    }
    answers = _ask_all(sections, seconds)
    report = SiteReport(
        created=datetime.now(timezone.utc).replace(microsecond=0),
        xaiva=version(),
        site=site.settings.name or site.root.name,
        **{name: Section(value=value, unknown=unknown) for name, (value, unknown) in answers.items()},
    )
    report = report.model_copy(update={"presets": with_images(report.presets, report.images)})
    redacted: SiteReport = _redacted(report, site_secrets(site))
    return redacted


def _ask_all(sections: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, _Answer]:
    """The value of every section, or why it has none. A source that hangs keeps its thread and delays nobody else."""
    pending: dict[str, queue.SimpleQueue[_Answer]] = {name: queue.SimpleQueue() for name in sections}
    for name, collect in sections.items():
        arguments = (collect, pending[name])
        threading.Thread(target=_ask, args=arguments, name=f"report-{name}", daemon=True).start()
    deadline = time.monotonic() + seconds
    answers: dict[str, _Answer] = {}
    for name, answer in pending.items():
        try:
            answers[name] = answer.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            answers[name] = (None, f"it did not answer within {seconds:g} s")
    return answers


def _ask(collect: Callable[[], Any], answer: queue.SimpleQueue[_Answer]) -> None:
    try:
        answer.put((collect(), ""))
    except XaivaError as error:
        answer.put((None, error.summary))
    except Exception as error:  # whatever one source does: the rest of the report is worth carrying
        logging.getLogger(__name__).debug("a section of the report failed", exc_info=True)
        answer.put((None, f"its answer cannot be used: {describe_misfit(error) or type(error).__name__}"))


def _redacted(value: Any, secrets: re.Pattern[str] | None) -> Any:
    """A value once more through redaction, in case that a name or a reason quotes a secret."""
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _redacted(item, secrets) for name, item in value})
    if isinstance(value, dict):
        return {redact_text(name, secrets): _redacted(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, secrets) for item in value]
    is_free_text = isinstance(value, str) and not isinstance(value, Enum) and not _HASH.fullmatch(value)
    return redact_text(value, secrets) if is_free_text else value
