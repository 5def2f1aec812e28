"""How tests are distributed over the workers, and fixtures that several folders share."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.redaction import set_secrets
from core.site import ServiceClientSettings, Site, SiteSettings
from tests.support import proofs
from tests.support.engine import TestEngine, start_engine
from tests.support.postgres import Postgres, postgres_server

if TYPE_CHECKING:
    from core.inference.database.engine import Database

# The tests must not see the developer's own settings of a site or an engine.
# NO_COLOR is removed, because tests check colours.
for name in ("XAIVA_SOURCE_PATH", "DOCKER_HOST", "DOCKER_CONTEXT", "NO_COLOR"):
    os.environ.pop(name, None)

# Consoles that come and go leave the collector so much to look through that it took a third of their tests' time.
gc.set_threshold(700, 10, 100)

WORKER = "PYTEST_XDIST_WORKER" in os.environ
if not WORKER:
    # A temporary folder of this run's own: tests look into it, and another run may be under way. pytest's own folders
    # stay where they were, since those of the last runs are kept there.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="xaiva-tests-")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)

ROOT = Path(__file__).parent
ENGINES = {"engine", "offline_engine"}
# The slowest groups, in this order, so that short ones start last.
FIRST = (
    "images/test_media.py",
    "e2e/test_stack.py",
    "artifacts with an engine",
    "images with an engine",
    "containers with an engine",
    "carry with an engine",
    "e2e with an engine",
    "up with an engine",
    "tui/test_screens.py",
    "operations with an engine",
    "tui/test_snapshots.py",
    "terminal/test_endings.py",
    "tui/test_real_cameras.py",
    "api/test_schema.py",
    "setup/test_launcher.py",
    "inference/test_service.py",
    "models/test_learn.py",
    "inference/test_faults.py",
    "terminal/test_frames_equal.py",
    "events/test_killed.py",
    "test_house.py",
)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for a process, a camera or an engine."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run does not do, and say which tests share a worker, one after another.

    These are the tests of a file, which share its fixtures, and all tests of a folder that work with the common engine
    (each worker has its own): such a test may expect that nobody else starts containers in it. A long proof has a group
    to itself.
    """
    left_out = [item for item in items if any(map(proofs.left_out, _proofs_of(item)))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        item.user_properties += [("proof", name) for name in _proofs_of(item)]
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: FIRST.index(group) if (group := _group(item)) in FIRST else len(FIRST))


def _proofs_of(item: pytest.Item) -> list[str]:
    return [marker.args[0] for marker in item.iter_markers("proof")]


def _group(item: pytest.Item) -> str:
    file = item.path.relative_to(ROOT)
    common = ENGINES & set(getattr(item, "fixturenames", ())) and not _proofs_of(item)
    return f"{file.parts[0]} with an engine" if common else file.as_posix()


class _Stamps:
    """Notes which proofs passed in full in a run of all tests; knows what every worker reports."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome of each part of a proof."""
        names = {str(value) for key, value in report.user_properties if key == "proof"}
        (self.passed if report.passed else self.failed).update(names)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config = session.config
        whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        if whole and not config.option.keyword and not config.option.markexpr and not session.shouldstop:
            for name in filter(proofs.full, self.passed - self.failed):
                proofs.note_passed(name)


def pytest_configure(config: pytest.Config) -> None:
    """Record the results in the process that collects those of all workers."""
    if not WORKER:
        config.pluginmanager.register(_Stamps())


def pytest_report_header() -> list[str]:
    """Print which proofs this run shortens."""
    less = [name for name in proofs.PROOFS if not proofs.full(name)]
    return [f"not in full: {', '.join(less)} (make test-all)"] if less else []


@pytest.fixture(autouse=True)
def _no_secrets_of_the_test_before() -> None:
    """Forget secrets: opening a site registers its secrets for the whole process."""
    set_secrets({})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty site, pointed away from a service that may run at the default port."""
    root = tmp_path / "site"
    for folder in ("presets", "artifacts", "docker"):
        (root / folder).mkdir(parents=True)
    opened = Site.open(root)
    nowhere = SiteSettings(service=ServiceClientSettings(url="http://127.0.0.1:9"))
    return Site(root, nowhere, opened.env)


@pytest.fixture(scope="session")
def engine() -> Iterator[TestEngine]:
    """A real engine with the host's network and the Debian base image."""
    with start_engine() as running:
        yield running


@pytest.fixture(scope="session")
def offline_engine() -> Iterator[TestEngine]:
    """A real engine in a network namespace without a route; it knows no image."""
    with start_engine(offline=True, base=False) as running:
        yield running


@pytest.fixture
def engine_site(site: Site, engine: TestEngine) -> Site:
    """A site whose environment points at the test engine."""
    return Site(site.root, site.settings, engine.env)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, on SQLite and then on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'xaiva.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.give_back(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database of each kind."""
    from core.inference.database.engine import Database

    with closing(Database(database_url)) as database:
        yield database
