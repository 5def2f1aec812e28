"""Jobs of a launched service while its container and the engine itself are restarted, killed and started again.

The pictures come from a server that hangs meanwhile, so that a job is running and another one waits at every restart.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.place import Place, eventually
from tests.inspection.pictures import part, put, scratched
from tests.support.object_storage import ENVIRONMENT, KEY, KEY_VARIABLE, SECRET, SECRET_VARIABLE, binary

BUCKET, PORT = "parts", 8700  # nobody else listens in the site's own network
NORMALS, DEFECTS = 12, 3
STOPPED = "stopped with the service; queued again"
GRACE_SECONDS = "60"  # a busy machine may need more than the engine's 10 s


def jobs_outlive_restarts(site: Place, preset: str, pictures: Path) -> None:
    """Restart the container, then its engine, then kill the container: no job is lost, doubled or stuck."""
    container = f"xaiva-{preset}"
    for number in range(NORMALS):
        put(pictures / BUCKET, f"normal/bolt/{number}.jpg", part("bolt", number))
    for number in range(DEFECTS):
        put(pictures / BUCKET, f"defect/bolt/scratch/{number}.jpg", scratched(part("bolt", number)))
    with _storage(site, pictures) as server:
        _launch_with_storage(site, preset)
        eventually(lambda: site.xaiva("storage", "ls"))
        server.send_signal(signal.SIGSTOP)
        normal, defect = (site.json("job", "start", "index", name)["job"]["id"] for name in ("normal", "defect"))
        attempt = eventually(lambda: _working(site, normal, defect, after=0))

        site.engine.docker("restart", "--time", GRACE_SECONDS, container)
        attempt = eventually(lambda: _working(site, normal, defect, after=attempt))
        assert STOPPED in _history(site, normal)

        site.engine.restart()
        attempt = eventually(lambda: _working(site, normal, defect, after=attempt))

        site.engine.docker("kill", container)
        site.engine.docker("start", container)
        eventually(lambda: _working(site, normal, defect, after=attempt))
        assert f"attempt {attempt} was lost: its container is gone; queued again" in _history(site, normal)

        server.send_signal(signal.SIGCONT)
        for job, count in ((normal, NORMALS), (defect, DEFECTS)):
            site.xaiva("job", "follow", str(job))
            assert _job(site, job)["result"]["pictures"] == count
        eventually(lambda: _nothing_reserved(site))
        assert [one["health"] for one in site.json("ps")["containers"] if one["name"] == container] == ["healthy"]


@contextmanager
def _storage(site: Place, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """rclone in the site's network; the folders in `folder` are the buckets."""
    command = [binary("rclone"), "--config", "", "serve", "s3", "--addr", f"{site.engine.gateway}:{PORT}"]
    command += ["--auth-key", f"{KEY},{SECRET}", str(folder)]
    server = subprocess.Popen(site.engine.inside(command), stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def _launch_with_storage(site: Place, preset: str) -> None:
    """Launch the preset again, with the bucket as its storage, as docs/storage.md says."""
    (site.folder / "bucket.env").write_text("".join(f"{name}='{value}'\n" for name, value in ENVIRONMENT.items()))
    file = site.folder / "presets" / f"{preset}.json"
    content = json.loads(file.read_text())
    endpoint = f"http://{site.engine.gateway}:{PORT}"
    url = f"s3://{BUCKET}?endpoint={endpoint}&key={KEY_VARIABLE}&secret={SECRET_VARIABLE}"
    content["run"] |= {"env_files": ["bucket.env"], "environment": {"XAIVA_STORAGE_URL": url}}
    file.write_text(json.dumps(content))
    site.xaiva("launch", preset, "--replace", "--wait")


def _working(site: Place, running: int, waiting: int, *, after: int) -> int:
    """The number of the attempt, later than `after`, that has its memory and waits for the storage."""
    job = _job(site, running)
    assert job["state"] == "running"
    assert job["attempt"] > after
    assert [stage["state"] for stage in job["stages"] if stage["id"] == "memory"] == ["done"]
    jobs = site.json("job", "list")["jobs"]
    live = {one["id"]: one["state"] for one in jobs if one["state"] in ("queued", "running")}
    assert live == {running: "running", waiting: "queued"}
    assert len(_requests(site)) == 1
    return int(job["attempt"])


def _nothing_reserved(site: Place) -> None:
    assert _requests(site) == []


def _requests(site: Place) -> list[Path]:
    """The jobs' requests for memory, and the service's answers."""
    return list((site.folder / "data/jobs/reservations").glob("*.request"))


def _history(site: Place, job: int) -> list[str]:
    return [event["what"] for event in _job(site, job)["history"]]


def _job(site: Place, job: int) -> dict[str, Any]:
    found: dict[str, Any] = site.json("job", "show", str(job))["job"]
    return found
