"""Reading the current generation while it is replaced, damaged and put right again."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from core.inference import generation_reader
from core.inference.generation_reader import GenerationReader
from core.inference.generations import BrokenGeneration, GenerationFolder, Generations, NoGeneration


@pytest.fixture
def generations(tmp_path: Path) -> Generations:
    return Generations(tmp_path / "bolts")


@pytest.fixture
def reader(generations: Generations) -> GenerationReader[str]:
    return GenerationReader(generations, read)


def read(folder: GenerationFolder) -> str:
    text = (folder.path / "a").read_text() + (folder.path / "b").read_text()
    if "unusable" in text:
        raise BrokenGeneration(f"{folder.path}", "it is of another network")
    return text


def publish(generations: Generations, text: str) -> GenerationFolder:
    with generations.write() as folder:
        (folder / "a").write_text(text)
        (folder / "b").write_text(text)
        return generations.publish(folder, {})


def test_without_a_generation_that_is_said_until_there_is_one(
    generations: Generations, reader: GenerationReader[str]
) -> None:
    with pytest.raises(NoGeneration, match="not been built yet"):
        reader.current()
    publish(generations, "x")
    assert reader.current().content == "xx"


def test_new_generation_answers_and_a_rollback_is_followed(
    generations: Generations, reader: GenerationReader[str]
) -> None:
    publish(generations, "x")
    assert (reader.current().content, reader.current().manifest.number) == ("xx", 1)
    publish(generations, "y")
    assert (reader.current().content, reader.trouble) == ("yy", "")
    generations.roll_back()
    assert reader.current().content == "xx"


def test_damaged_generation_is_refused_and_the_last_good_one_answers(
    generations: Generations, reader: GenerationReader[str]
) -> None:
    publish(generations, "x")
    held = reader.current()
    (publish(generations, "y").path / "b").write_text("")
    for one in (reader, GenerationReader(generations, read)):  # the one in memory, and the one on disk
        assert one.current().content == "xx"
        assert "b is not what was written" in one.trouble
        assert "generation 1 answers" in one.trouble
    assert reader.current() is held
    publish(generations, "z")
    assert (reader.current().content, reader.trouble) == ("zz", "")


def test_content_that_cannot_be_used_is_refused_like_a_damaged_file(
    generations: Generations, reader: GenerationReader[str]
) -> None:
    publish(generations, "unusable")
    with pytest.raises(BrokenGeneration, match="another network"):
        reader.current()
    publish(generations, "x")
    publish(generations, "unusable")
    assert reader.current().content == "xx"
    assert "another network" in reader.trouble


def test_generation_that_could_not_be_read_for_a_while_answers_later(
    generations: Generations, reader: GenerationReader[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(generations, "x")
    path = publish(generations, "y").path / "b"
    path.rename(path.with_name("gone"))
    assert reader.current().content == "xx"
    path.with_name("gone").rename(path)
    assert reader.current().content == "xx"
    monkeypatch.setattr(reader, "_retry_at", 0.0)
    assert (reader.current().content, reader.trouble) == ("yy", "")
    assert generation_reader.RETRY_SECONDS > 0


def test_generation_in_memory_answers_while_the_next_one_is_read(generations: Generations) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def read_slowly(folder: GenerationFolder) -> str:
        text = read(folder)
        if text == "yy":
            begun.set()
            assert may_end.wait(30)
        return text

    reader = GenerationReader(generations, read_slowly)
    publish(generations, "x")
    assert reader.current().content == "xx"
    publish(generations, "y")
    answers: list[str] = []
    first = threading.Thread(target=lambda: answers.append(reader.current().content))
    first.start()
    try:
        assert begun.wait(30)
        second = threading.Thread(target=lambda: answers.append(reader.current().content), daemon=True)
        second.start()
        second.join(10)
        assert answers == ["xx"]
    finally:
        may_end.set()
        first.join()
    assert answers[-1] == reader.current().content == "yy"


def test_generation_of_a_folder_that_was_emptied_and_built_again_is_read(
    generations: Generations, reader: GenerationReader[str]
) -> None:
    publish(generations, "x")
    assert reader.current().content == "xx"
    shutil.rmtree(generations.folder)
    assert publish(generations, "y").path.name == "000001"  # the name that it had before
    assert reader.current().content == "yy"


def test_answers_are_never_of_two_generations(generations: Generations, reader: GenerationReader[str]) -> None:
    publish(generations, "0")
    done = threading.Event()
    seen: list[set[str]] = [set() for _ in range(4)]

    def query(mine: set[str]) -> None:
        while not done.wait(0.002):  # else four threads leave no time to the writer
            mine.add(reader.current().content)

    threads = [threading.Thread(target=query, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for number in range(1, 40):
        publish(generations, str(number))
    done.set()
    for thread in threads:
        thread.join()
    assert set().union(*seen) <= {2 * str(number) for number in range(40)}
