"""An index job that is killed, or loses storage or disk, at any instant: the old index answers, a new run goes on."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import TransientError
from core.files import TEMPORARY_PREFIX
from core.inference.generations import BrokenGeneration, Generations
from core.inference.inspection import index_job, picture_flow
from core.inference.inspection.index_files import index_generations, write_index
from core.inference.inspection.indexes import IndexReader
from core.inference.jobs.context import JobContext
from core.inference.settings import ServiceSettings
from core.inference.storage import open_storage, retries
from core.progress import NullProgress, Stage
from tests.inspection.conftest import Recorder, nearest
from tests.inspection.index_process import rebuild
from tests.inspection.pictures import fill, jpeg, part, put
from tests.support import until
from tests.support.faulty_proxy import Fault, faulty_proxy
from tests.support.object_storage import ENVIRONMENT, rclone_s3
from tests.support.proofs import full

KILLS = 200 if full("index") else 40  # of the whole job; `test_generations` kills the writing of generations 200 times
RIGHT = np.array([1, 0, 0], np.float32)


def _upload(settings: ServiceSettings, objects: dict[str, bytes], folder: Path) -> None:
    """Store objects over the network: what is put behind a server is not seen at once."""
    file = folder / "upload"
    for key, content in objects.items():
        file.write_bytes(content)
        open_storage(settings).upload_file(key, file)


def _run(settings: ServiceSettings) -> Any:
    return index_job.run(JobContext(settings), "normal", {}, NullProgress())


def _state(settings: ServiceSettings) -> tuple[list[str], str]:
    """Everything in the index's folder, and which generation answers."""
    generations = index_generations(settings, "normal")
    return sorted(map(str, generations.folder.rglob("*"))), generations.token()


def _leftovers(generations: Generations) -> list[str]:
    return [path.name for path in generations.folder.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]


@pytest.mark.proof("index")
def test_a_job_that_is_killed_at_any_instant_leaves_an_index_that_answers(
    colours: ServiceSettings, images: Path
) -> None:
    fill(images, count=30, size=(64, 48))
    _run(colours)
    reader = IndexReader(colours, "normal")
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["__main__", "tests.inspection.index_process"])
    pauses = random.Random(3)
    longest = 0.25  # seconds; follows how long a whole run takes here
    finished = 0
    for kill in range(KILLS):
        put(images, f"normal/bolt/new{kill}.jpg", part("bolt", 1000 + kill, (64, 48)))
        ours, theirs = fork.Pipe()
        job = fork.Process(target=rebuild, args=(colours.data, colours.models, colours.encoder, theirs))
        job.start()
        ours.recv_bytes()
        time.sleep(pauses.uniform(0, longest))
        job.kill()
        job.join()
        finished += job.exitcode == 0
        longest = longest * 0.9 if job.exitcode == 0 else longest * 1.05
        index = reader.current()
        assert index is not None
        assert len(index.entries) == len(index.vectors) >= 60
        assert reader.why == ""
    put(images, "normal/bolt/last.jpg", part("bolt", 999, (64, 48)))  # without a change nothing would be published
    result = _run(colours)
    assert result["pictures"] == 60 + KILLS + 1
    assert len(nearest(reader, RIGHT, 1000)) == 60 + KILLS + 1
    assert _leftovers(index_generations(colours, "normal")) == []
    assert len(index_generations(colours, "normal").names()) == 2


def test_a_run_after_a_kill_computes_only_what_is_missing(colours: ServiceSettings, images: Path) -> None:
    fill(images, count=40)

    class Dies(Recorder):
        def stage(self, stage: Stage) -> None:
            if stage.id == "index":
                raise SystemError  # the process is gone: nothing after the embeddings happens

    with pytest.raises(SystemError):
        index_job.run(JobContext(colours), "normal", {}, Dies())
    assert index_generations(colours, "normal").names() == []
    result = _run(colours)
    assert (result["pictures"], result["embedded"]) == (80, 0)


def test_a_bucket_becomes_an_index_and_its_loss_leaves_it(
    colours: ServiceSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    bucket = tmp_path / "served" / "pictures"
    fill(bucket, count=20)
    with rclone_s3(tmp_path / "served") as server:
        settings = colours.model_copy(update={"storage_url": server.url("pictures")})
        first = _run(settings)
        assert (first["pictures"], first["fetched"], first["embedded"]) == (40, 40, 40)
        _upload(settings, {"normal/bolt/new.jpg": jpeg(part("bolt", 99))}, tmp_path)
        second = _run(settings)
        assert (second["pictures"], second["fetched"], second["embedded"]) == (41, 1, 1)
    with pytest.raises(TransientError):
        _run(settings)
    assert len(nearest(IndexReader(settings, "normal"), RIGHT, 100)) == 41


def test_a_bucket_that_goes_away_under_way_leaves_the_old_index_and_the_next_run_goes_on(
    colours: ServiceSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    bucket = tmp_path / "served" / "pictures"
    put(bucket, "normal/bolt/first.jpg", part("bolt", 1))
    reader = IndexReader(colours, "normal")
    with ExitStack() as stack:
        server = stack.enter_context(rclone_s3(tmp_path / "served"))
        settings = colours.model_copy(update={"storage_url": server.url("pictures")})
        _run(settings)
        noise = jpeg(np.random.default_rng(0).integers(0, 255, (1400, 1800, 3), np.uint8))
        _upload(settings, {f"normal/bolt/{number}.jpg": noise for number in range(60)}, tmp_path)
        gone = threading.Event()
        waits = Fault(("GET", "/normal/bolt/3"), times=1000, held=gone)  # the first of the bodies that never come
        proxy = stack.enter_context(faulty_proxy(server.port, waits))

        def stop_server() -> None:
            until(lambda: proxy.count(*waits.match) > 0)
            os.kill(server.process, signal.SIGKILL)
            os.waitid(os.P_PID, server.process, os.WEXITED | os.WNOWAIT)
            gone.set()

        settings = colours.model_copy(update={"storage_url": server.url("pictures", port=proxy.port)})
        stopper = threading.Thread(target=stop_server)
        stopper.start()
        with pytest.raises(TransientError):
            _run(settings)
        stopper.join()
    assert proxy.count("GET", "/normal/bolt/1") > 0
    assert [found.key for found in nearest(reader, RIGHT, 100)] == ["normal/bolt/first.jpg"]
    with rclone_s3(tmp_path / "served") as server:
        settings = colours.model_copy(update={"storage_url": server.url("pictures")})
        _run(settings)
    assert len(nearest(reader, RIGHT, 100)) == 61


def test_a_folder_that_goes_away_under_way_leaves_the_old_index_and_the_next_run_goes_on(
    colours: ServiceSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, away = tmp_path / "share", tmp_path / "away"
    settings = colours.model_copy(update={"storage_url": f"file://{share}"})
    for number in range(100):
        put(share, f"normal/bolt/{number}.jpg", part("bolt", number))
    _run(settings)
    for number in range(100, 115):  # as few as a job may miss
        put(share, f"normal/bolt/{number}.jpg", part("bolt", number))
    decode = picture_flow.decode

    def unmount(data: bytes, **options: Any) -> Any:
        if share.exists():
            share.rename(away)
        return decode(data, **options)

    before = _state(settings)
    monkeypatch.setattr(picture_flow, "decode", unmount)
    with pytest.raises(TransientError, match="is not there"):
        _run(settings)
    assert _state(settings) == before
    away.rename(share)
    monkeypatch.undo()
    assert _run(settings)["pictures"] == 115


@pytest.mark.parametrize("name", ["index.faiss", "entries.json"])
def test_an_index_that_did_not_come_whole_to_the_disk_is_not_published(
    colours: ServiceSettings, images: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill(images)
    _run(colours)
    before = _state(colours)
    put(images, "normal/bolt/new.jpg", part("bolt", 99))

    def write_short(folder: Path, *content: Any) -> None:
        write_index(folder, *content)
        (folder / name).write_bytes((folder / name).read_bytes()[:-40])

    monkeypatch.setattr(index_job, "write_index", write_short)
    with pytest.raises(BrokenGeneration):
        _run(colours)
    assert _state(colours) == before
