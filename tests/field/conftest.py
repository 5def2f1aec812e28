"""Cameras for the faults that need some."""

from tests.inference.conftest import add as add
from tests.inference.conftest import lease as lease
from tests.inference.conftest import manager as manager
from tests.inference.conftest import pool as pool
from tests.inference.conftest import witness as witness
