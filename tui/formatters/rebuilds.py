"""What a rebuild or a rollback of an index or a memory bank would do, shown before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from core.api_schema import Generation, IndexStatus, Job, Product, Products
from tui.formatters.cells import Line, wrap
from tui.formatters.jobs import summary, unix
from tui.formatters.numbers import coarse_duration, local_time
from tui.formatters.products import newest_job

NOTHING_REPEATED = "Unchanged pictures are neither fetched nor computed again."
GATE = "A new generation that its check finds worse is not published."
ANYWHERE = "It runs in the service, whether or not this console is open."


def index_preview(index: IndexStatus, products: Products, jobs: Sequence[Job], width: int) -> list[Line]:
    """What rebuilding an index would do."""
    is_normal = index.name == "normal"
    counts = [product.normal if is_normal else product.defect for product in products.products]
    folder = products.normal_folder if is_normal else products.defect_folder
    return _preview(
        _pictures_text(counts, f"{index.name} pictures", f"{folder}/", products),
        _stays_text(index.current, "Nothing is found in it until then: it is the first generation."),
        [newest_job(index, jobs)],
        width,
    )


def bank_preview(product: Product, products: Products, jobs: Sequence[Job], width: int) -> list[Line]:
    """What rebuilding the memory bank of a product would do."""
    return _preview(
        _pictures_text([product.normal], "normal pictures", f"{products.normal_folder}/{product.name}/", products),
        _stays_text(product.bank, "The product cannot be inspected until then: it is the first generation."),
        [newest_job(product, jobs)],
        width,
    )


def all_banks_preview(products: Products, jobs: Sequence[Job], width: int) -> list[Line]:
    """What rebuilding the memory banks of all products would do."""
    counts = [product.normal for product in products.products]
    without = sum(product.bank is None for product in products.products)
    first = f" {without} of {len(products.products)} products have none yet." if without else ""
    return _preview(
        _pictures_text(counts, "normal pictures", f"{products.normal_folder}/", products),
        f"One product after the other; its old memory bank answers until the new one is whole.{first}",
        [newest_job(product, jobs) for product in products.products],
        width,
    )


def _preview(reads: str, stays: str, jobs: Sequence[Job | None], width: int) -> list[Line]:
    live = {job.id: job for job in jobs if job is not None and job.state.live}
    out: list[Line] = []
    for job in live.values():
        why = f", {summary(job)}" if summary(job) else ""
        out += wrap(f"! job {job.id} is live: {job.title} {job.state.word}{why}", width, "warn", indent="  ")
    for sentence in (reads, NOTHING_REPEATED, stays, GATE, ANYWHERE):
        out += wrap(f"· {sentence}", width, indent="  ")
    return out


def _pictures_text(counts: Sequence[int | None], what: str, folder: str, products: Products) -> str:
    """How many pictures it reads; not known is never 0."""
    where = f"{folder} of {products.storage or 'the storage'}"
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        why = f": {products.storage_trouble}" if products.storage_trouble else ""
        return f"It reads the {what} below {where}; how many is not known{why}."
    return f"It reads {sum(known)} {what} below {where}."


def _stays_text(generation: Generation | None, first: str) -> str:
    if generation is None:
        return first
    if generation.why:
        return f"Generation {generation.number} cannot be used: {generation.why}."
    return f"Generation {generation.number} answers until the new one is whole, and stays as the way back."


def rollback_text(now_answers: Generation | None, previous: Generation, now: float) -> str:
    """What rolling back would do."""
    made = unix(previous.made)
    instead = f" instead of generation {now_answers.number}" if now_answers else ""
    return (
        f"Generation {previous.number} will answer{instead}. It was made {coarse_duration(now - made)} ago "
        f"({local_time(made)}) from {previous.pictures} pictures. The pictures in the storage stay as they are."
    )
