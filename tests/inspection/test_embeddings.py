"""The cache of embeddings: what later runs find, and what a kill, damage, a full disk and another encoder leave."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from core.errors import TransientError
from core.inference.inspection.embeddings import SUFFIX, EmbeddingCache
from core.inference.inspection.encoder import EncoderIdentity
from tests.support.disks import fill, small_disk

FIRST = EncoderIdentity(name="one", dimension=4, sha256="1" * 64)
SECOND = EncoderIdentity(name="two", dimension=4, sha256="2" * 64)
THIRD = EncoderIdentity(name="three", dimension=8, sha256="3" * 64)
HASHES = [f"{number:064x}" for number in range(10)]


def _vector(number: float, dimension: int = 4) -> np.ndarray:
    return np.full(dimension, number, np.float32)


def _filled(folder: Path, encoder: EncoderIdentity = FIRST, name: str = "normal") -> Path:
    with EmbeddingCache(folder, name, encoder) as cache:
        for number, sha256 in enumerate(HASHES):
            cache.add({sha256: _vector(number, encoder.dimension)})
    return folder / f"{name}-{encoder.sha256[:16]}{SUFFIX}"


def test_a_later_run_finds_what_an_earlier_one_computed(tmp_path: Path) -> None:
    _filled(tmp_path)
    with EmbeddingCache(tmp_path, "normal", FIRST) as cache:
        assert len(cache) == 10
        found = cache.get(HASHES[3])
        assert found is not None
        assert found.tolist() == [3, 3, 3, 3]
        assert cache.get("f" * 64) is None


@pytest.mark.parametrize("cut", [1, 20, 51, 52, 53])
def test_a_record_that_was_being_written_is_lost_alone(tmp_path: Path, cut: int) -> None:
    path = _filled(tmp_path)
    os.truncate(path, path.stat().st_size - cut)
    with EmbeddingCache(tmp_path, "normal", FIRST) as cache:
        assert len(cache) == (9 if cut <= 52 else 8)
        cache.add({HASHES[9]: _vector(9), HASHES[8]: _vector(8)})
    with EmbeddingCache(tmp_path, "normal", FIRST) as cache:
        assert len(cache) == 10


def test_a_damaged_record_is_lost_alone(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[-70] ^= 1
    path.write_bytes(content)
    with EmbeddingCache(tmp_path, "normal", FIRST) as cache:
        assert len(cache) == 9
        assert cache.get(HASHES[8]) is None


def test_encoders_and_indexes_share_nothing(tmp_path: Path) -> None:
    _filled(tmp_path)
    for name, encoder in (("normal", SECOND), ("normal", THIRD), ("defect", FIRST)):
        with EmbeddingCache(tmp_path, name, encoder) as cache:
            assert len(cache) == 0


def test_a_file_of_another_encoder_under_the_same_name_is_not_read(tmp_path: Path) -> None:
    path = _filled(tmp_path, SECOND)
    path.rename(tmp_path / f"normal-{FIRST.sha256[:16]}{SUFFIX}")
    with EmbeddingCache(tmp_path, "normal", FIRST) as cache:
        assert len(cache) == 0


def test_what_is_no_longer_used_is_dropped(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    before = path.stat().st_size
    with EmbeddingCache(tmp_path, "normal", FIRST) as cache:
        cache.keep_only(HASHES[:4])
    assert path.stat().st_size < before / 2
    with EmbeddingCache(tmp_path, "normal", FIRST) as cache:
        assert len(cache) == 4
        assert cache.get(HASHES[3]) is not None


def test_only_the_encoder_before_stays_besides_the_one_in_use(tmp_path: Path) -> None:
    for age, encoder in ((30, FIRST), (20, SECOND), (10, THIRD)):
        path = _filled(tmp_path, encoder)
        os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    _filled(tmp_path, FIRST, "defect")
    with EmbeddingCache(tmp_path, "normal", THIRD) as cache:
        cache.keep_only(HASHES)
    assert sorted(path.name[:8] for path in tmp_path.iterdir()) == ["defect-1", "normal-2", "normal-3"]


def test_a_second_process_tries_again_later(tmp_path: Path) -> None:
    with EmbeddingCache(tmp_path, "normal", FIRST), pytest.raises(TransientError, match="another job"):
        EmbeddingCache(tmp_path, "normal", FIRST).__enter__()


def test_a_full_disk_costs_the_next_run_time_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        with EmbeddingCache(disk, "normal", FIRST) as cache:
            cache.add({HASHES[0]: _vector(0)})
            hog = fill(disk)
            for number in range(1, 400):
                cache.add({f"{number:064x}": _vector(number)})
            assert cache.trouble == "No space left on device"
            assert len(cache) == 400
            cache.keep_only(HASHES)
        hog.unlink()
        with EmbeddingCache(disk, "normal", FIRST) as cache:
            assert cache.get(HASHES[0]) is not None
            cache.add({f"{500:064x}": _vector(500)})
        with EmbeddingCache(disk, "normal", FIRST) as cache:
            assert cache.get(f"{500:064x}") is not None
