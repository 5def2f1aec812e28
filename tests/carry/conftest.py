"""Two sites, the office with a key and one that trusts it, and a medium between them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.carry import signing, unpack
from core.carry.trust_store import add_signer
from core.site import Site
from tests.support import require
from tests.support.artifacts import RecordingProgress
from tests.support.media import FileSystem, StickMedium, medium_of
from tests.support.shipments import HandMade, small_files

Unpack = Callable[..., dict[str, object]]


def empty_site(root: Path) -> Site:
    for folder in ("presets", "artifacts", "docker"):
        (root / folder).mkdir(parents=True)
    return Site.open(root)


@pytest.fixture
def office(tmp_path: Path) -> Site:
    """A site with a signing key."""
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    office = empty_site(tmp_path / "office")
    signing.create_key(office)
    return office


@pytest.fixture
def there(tmp_path: Path, office: Site) -> Site:
    """An empty site that trusts the office's key."""
    there = empty_site(tmp_path / "there")
    add_signer(there, signing.public_key(office))
    return there


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """An empty folder in the place of a medium."""
    (tmp_path / "medium").mkdir()
    return tmp_path / "medium"


@pytest.fixture
def stick(kind: FileSystem, tmp_path: Path) -> Iterator[StickMedium]:
    """A real medium of the file system that the test names as `kind`."""
    with medium_of(kind, tmp_path / "stick") as medium:
        yield medium


@pytest.fixture
def shipment(office: Site) -> HandMade:
    """A small shipment that is right; a test may change it before it writes it."""
    return HandMade(office, small_files(alpha=b"alpha" * 1000, beta=b"beta" * 2000))


@pytest.fixture
def run_unpack(there: Site, medium: Path) -> Unpack:
    """Unpack the medium at the site that trusts the office."""

    def run(site: Site = there, progress: RecordingProgress | None = None, **options: object) -> dict[str, object]:
        return dict(unpack.run(site, str(medium), options, progress or RecordingProgress()))  # type: ignore[arg-type]

    return run
