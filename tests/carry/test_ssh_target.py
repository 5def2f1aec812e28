"""A folder of another machine as a target, through a real sshd, also over a line that is cut again and again."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.carry.open_target import open_target
from core.carry.shipment import blob_path
from core.carry.ssh_target import SshTarget
from core.carry.target import UNFINISHED, Target
from core.content import WrongContent
from core.errors import Cancelled, InputError, XaivaError
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.disks import small_disk
from tests.support.media import MEBI
from tests.support.medium_contents import FOLDER, content, ignore, opener, path_of, sha256
from tests.support.sshd import serve_ssh

pytestmark = pytest.mark.ssh
CUT_AFTER = 4_000_000


class Line:
    """The way to the other machine, which is this one: `folder` is what the target has there."""

    def __init__(self, env: dict[str, str], folder: Path, proxy: CuttingProxy) -> None:
        self.env = env
        self.folder = folder
        self.proxy = proxy

    def target(self, host: str = "here", folder: Path | None = None) -> SshTarget:
        return SshTarget(f"ssh://{host}{folder or self.folder}", self.env)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """`here` is reached directly, `bad` over a line that is cut after each 4 MB."""
    with serve_ssh(tmp_path / "ssh") as client:
        port = int(re.findall(r"Port (\d+)", client.read_text())[0])
        with cutting_proxy(port, CUT_AFTER) as proxy:
            config = tmp_path / "config"
            config.write_text(f"Include {client}\nHost bad\n HostName 127.0.0.1\n Port {proxy.port}\n")
            programs = tmp_path / "bin"
            programs.mkdir()
            # ssh reads its configuration from the home of the password file, not of the environment
            (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{config}" "$@"\n')
            (programs / "ssh").chmod(0o755)
            env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
            yield Line(env, tmp_path / "there", proxy)


def put(target: SshTarget, data: bytes) -> str:
    target.put(path_of(data), len(data), sha256(data), opener(data), ignore)
    return path_of(data)


def put_as(target: SshTarget, announced: bytes, actual: bytes) -> None:
    target.put(path_of(announced), len(announced), sha256(announced), opener(actual), ignore)
    target.flush()


def check(target: Target, *contents: bytes, suffix: str = "") -> dict[str, str]:
    blobs = {path_of(data) + suffix: (sha256(data), len(data)) for data in contents}
    return target.check(blobs, ignore, lambda: False).problems


def test_what_was_put_is_there(line: Line) -> None:
    contents = [b"", b"x", content(100_000), content(3 * MEBI + 1), content(40 * MEBI), b"last"]
    durable: list[int] = []
    with line.target() as target:
        target.require_writable()
        assert target.free_bytes() == pytest.approx(shutil.disk_usage(line.folder).free, rel=0.1)
        for data in contents:
            target.put(path_of(data), len(data), sha256(data), opener(data), durable.append)
        target.flush()
        assert sum(durable) == sum(map(len, contents))
        assert target.names() == {path_of(data) + UNFINISHED: len(data) for data in contents}
        assert check(target, *contents, suffix=UNFINISHED) == {}
        target.finish(path_of(data) for data in contents)
        target.finish(path_of(data) for data in contents)
        target.write_small(f"{FOLDER}/manifest.json", b"old")
        target.write_small(f"{FOLDER}/manifest.json", b"new")
        assert target.read_small(f"{FOLDER}/manifest.json", 3) == b"new"
        assert target.read_small(f"{FOLDER}/absent", 3) is None
        with pytest.raises(XaivaError, match="longer than 2 bytes"):
            target.read_small(f"{FOLDER}/manifest.json", 2)
        target.remove([f"{FOLDER}/manifest.json"])
        assert target.names() == {path_of(data): len(data) for data in contents}
    assert [(line.folder / path_of(data)).read_bytes() for data in contents] == contents
    assert not (line.folder / FOLDER).exists()


def test_a_line_that_is_cut_every_4_mb_moves_at_most_1_05_times_the_content(line: Line) -> None:
    contents = [content(15 * MEBI), *(content(5_000, seed) for seed in range(1, 200))]
    total = sum(map(len, contents))
    durable: list[int] = []
    with open_target(f"ssh://bad{line.folder}", line.env) as target:
        for data in contents:
            target.put(path_of(data), len(data), sha256(data), opener(data), durable.append)
        target.finish(path_of(data) for data in contents)
        assert check(target, *contents) == {}
    assert line.proxy.connections > total // CUT_AFTER
    assert sum(durable) == total
    assert line.proxy.forwarded <= 1.05 * total


def test_a_stream_survives_cuts_and_is_stored_in_parts(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.carry.ssh_target.PART_BYTES", 5 * MEBI)
    data = content(12 * MEBI)
    with line.target("bad") as target:
        stored = target.put_stream(sha256(data), io.BytesIO(data), ignore)
        assert (stored.sha256, [blob.size for blob in stored.blobs()]) == (sha256(data), [5 * MEBI, 5 * MEBI, 2 * MEBI])
        target.finish(blob_path(blob.sha256) for blob in stored.blobs())
        before = target.names()
        with pytest.raises(WrongContent):
            target.put_stream(sha256(data), io.BytesIO(b"other"), ignore)
        assert target.names() == before
    assert b"".join((line.folder / blob_path(blob.sha256)).read_bytes() for blob in stored.blobs()) == data


@pytest.mark.parametrize(
    ("there", "offset"), [(content(5 * MEBI)[: 3 * MEBI], 3 * MEBI), (b"other", 0)], ids=["its start", "other"]
)
def test_the_next_run_goes_on_inside_a_file(there: bytes, offset: int, line: Line) -> None:
    data = content(5 * MEBI)
    unfinished = line.folder / (path_of(data) + UNFINISHED)
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(there)
    offsets: list[int] = []

    def open_at(start: int) -> io.BytesIO:
        offsets.append(start)
        return opener(data)(start)  # type: ignore[return-value]

    with line.target() as target:
        target.put(path_of(data), len(data), sha256(data), open_at, ignore)
    assert offsets == [0, offset], "the start is compared first"
    assert unfinished.read_bytes() == data


def test_problems_are_found(line: Line) -> None:
    good, damaged, short = content(10), content(20), content(30)
    with line.target() as target:
        for data in (good, damaged, short):
            target.write_small(path_of(data), data)
        (line.folder / path_of(damaged)).write_bytes(damaged[::-1])
        (line.folder / path_of(short)).write_bytes(short[:-1])
        problems = check(target, good, damaged, short, b"absent")
        assert problems == {
            path_of(damaged): f"its content is damaged: its SHA-256 is {sha256(damaged[::-1])}",
            path_of(short): "it has 29 bytes instead of 30",
            path_of(b"absent"): "it is missing",
        }
        with pytest.raises(XaivaError, match="another program has removed it"):
            target.finish([path_of(b"absent")])
        with pytest.raises(Cancelled):
            target.check({path_of(good): (sha256(good), len(good))}, ignore, lambda: True)


@pytest.mark.parametrize("size", [10, 3 * MEBI])
def test_a_source_that_has_changed_is_refused(size: int, line: Line) -> None:
    data = content(size)
    with line.target() as target:
        with pytest.raises(WrongContent, match="has another content"):
            put_as(target, data, data[::-1])
        with pytest.raises(WrongContent, match="ends after"):
            put_as(target, data, data[:-1])
        target.finish([put(target, data)])
        assert check(target, data) == {}


def test_a_full_disk_there_is_said(line: Line, tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "1m") as disk,
        line.target(folder=disk) as target,
        pytest.raises(XaivaError, match=r"cannot be used: dd: .*No space left on device"),
    ):
        put(target, content(2 * MEBI))


def test_who_cannot_be_reached_is_said(line: Line, tmp_path: Path) -> None:
    with pytest.raises(XaivaError, match=r"ssh://nowhere\.invalid/there cannot be reached: ssh: Could not resolve"):
        SshTarget("ssh://nowhere.invalid/there", line.env)
    (tmp_path / "file").touch()
    with pytest.raises(XaivaError, match=r"cannot be used: mkdir: .*Not a directory"):
        line.target(folder=tmp_path / "file/below")


@pytest.mark.parametrize("url", ["ssh://host", "ssh://-oProxyCommand=x/there", "ssh:///there", "ssh://host:x/there"])
def test_an_address_names_a_host_and_a_folder(url: str) -> None:
    with pytest.raises(InputError, match="Target ssh://"):
        SshTarget(url)


def test_the_empty_folder_of_a_pack_that_was_cut_off_goes(line: Line) -> None:
    for name in ("20261130-120000-abcdef", "20261130-120001-abcdef", "Photos 2026"):
        (line.folder / "shipments" / name).mkdir(parents=True)
    (line.folder / "shipments/20261130-120001-abcdef/manifest.json").touch()
    with line.target() as target:
        target.require_writable()
        assert {path.name for path in (line.folder / "shipments").iterdir()} == {
            "20261130-120001-abcdef",
            "Photos 2026",
        }
        target.remove(["shipments/20261130-120001-abcdef/manifest.json"])
    assert [path.name for path in (line.folder / "shipments").iterdir()] == ["Photos 2026"]
