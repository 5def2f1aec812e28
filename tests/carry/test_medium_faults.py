"""Media that are pulled out, full, read-only, slow or failing: no final name is short, and the cause is said."""

from __future__ import annotations

import math
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from core.carry.medium import Medium
from core.carry.medium_errors import MediumGone
from core.carry.target import UNFINISHED
from core.errors import XaivaError
from tests.support.disks import fill
from tests.support.media import EXFAT, EXT4, MEBI, StickMedium, medium_of, throttled
from tests.support.medium_contents import (
    ALL_KINDS,
    BEHIND_FUSE,
    CutSource,
    check,
    content,
    ignore,
    opener,
    path_of,
    put,
    sha256,
)


@BEHIND_FUSE
def test_pulled_out_at_any_point_no_final_name_is_short_and_the_next_run_completes(stick: StickMedium) -> None:
    chance = random.Random(7)
    sizes = (1, 200_000, 3 * MEBI, 70_000, 1_500_000)
    steps = sum(math.ceil(size / MEBI) + 1 for size in sizes)
    for attempt in range(20):
        contents = [content(size, seed=attempt) for size in sizes]
        with pytest.raises(XaivaError) as raised, Medium(stick.mount) as medium:
            pack(medium, contents, chance.randrange(steps), stick.kill)
        assert "goes on" in raised.value.remedy
        stick.detach()
        stick.remount()
        with Medium(stick.mount) as medium:
            final = [data for data in contents if path_of(data) in medium.names()]
            assert check(medium, *final) == {}
            pack(medium, contents, -1, stick.kill)
            assert check(medium, *contents) == {}


def pack(medium: Medium, contents: list[bytes], pull_at: int, pull_out: Callable[[], None]) -> None:
    """Write and finish each content in turn; pull the medium out at that block read, or at that rename."""
    steps = iter(range(1_000_000))

    def step() -> None:
        if next(steps) == pull_at:
            pull_out()

    for data in contents:
        medium.put(
            path_of(data),
            len(data),
            sha256(data),
            lambda offset, data=data: CutSource(data[offset:], 0, step),  # type: ignore[misc]
            ignore,
        )
        medium.flush()
        step()
        medium.finish([path_of(data)])
    medium.sync()


@ALL_KINDS
def test_the_bare_mount_point_of_a_medium_that_is_gone_stays_empty(stick: StickMedium) -> None:
    with Medium(stick.mount) as medium:
        put(medium, b"before")
        stick.detach()
        for data in (b"after", content(2 * MEBI)):
            with pytest.raises(MediumGone, match="is gone: it is mounted no longer") as raised:
                put(medium, data)
            assert "goes on" in raised.value.remedy
    assert os.listdir(stick.mount) == []


@pytest.mark.parametrize("kind", [EXFAT], ids=lambda kind: kind.name)
def test_a_device_that_is_pulled_out_below_a_file_system_of_the_kernel_is_said(
    stick: StickMedium, tmp_path: Path
) -> None:
    """The device of the ext4 medium is a file on an exFAT medium, which goes away."""
    with medium_of(EXT4, tmp_path / "upper", 64 * MEBI, stick.mount / "device") as upper, Medium(upper.mount) as medium:
        put_durably(medium, b"x")
        stick.kill()
        with pytest.raises(XaivaError, match=r"fails: reading or writing .* failed with an input/output error"):
            put_durably(medium, content(MEBI))


@ALL_KINDS
def test_a_part_of_the_device_that_cannot_be_read_is_a_problem_of_its_files(stick: StickMedium) -> None:
    """The loop device answers with an error where its file has ended."""
    data = content(40 * MEBI)
    with Medium(stick.mount) as medium:
        put(medium, data)
        medium.sync()
        position = stick.backing.read_bytes().index(data[20 * MEBI : 20 * MEBI + 64])
        size = stick.backing.stat().st_size
        os.truncate(stick.backing, position)
        problems = check(medium, data, suffix=UNFINISHED)
        os.truncate(stick.backing, size)
    assert problems[path_of(data) + UNFINISHED].startswith("it cannot be read: ")


@BEHIND_FUSE
def test_a_full_medium_says_so_and_goes_on(stick: StickMedium) -> None:
    data = content(2 * MEBI)
    (stick.mount / path_of(data)).parent.mkdir(parents=True)  # fusefat makes unusable folders when it is full
    with Medium(stick.mount) as medium:
        hog = fill(stick.mount)
        with pytest.raises(
            XaivaError, match=r"is full: .* does not fit; .* are free|also answer this when they are full"
        ) as raised:
            put_durably(medium, data)
        assert "goes on" in raised.value.remedy
        hog.unlink()
        medium.finish([put(medium, data)])
        assert check(medium, data) == {}


def put_durably(medium: Medium, data: bytes) -> None:
    put(medium, data)
    medium.flush()


@BEHIND_FUSE
def test_a_limit_for_files_is_named(stick: StickMedium) -> None:
    data = content(2 * MEBI)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Medium(stick.mount) as medium:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEBI + 5, before[1]))
        try:
            with pytest.raises(XaivaError, match=r"is too long: this process may write files of 1\.0 MB at most"):
                put(medium, data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        put(medium, data)
        assert check(medium, data, suffix=UNFINISHED) == {}


@pytest.mark.parametrize("kind", [EXFAT, EXT4], ids=lambda kind: kind.name)
def test_a_read_only_medium_is_said_and_can_be_read(stick: StickMedium) -> None:
    with Medium(stick.mount) as medium:
        medium.finish([put(medium, b"x")])
    stick.unmount()
    stick.remount("-o", "ro")
    with Medium(stick.mount) as medium:
        assert medium.info.read_only
        assert check(medium, b"x") == {}
        with pytest.raises(XaivaError, match="cannot be written: it is mounted read-only"):
            medium.require_writable()
        with pytest.raises(XaivaError, match="cannot be written: it is mounted read-only"):
            put(medium, b"y")


@pytest.mark.parametrize("kind", [EXFAT, EXT4], ids=lambda kind: kind.name)
def test_on_a_slow_device_nothing_is_reported_before_it_is_there(stick: StickMedium) -> None:
    data = content(80 * MEBI)
    reports: list[tuple[int, int]] = []
    with Medium(stick.mount) as medium:
        medium.sync()
        before = stick.written_bytes()

        def on_durable(count: int) -> None:
            reports.append((count, stick.written_bytes() - before))

        with throttled(stick, 40 * MEBI):
            medium.put(path_of(data), len(data), sha256(data), opener(data), on_durable)
            medium.flush()
    total = 0
    for count, on_device in reports:
        assert count <= 64_000_000 / 2
        total += count
        assert total <= on_device
    assert total == len(data)
