"""Cameras and notifiers for the faults that need some, and a base image in which wheels are built quickly."""

from __future__ import annotations

import pytest

from tests.inference.conftest import add as add
from tests.inference.conftest import lease as lease
from tests.inference.conftest import manage as manage
from tests.inference.conftest import manager as manager
from tests.inference.conftest import pool as pool
from tests.inference.conftest import witness as witness
from tests.notifications.conftest import database as database
from tests.notifications.conftest import impatient as impatient
from tests.notifications.conftest import rules as rules
from tests.notifications.conftest import start as start
from tests.support.engine import TestEngine, import_builder

BUILDER = "with-compiler:1"


@pytest.fixture(scope="session")
def builder(engine: TestEngine) -> str:
    """A base image that has what every build of a wheel installs: each build is then quick."""
    import_builder(engine, BUILDER)
    return BUILDER
