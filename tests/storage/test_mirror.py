"""The mirror: what is new comes once, what is gone goes, and no kill, cut or full disk leaves half of anything."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import Cancelled, XaivaError
from core.files import TEMPORARY_PREFIX
from core.inference.storage.bucket import Bucket
from core.inference.storage.fetch import FetchedFile, Mirror
from core.inference.storage.folder import Folder
from core.inference.storage.model import NameFinding, ObjectInfo, StorageDown, StorageRefused
from core.inference.storage.s3_client import S3Client
from core.inference.storage.signed_urls import UrlSigner
from core.progress import NullProgress, Stage, StageState
from tests.support import until
from tests.support.disks import fill, small_disk
from tests.support.faulty_proxy import Fault, faulty_proxy
from tests.support.object_storage import S3Server

DENIED = b"<Error><Code>AccessDenied</Code></Error>"
_numbers = itertools.count(1)


class Recorder:
    """A `Progress` that keeps the stages, and cancels when told to."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.stop = threading.Event()

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)

    def log(self, line: str, stage: str = "") -> None: ...

    def cancelled(self) -> bool:
        return self.stop.is_set()


class Pictures:
    """A bucket of rclone as the folder that it is."""

    def __init__(self, server: S3Server, buckets: Path) -> None:
        self.server = server
        self.bucket = f"mirrored-{next(_numbers)}"
        self.folder = buckets / self.bucket
        # Over S3: rclone does not see another new folder while it remembers objects that it deleted in its neighbours.
        S3Client(server.address(self.bucket)).request("Bucket", "PUT")

    def write(self, key: str, content: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.is_new = True

    def storage(self, port: int = 0, silence: float = 20) -> Bucket:
        """The storage, once rclone sees what was written behind its back."""
        if self.is_new:
            sizes = {key: len(content) for key, content in self.content.items()}
            until(self._listed, lambda listed: listed == sizes)
            self.is_new = False
        return Bucket(self.server.address(self.bucket, port=port), silence=silence)

    def _listed(self) -> dict[str, int]:
        self.server.look_again()
        found = list(Bucket(self.server.address(self.bucket)).list_objects())
        return {each.key: each.size for each in found if isinstance(each, ObjectInfo)}

    @property
    def content(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def pictures(rclone: S3Server, rclone_buckets: Path) -> Pictures:
    """Twenty pictures of 50 kB in each of two folders."""
    made = Pictures(rclone, rclone_buckets)
    for folder, number in itertools.product(("normal/cap", "defect/cap/scratch"), range(20)):
        made.write(f"{folder}/{number}.jpg", os.urandom(50_000))
    return made


def fetch(storage: Bucket, folder: Path, prefix: str = "") -> dict[str, FetchedFile]:
    """All that a pass yields, by key."""
    found = list(Mirror(storage, folder).fetch(prefix, NullProgress(), "fetch", "Fetch"))
    assert not [each for each in found if isinstance(each, NameFinding)]
    return {each.key: each for each in found if isinstance(each, FetchedFile)}


def contents(files: dict[str, FetchedFile]) -> dict[str, bytes]:
    return {key: each.path.read_bytes() for key, each in files.items()}


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY_PREFIX)]


def objects_in(folder: Path) -> int:
    return sum(path.is_file() for path in folder.glob("*/*"))


def test_everything_is_fetched_once_and_what_changed_again(pictures: Pictures, tmp_path: Path) -> None:
    with faulty_proxy(pictures.server.port) as proxy:
        storage = pictures.storage(proxy.port)
        first = fetch(storage, tmp_path / "m")
        assert contents(first) == pictures.content
        assert all(each.fetched for each in first.values())
        requests = proxy.count(".jpg")
        second = fetch(storage, tmp_path / "m")
        assert contents(second) == pictures.content
        assert not any(each.fetched for each in second.values())
        assert proxy.count(".jpg") == requests
        pictures.write("normal/cap/3.jpg", b"changed")
        pictures.write("normal/cap/new.jpg", b"new")
        third = fetch(pictures.storage(proxy.port), tmp_path / "m")
        assert {key for key, each in third.items() if each.fetched} == {"normal/cap/3.jpg", "normal/cap/new.jpg"}
        assert contents(third) == pictures.content


def test_what_is_gone_goes_and_only_below_the_prefix(pictures: Pictures, tmp_path: Path) -> None:
    fetch(pictures.storage(), tmp_path / "m")
    assert objects_in(tmp_path / "m") == 40
    pictures.storage().delete_file("normal/cap/3.jpg")
    pictures.storage().delete_file("defect/cap/scratch/3.jpg")
    assert len(fetch(pictures.storage(), tmp_path / "m", "normal/")) == 19
    assert objects_in(tmp_path / "m") == 39
    assert len(fetch(pictures.storage(), tmp_path / "m")) == 38
    assert objects_in(tmp_path / "m") == 38


def test_a_listing_that_is_refused_in_the_middle_removes_nothing(
    rclone: S3Server, rclone_buckets: Path, tmp_path: Path
) -> None:
    pictures = Pictures(rclone, rclone_buckets)
    for number in range(1100):
        pictures.write(f"normal/cap/{number:04}.jpg", b"%d" % number)
    fetch(pictures.storage(), tmp_path / "m")
    refusal = Fault(("continuation-token",), 1, status=403, body=DENIED)
    with faulty_proxy(pictures.server.port, refusal) as proxy, pytest.raises(StorageRefused):
        fetch(pictures.storage(proxy.port), tmp_path / "m")
    assert objects_in(tmp_path / "m") == 1100
    assert not any(each.fetched for each in fetch(pictures.storage(), tmp_path / "m").values())


def test_a_bucket_of_2500_objects_is_listed_and_fetched_in_pages(
    rclone: S3Server, rclone_buckets: Path, tmp_path: Path
) -> None:
    pictures = Pictures(rclone, rclone_buckets)
    for number in range(2500):
        pictures.write(f"normal/{number}", b"%d" % number)
    with faulty_proxy(pictures.server.port) as proxy:
        fetched = fetch(pictures.storage(proxy.port), tmp_path / "m")
        assert proxy.count("list-type") == 3
    assert contents(fetched) == pictures.content


def test_faults_on_the_way_cost_no_object(pictures: Pictures, tmp_path: Path) -> None:
    faults = (  # no more on one object than the tries that it has
        Fault(("GET", "scratch/1.jpg"), 2, status=503),
        Fault(("GET", "normal/cap/1.jpg"), 2, status=503),
        Fault(("GET", "2.jpg"), 2, cut=20_000),
        Fault(("GET", "3.jpg"), 1, stall=20_000),
    )
    with faulty_proxy(pictures.server.port, *faults) as proxy:
        assert contents(fetch(pictures.storage(proxy.port, silence=1), tmp_path / "m")) == pictures.content
    assert not leftovers(tmp_path)


def test_an_error_that_stays_ends_the_pass_and_the_next_one_goes_on(pictures: Pictures, tmp_path: Path) -> None:
    fault = Fault(("GET", "normal/cap/7.jpg"), 99, status=500)
    with faulty_proxy(pictures.server.port, fault) as proxy:
        storage = pictures.storage(proxy.port)
        with pytest.raises(StorageDown, match=r"normal/cap/7\.jpg"):
            fetch(storage, tmp_path / "m")
        assert not leftovers(tmp_path)
        fault.times = 0
        fetched = fetch(storage, tmp_path / "m")
    assert contents(fetched) == pictures.content
    assert sum(not each.fetched for each in fetched.values()) >= 10  # what had come stays


def test_an_object_that_goes_while_the_others_come_is_a_finding(pictures: Pictures, tmp_path: Path) -> None:
    gone = Fault(("GET", "normal/cap/7.jpg"), 1, status=404, body=b"<Error><Code>NoSuchKey</Code></Error>")
    with faulty_proxy(pictures.server.port, gone) as proxy:
        found = list(Mirror(pictures.storage(proxy.port), tmp_path / "m").fetch("", NullProgress(), "f", "F"))
    (finding,) = (each for each in found if isinstance(each, NameFinding))
    assert finding.key == "normal/cap/7.jpg"
    assert len(found) == 40


def wait_until_none_is_running() -> None:
    until(lambda: [each.name for each in threading.enumerate() if each.name == "downloads"], lambda names: not names)


def stalling(pictures: Pictures) -> Fault:
    return Fault(("GET", "normal"), 99, stall=10_000)  # the others come first


def test_a_cancel_is_obeyed_while_bodies_stall_and_leaves_no_file(pictures: Pictures, tmp_path: Path) -> None:
    progress = Recorder()
    with faulty_proxy(pictures.server.port, stalling(pictures)) as proxy:
        found = Mirror(pictures.storage(proxy.port), tmp_path / "m").fetch("", progress, "fetch", "Fetch")
        next(found)
        progress.stop.set()
        begun = time.monotonic()
        with pytest.raises(Cancelled):
            list(found)
        assert time.monotonic() - begun < 10  # not the silence of 20 s; benchmarks/storage.py measures
        wait_until_none_is_running()
    assert not leftovers(tmp_path)
    assert progress.stages[-1].state is StageState.CANCELLED


@pytest.mark.parametrize("leave", [lambda found: found.close(), lambda found: None], ids=["closed", "forgotten"])
def test_an_iterator_that_is_left_stops_its_threads(
    pictures: Pictures, tmp_path: Path, leave: Callable[[Iterator[object]], None]
) -> None:
    with faulty_proxy(pictures.server.port, stalling(pictures)) as proxy:
        found = Mirror(pictures.storage(proxy.port), tmp_path / "m").fetch("", NullProgress(), "fetch", "Fetch")
        next(found)
        leave(found)
        del found
        wait_until_none_is_running()
    assert not leftovers(tmp_path)


def test_a_slow_reader_has_few_objects_waiting(pictures: Pictures, tmp_path: Path) -> None:
    found = Mirror(pictures.storage(), tmp_path / "m", connections=3).fetch("", NullProgress(), "fetch", "Fetch")
    next(found)
    until(lambda: objects_in(tmp_path / "m"), lambda count: count >= 6)
    assert objects_in(tmp_path / "m") <= 7
    assert len(list(found)) == 39


def test_progress_counts_bytes_and_says_how_many_objects(pictures: Pictures, tmp_path: Path) -> None:
    progress = Recorder()
    list(Mirror(pictures.storage(), tmp_path / "m").fetch("normal/", progress, "fetch", "Fetch the pictures"))
    last = progress.stages[-1]
    assert (last.id, last.title, last.state) == ("fetch", "Fetch the pictures", StageState.DONE)
    assert (last.done, last.total, last.unit, last.detail) == (1_000_000, 1_000_000, "bytes", "20 of 20 objects")
    list(Mirror(pictures.storage(), tmp_path / "m").fetch("normal/", progress, "fetch", "Fetch the pictures"))
    assert progress.stages[-1].state is StageState.CACHED
    assert progress.stages[-1].detail == "20 unchanged"


def test_what_another_pass_may_be_reading_stays_until_the_next(pictures: Pictures, tmp_path: Path) -> None:
    reading = Mirror(pictures.storage(), tmp_path / "m").fetch("", NullProgress(), "fetch", "Fetch")
    held = {each.key: each for _, each in zip(range(39), reading, strict=False) if isinstance(each, FetchedFile)}
    pictures.storage().delete_file("normal/cap/3.jpg")
    assert len(fetch(pictures.storage(), tmp_path / "m")) == 39
    assert all(each.path.exists() for each in held.values())
    reading.close()
    fetch(pictures.storage(), tmp_path / "m")
    assert objects_in(tmp_path / "m") == 39


@pytest.mark.parametrize("another", [False, True], ids=["alone", "removing was refused"])
def test_what_a_pass_has_yielded_stays_until_it_is_closed(pictures: Pictures, tmp_path: Path, another: bool) -> None:
    first = Mirror(pictures.storage(), tmp_path / "m").fetch("", NullProgress(), "fetch", "Fetch")
    if another:
        next(first)
    complete = Mirror(pictures.storage(), tmp_path / "m").fetch("", NullProgress(), "fetch", "Fetch")
    held = [each for each in complete if isinstance(each, FetchedFile)]
    first.close()
    pictures.storage().delete_file("normal/cap/3.jpg")
    assert len(fetch(pictures.storage(), tmp_path / "m")) == 39
    assert all(each.path.exists() for each in held)
    complete.close()
    fetch(pictures.storage(), tmp_path / "m")
    assert objects_in(tmp_path / "m") == 39


def test_a_disk_that_is_too_small_is_said_before_the_first_byte(pictures: Pictures, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "65m") as disk, faulty_proxy(pictures.server.port) as proxy:
        with pytest.raises(XaivaError, match="Not enough space"):
            fetch(pictures.storage(proxy.port), disk / "m")
        assert proxy.count(".jpg") == 0


def test_a_disk_that_fills_up_is_said_and_costs_nothing_that_had_come(pictures: Pictures, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "80m") as disk:
        found = Mirror(pictures.storage(), disk / "m", connections=2).fetch("", NullProgress(), "fetch", "Fetch")
        next(found)
        hog = fill(disk)
        with pytest.raises(XaivaError, match="No space left"):
            list(found)
        hog.unlink()
        assert not leftovers(disk)
        fetched = fetch(pictures.storage(), disk / "m")
        assert contents(fetched) == pictures.content
        assert any(not each.fetched for each in fetched.values())


def test_a_torn_manifest_costs_one_object(pictures: Pictures, tmp_path: Path) -> None:
    fetch(pictures.storage(), tmp_path / "m")
    manifest = tmp_path / "m" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    fetched = fetch(pictures.storage(), tmp_path / "m")
    assert contents(fetched) == pictures.content
    assert sum(each.fetched for each in fetched.values()) == 1


def test_an_object_that_may_not_have_reached_the_disk_before_a_power_cut_is_fetched_again(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Mirror(pictures.storage(), tmp_path / "m").fetch("", NullProgress(), "fetch", "Fetch")
    next(found)
    found.close()  # in the middle: what has come is not known to be on the disk
    monkeypatch.setattr("core.inference.storage.manifest._boot_id", lambda: "the next boot")
    assert all(each.fetched for each in fetch(pictures.storage(), tmp_path / "m").values())
    monkeypatch.setattr("core.inference.storage.manifest._boot_id", lambda: "the boot after that")
    assert not any(each.fetched for each in fetch(pictures.storage(), tmp_path / "m").values())


def test_kills_at_any_moment_leave_nothing_half(pictures: Pictures, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from core.inference.storage.fetch import Mirror\n"
        "from core.progress import NullProgress\n"
        "from core.inference.storage.address import BucketAddress\n"
        "from core.inference.storage.bucket import Bucket\n"
        "bucket = Bucket(BucketAddress(*sys.argv[2:4], sys.argv[4], 'us-east-1', True, *sys.argv[5:7]))\n"
        "print('ready', flush=True)\n"
        "for each in Mirror(bucket, Path(sys.argv[1])).fetch('', NullProgress(), 'f', 'F'): pass\n"
        "print('done', flush=True)\n"
    )
    address = pictures.server.address(pictures.bucket)
    words = [str(tmp_path / "m"), address.bucket, "", address.endpoint, address.key, address.secret]
    moments = random.Random(14)
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            child.wait(moments.uniform(0, 0.4))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.communicate()
        pictures.write(f"normal/cap/{moments.randrange(20)}.jpg", moments.randbytes(moments.randrange(40_000, 60_000)))
    until(lambda: contents(fetch(pictures.storage(), tmp_path / "m")) == pictures.content)
    assert not leftovers(tmp_path)
    assert objects_in(tmp_path / "m") == 40


def test_the_files_of_a_folder_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "images" / "normal").mkdir(parents=True)
    (tmp_path / "images" / "normal" / "1.jpg").write_bytes(b"one")
    (tmp_path / "images" / "normal" / "link.jpg").symlink_to("1.jpg")
    storage = Folder(tmp_path / "images", UrlSigner(tmp_path))
    finding, found = Mirror(storage, tmp_path / "m").fetch("", NullProgress(), "fetch", "Fetch")
    assert isinstance(finding, NameFinding)
    assert isinstance(found, FetchedFile)
    assert (found.path, found.fetched) == (tmp_path / "images" / "normal" / "1.jpg", False)
    assert not (tmp_path / "m").exists()


def test_a_prefix_with_nothing_below_yields_nothing_and_removes_what_was_there(
    pictures: Pictures, tmp_path: Path
) -> None:
    fetch(pictures.storage(), tmp_path / "m", "normal/")
    for number in range(20):
        pictures.storage().delete_file(f"normal/cap/{number}.jpg")
    assert fetch(pictures.storage(), tmp_path / "m", "normal/") == {}
    assert objects_in(tmp_path / "m") == 0
