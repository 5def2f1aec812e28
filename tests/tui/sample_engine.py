"""The sample's images, volumes, networks, build cache, and the engine's events."""

from __future__ import annotations

from core import labels
from core.clean.model import Category, CleanItem, CleanPlan, KeptItem, UnknownPart
from core.engine_objects.model import (
    CacheRecord,
    CacheType,
    ContainerUse,
    DiskUsage,
    Image,
    ImageLayer,
    Inventory,
    Network,
    Volume,
)
from core.log_lines import LineSpool
from core.site import Site
from tests.tui.sample_machine import GIB, MIB, NOON

DAY = 86400.0
CPU, DUBBING = "xaiva-cpu-debian12", "xaiva-dubbing-cuda13.0"


def _use(container: str, running: bool = True, how: str = "") -> ContainerUse:
    return ContainerUse(container=container, id=container[:1] * 64, running=running, how=how)


def engine_objects() -> Inventory:
    """Images of xaiva and of others, one without a tag, a large volume, networks."""
    ours = {
        labels.PRESET: "cpu-debian12",
        labels.LOCK_SHA256: "9f" * 32,
        labels.BUILD_ID: "20260131T134000Z-1f3a2b",
        labels.TARGET: "runtime",
    }
    images = [
        Image(
            id="sha256:1",  # that of the sample's container
            name="xaiva/cpu-debian12:latest",
            tags=["xaiva/cpu-debian12:latest"],
            created=NOON - 3 * 3600,
            size=int(2.1 * GIB),
            labels=ours,
            used_by=[_use(CPU)],
        ),
        Image(
            id="sha256:" + "2b" * 32,
            name="xaiva/dubbing-cuda13.0:latest",
            tags=["xaiva/dubbing-cuda13.0:latest"],
            created=NOON - 2 * DAY,
            size=int(18.4 * GIB),
            labels={**ours, labels.PRESET: "dubbing-cuda13.0"},
            used_by=[_use(DUBBING)],
        ),
        Image(id="sha256:" + "3c" * 32, name="no tag 3c3c3c3c3c3c", created=NOON - 9 * DAY, size=int(17.9 * GIB)),
        Image(
            id="sha256:" + "4d" * 32,
            name="postgres:16",
            tags=["postgres:16"],
            created=NOON - 40 * DAY,
            size=432 * MIB,
            used_by=[_use("postgres"), _use("postgres-old", running=False)],
        ),
    ]
    models, database = "/models, read-only", "/var/lib/postgresql/data"
    volumes = [
        Volume(
            id="models", name="models", created=NOON - 19 * DAY, driver="local", used_by=[_use(DUBBING, how=models)]
        ),
        Volume(
            id="pgdata", name="pgdata", created=NOON - DAY, driver="local", used_by=[_use("postgres", how=database)]
        ),
        Volume(id="share", name="share", created=NOON - DAY, driver="nfs", options={"o": "addr=10.0.0.9,rw"}),
    ]
    networks = [
        Network(id="n" * 64, name="bridge", created=NOON - 19 * DAY, driver="bridge", subnets=["172.17.0.0/16"],
                gateways=["172.17.0.1"], used_by=[_use(CPU, how="172.17.0.2"), _use("postgres", how="172.17.0.3")]),
        Network(id="h" * 64, name="host", created=NOON - 19 * DAY, driver="host"),
    ]  # fmt: skip
    return Inventory(images=images, volumes=volumes, networks=networks)


def disk_usage() -> DiskUsage:
    """The sizes of all but a share that the engine cannot measure."""
    images = engine_objects().images
    return DiskUsage(
        layers=int(23.7 * GIB),
        shared_sizes={images[0].id: 75 * MIB, images[1].id: int(15.2 * GIB), images[2].id: int(15.2 * GIB)},
        volume_sizes={"models": int(41.3 * GIB), "pgdata": 812 * MIB, "share": None},
        containers=120 * MIB,
        cache=[
            CacheRecord(id="r1" * 12, name="[stt-whisperx 3/3] RUN --network=none pip install --no-index", size=6 * GIB,
                        created=NOON - 2 * DAY, last_used=NOON - DAY, usage_count=4, shared=True),
            CacheRecord(id="r2" * 12, name="cached mount /var/cache/apt", size=int(1.2 * GIB), type=CacheType.MOUNT,
                        created=NOON - 9 * DAY, last_used=NOON - 9 * DAY, usage_count=1),
        ],
    )  # fmt: skip


def clean_plan() -> CleanPlan:
    """What a clean-up of the sample's site would remove."""
    untagged, name = engine_objects().images[2], "old-cuda12.1"
    items = [
        CleanItem(id=f"artifacts:{name}", category=Category.ARTIFACTS, what=f"artifacts/{name}", size=int(6.3 * GIB),
                  why=f"the preset {name} no longer exists", loss="its lock and files"),
        CleanItem(id=f"images:{untagged.id}", category=Category.IMAGES, what=untagged.name, size=int(2.7 * GIB),
                  why="its preset has newer images to go back to",
                  loss="this image, until: xaiva build dubbing-cuda13.0"),
        CleanItem(id="containers:helpers", category=Category.CONTAINERS, what="helper containers: xaiva-helper-1f",
                  size=None, why="the process that started them is gone", loss="nothing"),
    ]  # fmt: skip
    kept = [
        KeptItem(id="images:sha256:1", category=Category.IMAGES, what="xaiva/cpu-debian12:latest",
                 why=f"the container {CPU} uses it"),
    ]  # fmt: skip
    unknown = [UnknownPart(category=Category.CACHE, why="Disk usage of the engine: no answer in time")]
    return CleanPlan(items=items, kept=kept, unknown=unknown)


def image_layers() -> list[ImageLayer]:
    """The newest layers of an image."""
    return [
        ImageLayer(created_by='CMD ["xaiva-inference", "serve"]', size=0, created=NOON),
        ImageLayer(created_by="RUN --network=none pip install --no-index -r service.txt", size=310 * MIB, created=NOON),
        ImageLayer(created_by="RUN --network=none apt-get install ffmpeg", size=196 * MIB, created=NOON),
        ImageLayer(created_by="debian:bookworm-slim", size=75 * MIB, created=NOON),
    ]


class SampleEngineEvents:
    """Stands in for `tui.engine_event_log.EngineEventLog`."""

    problem = None

    def __init__(self, _site: Site) -> None:
        self.lines = LineSpool(1 << 20)
        self.lines.add(
            [
                "11:58:02\timage\ttag xaiva/cpu-debian12:latest",
                f"11:58:40\tcontainer\tstart {CPU} (image xaiva/cpu-debian12:latest)",
                f"11:59:31\tcontainer\thealth_status: unhealthy {DUBBING}",
                "12:00:05\tcontainer\tdie postgres-old (exit code 137, image postgres:16)",
            ]
        )

    def open(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """Nothing is read."""
