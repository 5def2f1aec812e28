"""The store's sources on a real engine, and what they share."""

from __future__ import annotations

import pytest

from core.engine import connect_engine, engine_root
from core.errors import XaivaError
from core.site import Site
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuSampler, GpuState
from tests.support.engine import BASE_IMAGE, TestEngine
from tui.sources import Sources


@pytest.mark.engine
def test_gpus_show_containers_and_the_host_shows_the_engines_disk(
    engine: TestEngine, engine_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = engine.docker("run", "-d", "--name", "on-gpu", "--network", "none", BASE_IMAGE, "sleep", "600").strip()
    sample = GpuSample(state=GpuState.OK, gpus=[Gpu(index=0, processes=[GpuProcess(pid=1, container_id=identity)])])
    monkeypatch.setattr(GpuSampler, "sample", lambda _: sample)
    sources = Sources(engine_site)
    try:
        assert sources.gpus().sample.gpus[0].processes[0].container == identity[:12]
        assert not [disk for disk in sources.host().sample.disks if disk.label == "engine"]
        assert [one.name for one in sources.containers().containers if one.id == identity] == ["on-gpu"]
        process = sources.gpus().sample.gpus[0].processes[0]
        assert (process.container, process.ours) == ("on-gpu", False)
        (disk,) = [disk for disk in sources.host().sample.disks if disk.label == "engine"]
        client = connect_engine(engine_site)
        assert disk.path == str(engine_root(engine_site, client))
        client.close()
    finally:
        sources.close()
        engine.docker("rm", "-f", identity)


def test_without_an_engine_the_machine_is_shown_all_the_same(site: Site) -> None:
    (site.root / "site.toml").write_text('[engine]\nhost = "unix:///nowhere/docker.sock"\n')
    sources = Sources(Site.open(site.root))
    try:
        with pytest.raises(XaivaError, match=r"/nowhere/docker\.sock"):
            sources.containers()
        assert sources.gpus().sample.state
        assert "artifacts" in [disk.label for disk in sources.host().sample.disks]
    finally:
        sources.close()
