"""Cameras and notifiers for the faults that need some."""

from tests.inference.conftest import add as add
from tests.inference.conftest import lease as lease
from tests.inference.conftest import manager as manager
from tests.inference.conftest import pool as pool
from tests.inference.conftest import witness as witness
from tests.notifications.conftest import database as database
from tests.notifications.conftest import impatient as impatient
from tests.notifications.conftest import rules as rules
from tests.notifications.conftest import start as start
