"""The sources of products and jobs: what the service inspects, and the long work that it does for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import InputError, XaivaError

if TYPE_CHECKING:
    from core.api_schema import InspectionPage, Job, JobQuery, Products

T = TypeVar("T")
AskService = Callable[[Callable[[Any], Any]], Any]
"""Runs its argument with a client of the service."""
RECENT_JOBS = 200  # more than the products that schedules rebuild in one night, each with a job of its own
INSPECTIONS = 50  # shown of one product; all others: xaiva product, or the export
PAGE_SIZE = 50
MAX_JOBS = 1000  # that the service gives at once; to see more, narrow the filter
_UNKNOWN_ROUTE = ("Request", "Not Found")  # what and why of a service's answer to a route that it does not have


class NoInspection(XaivaError):
    """The service is older than products and jobs."""


def ask(service: AskService, work: Callable[[Any], T]) -> T:
    """Run `work` with a client of the service. Raises XaivaError; NoInspection when the service is too old for it."""
    try:
        answer: T = service(work)
    except InputError as error:
        if (error.what, error.why) == _UNKNOWN_ROUTE:
            why = "this service is older than products and jobs: it has neither"
            raise NoInspection(
                "Inference service", why, "build its image again with this version of xaiva, and launch it"
            ) from error
        raise
    return answer


@dataclass(frozen=True)
class JobList:
    """Jobs that match a query, newest first; `more` when there are further ones."""

    query: JobQuery
    jobs: list[Job]
    more: bool


class JobFeed:
    """The jobs of one query; `load_more` may be called by another thread."""

    def __init__(self, service: AskService, query: JobQuery, including: int = 0) -> None:
        """`including` is the number of a job that the list must reach back to, 0 for none."""
        self._service = service
        self._query = query.model_copy(update={"limit": PAGE_SIZE, "cursor": ""})
        self._including = including

    def load_more(self) -> None:
        """Also read the next page from now on."""
        self._query = self._query.model_copy(update={"limit": min(self._query.limit + PAGE_SIZE, MAX_JOBS)})

    def __call__(self) -> JobList:
        """Read the jobs. Raises XaivaError."""
        query = self._query
        page = ask(self._service, lambda client: client.jobs.page(query))
        while page.next and query.limit < MAX_JOBS and page.jobs[-1].id > self._including > 0:
            self.load_more()
            query = self._query
            page = ask(self._service, lambda client: client.jobs.page(query))  # noqa: B023
        return JobList(query, page.jobs, bool(page.next) and query.limit < MAX_JOBS)


class InspectionSources:
    """The functions behind the sources of products and jobs."""

    def __init__(self, service: AskService) -> None:
        self._service = service

    def products(self) -> Products:
        """All products and both indexes. Raises XaivaError."""
        products: Products = ask(self._service, lambda client: client.products.all())
        return products

    def recent_jobs(self) -> list[Job]:
        """The newest jobs, newest first. Raises XaivaError."""
        from core.api_schema import JobQuery

        page = ask(self._service, lambda client: client.jobs.page(JobQuery(limit=RECENT_JOBS)))
        return list(page.jobs)


def jobs_by_id(service: AskService, ids: list[int]) -> list[Job]:
    """Jobs with their stages and history, in the order of `ids`. Raises XaivaError."""
    return ask(service, lambda client: [client.jobs.get(id) for id in ids])


def inspections(service: AskService, product: str) -> InspectionPage:
    """The newest inspections of a product. Raises XaivaError."""
    from core.api_schema import InspectionQuery

    query = InspectionQuery(product=product, limit=INSPECTIONS)
    page: InspectionPage = ask(service, lambda client: client.products.inspections(query))
    return page
