"""What an index answers while generations are swapped, damaged or lost, and what is said about it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from core.inference import generation_reader
from core.inference.inspection.encoder import EncoderIdentity
from core.inference.inspection.index_files import (
    ENTRIES_FILE,
    VECTORS_FILE,
    IndexEntry,
    index_facts,
    index_generations,
    write_index,
)
from core.inference.inspection.indexes import IndexReader
from core.inference.settings import ServiceSettings
from tests.inspection.conftest import nearest

ENCODER = EncoderIdentity(name="test", dimension=4, sha256="e" * 64)
RIGHT = np.array([1, 0, 0, 0], np.float32)


def _publish(settings: ServiceSettings, version: int, count: int = 5, declared: int | None = None) -> Path:
    """A generation whose entries are all named after its version."""
    vectors = np.random.default_rng(version).normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    entries = [IndexEntry(f"{version}/{row}", f"{version}", "bolt", "", "") for row in range(count)]
    generations = index_generations(settings, "normal")
    with generations.write() as written:
        write_index(written, entries, vectors)
        facts = index_facts(ENCODER, count if declared is None else declared, 1.0)
        return generations.publish(written, facts).path


def _labels(reader: IndexReader, count: int = 100) -> set[str]:
    return {found.label for found in nearest(reader, RIGHT, count)}


@pytest.fixture
def reader(settings: ServiceSettings) -> IndexReader:
    return IndexReader(settings, "normal")


def test_without_an_index_there_are_no_neighbours(reader: IndexReader) -> None:
    assert nearest(reader, RIGHT, 3) == []
    assert (reader.why, reader.status().current, reader.status().trouble) == ("", None, [])


def test_neighbours_come_with_the_most_similar_first(reader: IndexReader, settings: ServiceSettings) -> None:
    _publish(settings, 1, count=50)
    similarities = [found.similarity for found in nearest(reader, RIGHT, 10)]
    assert len(similarities) == 10
    assert similarities == sorted(similarities, reverse=True)
    assert all(-1 <= similarity <= 1.0001 for similarity in similarities)
    assert len(nearest(reader, RIGHT, 100)) == 50
    with pytest.raises(ValueError, match="3"):
        nearest(reader, RIGHT[:3], 1)


def test_a_new_generation_answers_without_a_restart(reader: IndexReader, settings: ServiceSettings) -> None:
    for version in (1, 2, 3):
        _publish(settings, version)
        assert _labels(reader) == {f"{version}"}
    status = reader.status()
    assert status.current is not None
    assert status.previous is not None
    assert (status.current.number, status.current.current, status.current.entries) == (3, True, 5)
    assert (status.previous.number, status.previous.current) == (2, False)
    assert status.trouble == []


@pytest.mark.parametrize("name", [VECTORS_FILE, ENTRIES_FILE, "manifest.json"])
def test_a_new_generation_with_a_short_file_is_refused_and_the_last_good_one_answers(
    reader: IndexReader, settings: ServiceSettings, name: str
) -> None:
    _publish(settings, 1)
    assert _labels(reader) == {"1"}
    path = _publish(settings, 2) / name
    path.write_bytes(path.read_bytes()[:-9])
    for one in (reader, IndexReader(settings, "normal")):  # running, and after a restart
        assert _labels(one) == {"1"}
        assert "index-normal/000002" in one.why
        trouble = one.status().trouble[0]
        assert "000002" in trouble
        assert trouble.endswith("generation 1 answers")
        current = one.status().current
        assert current is not None
        assert "000002" in current.why
    _publish(settings, 3)
    assert _labels(reader) == {"3"}
    assert reader.why == ""


def test_a_generation_whose_files_disagree_is_refused(reader: IndexReader, settings: ServiceSettings) -> None:
    _publish(settings, 1)
    _publish(settings, 2, declared=6)
    assert _labels(reader) == {"1"}
    assert "it has 5 vectors and 5 entries, and 6 are declared" in reader.why


def test_without_any_generation_that_can_be_read_nothing_answers_and_it_is_said(
    reader: IndexReader, settings: ServiceSettings
) -> None:
    (_publish(settings, 1) / VECTORS_FILE).unlink()
    assert nearest(reader, RIGHT, 3) == []
    assert VECTORS_FILE in reader.why
    status = reader.status()
    assert status.trouble[0].endswith("nothing answers")
    assert status.current is not None
    assert not status.current.current


def test_a_generation_that_can_be_read_again_answers_again(
    reader: IndexReader, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_reader, "RETRY_SECONDS", 0.0)
    _publish(settings, 1)
    path = _publish(settings, 2)
    path.rename(settings.data / "away")  # a disk that was not mounted yet
    assert _labels(reader) == {"1"}
    (settings.data / "away").rename(path)
    assert _labels(reader) == {"2"}


def test_a_damaged_pointer_does_not_hide_the_good_generations(reader: IndexReader, settings: ServiceSettings) -> None:
    for version in (1, 2):
        _publish(settings, version)
    (index_generations(settings, "normal").folder / "current").write_text("?")
    assert _labels(reader) == {"2"}
    assert "the pointer is damaged; generation 2 answers" in reader.why


def test_an_index_in_memory_answers_while_its_disk_is_away(reader: IndexReader, settings: ServiceSettings) -> None:
    _publish(settings, 1)
    assert _labels(reader) == {"1"}
    (index_generations(settings, "normal").folder).rename(settings.data / "away")
    assert _labels(reader) == {"1"}
    assert reader.why.endswith("generation 1 answers")


def test_four_readers_get_no_mixed_answer_in_100_swaps(reader: IndexReader, settings: ServiceSettings) -> None:
    _publish(settings, 0, count=300)
    over, answered = threading.Event(), threading.Condition()
    answers: set[frozenset[str]] = set()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            while not over.wait(0.002):  # else four threads leave no time to the writer
                index = reader.current()
                assert index is not None
                labels = frozenset(found.label for found in index.search(RIGHT, 20))
                with answered:
                    answers.add(labels)
                    answered.notify()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in range(1, 101):
            _publish(settings, version, count=300)
            with answered:  # the others may still read an earlier one, or this one
                assert answered.wait_for(lambda wanted=frozenset({f"{version}"}): wanted in answers, 60)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert answers <= {frozenset({f"{version}"}) for version in range(101)}
    assert reader.why == ""
