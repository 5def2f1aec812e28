"""Kind: xaiva reads what belongs to an engine in a way of its own, narrower or more trusting than the engine.

It applies to the engine's version, to the options of volumes, and to files of variables: `.env` and env files.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import docker
from core import doctor, labels
from core.containers.launch import LaunchError, launch
from core.containers.listing import inspect_container
from core.containers.run_settings import read_run_settings
from core.engine import EngineError, connect_with_long_timeout, require_engine_version
from core.engine_version import version_findings
from core.errors import InputError
from core.findings import Level
from core.presets.model import Preset
from core.presets.validation import validate_text
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine


def preset_of(**fields: Any) -> Preset:
    return Preset.model_validate({"base_image": "ubuntu:22.04", "python_version": "3.10", **fields})


# -- the engine's version: what it says of itself, and what follows

OLD, UNKNOWN, FINE = "old", "unknown", "fine"
VERSIONS: dict[str, tuple[dict[str, Any], str]] = {
    "debian-12": ({"Version": "20.10.24+dfsg1", "ApiVersion": "1.41"}, OLD),
    "ubuntu-20.04": ({"Version": "20.10.21-0ubuntu1~20.04.2", "ApiVersion": "1.41"}, OLD),
    "centos-7": ({"Version": "1.13.1", "ApiVersion": "1.26"}, OLD),
    "ce-19": ({"Version": "19.03.15-ce", "ApiVersion": "1.40"}, OLD),
    "the-first": ({"Version": "23.0.0", "ApiVersion": "1.42"}, FINE),
    "with-a-v": ({"Version": "v24.0.7", "ApiVersion": "1.43"}, FINE),
    "candidate": ({"Version": "29.0.0-rc.1", "ApiVersion": "1.52"}, FINE),
    "debian-13": ({"Version": "26.1.5+dfsg1", "ApiVersion": "1.45", "Components": [{"Name": "Engine"}]}, FINE),
    "moby-of-azure": ({"Version": "27.4.1-1", "ApiVersion": "1.47"}, FINE),
    "without-a-minor": ({"Version": "24", "ApiVersion": "1.43"}, FINE),
    "beta-of-the-first": ({"Version": "23.0.0-beta.1", "ApiVersion": "1.42"}, FINE),
    "engine-listed-second": (
        {"Version": "27.3.1", "ApiVersion": "1.47", "Components": [{"Name": "containerd"}, {"Name": "Engine"}]},
        FINE,
    ),
    "balena": ({"Version": "20.10.43", "ApiVersion": "1.41", "Components": [{"Name": "balenaEngine"}]}, UNKNOWN),
    "a-commit": ({"Version": "24f7e9b", "ApiVersion": "1.43"}, UNKNOWN),
    "development": ({"Version": "0.0.0-20240226", "ApiVersion": "1.45"}, UNKNOWN),
    "built-by-hand": ({"Version": "library-import", "ApiVersion": "1.43"}, UNKNOWN),
    "built-by-hand-long-ago": ({"Version": "dev", "ApiVersion": "1.40"}, OLD),
    "dated": ({"Version": "master-dockerproject-2022-03-26", "ApiVersion": "1.42"}, UNKNOWN),
    "podman": ({"Version": "4.9.3", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}, UNKNOWN),
    "podman-of-a-high-number": ({"Version": "23.1", "ApiVersion": "1.44", "Components": [{"Name": "Podman"}]}, UNKNOWN),
    "nothing": ({}, UNKNOWN),
    "null": ({"Version": None, "ApiVersion": None, "Components": None}, UNKNOWN),
    "a-number": ({"Version": 20.10, "ApiVersion": 1.41}, OLD),
    "odd-components": ({"Version": "24.0.0", "ApiVersion": "1.43", "Components": ["x"]}, FINE),
}
LEVELS = {OLD: [Level.ERROR], UNKNOWN: [Level.WARNING], FINE: []}


@pytest.mark.parametrize("case", VERSIONS)
def test_the_engines_version(case: str) -> None:
    answer, expected = VERSIONS[case]
    findings = version_findings(answer)
    assert [finding.level for finding in findings] == LEVELS[expected]
    for one in findings:
        assert str(answer.get("Version") or "without a version") in one.what
        assert "23" in one.why


class FakeEngine(ThreadingHTTPServer):
    """The outermost edge of an engine of another version: it says its version, holds nothing, and notes changes."""

    def __init__(self, version: dict[str, Any]) -> None:
        self.version = {"ApiVersion": "1.41", **version}
        self.changes: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: FakeEngine

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        known: dict[str, Any] = {"/version": self.server.version, "/info": {}, "/containers/json": []}
        found = next((answer for end, answer in known.items() if path.endswith(end)), None)
        body = json.dumps({"message": "No such image"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.changes.append(self.path)
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine_of_version(request: pytest.FixtureRequest, site: Site) -> Iterator[tuple[FakeEngine, Site]]:
    """An engine that says that version, and a site that uses it."""
    server = FakeEngine(VERSIONS[request.param][0])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server, Site(site.root, site.settings, {"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}", "PATH": ""})
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("engine_of_version", ["debian-12"], indirect=True)
def test_nothing_starts_on_an_old_engine(engine_of_version: tuple[FakeEngine, Site]) -> None:
    engine, site = engine_of_version
    (site.root / "a.tar").write_bytes(b"x" * 1000)
    with pytest.raises(LaunchError) as refused:
        launch(site, "plain", preset_of())
    assert "engine-version" in [one.code for one in refused.value.findings]
    assert "20.10.24+dfsg1" in str(refused.value)
    with pytest.raises(EngineError, match=r"20\.10\.24\+dfsg1.*Docker Engine 23"):
        connect_with_long_timeout(site)  # of lock, sync and wheel
    with pytest.raises(EngineError, match=r"20\.10\.24\+dfsg1.*Docker Engine 23"):
        require_engine_version(site)  # of build and load
    assert engine.changes == []
    said = next(one for one in doctor._engine(site) if one.code == "engine-version")
    assert said.level is Level.ERROR


# -- options of a volume: the preset's text, then what the engine is given

VOLUMES: dict[str, tuple[str, str]] = {
    "plain": ("./data:/data", "mount /data"),
    "read-only": ("./data:/data:ro", "mount /data ro"),
    "writable": ("./data:/data:rw", "mount /data"),
    "selinux-shared": ("./data:/data:z", "rw,z"),
    "selinux-private": ("./data:/data:Z", "rw,Z"),
    "selinux-read-only": ("./data:/data:ro,Z", "ro,Z"),
    "selinux-first": ("./data:/data:Z,ro", "ro,Z"),
    "selinux-writable": ("./data:/data:rw,z", "rw,z"),
    "absolute": ("/srv/models:/models:ro,z", "ro,z"),
    "named": ("cache:/var/cache:z", "rw,z"),
    "named-no-copy": ("cache:/var/cache:nocopy", "rw,nocopy"),
    "propagation": ("/mnt:/mnt:rshared", "rw,rshared"),
    "several": ("/mnt:/mnt:ro,rslave,Z", "ro,rslave,Z"),
    "podman-owner": ("./data:/data:U", "rw,U"),
    "podman-overlay": ("./data:/data:O,upperdir=/a", "rw,O,upperdir=/a"),
    "of-tomorrow": ("./data:/data:idmap", "rw,idmap"),
    "mac": ("./data:/data:delegated", "rw,delegated"),
}


@pytest.mark.parametrize("case", VOLUMES)
def test_options_of_volumes_reach_the_engine(case: str, site: Site) -> None:
    text, expected = VOLUMES[case]
    (mount,) = read_run_settings(site, "p", preset_of(run={"volumes": [text]}), dev=False).mounts
    if expected.startswith("mount"):
        assert (f"mount {mount.target}{' ro' if mount.read_only else ''}", mount.options) == (expected, ())
    else:
        assert ",".join(("ro" if mount.read_only else "rw", *mount.options)) == expected


@pytest.mark.parametrize("text", ["./a:/a:", "./a:/a:ro,", "./a:/a:ro,rw", "./a:/a: Z", "./a:/a:Z:z", "./a:/a:-"])
def test_what_is_no_option_is_refused(text: str, tmp_path: Path) -> None:
    given = {"base_image": "debian:12", "python_version": "3.11", "run": {"volumes": [text]}}
    (problem,) = validate_text(json.dumps(given), tmp_path / "p.json")
    assert problem.field == "run.volumes[0]"
    assert problem.remedy


@pytest.mark.engine
def test_a_volume_with_options_on_a_real_engine(engine_site: Site, engine: TestEngine) -> None:
    engine.docker("tag", BASE_IMAGE, labels.image_tag("plain"))
    (engine_site.root / "data").mkdir()
    run = {"volumes": ["./data:/data:ro,Z", "cache:/c:z", "./data:/plain"], "command": ["sleep", "9"], "restart": "no"}
    try:
        container = launch(engine_site, "plain", preset_of(run=run))
        client = docker.DockerClient(base_url=engine.host)
        mounts = {
            one["Destination"]: (one["RW"], one["Mode"]) for one in inspect_container(client, container.id)["Mounts"]
        }
        client.close()
    finally:
        engine.docker("rm", "-f", "xaiva-plain", check=False)
    assert mounts == {"/data": (False, "ro,Z"), "/c": (True, "rw,z"), "/plain": (True, "")}


@pytest.mark.engine
def test_an_option_that_the_engine_does_not_know(engine_site: Site, engine: TestEngine) -> None:
    engine.docker("tag", BASE_IMAGE, labels.image_tag("plain"))
    (engine_site.root / "data").mkdir()
    with pytest.raises(EngineError, match=r"does not know an option of a volume.*sideways") as refused:
        launch(engine_site, "plain", preset_of(run={"volumes": ["./data:/data:sideways"], "command": ["true"]}))
    assert "run.volumes" in refused.value.remedy


# -- a file of variables: its bytes, then what it means, in `.env` and in an env file

ENV_FILES: dict[str, tuple[bytes, dict[str, str]]] = {
    "plain": (b"A=1\nB=two words\n", {"A": "1", "B": "two words"}),
    "double-quotes": (b'A="x y"\n', {"A": "x y"}),
    "single-quotes": (b"A='x y'\n", {"A": "x y"}),
    "quote-inside": (b"A=it's\nB=5\"\n", {"A": "it's", "B": '5"'}),
    "export": (b"export A=1\nexport\tB='2'\n", {"A": "1", "B": "2"}),
    "comments": (b"# A=1\n\n  # B=2\nC=3\n", {"C": "3"}),
    "comment-behind": (b"A=1 # one\nB='2' # two\nC=\"3\"# three\n", {"A": "1", "B": "2", "C": "3"}),
    "hash-in-a-password": (b"A=ab#cd\nB='ab #cd'\n", {"A": "ab#cd", "B": "ab #cd"}),
    "blanks": (b"  A = 1  \nB=  x  \nC='  x  '\n", {"A": "1", "B": "x", "C": "  x  "}),
    "empty": (b"A=\nB=''\nC=\"\"\n", {"A": "", "B": "", "C": ""}),
    "crlf": (b"A=1\r\nB='2'\r\n\r\n# x\r\nC=3", {"A": "1", "B": "2", "C": "3"}),
    "bom": (b"\xef\xbb\xbfA=1\nB=2\n", {"A": "1", "B": "2"}),
    "escapes": (b'A="a\\nb\\t\\"c\\""\nB=a\\nb\nC=\'a\\nb\'\n', {"A": 'a\nb\t"c"', "B": "a\\nb", "C": "a\\nb"}),
    "several-lines": (b'A="-----BEGIN\nabc\n-----END"\nB=2\n', {"A": "-----BEGIN\nabc\n-----END", "B": "2"}),
    "equals": (b"A=x=y==\nB=postgresql://u:p@h/d?a=b\n", {"A": "x=y==", "B": "postgresql://u:p@h/d?a=b"}),
    "json": (b'A={"a": [1, 2]}\nB=\'{"a": "b c"}\'\n', {"A": '{"a": [1, 2]}', "B": '{"a": "b c"}'}),
    "expanded": (b'A=1\nB=${A}/x\nC="${OUTER}"\nD=${NONE:-d}\n', {"A": "1", "B": "1/x", "C": "outer", "D": "d"}),
    "not-expanded": (b"A='${OUTER}'\nB=$OUTER\nC=a$b\n", {"A": "${OUTER}", "B": "$OUTER", "C": "a$b"}),
    "default-of-an-empty-one": (b"A=\nB=${A:-d}\nC=x${A-d}\n", {"A": "", "B": "d", "C": "x"}),
    "filled-in-with-nothing": (b"A=x${NONE:-}\nB=${NONE-}y\n", {"A": "x", "B": "y"}),
    "dollars-of-a-password": (
        b'A=p@$$w0rd\nB="a$b"\nC=a$\nD=${\nE=$(a)\n',
        {
            "A": "p@$$w0rd",
            "B": "a$b",
            "C": "a$",
            "D": "${",
            "E": "$(a)",
        },
    ),
    "braces-in-single-quotes": (b"A='pa${ss}word'\n", {"A": "pa${ss}word"}),
    "escapes-in-single-quotes": (b"A='it\\'s \\\\ \\n'\n", {"A": "it's \\ \\n"}),
    "hash-at-the-beginning": (b"A=#ab\nB= # none\n", {"A": "#ab", "B": ""}),
    "quoted-name": (b"'A'='${x}'\n", {"A": "${x}"}),
    "name-alone": (b"OUTER\nNOWHERE\n", {"OUTER": "outer"}),
    "twice": (b"A=1\nA=2\n", {"A": "2"}),
    "dots": (b"spring.datasource.url=x\n", {"spring.datasource.url": "x"}),
    "utf-8": ("A=Größe\n".encode(), {"A": "Größe"}),
    "no-end": (b"A=1", {"A": "1"}),
}


@pytest.mark.parametrize("case", ENV_FILES)
def test_both_files_of_variables_mean_the_same(case: str, tmp_path: Path) -> None:
    content, expected = ENV_FILES[case]
    (tmp_path / ".env").write_bytes(content)
    by_site = Site.open(tmp_path, {"OUTER": "outer"}).env
    assert {name: value for name, value in by_site.items() if name != "OUTER" or name in expected} == expected
    (tmp_path / ".env").unlink()
    (tmp_path / "cameras.env").write_bytes(content)
    preset = preset_of(run={"env_files": ["cameras.env"]}, inference_service=False)
    assert read_run_settings(Site.open(tmp_path, {"OUTER": "outer"}), "p", preset, dev=False).environment == expected


BROKEN: dict[str, tuple[bytes, str, str]] = {
    "open-quote": (b"A=1\n\nB='secret-4711\nC=2\n", "line 3", "quote"),
    "behind-a-quote": (b"A='x'secret-4711\n", "line 1", "quote"),
    "no-variable": (b"A=1\nsecret-4711 is it\n", "line 2", "neither a variable nor"),
    "like-yaml": (b"A=1\nPASSWORD:secret-4711\n", "line 2", "neither a variable nor"),
    "name-of-two-words": (b"set A=secret-4711\n", "line 1", "neither a variable nor"),
    "no-name": (b"=secret-4711\n", "line 1", "neither a variable nor"),
    "section": (b"[secret-4711]\n", "line 1", "neither a variable nor"),
    "eaten-password": (b"\nA=${4711}word\n", "line 2", "not set"),
    "eaten-password-in-quotes": (b'A="pa${secret4711}word"\n', "line 1", "not set"),
    "required": (b"A=${NONE:?secret-4711}\n", "line 1", "a form other"),
    "alternative": (b"A=${OUTER:+secret-4711}\n", "line 1", "a form other"),
    "inside-another": (b"A=${NONE:-${OUTER}}secret-4711\n", "line 1", "a form other"),
    "utf-16": ("A=secret-4711\n".encode("utf-16"), "env", "UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("name", [".env", "cameras.env"])
def test_a_broken_line_is_named_and_not_repeated(case: str, name: str, tmp_path: Path) -> None:
    content, line, why = BROKEN[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_run_settings(Site.open(tmp_path, {}), "p", preset_of(run={"env_files": ["cameras.env"]}), dev=False)
    assert name in str(refused.value)
    assert line in str(refused.value)
    assert why in refused.value.why
    assert "4711" not in str(refused.value)
