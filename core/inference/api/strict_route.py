"""What a request says is said once, under a name that its route knows: nothing of it is dropped in silence.

Of a query key, a header or a JSON key that comes twice the framework would take one and leave the other out; a query
key that it does not know it would leave out too, and an answer without the filter would look like one with it.
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

MAX_REPEATED_NAME = 30  # characters of a name that an answer repeats: what is longer may be anything
SINGLE_HEADERS = frozenset({"authorization", "content-type", "content-length", "host", "origin", "range", "if-range"})


class StrictRoute(APIRoute):
    """Raises InputError for what is given twice, and for a query key that it does not know.

    Without `own_keys_only` it takes any query key, once.
    """

    own_keys_only = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Called by FastAPI, for each request handler."""
        handle = super().get_route_handler()
        known_keys = sorted(_query_keys(self.dependant)) if self.own_keys_only else None

        async def handle_checked(request: Request) -> Response:
            _check_query([key for key, _ in request.query_params.multi_items()], known_keys)
            _refuse_duplicates("header", (name for name in request.headers if name in SINGLE_HEADERS))
            try:
                return await handle(_Request(request.scope, request.receive))
            except HTTPException as error:
                if isinstance(error.__cause__, InputError):  # the framework takes it for a body that cannot be read
                    raise error.__cause__ from None
                raise

        return handle_checked


class _Request(Request):
    """A request whose JSON names every key once."""

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
            remedy = f"it may have: {', '.join(known_keys)}" if known_keys else "leave it out: it takes none"
            raise InputError(_describe("query", key), "there is no such key", remedy)


def _refuse_duplicates(part: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(_describe(part, name), f"it is given {count} times", "give it once")


def _describe(part: str, name: str) -> str:
    """A name is repeated only where it looks like one: what strangers send may be a secret."""
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
