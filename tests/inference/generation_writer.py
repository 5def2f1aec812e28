"""Processes that publish one generation after another until they are killed.

    python -m tests.inference.generation_writer FOLDER KILLS

forks that many writers, one after another, kills each at a random instant, and looks at what they left. It has one
thread, so that forking is safe and cheap.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from core.files import TEMPORARY_PREFIX
from core.inference.generations import GenerationFolder, Generations

FILES = ("vectors", "entries")
LONGEST = 0.03  # seconds that a writer lives; it publishes several generations in them


def publish(generations: Generations, text: str) -> GenerationFolder:
    """Publish a generation whose files both hold `text` often."""
    with generations.write() as folder:
        for name in FILES:
            (folder / name).write_text(text * 2000)
        return generations.publish(folder, {"text": text})


def text_of(generation: GenerationFolder) -> str:
    """The text of a generation; fails when its files and its manifest disagree."""
    generation.check()
    texts = {(generation.path / name).read_text() for name in FILES}
    assert texts == {f"{generation.manifest.facts['text']}" * 2000}
    return f"{generation.manifest.facts['text']}"


def leftovers(generations: Generations) -> list[str]:
    """What writers that did not end have left."""
    return [path.name for path in generations.folder.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]


def main(folder: str, kills: str) -> None:
    """Kill that many writers; an assertion fails if what is left cannot be used."""
    generations = Generations(Path(folder))
    publish(generations, "first")
    pauses = random.Random(5)
    left = 0
    for kill in range(int(kills)):
        writer = os.fork()
        if not writer:
            while True:
                publish(generations, "killed")
        time.sleep(pauses.uniform(0, LONGEST))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        left += len(leftovers(generations))
        assert text_of(generations.open()) in ("first", "killed", "next")
        if kill % 10 == 0:
            assert text_of(publish(generations, "next")) == text_of(generations.open()) == "next"
            assert leftovers(generations) == []
            assert len(generations.names()) == 2
    print(f"newest: {generations.token()}, leftovers removed: {left}")


if __name__ == "__main__":
    main(*sys.argv[1:])
