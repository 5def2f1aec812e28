"""Images go into real engines of both image stores: what moves, what is refused, and which way it goes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.artifacts import lock_store
from core.artifacts.image_layout import layout_documents
from core.artifacts.lockfile import Lock, LockedImage
from core.engine import EngineError
from core.errors import Cancelled, XaivaError
from core.files import sha256_bytes
from core.images import load, save
from core.images.delivery import Delivery, deliver_images
from core.images.docker_load import image_chunks
from core.images.image_blobs import DamagedBlob, DeliveredImage, FolderSource, LayersMissing
from core.images.registry import Registry
from core.images.save import BlobStream, save_built_image
from core.progress import StageState
from core.site import Site
from tests.images.layouts import Layout
from tests.images.stores import STORES, random_name, site_for, store_engine
from tests.images.support import Recorder
from tests.support import require
from tests.support.engine import TestEngine
from tests.support.sshd import serve_ssh

pytestmark = pytest.mark.engine
MB = 1 << 20


@pytest.fixture(scope="module", params=STORES)
def reachable(request: pytest.FixtureRequest) -> Iterator[TestEngine]:
    """An engine that reaches this machine's loopback interface."""
    with store_engine(request.param) as engine:
        yield engine


@pytest.fixture(scope="module", params=STORES)
def unreachable(request: pytest.FixtureRequest) -> Iterator[TestEngine]:
    """An engine in a network namespace of its own, which does not."""
    with store_engine(request.param, offline=True) as engine:
        yield engine


class Bench:
    """Two images of which the second has one more layer, and a site of the engine."""

    def __init__(self, folder: Path, engine: TestEngine) -> None:
        self.engine = engine
        self.layout = Layout(folder / "blobs")
        self.source = FolderSource(self.layout.folder)
        self.site: Site = site_for(folder / "site", engine)
        names = [random_name() for _ in range(3)]
        layers = [(names[0], 4 * MB), (names[1], 3 * MB), (names[2], 2 * MB)]
        self.first: DeliveredImage = self.layout.image(f"xaiva/{names[0]}:1", layers[:2])
        self.second: DeliveredImage = self.layout.image(f"xaiva/{names[0]}:2", layers)

    def deliver(self, *images: DeliveredImage) -> tuple[list[Delivery], Recorder]:
        recorder = Recorder()
        return deliver_images(self.site, images, self.source, recorder), recorder

    def identity(self, tag: str) -> str:
        """The engine's id of an image; empty when it has none."""
        return self.engine.docker("image", "inspect", "--format", "{{.Id}}", tag, check=False).strip()

    def tags(self) -> set[str]:
        """All names of images in the engine."""
        return set(self.engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split())

    def size(self, *digests: str) -> int:
        return sum(self.source.size(sha256) for sha256 in digests)


@pytest.fixture
def bench(tmp_path: Path, reachable: TestEngine) -> Bench:
    return Bench(tmp_path, reachable)


@pytest.fixture
def far_bench(tmp_path: Path, unreachable: TestEngine) -> Bench:
    return Bench(tmp_path, unreachable)


class Cut:
    """Breaks the server's connection once, when `after` bytes of a blob were sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, blob: str, after: int) -> None:
        self.rest_of_blob = 0
        count = Registry.count

        def counting(registry: Registry, sha256: str, size: int) -> None:
            if sha256 == blob and not self.rest_of_blob and registry.sent[blob] + size > after:
                self.rest_of_blob = registry.blob_size(blob) - registry.sent[blob]
                raise ConnectionResetError
            count(registry, sha256, size)

        monkeypatch.setattr(Registry, "count", counting)


def test_a_second_delivery_moves_the_new_layer_alone(bench: Bench) -> None:
    [delivery], recorder = bench.deliver(bench.first)
    assert (delivery.already_there, delivery.moved) == (False, bench.size(*bench.first.blobs))
    assert recorder.stages["images"].state is StageState.DONE
    assert recorder.stages["images"].done == recorder.stages["images"].total == bench.size(*bench.first.blobs)
    deliveries, recorder = bench.deliver(bench.first, bench.second)
    new_layer = bench.size(bench.second.layers[2])
    assert [delivery.already_there for delivery in deliveries] == [True, False]
    assert new_layer <= deliveries[1].moved <= new_layer + MB
    assert recorder.lines == []
    assert bench.identity(bench.second.tag) in bench.second.ids
    deliveries, recorder = bench.deliver(bench.second)
    assert (deliveries, recorder.stages) == ([Delivery(bench.second.tag, already_there=True)], {})


def test_a_delivery_leaves_no_other_name(bench: Bench) -> None:
    """Not even of a delivery that was killed between the pull and its end."""
    before = bench.tags()
    bench.deliver(bench.first)
    helper = f"127.0.0.1:9/xaiva-delivery/0123456789abcdef:{bench.first.config}"
    bench.engine.docker("tag", bench.first.tag, helper)
    bench.engine.docker("rmi", bench.first.tag)
    [delivery], _ = bench.deliver(bench.first)
    assert (delivery.already_there, bench.tags() - before) == (True, {bench.first.tag})


def test_a_cut_transfer_goes_on_inside_the_layer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Cut(monkeypatch, bench.first.layers[0], 3 * MB)
    [delivery], _ = bench.deliver(bench.first)
    assert cut.rest_of_blob >= MB
    assert delivery.moved <= 1.1 * bench.size(*bench.first.blobs)
    assert bench.identity(bench.first.tag) in bench.first.ids


@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
def test_a_flipped_byte_is_named_and_nothing_is_tagged(bench: Bench, part: str) -> None:
    blob = {"layer": bench.first.layers[0], "config": bench.first.config, "manifest": bench.first.manifest}[part]
    before = bench.tags()
    bench.layout.flip_byte(blob, 100)
    with pytest.raises(DamagedBlob, match=blob):
        bench.deliver(bench.first)
    assert bench.tags() == before


@pytest.mark.parametrize("reachable", STORES[:1], indirect=True, scope="module")  # the other one waits 15 s
def test_a_flipped_byte_behind_a_cut_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Cut(monkeypatch, bench.first.layers[0], 2 * MB)
    bench.layout.flip_byte(bench.first.layers[0], 4 * MB)
    with pytest.raises(DamagedBlob, match=bench.first.layers[0]):
        bench.deliver(bench.first)
    assert cut.rest_of_blob
    assert bench.identity(bench.first.tag) == ""


def test_missing_layers_are_named_before_anything_moves(bench: Bench) -> None:
    (bench.layout.folder / bench.first.layers[1]).unlink()
    before = bench.tags()
    with pytest.raises(LayersMissing, match=rf"{bench.first.tag}.*{bench.first.layers[1]}") as caught:
        bench.deliver(bench.first)
    assert (caught.value.layers, bench.tags()) == ([bench.first.layers[1]], before)
    (bench.layout.folder / bench.first.config).unlink()
    with pytest.raises(DamagedBlob, match=f"{bench.first.config}: it is missing"):
        bench.deliver(bench.first)


def test_layers_that_the_engine_has_need_not_be_carried(bench: Bench) -> None:
    bench.deliver(bench.first)
    for layer in bench.first.layers:
        (bench.layout.folder / layer).unlink()
    [delivery], _ = bench.deliver(bench.second)
    assert bench.identity(bench.second.tag) in bench.second.ids
    assert delivery.moved <= bench.size(bench.second.layers[2]) + MB


def test_loaded_layers_need_not_be_carried_either(bench: Bench) -> None:
    """The classic store asks for them in a pull; a load can do without."""
    bench.engine.docker("load", input=b"".join(image_chunks(bench.source, bench.first, ())))
    for layer in bench.first.layers:
        (bench.layout.folder / layer).unlink()
    [delivery], _ = bench.deliver(bench.second)
    assert bench.identity(bench.second.tag) in bench.second.ids
    assert delivery.moved <= bench.size(bench.second.layers[2]) + MB


def test_an_engine_that_was_loaded_before_fetches_again_once(bench: Bench) -> None:
    """The classic store alone does so; it is said."""
    names = [random_name() for _ in range(3)]
    layers = [(name, MB) for name in names]
    images = [bench.layout.image(f"xaiva/{names[0]}:{count}", layers[:count]) for count in (1, 2, 3)]
    bench.engine.docker("load", input=b"".join(image_chunks(bench.source, images[0], ())))
    moved, lines = [], []
    for image in images[1:]:
        [delivery], recorder = bench.deliver(image)
        moved.append(delivery.moved // MB)
        lines += [line for _, line in recorder.lines]
    classic = bench.identity(images[0].tag) == f"sha256:{images[0].config}"
    assert moved == ([2, 1] if classic else [1, 1])
    assert [line.partition(" of ")[0] for line in lines] == (["1 layers"] if classic else [])


def test_a_cancelled_delivery_ends_at_once_and_tags_nothing(bench: Bench) -> None:
    recorder = Recorder()
    released = threading.Event()

    class WaitingSource(FolderSource):
        def open(self, sha256: str, offset: int) -> Iterator[bytes]:
            if sha256 == bench.first.layers[0]:
                recorder.asked = True
                assert released.wait(60)
            yield from super().open(sha256, offset)

    try:
        with pytest.raises(Cancelled):
            deliver_images(bench.site, [bench.first], WaitingSource(bench.layout.folder), recorder)
    finally:
        released.set()
    assert recorder.stages["images"].state is StageState.CANCELLED
    assert bench.identity(bench.first.tag) == ""


def test_an_engine_that_cannot_reach_us_is_loaded_and_that_is_remembered(far_bench: Bench) -> None:
    def requests() -> int:
        return (far_bench.engine.folder / "dockerd.log").read_text(errors="replace").count("xaiva-delivery")

    before = requests()
    [delivery], recorder = far_bench.deliver(far_bench.first)
    assert first_line(recorder).startswith("Images are loaded, not pulled: The engine cannot reach this machine")
    assert far_bench.identity(far_bench.first.tag) in far_bench.first.ids
    assert delivery.moved >= far_bench.size(*far_bench.first.blobs)
    probed = requests()
    assert probed > before
    [delivery], recorder = far_bench.deliver(far_bench.second)
    assert first_line(recorder).startswith("Images are loaded, not pulled")
    new_layer = far_bench.size(far_bench.second.layers[2])
    assert new_layer <= delivery.moved <= new_layer + MB
    assert far_bench.identity(far_bench.second.tag) in far_bench.second.ids
    assert requests() == probed


def first_line(recorder: Recorder) -> str:
    """The first line of a delivery."""
    return recorder.lines[0][1]


def test_another_setting_of_the_engine_is_tried_again(far_bench: Bench) -> None:
    far_bench.deliver(far_bench.first)
    remembered = far_bench.site.state / "engine-ways.json"
    ways = json.loads(remembered.read_text())
    for way in ways.values():
        way.update(settings="others", why="it was so then")
    remembered.write_text(json.dumps(ways))
    _, recorder = far_bench.deliver(far_bench.second)
    assert "cannot reach" in first_line(recorder)


def test_a_load_without_layers_that_fails_is_followed_by_a_whole_one(far_bench: Bench) -> None:
    """containerd's store has layers as they are stored: of a compressed one it cannot use the other form."""
    far_bench.deliver(far_bench.first)
    packed = far_bench.layout.compressed(far_bench.first, f"{far_bench.first.tag}-gz")
    far_bench.deliver(packed)
    assert far_bench.identity(packed.tag) in packed.ids


def test_a_flipped_byte_cuts_a_load(far_bench: Bench) -> None:
    far_bench.layout.flip_byte(far_bench.first.layers[0], 100)
    before = far_bench.tags()
    with pytest.raises(DamagedBlob, match=far_bench.first.layers[0]):
        far_bench.deliver(far_bench.first)
    assert far_bench.tags() == before


@pytest.fixture
def ssh_bench(tmp_path: Path, far_bench: Bench) -> Iterator[Bench]:
    """The ssh server runs in the engine's network, from which nothing but the forwarded port leads here."""
    require(shutil.which("nsenter"), "nsenter")
    with serve_ssh(tmp_path / "ssh") as configuration:
        server = f"nsenter --net=/run/netns/{far_bench.engine.netns} /usr/sbin/sshd -i -f {tmp_path}/ssh/server"
        configuration.write_text(f"Host here\n ProxyCommand {server}\n{configuration.read_text()}")
        script = tmp_path / "bin/ssh"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{configuration}" "$@"\n')
        script.chmod(0o755)
        path = f"{script.parent}:{os.environ['PATH']}"
        host = far_bench.engine.host.removeprefix("unix://")
        far_bench.site = site_for(tmp_path / "ssh-site", far_bench.engine, DOCKER_HOST=f"ssh://here{host}", PATH=path)
        yield far_bench


@pytest.mark.ssh
def test_an_engine_behind_ssh_pulls_through_it(ssh_bench: Bench) -> None:
    deliveries, recorder = ssh_bench.deliver(ssh_bench.first, ssh_bench.second)
    assert recorder.lines == []
    assert ssh_bench.identity(ssh_bench.second.tag) in ssh_bench.second.ids
    assert deliveries[1].moved <= ssh_bench.size(ssh_bench.second.layers[2]) + MB


@pytest.mark.ssh
def test_a_cut_of_ssh_is_survived(ssh_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = []
    count = Registry.count

    def counting(registry: Registry, sha256: str, size: int) -> None:
        if sha256 == ssh_bench.first.layers[0] and not killed and registry.sent[sha256] > 2 * MB:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):  # one that has ended
                    if "-R" in child.cmdline():
                        child.kill()
                        killed.append(child)
        count(registry, sha256, size)

    monkeypatch.setattr(Registry, "count", counting)
    ssh_bench.deliver(ssh_bench.first)
    assert len(killed) == 1
    assert ssh_bench.identity(ssh_bench.first.tag) in ssh_bench.first.ids


@pytest.mark.ssh
def test_an_engine_whose_ssh_forwards_nothing_is_loaded(ssh_bench: Bench, tmp_path: Path) -> None:
    with open(tmp_path / "ssh/server", "a") as configuration:
        configuration.write("AllowTcpForwarding no\n")
    _, recorder = ssh_bench.deliver(ssh_bench.first)
    assert first_line(recorder).startswith("Images are loaded, not pulled: Forwarding a port over ssh: ")
    assert ssh_bench.identity(ssh_bench.first.tag) in ssh_bench.first.ids


def test_a_base_image_goes_the_same_way(tmp_path: Path, reachable: TestEngine) -> None:
    site = site_for(tmp_path / "site", reachable)
    folder = lock_store.artifacts_folder(site, "demo") / "images/base"
    layout = Layout(folder / "blobs/sha256")
    image = layout.image(f"xaiva-base/{random_name()}:1", [(random_name(), MB)])
    manifest = (layout.folder / image.manifest).read_bytes()
    for name, content in layout_documents(image.tag, image.config, image.layers, manifest).items():
        (folder / name).write_bytes(content)
    digest = f"sha256:{image.config}"
    locked = LockedImage(reference="base:1", tag=image.tag, config_digest=digest, folder="images/base")
    lock = Lock(preset="demo", preset_sha256="0" * 64, python_version="3.11", base_image=locked)
    recorder = Recorder()
    for _ in range(2):
        assert load.load_bases(site, "demo", lock, recorder) == [image.tag]
    assert recorder.stages["load"].state is StageState.DONE
    reachable.docker("rmi", image.tag)
    layout.flip_byte(image.layers[0], 100)
    with pytest.raises(XaivaError, match=rf"Base image base:1: .*{image.layers[0]}[^→]*→.*xaiva verify demo"):
        load.load_bases(site, "demo", lock, recorder)


class FolderSink:
    """Keeps what it is given; has what is named."""

    def __init__(self, folder: Path, present: set[str]) -> None:
        self.folder, self.present = folder, present
        folder.mkdir()

    def has(self, sha256: str) -> bool:
        return sha256 in self.present

    def write(self, sha256: str, size: int, stream: BlobStream) -> None:
        (self.folder / sha256).write_bytes(b"".join(iter(lambda: stream.read(1 << 16), b"")))
        assert (self.folder / sha256).stat().st_size == size

    def digests(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.mark.parametrize("names_have_digests", [True, False])
def test_a_saved_image_is_the_same_when_it_is_delivered(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names_have_digests: bool
) -> None:
    """Engines before 25 name blobs otherwise: their archive is read twice."""
    if not names_have_digests:
        monkeypatch.setattr(save, "DIGEST_NAMES_SINCE", 1000)
    bench.deliver(bench.second)
    present = {bench.second.layers[0]}
    sink = FolderSink(tmp_path / "sink", present)
    saved = save_built_image(bench.site, bench.second.tag, sink, Recorder())
    assert (saved.image.config, saved.image.layers) == (bench.second.config, bench.second.layers)
    assert saved.image.platform == "linux/amd64"
    assert sink.digests() == saved.image.blobs - present - {saved.image.manifest}
    assert all(sha256_bytes((sink.folder / name).read_bytes()) == name for name in sink.digests())
    shutil.copyfile(bench.layout.folder / bench.second.layers[0], sink.folder / bench.second.layers[0])
    (sink.folder / saved.image.manifest).write_bytes(saved.manifest)
    assert {name: (sink.folder / name).stat().st_size for name in sink.digests()} == saved.sizes
    bench.engine.docker("rmi", bench.second.tag)
    bench.source = FolderSource(sink.folder)
    bench.deliver(saved.image)
    assert bench.identity(saved.image.tag) in saved.image.ids


def test_an_image_that_the_engine_does_not_have_cannot_be_saved(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none:1.*does not have it"):
        save_built_image(bench.site, "none:1", FolderSink(tmp_path / "sink", set()), Recorder())
