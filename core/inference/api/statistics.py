"""The route for statistics: events per day and camera."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from core.api_schema import Role, Statistics, StatisticsQuery
from core.api_schema.events import MAX_STATISTICS_DAYS
from core.inference.api.access import CurrentCaller, Service, require_role, require_visible
from core.inference.api.threads import DATABASE, routes_in

router = APIRouter(tags=["statistics"], route_class=routes_in(DATABASE))

USUAL_DAYS = timedelta(days=6)  # before the last day


@router.get("/statistics", **require_role(Role.VIEWER, 404))
def statistics(service: Service, caller: CurrentCaller, query: Annotated[StatisticsQuery, Query()]) -> Statistics:
    """Events per day and camera in the service's time zone; by default for the last 7 days."""
    if query.camera is not None:
        require_visible(caller, query.camera)
    first, last = _days(query, datetime.now(ZoneInfo(service.settings.zone)).date())
    return service.statistics.days(first, last, caller.access if query.camera is None else [query.camera])


def _days(query: StatisticsQuery, today: date) -> tuple[date, date]:
    if query.last is None and query.first is not None:
        last = max(query.first, min(today, query.first + timedelta(days=MAX_STATISTICS_DAYS - 1)))
        return query.first, last
    last = query.last or today
    return query.first or last - USUAL_DAYS, last
