"""The real network, the real street, and a pool in this machine's memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from core.inference.models import fit_bank
from core.inference.models.detector import Picture
from core.inference.models.execution_providers import select_provider
from core.inference.models.features import AveragedFeatures, PatchFeatures
from core.inference.models.memory_bank import MemoryBank
from core.inference.settings import ServiceSettings
from tests.inference.conftest import pool as pool
from tests.support import require
from tests.support.street import PACKAGE, find, scaled, street

AnyFeatures = TypeVar("AnyFeatures", bound=PatchFeatures)
LEARNED = (0.0, 38.0)  # seconds of the street


@pytest.fixture(scope="session")
def network() -> Iterator[PatchFeatures]:
    """The features of pictures as cameras use them, on the CPU."""
    yield from _loaded(PatchFeatures(select_provider("cpu")))


@pytest.fixture(scope="session")
def averaged() -> Iterator[AveragedFeatures]:
    """The same network as banks of products use it."""
    yield from _loaded(AveragedFeatures(select_provider("cpu")))


def _loaded(network: AnyFeatures) -> Iterator[AnyFeatures]:
    network.load()
    yield network
    network.close()


@pytest.fixture(scope="session")
def town() -> None:
    """The street video is there."""
    require(find("vtest.avi"), f"the Debian package {PACKAGE}")


@pytest.fixture(scope="session")
def street_bank(network: PatchFeatures, town: None) -> MemoryBank:
    """What is normal in the street's first half minute, from every second picture."""
    pictures = scaled(street(*LEARNED)[::2], network.width, network.height, "rgb24")
    return fit_bank.fit_bank(kept(network, pictures), network, LEARNED[1])


def kept(network: PatchFeatures, pictures: list[Picture]) -> list[fit_bank.StoredFeatures]:
    """The features of the pictures as learning keeps them."""
    return [network.extract([picture])[0].astype(np.float16) for picture in pictures]


def rooms(count: int, seed: int = 0, *, thing: bool = False) -> list[Picture]:
    """Pictures of a grey room with a flickering lamp; with a `thing`, a striped box stands in it."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        picture = np.full((PatchFeatures.height, PatchFeatures.width, 3), 110, np.uint8)
        picture[150:, :, 1] = 80
        picture[20:60, 300:340] = rng.integers(180, 250)
        if thing:
            picture[120:180, 100:180] = np.where(np.arange(80)[:, None] % 8 < 4, 20, 240)
        pictures.append(np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8))
    return pictures


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    """A service's settings, with its folders."""
    (tmp_path / "models").mkdir()
    return ServiceSettings(data=tmp_path / "data", models=tmp_path / "models", onnx_provider="cpu")
