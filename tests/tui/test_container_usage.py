"""The histories of containers, with a real engine: xaiva's own and others, bounded by what runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from core.containers.listing import list_containers
from core.engine import connect_engine
from core.labels import PRESET, SITE
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine
from tui.container_usage import ContainerUsage
from tui.formatters.containers import detail

WRITES = "while :; do dd if=/dev/zero of=/file bs=1M count=1 oflag=direct; done"


@pytest.fixture
def ids(engine: TestEngine) -> Iterator[tuple[str, str]]:
    """A container of xaiva that works, and another one."""
    ours = engine.docker(
        "run", "-d", "--label", f"{PRESET}=small", "--label", f"{SITE}=/somewhere", BASE_IMAGE, "sh", "-c", WRITES
    ).strip()
    other = engine.docker("run", "-d", BASE_IMAGE, "sleep", "1000").strip()
    yield ours, other
    engine.docker("rm", "-f", ours, other, check=False)


@pytest.mark.engine
def test_running_containers_have_histories(engine_site: Site, engine: TestEngine, ids: tuple[str, str]) -> None:
    ours, other = ids
    usage = ContainerUsage()
    with closing(connect_engine(engine_site)) as client:
        while True:
            containers = list_containers(client)
            stats, trends = usage.sample(client, containers)
            cpu = trends[ours]["cpu"].values
            if cpu[-1] and len(cpu) > 3:
                break
        assert {ours, other} <= stats.keys()
        assert trends[other]["memory"].values[-1] == stats[other].memory
        assert len(trends[other]["memory"].values) < len(cpu)  # measured less often
        assert stats[ours].disk_written_rate is not None
        shown = next(container for container in containers if container.id == ours)
        lines = detail(shown, stats[ours], [], trends[ours], 76)
        words = "\n".join("".join(span.text for span in line) for line in lines)
        assert "disk write" in words
        assert "smallest – largest" in words
        engine.docker("rm", "-f", ours)
        stats, trends = usage.sample(client, list_containers(client))
    assert ours not in stats
    assert other in stats
