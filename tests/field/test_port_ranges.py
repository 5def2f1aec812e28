"""Many ports are shown, checked and reported one by one: 200 of them fill a screen although they are one range.

It applies to the list of containers, its detail, `xaiva ps`, conflicts before a launch, and a preset's `run.ports`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.containers.model import Container, ContainerPort, ContainerState, format_host_ports, format_ports
from core.containers.port_conflicts import port_holders
from core.containers.run_settings import read_run_settings
from core.presets.validation import preset_from_text, validate_text
from core.site import Site
from tui.formatters import containers as container_format


def ports(host: range, inside: range, ip: str = "0.0.0.0", protocol: str = "tcp") -> list[ContainerPort]:
    pairs = zip(host, inside, strict=True)
    return [ContainerPort(host_ip=ip, host_port=one, container_port=other, protocol=protocol) for one, other in pairs]


FOLDED = {
    "200-ports": (ports(range(8000, 8200), range(8000, 8200)), "8000-8199→8000-8199/tcp"),
    "both-addresses-once": (
        [*ports(range(80, 83), range(80, 83)), *ports(range(80, 83), range(80, 83), "::")],
        "80-82→80-82/tcp",
    ),
    "shifted": (ports(range(9000, 9003), range(80, 83)), "9000-9002→80-82/tcp"),
    "gap": (ports(range(80, 82), range(80, 82)) + ports(range(90, 91), range(90, 91)), "80-81→80-81/tcp, 90→90/tcp"),
    "protocols-apart": (
        ports(range(80, 82), range(80, 82)) + ports(range(80, 82), range(80, 82), protocol="udp"),
        "80-81→80-81/tcp, 80-81→80-81/udp",
    ),
    "single": (ports(range(8600, 8601), range(8600, 8601)), "8600→8600/tcp"),
    "digits-are-numbers": (ports(range(9, 12), range(9, 12)), "9-11→9-11/tcp"),
    "unpublished": ([ContainerPort(container_port=80), ContainerPort(container_port=81)], ""),
}


@pytest.mark.parametrize("case", FOLDED)
def test_ports_fold_into_ranges(case: str) -> None:
    given, words = FOLDED[case]
    container = Container(
        id="1", name="n", image="i", image_id="", state=ContainerState.RUNNING, status="", ports=given
    )
    assert container_format.published_ports(container) == format_ports(given, addresses=False) == words
    if case == "unpublished":
        assert format_ports(given) == "80-81/tcp"


PORT_FIELDS: dict[str, tuple[list[str], str]] = {
    "range": (["8000-8010:8000-8010"], ""),
    "range-on-an-address": (["127.0.0.1:8000-8010:9000-9010/udp"], ""),
    "range-on-ipv6": (["[::1]:8000-8001:8000-8001"], ""),
    "apart": (["8000-8010:8000-8010", "8011-8020:8011-8020", "8005:8005/udp"], ""),
    "same-port-of-two-addresses": (["127.0.0.1:80:80", "127.0.0.2:80:80"], ""),
    "sizes-differ": (["8000-8010:8000-8009"], "run.ports[0]"),
    "range-to-one": (["8000-8010:80"], "run.ports[0]"),
    "backwards": (["8010-8000:8010-8000"], "run.ports[0]"),
    "beyond": (["65530-65540:65530-65540"], "run.ports[0]"),
    "zero": (["0-3:0-3"], "run.ports[0]"),
    "overlap": (["8000-8010:8000-8010", "8005:80"], "run.ports[1]"),
    "ranges-overlap": (["8000-8010:8000-8010", "8010-8020:8010-8020"], "run.ports[1]"),
    "overlap-all-addresses": (["8000-8010:8000-8010", "127.0.0.1:8005:80"], "run.ports[1]"),
}


@pytest.mark.parametrize("case", PORT_FIELDS)
def test_a_preset_may_publish_a_range(case: str, tmp_path: Path) -> None:
    texts, where = PORT_FIELDS[case]
    text = json.dumps({"base_image": "debian:12", "python_version": "3.11", "run": {"ports": texts}}, indent=1)
    problems = validate_text(text, tmp_path / "p.json")
    assert [one.field for one in problems] == ([where] if where else [])
    if where:
        assert problems[0].line > 1
        assert problems[0].remedy
    else:
        settings = read_run_settings(Site.open(tmp_path), "p", preset_from_text(text, tmp_path / "p.json"), dev=False)
        assert len(settings.ports) >= 2


def test_a_taken_range_is_one_conflict() -> None:
    taken = Container(
        id="1",
        name="other",
        image="",
        image_id="",
        state=ContainerState("stopping"),
        status="",
        ports=FOLDED["200-ports"][0],
    )
    holders = port_holders(ports(range(8100, 8300), range(8100, 8300)), [taken], local=False)
    assert {holder: format_host_ports(held) for holder, held in holders.items()} == {"container other": "8100-8199/tcp"}
