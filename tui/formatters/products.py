"""Products, their indexes and memory banks as rows and lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.api_schema import Generation, IndexStatus, Job, Product, Products, ProductSettings, Region
from core.operations.model import OperationState
from core.service_client.text_formats import format_days
from tui.formatters.cells import Cell, Column, Line, Span, as_line, enum_span, labelled_lines, line, wrap
from tui.formatters.jobs import unix
from tui.formatters.numbers import coarse_duration, local_time
from tui.formatters.operations import STATE_SPANS

COLUMNS = (
    Column("product", minimum=14, sort=lambda item: item.name),
    Column("pictures", 11, right=True, sort=lambda item: pictures_of(item)),
    Column("generation", 12, sort=lambda item: _made(item)),
    Column("threshold", 9, right=True, rank=1, sort=lambda item: getattr(item, "threshold", None)),
    Column("defective", 11, right=True, rank=2, sort=lambda item: getattr(item, "defective", None)),
    Column("last job", 18, rank=3, sort=lambda item: item.last_job or None),
    Column("trouble", minimum=14, weight=2, sort=lambda item: "; ".join(item.trouble)),
)
INDEX_PREFIX, PRODUCT_PREFIX = "index:", "product:"  # of the keys of rows
LABEL_WIDTH = 13
UNKNOWN = Span("?", "stale")


def index_title(name: str) -> str:
    """An index as people call it."""
    return f"index of {name} pictures"


def key_of(item: Product | IndexStatus) -> str:
    """The key of its row."""
    return (INDEX_PREFIX if isinstance(item, IndexStatus) else PRODUCT_PREFIX) + item.name


def items(products: Products) -> list[Product | IndexStatus]:
    """What the list shows: the indexes, then the products. Indexes of nothing are left out."""
    indexes = [
        index for index in products.indexes if products.products or index.current or index.trouble or index.last_job
    ]
    return [*indexes, *products.products]


def pictures_of(item: Product | IndexStatus) -> int | None:
    """Its pictures; None where their number is not known."""
    if isinstance(item, IndexStatus):
        return item.current.pictures if item.current else None
    return None if item.normal is None or item.defect is None else item.normal + item.defect


def generation(item: Product | IndexStatus) -> Generation | None:
    """The generation that answers."""
    return item.current if isinstance(item, IndexStatus) else item.bank


def previous_generation(item: Product | IndexStatus) -> Generation | None:
    """The generation that a rollback would publish."""
    return item.previous if isinstance(item, IndexStatus) else item.previous_bank


def _made(item: Product | IndexStatus) -> float | None:
    answers = generation(item)
    return unix(answers.made) if answers else None


def row(item: Product | IndexStatus, jobs: Sequence[Job] | None, now: float) -> tuple[Cell, ...]:
    """One product or index in the list. `jobs` are the newest ones, None when they are not known."""
    trouble = Span("; ".join(item.trouble), "warn")
    answers, job = generation_cell(generation(item), now), job_cell(item, jobs, now)
    if isinstance(item, IndexStatus):
        pictures = str(item.current.pictures) if item.current else ""
        return (Span(f"index: {item.name}", "title"), pictures, answers, "", "", job, trouble)
    defective = f"{item.defective} of {item.inspected}" if item.inspected else ""
    return (
        Span(item.name, "title"), picture_counts(item), answers, f"{item.threshold:.2f}", defective, job, trouble
    )  # fmt: skip


def picture_counts(product: Product) -> Cell:
    """`120 / 14`: normal and defect pictures in the storage; `?` where the storage does not answer."""
    return line(_count(product.normal), " / ", _count(product.defect))


def _count(value: int | None) -> Span:
    return UNKNOWN if value is None else Span(str(value))


def generation_cell(generation: Generation | None, now: float) -> Cell:
    """The generation that answers, and its age."""
    if generation is None:
        return Span("none", "warn")
    if generation.why:
        return Span(f"✗ {generation.number} broken", "error")
    return line(str(generation.number), Span(f" · {coarse_duration(now - unix(generation.made))}", "dim"))


def subject_keys(job: Job) -> set[str]:
    """The keys of the rows that the job works on; none for a job for all memory banks."""
    if job.kind == "index":
        return {INDEX_PREFIX + job.subject}
    if job.kind == "banks":
        return {PRODUCT_PREFIX + job.subject}
    kind, _, name = job.subject.partition(":")
    return {(INDEX_PREFIX if kind == "index" else PRODUCT_PREFIX) + name} if job.kind == "rollback" else set()


def newest_job(item: Product | IndexStatus, jobs: Sequence[Job]) -> Job | None:
    """The newest job that works or worked on it; one for all memory banks counts for each product."""
    for_all = not isinstance(item, IndexStatus)
    return next(
        (
            job
            for job in jobs
            if key_of(item) in subject_keys(job) or (for_all and (job.kind, job.subject) == ("banks", ""))
        ),
        None,
    )


def job_cell(item: Product | IndexStatus, jobs: Sequence[Job] | None, now: float) -> Cell:
    """The state of its newest job, and how long ago that was."""
    job = newest_job(item, jobs or ())
    if job is None:
        return Span(f"job {item.last_job}", "dim") if item.last_job else ""
    state = enum_span(STATE_SPANS, OperationState(job.state.value))
    since = unix(job.ended or job.started or job.created)
    return line(state, Span(f" {coarse_duration(now - since)}", "dim"))


# -- details -----------------------------------------------------------------------------------------------------------


def detail(
    item: Product | IndexStatus, products: Products, jobs: Sequence[Job] | None, now: float, width: int
) -> list[Line]:
    """Everything about one product or index."""
    facts = _index_facts(item, now) if isinstance(item, IndexStatus) else _product_facts(item, products, now)
    job = newest_job(item, jobs or ())
    facts = [
        *facts,
        ("last job", line(f"{job.id}  ", *as_line(job_cell(item, jobs, now))) if job else job_cell(item, jobs, now)),
    ]
    out = [text for sentence in item.trouble for text in wrap(f"! {sentence}", width, "warn", indent="  ")]
    for name, value in facts:
        out += labelled_lines(name, value, LABEL_WIDTH, width) if value else []
    storage = [products.storage, f"counted {local_time(unix(products.counted))}" if products.counted else ""]
    if products.storage_trouble:
        out += wrap(f"? {products.storage or 'storage'}: {products.storage_trouble}", width, "stale")
    else:
        out += wrap(" · ".join(word for word in storage if word), width, "dim")
    return out


def _index_facts(index: IndexStatus, now: float) -> list[tuple[str, Cell]]:
    return [
        ("answers", generation_text(index.current, now, "vectors") or "nothing: it has not been built"),
        ("previous", generation_text(index.previous, now, "vectors")),
    ]


def _product_facts(product: Product, products: Products, now: float) -> list[tuple[str, Cell]]:
    settings = product.settings
    types = {} if product.defect is None else product.defect_types
    origin = "set" if settings.threshold is not None else "as the memory bank measured it"
    trouble = products.storage_trouble
    last = f", last {local_time(unix(product.last_inspection))}" if product.last_inspection else ""
    return [
        ("bank", generation_text(product.bank, now, "patches") or "none: nothing can be inspected"),
        ("previous", generation_text(product.previous_bank, now, "patches")),
        ("threshold", f"{product.threshold:.2f}, {origin}"),
        ("normal", _folder_text(f"{products.normal_folder}/{product.name}/", product.normal, trouble)),
        ("defect", _folder_text(f"{products.defect_folder}/{product.name}/", product.defect, trouble)),
        *((f"  {name}", str(count)) for name, count in sorted(types.items())),
        ("inspected", f"{product.inspected}, {product.defective} of them defective{last}" if product.inspected else ""),
        ("settings", settings_text(settings)),
        (
            "schedule",
            f"{format_days(settings.rebuild.days)} at {settings.rebuild.at:%H:%M}" if settings.rebuild else "",
        ),
    ]


def _folder_text(folder: str, count: int | None, trouble: str) -> str:
    """A folder of the storage and its pictures. What is not known is never 0."""
    if count is None:
        return f"? {trouble or 'the storage was not read yet'}"
    return f"{count} in {folder}"


def settings_text(settings: ProductSettings) -> str:
    """The inspected part of the picture, its tiles, and what becomes of a defect; "" for the defaults."""
    region, (columns, rows) = settings.region, settings.tiles
    corners = (region.left, region.top, region.right, region.bottom)
    words = [
        f"region {' '.join(f'{value:.2f}' for value in corners)}" if region != Region() else "",
        f"{columns} x {rows} tiles" if (columns, rows) != (1, 1) else "",
        "" if settings.events else "no events",
        f"flow {settings.flow}" if settings.flow != "default" else "",
    ]
    return " · ".join(word for word in words if word)


def generation_text(generation: Generation | None, now: float, entries: str) -> str:
    """A generation in one sentence, "" for none."""
    if generation is None:
        return ""
    made = unix(generation.made)
    words = [
        f"generation {generation.number} of {local_time(made)} ({coarse_duration(now - made)} ago)",
        f"{generation.pictures} pictures, {generation.entries} {entries}",
        generation.model,
        f"cannot be used: {generation.why}" if generation.why else "",
    ]
    return ", ".join(word for word in words if word)


def alerts(products: Products | None) -> Iterable[tuple[str, str]]:
    """What needs a person, as (role, text): the storage, then broken and stale indexes and memory banks."""
    if products is None:
        return
    if products.storage_trouble:
        yield "warn", f"pictures: {products.storage or 'the storage'}: {products.storage_trouble}"
    troubled = sorted((item for item in items(products) if item.trouble), key=lambda item: not _is_broken(item))
    for item in troubled[:MAX_ALERTS]:
        name = index_title(item.name) if isinstance(item, IndexStatus) else f"product {item.name}"
        yield "error" if _is_broken(item) else "warn", f"{name}: {item.trouble[0]} (,d)"
    if more := troubled[MAX_ALERTS:]:
        noun = "product has" if len(more) == 1 else "products have"
        yield "error" if _is_broken(more[0]) else "warn", f"{len(more)} more {noun} trouble (,d)"


def _is_broken(item: Product | IndexStatus) -> bool:
    """Whether its newest generation cannot be used."""
    answers = generation(item)
    return answers is not None and bool(answers.why)


MAX_ALERTS = 4  # of products and indexes, so that a storage with new pictures for all does not hide the rest
