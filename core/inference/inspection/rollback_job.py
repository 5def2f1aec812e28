"""The job that goes back to the generation before the current one, of an index or of a product's memory bank."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import JsonValue

from core.errors import InputError
from core.inference.generations import Generations, NoGeneration
from core.inference.inspection.index_files import index_generations
from core.inference.inspection.layout import DEFECT, NORMAL
from core.inference.jobs.context import JobContext
from core.inference.models.bank_files import bank_generations
from core.inference.settings import ServiceSettings
from core.operations.processes import OPERATION_REQUEST_VARIABLE
from core.progress import Progress, stage

INDEX_PREFIX, BANK_PREFIX = "index:", "bank:"


def run(
    context: JobContext, subject: str, _options: Mapping[str, JsonValue], progress: Progress
) -> dict[str, JsonValue]:
    """Go back one generation of `index:normal`, `index:defect` or `bank:PRODUCT`.

    An attempt after one that was killed does not go back once more. Raises InputError for any other subject,
    NoGeneration, and BrokenGeneration when the earlier one is damaged; the current one keeps answering then.
    """
    generations = find_generations(context.settings, subject)
    request = os.environ.get(OPERATION_REQUEST_VARIABLE, "")
    left = generations.left_by(request) or generations.token()
    with stage(progress, "publish", "Publish the earlier generation"):
        try:
            generation = generations.roll_back(request)
        except NoGeneration as error:
            raise NoGeneration(subject, error.why) from None  # its folder may have another name
    return {"generation": generation.manifest.number, "left": int(left), "findings": []}


def find_generations(settings: ServiceSettings, subject: str) -> Generations:
    """The generations that a subject names. Raises InputError."""
    if subject in (f"{INDEX_PREFIX}{NORMAL}", f"{INDEX_PREFIX}{DEFECT}"):
        return index_generations(settings, subject.removeprefix(INDEX_PREFIX))
    product = subject.removeprefix(BANK_PREFIX)
    if not product or product == subject:
        why = "it is neither an index nor a memory bank"
        raise InputError(f"Rollback of {subject}", why, "write index:normal, index:defect or bank:PRODUCT")
    return bank_generations(settings, product)
