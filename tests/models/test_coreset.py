"""Coresets: the selection is the one of the plain greedy loop in double precision, however it is computed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.errors import InputError
from core.inference.models.coreset import select_coreset

Points = NDArray[np.float32]


def plain_greedy(points: Points, count: int, first: int) -> list[int]:
    """One pick after another, each with a pass over all points in double precision; ties go to the lowest index."""
    exact = points.astype(np.float64)
    nearest = np.full(len(exact), np.inf)
    chosen = [first]
    while len(chosen) < min(count, len(exact)):
        differences = exact - exact[chosen[-1]]
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", differences, differences))
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return chosen


def clustered(rng: np.random.Generator, count: int, channels: int) -> Points:
    centres = rng.normal(size=(5, channels)) * 8
    sizes = rng.exponential(1, (count, 1))
    return (centres[rng.integers(0, 5, count)] + sizes * rng.normal(size=(count, channels))).astype(np.float32)


def duplicated(rng: np.random.Generator, count: int, channels: int) -> Points:
    return rng.normal(size=(max(1, count // 4), channels)).astype(np.float32)[
        rng.integers(0, max(1, count // 4), count)
    ]


def lattice(rng: np.random.Generator, count: int, channels: int) -> Points:
    return rng.integers(0, 3, (count, channels)).astype(np.float32)  # equal distances everywhere


def far_from_the_origin(rng: np.random.Generator, count: int, channels: int) -> Points:
    return (1000 + rng.normal(size=(count, channels))).astype(np.float32)


def of_all_sizes(rng: np.random.Generator, count: int, channels: int) -> Points:
    return (rng.normal(size=(count, channels)) * 10.0 ** rng.uniform(-6, 6, (count, 1))).astype(np.float32)


KINDS = [
    lambda rng, count, channels: rng.normal(size=(count, channels)).astype(np.float32),
    clustered,
    duplicated,
    lattice,
    far_from_the_origin,
    of_all_sizes,
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**32 - 1),
    st.integers(1, 400),
    st.sampled_from([1, 2, 3, 17, 64, 152]),
    st.integers(1, 120),
    st.sampled_from([1, 2, 7, 64, 256]),
    st.integers(1, 3),
)
def test_the_selection_is_that_of_the_plain_greedy_loop(
    kind: object, seed: int, size: int, channels: int, count: int, pool: int, threads: int
) -> None:
    points = kind(np.random.default_rng(seed), size, channels)  # type: ignore[operator]
    chosen = select_coreset(points, count, seed=seed, pool=pool, threads=threads)
    assert chosen.tolist() == plain_greedy(points, count, int(chosen[0]))


@pytest.mark.parametrize("kind", KINDS)
def test_larger_sets_give_the_same_with_every_pool_and_any_number_of_threads(kind: object) -> None:
    points = kind(np.random.default_rng(3), 5000, 40)  # type: ignore[operator]
    expected = plain_greedy(points, 300, int(select_coreset(points, 1, seed=7)[0]))
    for pool, threads in ((16, 1), (256, 1), (256, 2), (2000, 3)):
        assert select_coreset(points, 300, seed=7, pool=pool, threads=threads).tolist() == expected


def test_first_pick_follows_the_seed_and_is_otherwise_nearest_to_the_origin() -> None:
    points = np.arange(1, 101, dtype=np.float32)[::-1, None]
    assert len({int(select_coreset(points, 1, seed=seed)[0]) for seed in range(30)}) > 10
    assert select_coreset(points, 1)[0] == 99
    assert [select_coreset(points, 9, seed=5).tolist() for _ in range(2)] == [
        select_coreset(points, 9, seed=5).tolist()
    ] * 2


@pytest.mark.parametrize(("size", "count"), [(1, 1), (1, 10), (7, 7), (7, 100), (300, 1000)])
def test_asking_for_as_many_as_there_are_gives_all(size: int, count: int) -> None:
    points = np.random.default_rng(0).normal(size=(size, 5)).astype(np.float32)
    assert sorted(select_coreset(points, count).tolist()) == list(range(size))


def test_no_points_and_no_picks_give_nothing() -> None:
    assert select_coreset(np.empty((0, 3), np.float32), 5).tolist() == []
    assert select_coreset(np.ones((4, 3), np.float32), 0).tolist() == []


def test_copies_of_one_point_come_in_their_order() -> None:
    points = np.full((3000, 20), 1.5, np.float32)
    assert select_coreset(points, 600).tolist() == list(range(600))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_no_numbers_or_too_large_are_refused(bad: float) -> None:
    points = np.zeros((50, 4), np.float32)
    points[31, 2] = bad
    with pytest.raises(InputError, match="no numbers, or larger"):
        select_coreset(points, 10)


def test_rare_clusters_are_all_there() -> None:
    rng = np.random.default_rng(0)
    clusters = rng.normal(size=(12, 20)).astype(np.float32) * 10
    points = np.concatenate(
        [cluster + rng.normal(size=(n, 20)) for n, cluster in zip((500, *[3] * 11), clusters, strict=True)]
    ).astype(np.float32)
    chosen = points[select_coreset(points, 12)]
    assert np.linalg.norm(points[:, None] - chosen[None], axis=2).min(axis=1).max() < 15


def test_progress_rises_to_the_end_and_stopping_stops() -> None:
    points = np.random.default_rng(0).normal(size=(20000, 64)).astype(np.float32)
    seen: list[tuple[int, int]] = []
    select_coreset(points, 500, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (500, 500)
    for threads in (1, 2):
        with pytest.raises(InterruptedError):
            select_coreset(points, 500, stopped=lambda: True, threads=threads)


MEASURE = """
import resource
import numpy as np
from core.inference.models.coreset import select_coreset
rng = np.random.default_rng(0)
points = rng.standard_normal((60000, 256), dtype=np.float32)
select_coreset(points, 800, threads=2)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak * 1024, points.nbytes)
"""


def test_memory_stays_below_twice_the_points() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    peak, size = map(int, done.stdout.split())
    assert peak <= 2 * size + 64_000_000
