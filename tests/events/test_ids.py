"""Ids of events."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pytest

from core.errors import InputError
from core.inference.events.ids import new_id, time_of_id


def test_ids_sort_by_time_and_tell_it() -> None:
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(one).version == 7 and uuid.UUID(one).variant == uuid.RFC_4122 for one in ids)
    assert [one[:18] for one in ids] == sorted(one[:18] for one in ids)
    assert abs(time_of_id(ids[0]) - datetime.now(timezone.utc)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text",
    ["", "../../etc/passwd", str(uuid.uuid4()), new_id().upper(), "{" + new_id() + "}", new_id().replace("-", "")],
    ids=["empty", "path", "version-4", "upper-case", "braces", "no-hyphens"],  # the same in each worker
)
def test_nothing_else_is_one(text: str) -> None:
    with pytest.raises(InputError):
        time_of_id(text)
