"""What a report says of a real site, and that a source that does not answer is never taken for an empty one."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import labels
from core.artifacts.lock_store import artifacts_folder, lock_sha256
from core.artifacts.verification_cache import VerificationCache
from core.operations.ledger import Ledger
from core.site import EngineSettings, ServiceClientSettings, Site, SiteSettings
from core.site_report import collect, machine_facts
from core.site_report.collect import collect_report
from core.site_report.difference import blobs_at_site
from core.site_report.model import ImageState, ImageStore
from tests.support.artifacts import locked, random_file, write_lock_of
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.fake_nvml import FakeNvml
from tests.support.json_server import json_server

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
LAYER = "sha256:" + "a" * 64
MANIFEST = "sha256:" + "b" * 64


def without_engine(site: Site) -> Site:
    return Site(site.root, site.settings, {**site.env, **NOWHERE})


def write_preset(site: Site, name: str = "small") -> None:
    text = json.dumps({"base_image": BASE_IMAGE, "python_version": "3.11", "inference_service": False})
    (site.presets / f"{name}.json").write_text(text)


def test_sources_that_are_not_there_are_unknown_with_the_reason(site: Site, ledger: Ledger) -> None:
    report = collect_report(without_engine(site), ledger)
    assert "/nowhere/docker.sock" in report.engine.unknown
    assert "/nowhere/docker.sock" in report.images.unknown
    assert "nothing answers there" in report.service.unknown
    assert "nothing answers there" in report.events.unknown
    assert report.host.value is not None
    assert report.host.value.name == os.uname().nodename
    assert report.host.value.memory
    assert report.disks.value is not None
    assert {disk.label for disk in report.disks.value} >= {"site", "artifacts"}
    assert all(disk.file_system and disk.total for disk in report.disks.value if disk.label)
    assert report.presets.value == []
    assert report.operations.value == []
    assert report.crashes.value is not None
    assert report.crashes.value.count == 0


def test_the_image_of_a_preset_is_unknown_without_an_engine(site: Site, ledger: Ledger) -> None:
    write_preset(site)
    (site.presets / "broken.json").write_text("{")
    report = collect_report(without_engine(site), ledger)
    assert report.presets.value is not None
    broken, small = report.presets.value
    assert (small.name, small.image, small.problem) == ("small", ImageState.UNKNOWN, "")
    assert small.lock_is_current is None
    assert broken.problem


def test_damaged_files_of_the_state_are_unknown(site: Site, ledger: Ledger) -> None:
    (site.state / "carry").mkdir(parents=True)
    (site.state / "carry/accepted.json").write_text('{"shipments": [7]}')
    (site.state / "errors.log").mkdir()
    (site.state / "ledger.sqlite").write_bytes(b"no database" * 100)
    report = collect_report(without_engine(site), ledger)
    assert "accepted.json: it is damaged" in report.shipments.unknown
    assert "errors.log" in report.crashes.unknown
    assert report.operations.unknown


def test_what_happened_on_the_site(site: Site, ledger: Ledger) -> None:
    (site.state / "carry").mkdir(parents=True)
    shipment = {"shipment": "20261101-120000-abcdef", "created": "2026-11-01T12:00:00Z", "signer": "SHA256:x", "new": 1}
    (site.state / "carry/accepted.json").write_text(json.dumps({"shipments": [shipment]}))
    (site.state / "errors.log").write_text("2026-11-01 10:00:00 xaiva ps\nTraceback\n\n2026-11-02 11:00:00 xaiva ps\n")
    ledger.wait(ledger.start("lock", "absent").id, 30)
    report = collect_report(without_engine(site), ledger)
    assert report.shipments.value is not None
    assert [accepted.shipment for accepted in report.shipments.value] == ["20261101-120000-abcdef"]
    assert report.crashes.value is not None
    assert (report.crashes.value.count, report.crashes.value.newest) == (2, "2026-11-02 11:00:00")
    assert report.operations.value is not None
    (operation,) = report.operations.value
    assert (operation.kind, operation.subject, operation.state) == ("lock", "absent", "failed")
    assert operation.why == "there is no such preset"


def test_a_source_that_hangs_does_not_delay_the_others(
    site: Site, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(collect, "host_facts", never.wait)
    report = collect_report(without_engine(site), ledger, seconds=2)
    never.set()
    assert report.host.unknown == "it did not answer within 2 s"
    assert report.presets.value == []


@pytest.mark.parametrize("answer", [KeyError("Id"), TypeError("no number"), RuntimeError()])
def test_an_unexpected_error_of_one_source_is_its_reason(
    site: Site, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    def fail() -> None:
        raise answer

    monkeypatch.setattr(collect, "host_facts", fail)
    report = collect_report(without_engine(site), ledger)
    assert report.host.unknown.startswith("its answer cannot be used: ")
    assert report.host_name == "unknown host"


def test_gpus_of_the_driver(site: Site, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FakeNvml(tmp_path, "driver 535.183.01", "gpu gtx1060", "gpu rtx4090", "lost 1").env.items():
        monkeypatch.setenv(name, value)
    gpus = collect_report(without_engine(site), ledger).gpus.value
    assert gpus is not None
    assert gpus.driver == "535.183.01"
    assert gpus.cuda
    first, second = gpus.gpus
    assert (first.name, first.compute_capability, first.memory) == ("NVIDIA GeForce GTX 1060 6GB", "6.1", 6 << 30)
    assert second.state == "lost"


def test_a_driver_that_cannot_be_asked_is_not_a_machine_without_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site, ledger: Ledger
) -> None:
    for name, value in FakeNvml(tmp_path, "gpu gtx1060", "init 18").env.items():
        monkeypatch.setenv(name, value)
    report = collect_report(without_engine(site), ledger)
    assert report.gpus.value is None
    assert "different versions" in report.gpus.unknown


def test_a_disk_that_hangs_has_no_size(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    from core.telemetry.disks import Disk, DiskState

    disks = [Disk(path="/mnt/share", device="//user:password@server/share", state=DiskState.HUNG)]
    monkeypatch.setattr(machine_facts.DiskSampler, "sample", lambda *_: disks)
    (disk,) = machine_facts.disk_facts(site)
    assert (disk.state, disk.total, disk.free) == ("hung", None, None)
    assert "server" not in disk.model_dump_json()


def test_only_verified_files_are_left_out_of_a_shipment(site: Site, ledger: Ledger, tmp_path: Path) -> None:
    """A file that has changed since, or was never verified, may be anything."""
    files = [locked(random_file(tmp_path / f"{name}-1.whl", 1000, seed), "") for seed, name in enumerate("abcd")]
    lock = write_lock_of(site, "small", files)
    folder = artifacts_folder(site, "small")
    cache = VerificationCache(site, "small")
    verified, changed, unverified, missing = files
    for seed, file in enumerate((verified, changed, unverified)):
        path = random_file(file.under(folder), 1000, seed)
        if file is not unverified:
            cache.remember(file.path, os.lstat(path), file.sha256)
    cache.save({file.path for file in files})
    changed.under(folder).write_bytes(b"x" * 1000)
    report = collect_report(without_engine(site), ledger)
    assert report.blobs.value is not None
    assert report.blobs.value.verified == [verified.sha256]
    assert set(report.blobs.value.by_size) == {changed.sha256, unverified.sha256}
    assert blobs_at_site(report) == {verified.sha256}
    assert missing.sha256 not in report.model_dump_json()
    write_preset(site)
    (preset,) = collect_report(without_engine(site), ledger).presets.value or []
    assert (preset.files, preset.verified, preset.by_size, preset.bytes) == (4, 1, 2, 4000)
    assert preset.lock_sha256 == lock_sha256(lock)
    assert preset.lock_is_current is False


def test_artifacts_that_cannot_be_listed_are_unknown(site: Site, ledger: Ledger) -> None:
    site.artifacts.rmdir()
    site.artifacts.write_text("a file")
    report = collect_report(without_engine(site), ledger)
    assert "Not a directory" in report.blobs.unknown
    assert blobs_at_site(report) == set()


@pytest.fixture
def labelled_image(engine: TestEngine) -> Iterator[str]:
    """An image as xaiva builds it, of a layer more than the base."""
    tag, name = labels.image_tag("small"), "layer-of-small"
    engine.docker("create", "--name", name, BASE_IMAGE, "true")
    changes = (f"LABEL {labels.PRESET}=small", f"LABEL {labels.LOCK_SHA256}={'1' * 64}", "ENV SECRET=swordfish-1234")
    words = [word for change in changes for word in ("--change", change)]
    engine.docker("commit", *words, name, tag)
    engine.docker("rm", name)
    yield tag
    engine.docker("rmi", tag)


@pytest.mark.engine
def test_a_real_engine(engine_site: Site, engine: TestEngine, ledger: Ledger, labelled_image: str) -> None:
    write_preset(engine_site)
    report = collect_report(engine_site, ledger)
    version = json.loads(engine.docker("version", "--format", "{{json .Server}}"))
    assert report.engine.value is not None
    assert report.engine.value.title == f"docker {version['Version']}"
    assert (report.engine.value.api, report.engine.value.place) == (version["ApiVersion"], "local")
    assert report.engine.value.minimum_api == version["MinAPIVersion"]
    assert report.engine.value.image_store is ImageStore.CLASSIC
    assert "runc" in report.engine.value.runtimes
    assert report.images.value is not None
    image = next(image for image in report.images.value if labelled_image in image.tags)
    described: dict[str, Any] = json.loads(engine.docker("inspect", labelled_image))[0]
    assert image.id == image.config == described["Id"]
    assert image.layers == described["RootFS"]["Layers"]
    assert (image.preset, image.lock_sha256, image.size) == ("small", "1" * 64, described["Size"])
    assert "swordfish" not in report.model_dump_json()
    assert blobs_at_site(report) >= {layer.removeprefix("sha256:") for layer in described["RootFS"]["Layers"]}
    (preset,) = report.presets.value or []
    assert preset.image is ImageState.OTHER_LOCK


def test_an_engine_with_the_store_of_containerd(site: Site, ledger: Ledger) -> None:
    """There the id of an image is the digest of its manifest, and the digest of its configuration is not known."""
    answers = {
        "/version": {"Version": "29.1.0", "ApiVersion": "1.52", "MinAPIVersion": "1.44", "Components": []},
        "/info": {
            "Driver": "overlayfs",
            "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
            "Runtimes": {},
        },
        "/images/json": [
            {"Id": MANIFEST, "RepoTags": ["xaiva/small:latest"], "Labels": None},
            {"Id": "sha256:" + "c" * 64, "RepoTags": ["other:latest"], "Labels": {"a": "b"}},
            {"Id": "sha256:" + "d" * 64, "RepoTags": ["xaiva/removed:latest"], "Labels": None},
        ],
        f"/images/{MANIFEST}/json": {"Id": MANIFEST, "RepoTags": ["xaiva/small:latest"], "RootFS": {"Layers": [LAYER]}},
    }
    with json_server(answers) as address:
        settings = SiteSettings(
            engine=EngineSettings(host=f"tcp://{address}"), service=ServiceClientSettings(url="http://127.0.0.1:9")
        )
        report = collect_report(Site(site.root, settings, site.env), ledger)
    assert report.engine.value is not None
    assert report.engine.value.image_store is ImageStore.CONTAINERD
    assert report.engine.value.gpu_access == "unknown"
    (image,) = report.images.value or []
    assert (image.manifest, image.config, image.layers) == (MANIFEST, "", [LAYER])
    assert blobs_at_site(report) == {"a" * 64}


def test_an_engine_that_answers_nonsense_is_unknown(site: Site, ledger: Ledger) -> None:
    with json_server(
        {"/version": {"ApiVersion": "1.44"}, "/info": {}, "/images/json": [{"RepoTags": ["xaiva/a:b"]}]}
    ) as at:
        settings = SiteSettings(
            engine=EngineSettings(host=f"tcp://{at}"), service=ServiceClientSettings(url="http://127.0.0.1:9")
        )
        report = collect_report(Site(site.root, settings, site.env), ledger)
    assert report.engine.value is not None
    assert report.engine.value.image_store is ImageStore.UNKNOWN
    assert report.images.unknown == "its answer cannot be used: Id is missing"
