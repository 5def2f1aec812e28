"""Host samples: figures of this machine, rates, and mounts that hang."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from core.telemetry import disks, host
from core.telemetry.disks import DiskSampler, DiskState
from core.telemetry.history import History
from core.telemetry.host import HostSampler
from tests.support import until


class Counters(NamedTuple):
    """As psutil counts an interface."""

    bytes_sent: int
    bytes_recv: int


class Mount(NamedTuple):
    """As psutil describes a mount."""

    device: str
    mountpoint: str
    fstype: str


def test_sample_of_this_machine(tmp_path: Path) -> None:
    sampler = HostSampler({"artifacts": tmp_path})
    first = sampler.sample()
    assert first.cpu_percent is None
    assert first.received_rate is None
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    sample = sampler.sample()
    assert sample.cpu_percent is not None
    assert 0 <= sample.cpu_percent <= 100
    assert len(sample.cores_percent) == sample.cores == psutil.cpu_count()
    assert sample.memory_total == psutil.virtual_memory().total
    assert 0 < sample.memory_used < sample.memory_total
    assert sample.uptime > 0
    artifacts = sample.disks[0]
    assert (artifacts.label, artifacts.state) == ("artifacts", DiskState.OK)
    space = os.statvfs(tmp_path)
    assert artifacts.total == space.f_blocks * space.f_frsize
    assert 0 < artifacts.free <= artifacts.total
    assert "/" in [disk.path for disk in sample.disks]
    sampler.close()


def test_watched_folder_that_is_not_there_yet_counts_as_its_parent(tmp_path: Path) -> None:
    sampler = HostSampler()
    sampler.sample()
    sampler.watch("engine", tmp_path / "not" / "yet")  # seen at once, though disks are looked at seldom
    (engine,) = [disk for disk in sampler.sample().disks if disk.label == "engine"]
    assert engine.total > 0
    sampler.close()


def test_network_rates_use_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = Counters(bytes_sent=0, bytes_recv=1000)
    moments = iter([100.0, 104.0, 104.0, 106.0])
    monkeypatch.setattr(host.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(host.HostSampler, "_refresh_slow_readings", lambda self: None)
    sampler = HostSampler()
    monkeypatch.setattr(host.psutil, "net_io_counters", lambda pernic: {"eth0": counters, "lo": counters})
    sampler.sample()
    monkeypatch.setattr(host.time, "time", lambda: 5.0)  # the machine's clock steps back: harmless
    later = counters._replace(bytes_recv=5000, bytes_sent=400)
    monkeypatch.setattr(host.psutil, "net_io_counters", lambda pernic: {"eth0": later, "lo": later})
    sample = sampler.sample()
    assert [(one.name, one.received_rate, one.sent_rate) for one in sample.network] == [("eth0", 1000, 100)]
    assert (sample.received_rate, sample.sent_rate) == (1000, 100)
    assert sampler.sample().received_rate is None  # no time went by: no rate, and no division by zero
    monkeypatch.setattr(host.psutil, "net_io_counters", lambda pernic: {"eth0": counters})
    assert sampler.sample().received_rate == 0  # the counters were reset: never a negative rate


def test_mount_that_hangs_is_shown_and_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, asked = threading.Event(), []
    real = os.statvfs

    def statvfs(path: Path) -> os.statvfs_result:
        asked.append(str(path))
        if str(path) == str(tmp_path / "share") and not release.is_set():
            release.wait(60)
        return real(tmp_path)

    sampler = DiskSampler(deadline=0.2)
    watched = {"share": tmp_path / "share", "artifacts": tmp_path}
    release.set()
    monkeypatch.setattr(disks.os, "statvfs", statvfs)
    known = sampler.sample(watched)[0]
    release.clear()

    share, artifacts, *_ = sampler.sample(watched)
    assert (share.state, share.total) == (DiskState.HUNG, known.total)
    assert artifacts.state is DiskState.OK
    before = asked.count(str(tmp_path / "share"))
    assert sampler.sample(watched)[0].state is DiskState.HUNG
    assert asked.count(str(tmp_path / "share")) == before  # one thread hangs there, not one a sample

    release.set()
    until(lambda: sampler.sample(watched)[0].state is DiskState.OK)
    sampler.close()


def test_folder_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(path: Path) -> os.statvfs_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disks.os, "statvfs", refuse)
    sampler = DiskSampler()
    disk = sampler.sample({"engine": tmp_path})[0]
    assert (disk.state, disk.detail) == (DiskState.ERROR, "Permission denied")
    sampler.close()


def test_kernel_views_are_no_disks_and_a_device_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [
        Mount("proc", "/proc", "proc"),
        Mount("overlay", "/", "overlay"),
        Mount("/dev/sda1", "/srv/data/bind", "ext4"),
        Mount("/dev/sda1", "/srv/data", "ext4"),
        Mount("server:/share", "/mnt/share", "nfs4"),
        Mount("overlay", "/var/lib/docker/overlay2/x/merged", "overlay"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: table)
    sampler = DiskSampler()
    assert [disk.path for disk in sampler.sample({})] == ["/", "/mnt/share", "/srv/data"]
    sampler.close()


def test_interfaces_inside_the_machine_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["lo", "docker0", "veth12ab", "br-0123", "eth0"]
    counters = Counters(1, 1)
    monkeypatch.setattr(host.psutil, "net_io_counters", lambda pernic: dict.fromkeys(names, counters))
    sampler = HostSampler()
    assert [one.name for one in sampler.sample().network] == ["eth0"]
    sampler.close()


def test_history_is_bounded() -> None:
    history = History(3)
    assert len(history) == 0
    for value in (9, None, 4, 2):
        history.add(value)
    assert history.values() == [None, 4, 2]
    assert len(history) == 3
