"""Generations: what answers while they are written, swapped, damaged, rolled back, and when their writer dies."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX
from core.inference.generations import MANIFEST, POINTER, BrokenGeneration, Generations, NoGeneration
from tests.inference.generation_writer import leftovers, publish, text_of
from tests.support.disks import fill, read_only, small_disk
from tests.support.media import EXFAT, medium_of

KILLS = 200


@pytest.fixture
def generations(tmp_path: Path) -> Generations:
    return Generations(tmp_path / "index")


def test_nothing_answers_before_the_first_one(generations: Generations) -> None:
    assert (generations.token(), generations.names(), generations.previous()) == ("", [], "")
    with pytest.raises(NoGeneration):
        generations.open()
    with pytest.raises(NoGeneration):
        generations.roll_back()
    assert not generations.folder.exists()


def test_the_newest_one_answers_and_the_one_before_it_stays(generations: Generations) -> None:
    for text in ("a", "b", "c"):
        publish(generations, text)
    assert text_of(generations.open()) == "c"
    assert generations.names() == ["000003", "000002"]
    assert generations.previous() == "000002"
    assert leftovers(generations) == []


def test_what_is_not_published_leaves_nothing(generations: Generations) -> None:
    publish(generations, "a")
    with generations.write() as folder:
        (folder / "vectors").write_text("half")
    assert text_of(generations.open()) == "a"
    assert leftovers(generations) == []


def test_rolling_back_publishes_the_one_before_and_the_next_one_keeps_it(generations: Generations) -> None:
    for text in ("a", "b"):
        publish(generations, text)
    assert text_of(generations.roll_back()) == text_of(generations.open()) == "a"
    with pytest.raises(NoGeneration):
        generations.roll_back()
    assert publish(generations, "c").manifest.number == 3
    assert generations.names() == ["000003", "000001"]
    assert text_of(generations.roll_back()) == "a"


def test_one_request_leaves_one_generation_also_when_it_comes_again(generations: Generations) -> None:
    for text in ("a", "b"):
        publish(generations, text)
    assert text_of(generations.roll_back("first")) == text_of(generations.roll_back("first")) == "a"
    assert (generations.left_by("first"), generations.left_by("second")) == ("000002", "")
    with pytest.raises(NoGeneration):
        generations.roll_back("second")
    publish(generations, "c")
    assert text_of(generations.roll_back("first")) == "c"
    assert text_of(generations.roll_back("second")) == "a"


def test_a_request_that_was_killed_before_the_pointer_moved_goes_back(generations: Generations) -> None:
    for text in ("a", "b"):
        publish(generations, text)
    generations.roll_back("first")
    (generations.folder / POINTER).write_text("000002\n")
    assert text_of(generations.roll_back("first")) == "a"


def test_rolling_back_to_a_damaged_one_changes_nothing(generations: Generations) -> None:
    for text in ("a", "b"):
        publish(generations, text)
    (generations.folder / "000001" / "entries").write_text("a")
    with pytest.raises(BrokenGeneration, match="entries"):
        generations.roll_back()
    assert text_of(generations.open()) == "b"


def test_the_way_back_is_a_good_one_even_if_the_last_one_was_damaged(generations: Generations) -> None:
    for text in ("a", "b"):
        publish(generations, text)
    (generations.folder / "000002" / "vectors").write_bytes(b"")
    publish(generations, "c")
    assert text_of(generations.roll_back()) == "a"


@pytest.mark.parametrize("name", ["vectors", "entries", MANIFEST])
def test_a_short_or_changed_or_missing_file_is_found(generations: Generations, name: str) -> None:
    path = publish(generations, "a").path / name
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[: len(whole) // 2], b"", b"x" * len(whole)):
        path.write_bytes(damaged)
        with pytest.raises(BrokenGeneration, match="manifest" if name == MANIFEST else name):
            generations.open().check()
    path.unlink()
    with pytest.raises(BrokenGeneration):
        generations.open().check()


def test_a_damaged_pointer_is_an_error_and_not_an_empty_index(generations: Generations) -> None:
    publish(generations, "a")
    (generations.folder / POINTER).write_text("../elsewhere")
    with pytest.raises(BrokenGeneration, match="pointer"):
        generations.open()
    assert text_of(publish(generations, "b")) == text_of(generations.open()) == "b"


def test_one_that_was_never_published_is_not_a_way_back(generations: Generations) -> None:
    publish(generations, "a")
    publish(generations, "b")
    (generations.folder / POINTER).write_text("000001\n")  # as if the writer of "b" died just before this
    publish(generations, "c")
    assert generations.names() == ["000003", "000001"]


def test_four_readers_see_no_mixture_in_100_swaps(generations: Generations) -> None:
    publish(generations, "0")
    over, read_one = threading.Event(), threading.Condition()
    seen: set[str] = set()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while not over.wait(0.002):  # else four threads leave no time to the writer
                text = generations.load(text_of)
                with read_one:
                    seen.add(text)
                    read_one.notify()
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 101):
            publish(generations, f"{number}")
            if number % 10 == 0:  # the nine between come as fast as they can
                with read_one:
                    assert read_one.wait_for(lambda wanted=f"{number}": wanted in seen, 60)
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert errors == []


def test_a_writer_that_is_killed_at_any_instant_leaves_the_old_or_the_new_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.inference.generation_writer", str(tmp_path / "index"), f"{KILLS}"]
    killer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killer.returncode == 0, killer.stderr
    newest, removed = (int(number) for number in re.findall(r"\d+", killer.stdout))
    assert newest > KILLS // 10  # many were published
    assert removed > 0  # and some were killed while they wrote


def test_a_writer_removes_what_the_dead_left_but_nothing_of_the_living(generations: Generations) -> None:
    dead = generations.folder / f"{TEMPORARY_PREFIX}dead"
    dead.mkdir(parents=True)
    (dead / "vectors").write_text("half")
    with Generations(generations.folder).write() as living:
        (living / "vectors").write_text("under way")
        publish(generations, "a")
        assert not dead.exists()
        assert (living / "vectors").read_text() == "under way"
        (living / "entries").write_text("under way")
        assert generations.publish(living, {}).manifest.number == 2


def test_a_full_disk_at_any_write_keeps_the_old_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        generations = Generations(disk / "index")
        publish(generations, "old")
        failures = 0
        for free in range(14):
            hog = fill(disk)
            os.truncate(hog, hog.stat().st_size - 4096 * free)
            with suppress(XaivaError):
                publish(generations, "new text")
                break
            assert text_of(generations.open()) == "old"
            assert leftovers(generations) == []
            failures += 1
            hog.unlink()
        assert failures > 5
        hog = fill(disk)
        with pytest.raises(XaivaError) as caught:
            publish(generations, "newest")
        assert caught.value.why == "a new generation cannot be written: No space left on device"
        assert caught.value.remedy == "make room on that disk"
        hog.unlink()
        publish(generations, "room")
        assert text_of(generations.open()) == "room"


def test_a_disk_that_is_full_when_the_pointer_moves_keeps_nothing_of_the_new_one(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    publish(generations, "old")
    with monkeypatch.context() as full:
        full.setattr(Generations, "_point", no_room)
        with pytest.raises(XaivaError, match="No space left"):
            publish(generations, "new")
    assert (generations.names(), leftovers(generations)) == (["000001"], [])
    assert publish(generations, "newest").manifest.number == 2


def test_a_disk_that_cannot_be_written_still_answers(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        generations = Generations(disk / "index")
        publish(generations, "a")
        publish(generations, "b")
        with read_only(disk):
            assert text_of(generations.open()) == "b"
            for change in (lambda: publish(generations, "c"), generations.roll_back):
                with pytest.raises(XaivaError) as caught:
                    change()
                assert caught.value.remedy == "mount that disk writable"


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    with medium_of(EXFAT, tmp_path, size=64 << 20) as medium:
        yield medium.mount


def test_a_file_system_without_links_holds_generations(stick: Path) -> None:
    generations = Generations(stick / "index")
    for text in ("a", "b", "c"):
        publish(generations, text)
    assert text_of(generations.open()) == "c"
    assert len(generations.names()) == 2
    assert text_of(generations.roll_back()) == "b"


def test_others_may_read_what_was_published(generations: Generations) -> None:
    before = os.umask(0o022)
    try:
        folder = publish(generations, "a").path
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((generations.folder / POINTER).stat().st_mode) == 0o644
