"""Real servers that speak S3, on loopback, and the address under which the service finds them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.inference.storage.address import BucketAddress
from tests.support.ports import HeldPort

KEY, SECRET = "accesskeyone", "secret/of+the=tests"
KEY_VARIABLE, SECRET_VARIABLE = "TEST_BUCKET_KEY", "TEST_BUCKET_SECRET"
ENVIRONMENT = {KEY_VARIABLE: KEY, SECRET_VARIABLE: SECRET}
START_SECONDS = 30.0


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    port: int
    process: int

    def look_again(self) -> None:
        """Make rclone forget the folders that it has in its cache; it does so soon, not at once."""
        os.kill(self.process, signal.SIGHUP)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, bucket: str, prefix: str = "", port: int = 0) -> str:
        """XAIVA_STORAGE_URL of a bucket; set ENVIRONMENT, too. `port`: of a proxy in between."""
        endpoint = f"http://127.0.0.1:{port or self.port}"
        inside = f"{bucket}/{prefix}".rstrip("/")
        return f"s3://{inside}?endpoint={endpoint}&key={KEY_VARIABLE}&secret={SECRET_VARIABLE}"

    def address(self, bucket: str, prefix: str = "", port: int = 0) -> BucketAddress:
        """The address that the URL stands for."""
        endpoint = f"http://127.0.0.1:{port or self.port}"
        return BucketAddress(bucket, f"{prefix}/" if prefix else "", endpoint, "us-east-1", True, KEY, SECRET)


def binary(name: str) -> str:
    """A program that a wheel brought, beside the interpreter."""
    path = Path(sys.executable).parent / name
    found = str(path) if path.exists() else shutil.which(name)
    assert found, f"{name} is not installed: ./xaiva --setup dev"
    return found


@contextmanager
def rclone_s3(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """`rclone serve s3`: the folders in `folder` are the buckets, their files the objects.

    With TLS by a certificate and its key.
    """
    with HeldPort() as port:
        command = [
            binary("rclone"),
            "--config",
            "",
            "serve",
            "s3",
        ]  # its cache stays on: without it, it is 1,000x slower
        command += ["--addr", f"127.0.0.1:{port.number}", "--auth-key", f"{KEY},{SECRET}", str(folder)]
        command += [f"--cert={certificate[0]}", f"--key={certificate[1]}"] if certificate else []
        with _running(command, folder.parent / "rclone.log", port.number, tls=bool(certificate)) as process:
            yield S3Server(port.number, process)


@contextmanager
def seaweed_s3(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS in one process. It has no bucket yet."""
    folder.mkdir(parents=True, exist_ok=True)
    login = {"credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    users = {"identities": [{"name": "tests", **login, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
    config = folder / "s3.json"
    config.write_text(json.dumps(users))
    names = ("s3.port", "master.port", "volume.port", "filer.port")
    ports = {name: HeldPort() for name in (*names, *(f"{name}.grpc" for name in names))}
    try:
        command = [binary("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        command += [
            f"-s3.config={config}",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=500",
            "-master.telemetry=false",
        ]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += [f"-{name}={port.number}" for name, port in ports.items()]
        with _running(command, folder / "weed.log", ports["s3.port"].number, grace=0) as process:
            yield S3Server(ports["s3.port"].number, process)
    finally:
        for port in ports.values():
            port.close()


@contextmanager
def _running(command: list[str], log: Path, port: int, *, grace: float = 5, tls: bool = False) -> Iterator[int]:
    """The running server as its process id; `grace`: seconds that it gets to end, where it can do so quickly."""
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(process, log, f"{'https' if tls else 'http'}://127.0.0.1:{port}/")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], log: Path, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url, timeout=5, verify=False).status_code < 500:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
        time.sleep(0.05)
