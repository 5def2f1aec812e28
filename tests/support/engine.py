"""A private Docker engine for tests: its own data, socket and bridge, on the host's network or with no route."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.support import require
from tests.support.cache import cached

BASE_IMAGE = "debian:bookworm-slim"
START_SECONDS = 60.0
_REMOVALS: list[subprocess.Popen[bytes]] = []


@dataclass
class TestEngine:
    """A running `dockerd`. `host` is the value for DOCKER_HOST; `netns` is empty for the host's network."""

    __test__ = False

    folder: Path
    host: str
    process: subprocess.Popen[bytes]
    netns: str = ""
    bridge: str = ""
    gateway: str = ""

    def inside(self, command: list[str]) -> list[str]:
        """The command as it must be started to see the engine's own network."""
        return ["nsenter", f"--net=/run/netns/{self.netns}", *command] if self.netns else command

    @property
    def env(self) -> dict[str, str]:
        """The process environment that points a docker client here."""
        cleaned = {k: v for k, v in os.environ.items() if k not in ("DOCKER_CONTEXT", "DOCKER_HOST")}
        return {**cleaned, "DOCKER_HOST": self.host}

    def docker(self, *arguments: str, input: bytes | None = None, check: bool = True) -> str:
        """Run the docker client against this engine and return its standard output."""
        done = subprocess.run(["docker", *arguments], env=self.env, input=input, capture_output=True, timeout=600)
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def import_base(self, tag: str = BASE_IMAGE) -> None:
        """Make the Debian base image known to this engine under `tag`."""
        with open(base_tar(), "rb") as tar:
            subprocess.run(["docker", "import", "-", tag], env=self.env, stdin=tar, check=True, capture_output=True)

    def pause(self) -> None:
        """Freeze the engine: it accepts connections and never answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop the engine and start it again on the same data."""
        _end(self.process)
        self.process = _start(self.folder, self.netns, self.bridge)


def base_tar() -> Path:
    """A minimal Debian as a tar file, made once a machine with debootstrap from the machine's own sources."""
    mirror, sources = _mirror(), _sources()

    def make(folder: Path) -> None:
        require(os.geteuid() == 0, "root, for debootstrap")
        require(shutil.which("debootstrap"), "debootstrap")
        root = folder / "root"
        words = ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root), mirror]
        subprocess.run(words, check=True, capture_output=True)
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        (root / "etc/apt/sources.list.d/debian.sources").write_text(sources)
        for part in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / part, ignore_errors=True)
            (root / part / "partial").mkdir(parents=True)
        subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(folder / "base.tar"), "."], check=True)
        shutil.rmtree(root)

    return cached("base", f"{mirror}{sources}", make) / "base.tar"


def import_builder(engine: TestEngine, tag: str) -> None:
    """Import a Debian image with the packages that building a wheel installs."""
    script = (
        "apt-get update -q && apt-get install -y -q --no-install-recommends build-essential ca-certificates git "
        "pkg-config python3.11 python3.11-venv python3.11-dev"
    )

    def make(folder: Path) -> None:
        engine.docker("run", "--name", "builder", "--network", "host", BASE_IMAGE, "sh", "-c", script)
        engine.docker("export", "--output", str(folder / "builder.tar"), "builder")
        engine.docker("rm", "builder")

    engine.docker("import", str(cached("builder", f"{base_tar()}{script}", make) / "builder.tar"), tag)


@contextmanager
def start_engine(
    *,
    offline: bool = False,
    bridge: bool | None = None,
    base: bool = True,
    settings: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[TestEngine]:
    """Start an engine for the tests.

    With `offline` it lives in a network namespace without a route out; `bridge` (by default only online) gives its
    containers a network among themselves and published ports. `settings` go into its daemon.json.
    """
    require(os.geteuid() == 0, "root, for a Docker engine of the tests' own")
    for tool in ("dockerd", "docker", "ip", "nsenter"):
        require(shutil.which(tool), tool)
    name = f"xv{uuid.uuid4().hex[:8]}"
    # The path of a socket has 107 bytes at most, and the engine's own add up to 40 to that of its folder.
    short = tempfile.gettempdir() if len(tempfile.gettempdir()) <= 40 else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="xaiva-engine-", dir=short))
    netns = name if offline else ""
    link = name if bridge or (bridge is None and not offline) else ""
    gateway = _set_up_network(name, netns, link)
    engine = None
    (folder / "daemon.json").write_text(json.dumps(dict(settings)))
    try:
        process = _start(folder, netns, link)
        engine = TestEngine(folder, f"unix://{folder}/docker.sock", process, netns, link, gateway)
        if base:
            engine.import_base()
        yield engine
    finally:
        if engine is not None:
            engine.resume()
            engine_containers = engine.docker("ps", "-aq", check=False).split()
            if engine_containers:
                engine.docker("rm", "-f", *engine_containers, check=False)
            _end(engine.process)
        _unmount_below(folder)
        # An engine's files are many, and nobody needs to wait until they are gone.
        _REMOVALS.append(subprocess.Popen(["rm", "-rf", folder], stderr=subprocess.DEVNULL))
        if offline:
            subprocess.run(["ip", "netns", "del", netns], check=False)
        else:
            subprocess.run(["ip", "link", "del", link], check=False)


def _set_up_network(name: str, netns: str, link: str) -> str:
    """Make the namespace and the bridge that are asked for; return the bridge's address, or nothing."""
    inside = ["-n", netns] if netns else []
    if netns:
        subprocess.run(["ip", "netns", "add", netns], check=True)
        subprocess.run(["ip", *inside, "link", "set", "lo", "up"], check=True)
    if not link:
        return ""
    second, third = divmod(int(name[2:6], 16), 256)  # two engines on one subnet would take each other's packets
    gateway = f"10.{200 + second % 50}.{third}.1"
    subprocess.run(["ip", *inside, "link", "add", link, "type", "bridge"], check=True)
    subprocess.run(["ip", *inside, "addr", "add", f"{gateway}/24", "dev", link], check=True)
    subprocess.run(["ip", *inside, "link", "set", link, "up"], check=True)
    return gateway


def _start(folder: Path, netns: str, bridge: str) -> subprocess.Popen[bytes]:
    command = [
        "dockerd",
        f"--config-file={folder}/daemon.json",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--host=unix://{folder}/docker.sock",
        f"--pidfile={folder}/pid",
        "--iptables=false",
        "--ip6tables=false",
        f"--bridge={bridge or 'none'}",
    ]
    if netns:
        # Not `ip netns exec`: it hides the cgroup mounts and dockerd dies.
        command = ["nsenter", f"--net=/run/netns/{netns}", *command]
    log = open(folder / "dockerd.log", "ab")  # noqa: SIM115 - handed to the child
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    log.close()
    deadline = time.monotonic() + START_SECONDS
    probe = ["docker", "--host", f"unix://{folder}/docker.sock", "version"]
    while subprocess.run(probe, capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            text = (folder / "dockerd.log").read_text(errors="replace")[-2000:]
            _end(process)
            require(False, f"a Docker engine that starts here:\n{text}")
        time.sleep(0.1)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False)


def _sources() -> str:
    """The machine's own bookworm package sources, as a deb822 file for the base image."""
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        stanzas = path.read_text().split("\n\n")
        packages = [
            "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
            for stanza in stanzas
            if "bookworm" in stanza and "debian-archive-keyring" in stanza
        ]
        if packages:
            return "\n\n".join(packages).strip() + "\n"
    require(False, "a Debian bookworm package source on this machine")
    raise AssertionError


def _mirror() -> str:
    for line in _sources().splitlines():
        if line.startswith("URIs:"):
            return line.split()[1]
    raise AssertionError("no URIs in the machine's package sources")
