"""What a real engine holds besides containers: images, volumes, networks, build cache; and its events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import docker
from core import labels
from core.engine import EngineError, connect_engine
from core.engine_objects.disk_usage import CACHE, EVERYTHING, disk_usage
from core.engine_objects.events import EventStream, parse_event
from core.engine_objects.listing import image_layers, kind_totals, read_inventory, with_usage
from core.engine_objects.model import CacheType, DiskUsage, Image, Inventory, ObjectKind
from core.site import Site
from tests.containers.test_streams import Reader
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.json_server import json_server

IMAGE, VOLUME, NETWORK = "objects-test:1", "objects-test", "objects-test-net"
PASSWORD = "hunter-22-hunter"
MIB = 1 << 20


@pytest.fixture(scope="module")
def held(engine: TestEngine) -> Iterator[TestEngine]:
    """An engine with an image of xaiva, a volume with a MiB in it, a network, and two containers that use them."""
    dockerfile = f"FROM {BASE_IMAGE}\nRUN echo {PASSWORD} >/dev/null; true --password={PASSWORD}\n"
    marks = {labels.PRESET: "plain", labels.LOCK_SHA256: "ab12", labels.BUILD_ID: "20260131T120000Z-1f3a2b"}
    words = [word for name, value in marks.items() for word in ("--label", f"{name}={value}")]
    engine.docker("build", "--network", "none", "--tag", IMAGE, *words, "-", input=dockerfile.encode())
    engine.docker("volume", "create", VOLUME)
    secret = ("--opt", "type=cifs", "--opt", "device=//host/share", "--opt", f"o=username=anna,password={PASSWORD}")
    engine.docker("volume", "create", *secret, f"{VOLUME}-share")
    engine.docker("network", "create", "--driver", "bridge", NETWORK)
    fill = f"head -c {MIB} /dev/urandom >/data/file; exec sleep 1000"
    mount = ("--volume", f"{VOLUME}:/data", "--network", NETWORK)
    engine.docker("run", "-d", "--stop-signal", "KILL", "--name", "objects-user", *mount, IMAGE, "sh", "-c", fill)
    engine.docker("create", "--name", "objects-stopped", "--volume", f"{VOLUME}:/data:ro", IMAGE, "true")
    yield engine
    engine.docker("rm", "-f", "objects-user", "objects-stopped", check=False)
    engine.docker("volume", "rm", VOLUME, f"{VOLUME}-share")
    engine.docker("network", "rm", NETWORK)
    engine.docker("rmi", IMAGE)


@pytest.fixture
def held_client(held: TestEngine, site: Site) -> Iterator[docker.DockerClient]:
    """A client of that engine; the containers stay."""
    connected = connect_engine(Site(site.root, site.settings, held.env))
    yield connected
    connected.close()


@pytest.mark.engine
def test_images_volumes_and_networks_with_who_uses_them(held_client: docker.DockerClient) -> None:
    inventory = read_inventory(held_client)
    (image,) = [one for one in inventory.images if IMAGE in one.tags]
    assert (image.preset, image.lock_sha256, image.build) == ("plain", "ab12", "20260131T120000Z-1f3a2b")
    assert sorted((use.container, use.running) for use in image.used_by) == [
        ("objects-stopped", False),
        ("objects-user", True),
    ]
    assert image.size is not None
    assert image.size > MIB
    assert image.unique_size is None  # the engine has not been asked
    assert image.key == f"image:{image.id}"
    (volume,) = [one for one in inventory.volumes if one.name == VOLUME]
    assert {use.how for use in volume.used_by} == {"/data", "/data, read-only"}
    assert volume.size is None
    (share,) = [one for one in inventory.volumes if one.name == f"{VOLUME}-share"]
    assert share.unused
    assert PASSWORD not in str(share)
    assert "username=anna" in share.options["o"]
    (network,) = [one for one in inventory.networks if one.name == NETWORK]
    (use,) = network.used_by
    assert use.container == "objects-user"
    assert network.subnets
    assert not network.built_in


@pytest.mark.engine
def test_sizes_and_build_cache_come_with_the_disk_usage(held_client: docker.DockerClient) -> None:
    until(lambda: _volume_size(held_client) >= MIB)
    usage = disk_usage(held_client)
    inventory = with_usage(read_inventory(held_client), usage)
    (image,) = [one for one in inventory.images if IMAGE in one.tags]
    assert image.unique_size is not None
    assert image.size is not None
    assert image.unique_size < image.size  # the rest is the base's
    steps = [record for record in inventory.cache or [] if "echo" in record.name]
    assert steps
    assert all(record.type is CacheType.REGULAR and record.created and record.last_used for record in steps)
    assert not any(f"--password={PASSWORD}" in record.name for record in steps)
    totals = {total.kind: total for total in kind_totals(inventory, usage)}
    assert totals[ObjectKind.VOLUME].count == len(inventory.volumes)
    assert (totals[ObjectKind.IMAGE].size or 0) >= image.size
    only_cache = disk_usage(held_client, (CACHE,))
    assert only_cache.cache is not None
    assert (only_cache.layers, only_cache.volume_sizes, only_cache.containers) == (None, None, None)


def _volume_size(client: docker.DockerClient) -> int:
    return (disk_usage(client).volume_sizes or {}).get(VOLUME) or 0


@pytest.mark.engine
def test_the_layers_of_an_image_hide_its_secrets(held_client: docker.DockerClient) -> None:
    layers = image_layers(held_client, IMAGE)
    assert any("echo" in layer.created_by for layer in layers)
    assert not any(f"--password={PASSWORD}" in layer.created_by for layer in layers)
    assert all(layer.size is not None for layer in layers)


@pytest.mark.engine
def test_events_come_with_their_exit_code_and_go_on_after_a_restart(engine: TestEngine, engine_site: Site) -> None:
    states: list[EngineError | None] = []
    stream = EventStream(lambda: connect_engine(engine_site), since=time.time() - 5, state_changed=states.append)
    reader = Reader(stream)

    def ended(name: str) -> list[int | None]:
        return [event.exit_code for event in reader.items if (event.name, event.action) == (name, "die")]

    engine.docker("run", "--name", "events-one", BASE_IMAGE, "sh", "-c", "exit 3", check=False)
    until(lambda: ended("events-one") == [3])
    engine.restart()
    until(lambda: len(states) >= 2 and states[-1] is None)
    assert states[0] is not None
    engine.docker("run", "--name", "events-two", BASE_IMAGE, "sh", "-c", "exit 4", check=False)
    until(lambda: ended("events-two") == [4])
    assert ended("events-one") == [3]
    engine.docker("rm", "events-one", "events-two")
    stream.close()
    assert reader.ended()
    assert reader.error is None


ENGINE_29 = {  # the answers of API 1.52 and newer, with words and fields that are not known yet
    "/version": {"Version": "31.0.0", "ApiVersion": "1.52", "Components": [{"Name": "Engine"}]},
    "/containers/json": [{"Id": "c" * 64, "Names": ["/user"], "State": "dreaming", "ImageID": "sha256:one"}],
    "/images/json": [
        {"Id": "sha256:one", "RepoTags": ["one:1"], "Size": 300, "Created": 0, "Mood": "fine"},
        {"Id": "sha256:two", "RepoTags": ["<none>:<none>"], "Size": -1, "Labels": None},
        {"Id": "sha256:three", "RepoTags": 7},
    ],
    "/volumes": {"Volumes": None, "Warnings": None},
    "/networks": [],
    "/system/df": {
        "ImageUsage": {"TotalSize": 400, "Items": [{"Id": "sha256:one", "SharedSize": 100}]},
        "BuildCacheUsage": {"Items": [{"ID": "r1", "Type": "crystal", "Size": 5}, {"Type": "regular"}]},
    },
}


def test_an_engine_of_another_age_is_understood_as_far_as_it_can_be() -> None:
    with json_server(ENGINE_29) as address:
        client = docker.DockerClient(base_url=f"tcp://{address}", version="1.52")
        usage = disk_usage(client, EVERYTHING)
        inventory = with_usage(read_inventory(client), usage)
        client.close()
    images = {image.id: image for image in inventory.images}
    assert (images["sha256:one"].unique_size, images["sha256:one"].created) == (200, None)
    assert not images["sha256:one"].used_by[0].running
    assert images["sha256:two"].dangling
    assert images["sha256:two"].size is None
    assert images["sha256:three"].unreadable
    assert not images["sha256:three"].unused
    known, broken = sorted(inventory.cache or [], key=lambda record: bool(record.unreadable))
    assert known.type.word == "crystal"
    assert broken.unreadable == "ID is missing"
    assert usage.layers == 400
    assert usage.volume_sizes is None  # it did not say
    assert usage.containers is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            b'{"Type":"container","Action":"die","Actor":{"ID":"c1","Attributes":{"name":"n","exitCode":"137"}},"time":7}',
            ("container", "die", "n", 137, 7.0),
        ),
        (b'{"status":"exec_create: curl -u a:hunter-22 x","id":"c1","time":7}', ("unknown", "", "c1", None, 7.0)),
        (b'{"Type":"starship","Action":"warp","Actor":{"ID":"s"},"timeNano":8500000000}',
         ("starship", "warp", "s", None, 8.5)),
        (b"no json", ("unknown", "no json", "", None, 0.0)),
    ],
)  # fmt: skip
def test_events_of_any_engine_are_read(line: bytes, expected: tuple[Any, ...]) -> None:
    event = parse_event(line)
    assert "hunter" not in event.action
    seen = (event.type, event.action, event.name, event.exit_code, event.time)
    assert seen[0:1] + seen[2:] == expected[0:1] + expected[2:]
    assert event.action == expected[1] or event.is_routine


def test_a_look_at_processes_is_routine_and_a_start_is_not() -> None:
    looked, started = (parse_event(b'{"Type":"container","Action":"%s"}' % action) for action in (b"top", b"start"))
    assert looked.is_routine
    assert not started.is_routine


def test_no_event_is_lost_or_repeated_whatever_its_order() -> None:
    lines = [b'{"id":"late","timeNano":9}', b'{"id":"early","timeNano":8}', b"no json", b'{"id":"last","timeNano":9}']
    stream = EventStream(lambda: pytest.fail("it is not to connect"))
    first = list(stream._events(iter([b"\n".join([*lines, b""])])))
    assert [event.id or event.action for event in first] == ["late", "early", "no json", "last"]
    after_reconnecting = stream._events(iter([lines[0] + b"\n" + lines[3] + b'\n{"id":"new","timeNano":9}\n']))
    assert [event.id for event in after_reconnecting] == ["new"]


def test_the_sum_of_an_unknown_size_is_unknown() -> None:
    some = Image(id="1", name="one", size=5)
    inventory = Inventory(images=[some], volumes=[], networks=[])
    assert kind_totals(inventory, DiskUsage(layers=9))[0].unused_size is None
