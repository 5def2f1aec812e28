"""Routes that refuse duplicate keys and unknown query keys.

The framework would silently drop one of two equal query keys, headers or JSON keys. It would also ignore an unknown
query key, and the unfiltered response would look like a filtered one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from core.errors import InputError

MAX_REPEATED_NAME = 30  # characters; longer names are not repeated in errors
SINGLE_HEADERS = frozenset(
    {"authorization", "content-type", "content-length", "host", "idempotency-key", "origin", "range", "if-range"}
)


class StrictRoute(APIRoute):
    """Raises InputError for duplicate keys and unknown query keys."""

    own_keys_only = True
    """Whether unknown query keys are refused."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler with the checks; called by FastAPI."""
        handle = super().get_route_handler()
        known_keys = sorted(_query_keys(self.dependant)) if self.own_keys_only else None

        async def handle_checked(request: Request) -> Response:
            _check_query([key for key, _ in request.query_params.multi_items()], known_keys)
            _refuse_duplicates("header", (name for name in request.headers if name in SINGLE_HEADERS))
            try:
                return await handle(_Request(request.scope, request.receive))
            except HTTPException as error:
                if isinstance(error.__cause__, InputError):  # the framework reports it as an unreadable body
                    raise error.__cause__ from None
                raise

        return handle_checked


class _Request(Request):
    """A request that refuses JSON with duplicate keys."""

    async def json(self) -> Any:
        return json.loads(await self.body(), object_pairs_hook=_object_without_duplicates)


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_duplicates("body", (key for key, _ in pairs))
    return dict(pairs)


def _check_query(keys: Iterable[str], known_keys: list[str] | None) -> None:
    keys = list(keys)
    _refuse_duplicates("query", keys)
    for key in keys:
        if known_keys is not None and key not in known_keys:
            remedy = (
                f"known keys: {', '.join(known_keys)}" if known_keys else "leave it out; this route has no query keys"
            )
            raise InputError(_describe("query", key), "there is no such key", remedy)


def _refuse_duplicates(part: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(_describe(part, name), f"it was given {count} times", "give it once")


def _describe(part: str, name: str) -> str:
    """Name the part of the request. A name that does not look like one is left out, because it may be a secret."""
    return f"{part}.{name}" if name.replace("-", "_").isidentifier() and len(name) <= MAX_REPEATED_NAME else part


def _query_keys(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from kind.model_fields
        else:
            yield field.alias
    for nested in dependant.dependencies:
        yield from _query_keys(nested)
