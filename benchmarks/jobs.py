"""Jobs over HTTP: how soon readers see the end of one, what 40 readers cost, what is left of 50 equal requests."""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import httpx
import psutil
from websockets.sync.client import ClientConnection, connect

from tests.support import sample_jobs, until
from tests.support.service import TOKEN, ServiceProcess

BEARER = {"Authorization": f"Bearer {TOKEN}"}
FINAL_SECONDS = 1.0  # until a reader sees the final state
IDLE_SHARE = 0.02  # of a core, while no job is live and nobody listens
READERS = 40
ROUNDS = 8
CPU_SECONDS = 5.0


def main() -> int:
    """Print the figures; returns 1 if one misses its budget."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        data.mkdir()
        service = ServiceProcess(data, command=("-m", "tests.support.sample_jobs"), XAIVA_JOBS_KEEP="5000")
        try:
            service.ready()
            with httpx.Client(base_url=service.client.url, headers=BEARER, timeout=60) as api:
                missed = [
                    _idle(service),
                    _final(api, service.client.url, 1),
                    _final(api, service.client.url, READERS),
                    _duplicates(api, service.client.url),
                ]
                _cost(service, api, data)
        finally:
            service.process.kill()
            service.process.wait()
    return int(any(missed))


def _budget(name: str, value: float, budget: float, unit: str = "ms", scale: float = 1000) -> bool:
    print(f"{name:<34} {value * scale:7.1f} {unit}   budget {budget * scale:.0f} {unit}")
    return value > budget


def _start(api: httpx.Client, kind: str, subject: str, **options: int) -> int:
    response = api.post("/jobs", json={"kind": kind, "subject": subject, "options": options})
    response.raise_for_status()
    return int(response.json()["id"])


def _listen(url: str, path: str) -> ClientConnection:
    return connect(url.replace("http", "ws", 1) + path, subprotocols=["xaiva.bearer", TOKEN])


def _final(api: httpx.Client, url: str, readers: int) -> bool:
    """From the end of a job, as the ledger has it, until each reader has the final event."""
    delays: list[float] = []

    def read(connection: ClientConnection) -> None:
        for text in connection:
            message = json.loads(text)
            if message["type"] == "event" and message["final"]:
                seen = time.time()
                delays.append(seen - datetime.fromisoformat(message["at"].replace("Z", "+00:00")).timestamp())

    for number in range(ROUNDS):
        job = _start(api, "steps", f"final-{readers}-{number}", count=40)
        with ExitStack() as stack:
            streams = [stack.enter_context(_listen(url, f"/jobs/{job}/stream?after=0")) for _ in range(readers)]
            threads = [threading.Thread(target=read, args=(one,)) for one in streams]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(delays) == ROUNDS * readers
    p95 = statistics.quantiles(delays, n=20)[-1]
    print(f"{'final event, median':<34} {statistics.median(delays) * 1000:7.1f} ms   {readers} readers")
    return _budget(f"final event, p95, {readers} readers", p95, FINAL_SECONDS)


def _duplicates(api: httpx.Client, url: str) -> bool:
    """50 equal requests at once."""
    codes: list[int] = []
    gate = threading.Barrier(50)

    def ask() -> None:
        with httpx.Client(base_url=url, headers=BEARER, timeout=60) as client:
            gate.wait()
            codes.append(client.post("/jobs", json={"kind": "wait", "subject": "fifty"}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    counts = Counter(codes)
    print(f"{'50 equal requests':<34} {took * 1000:7.1f} ms   {dict(counts)}")
    live = api.get("/jobs", params={"subject": "fifty"}).json()["jobs"]
    for job in live:
        api.post(f"/jobs/{job['id']}/cancel")
        _ended(api, job["id"])
    return counts != {202: 1, 409: 49} or len(live) != 1


def _ended(api: httpx.Client, job: int) -> None:
    until(lambda: api.get(f"/jobs/{job}").json()["state"] not in ("queued", "running"))


def _share(service: ServiceProcess) -> float:
    """The share of a core that the service itself takes now."""
    pid = service.process.pid
    assert pid is not None
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(CPU_SECONDS)
    return (sum(process.cpu_times()[:2]) - before) / CPU_SECONDS


def _idle(service: ServiceProcess) -> bool:
    return _budget("service without jobs and readers", _share(service), IDLE_SHARE, "%", 100)


def _cost(service: ServiceProcess, api: httpx.Client, data: Path) -> None:
    """What it takes to watch one live job, with and without readers."""
    job = _start(api, "wait", "cost")
    until((data / "began-cost").exists)
    print(f"{'service with a live job':<34} {_share(service) * 100:7.1f} %")
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(_listen(service.client.url, f"/jobs/{job}/stream"))
        print(f"{f'the same with {READERS} readers':<34} {_share(service) * 100:7.1f} %")
    sample_jobs.release(data)
    _ended(api, job)


if __name__ == "__main__":
    raise SystemExit(main())
