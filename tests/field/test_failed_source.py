"""The kind: a source that fails is treated as an empty one.

Applies to package indexes (a preset's and the machine's), to pip's configuration files, and to whatever else a lock
asks: what a source that fails might hold is "not locked", with its name, the reason and a remedy, and is never taken
from elsewhere. Real uv asks real indexes on the loopback.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from core.artifacts import build_wheel, lock_store, sources, verify
from core.artifacts.index_settings import uv_environment
from core.artifacts.lockfile import FileKind, Lock
from core.errors import XaivaError
from core.presets.model import Index as PresetIndex
from core.site import Site
from tests.support.artifacts import RecordingProgress, wheel_file
from tests.support.index import Fault, serve
from tests.support.ports import HeldPort
from tests.support.two_indexes import LOGIN, LOGIN_PAGE, NAME, PRIVATE, PUBLIC, World


@pytest.fixture
def world(site: Site, tmp_path: Path) -> Iterator[World]:
    content = {"public": PUBLIC, "private": PRIVATE}
    for folder, packages in content.items():
        for name, version, needs in packages:
            path = tmp_path / folder / f"{name}-{version}-py3-none-any.whl"
            wheel_file(path, name, version, f"from_{folder} = 1", needs)
    with ExitStack() as stack:
        public = stack.enter_context(serve(tmp_path / "public"))
        private = stack.enter_context(serve(tmp_path / "private"))
        private.login = LOGIN
        env = {
            "UV_DEFAULT_INDEX": f"{public.url}/simple",
            "PIP_CONFIG_FILE": os.devnull,
            "UV_CACHE_DIR": str(tmp_path / "cache"),
            "UV_HTTP_RETRIES": "0",
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
        }
        yield World(Site(site.root, site.settings, {**site.env, **env}), public, private)


def wheels(locked: Lock, world: World) -> dict[str, str]:
    """Package → version and the index it comes from."""
    names = {f"{world.public.url}/": "public", f"{world.private.url}/": "ours"}
    return {
        file.name: f"{file.version} {next(name for url, name in names.items() if file.url.startswith(url))}"
        for file in locked.of_kind(FileKind.WHEEL)
    }


def unlocked(locked: Lock) -> dict[str, tuple[str, str]]:
    """What is not locked of the wheels → why and remedy."""
    parts = [part for part in locked.unlocked if "base image" not in part.what and "Debian" not in part.what]
    return {part.what: (part.why, part.remedy) for part in parts}


# -- one row a way in which an index fails: what happens to it, and words of the reason and of the remedy


def _page(status: int, kind: str = "text/html", text: str = "no") -> dict[str, object]:
    return {"page": (status, kind, text)}


FAILURES: list[tuple[str, dict[str, object], str, str]] = [
    ("no-token", {"token": ""}, "OUR_TOKEN is not set", "put OUR_TOKEN into .env"),
    ("blank-token", {"token": " "}, "OUR_TOKEN is not set", "put OUR_TOKEN into .env"),
    ("old-token", {"token": "old"}, "401 Unauthorized", "check OUR_TOKEN in .env"),
    ("no-login-asked", {"index": {"token_variable": None}}, "401 Unauthorized", "name its token in token_variable"),
    ("no-user", {"index": {"username_variable": "OUR_USER"}}, "OUR_USER is not set", "put OUR_USER into .env"),
    ("forbidden", _page(403), "403 Forbidden", "check OUR_TOKEN in .env"),
    ("gone", _page(410), "410 Gone", "check its url"),
    ("too-many", _page(429), "429 Too Many Requests", "wait"),
    ("error", _page(500), "500 Internal Server Error", "wait until its server works again"),
    ("overloaded", _page(503), "503 Service Unavailable", "wait until its server works again"),
    ("login-page", _page(200, text=LOGIN_PAGE), "not a package index", "correct its url"),
    ("json", _page(200, "application/json", '{"error": "x"}'), "not a package index", "correct its url"),
    ("broken-json", _page(200, "application/vnd.pypi.simple.v1+json", "{"), "not a package index", "correct its url"),
    ("text", _page(200, "text/plain", "hello"), "not a package index", "correct its url"),
    ("blank", _page(200, text=""), "not a package index", "correct its url"),
    ("no-content", _page(204), "not a package index", "correct its url"),
    ("maintenance", _page(200, text="<h1>We are back soon</h1>"), "not a package index", "correct its url"),
    ("leads-nowhere", _page(302), "not a package index", "correct its url"),
    ("down", {"url": "http://127.0.0.1:{port}/simple"}, "onnection refused", "check the network, the VPN"),
    ("unknown-host", {"url": "http://nowhere.invalid/simple"}, "", "name server"),
    ("no-tls", {"url": "https://127.0.0.1:{private}/simple"}, "", "https"),
    ("nothing-there", {"url": "{address}/nothing"}, "404", "check its url, and OUR_TOKEN in .env"),
]
# each way uv may say it
BOUND_TOO = ("no-token", "old-token", "overloaded", "login-page", "maintenance", "down", "nothing-there")


def rows(*only: str) -> pytest.MarkDecorator:
    """A test for each way to fail, or for these alone."""
    chosen = [row for row in FAILURES if not only or row[0] in only]
    ids = [row[0] for row in chosen]
    return pytest.mark.parametrize(("how", "why", "remedy"), [row[1:] for row in chosen], ids=ids)


def fail(world: World, how: dict[str, object], port: int) -> tuple[dict[str, object], str]:
    """Make the private index fail; the index's changed keys and the token."""
    world.private.page = how.get("page")  # type: ignore[assignment]
    index = dict(how.get("index", {}))  # type: ignore[call-overload]
    if "url" in how:
        address = world.private.url
        index["url"] = str(how["url"]).format(port=port, private=address.rpartition(":")[2], address=address)
    return index, str(how.get("token", "s3cret"))


@rows()
def test_what_a_failed_index_may_hold_is_unlocked(world: World, how: dict[str, object], why: str, remedy: str) -> None:
    with HeldPort() as port:
        index, token = fail(world, how, port.number)
        locked = world.lock(["six==1.16.0", "idna"], index, token)
    assert wheels(locked, world) == {}
    missing = unlocked(locked)
    assert set(missing) == {"six==1.16.0 (layer common)", "idna (layer common)"}
    for actual_why, actual_remedy in missing.values():
        assert "index ours (" in actual_why
        assert why in actual_why
        assert remedy in actual_remedy
        assert f"xaiva lock {NAME}" in actual_remedy
    assert world.outcome["state"] == "partial"
    assert "not locked: six==1.16.0 (layer common)" in world.progress.text()
    assert "s3cret" not in world.progress.text() + lock_store.lock_text(locked)


def test_an_index_that_does_not_say_what_it_has_is_named(world: World) -> None:
    """The machine's index is down and the preset's has everything: the lock says that the other is unknown."""
    with HeldPort() as port:
        silent = f"http://127.0.0.1:{port.number}/simple"
        world.site = world.with_env(UV_DEFAULT_INDEX=silent)
        layers = [{"name": name, "requirements": ["six"]} for name in ("one", "two")]
        assert wheels(world.lock([], {}, layers=layers), world) == {"six": "1.16.0 ours"}
    assert any(line.startswith(f"{silent} does not answer") for line in world.progress.lines)
    more = [*layers, {"name": "three", "requirements": ["idna"]}]
    locked = world.lock([], {}, token="", layers=more, pins=["idna>1"])
    assert set(unlocked(locked)) == {"idna (layer three)"}
    assert wheels(world.lock([], {}, token="", layers=layers[:1], pins=["six>2"]), world) == {}


@rows(*BOUND_TOO)
def test_packages_of_a_failed_index_are_unlocked(world: World, how: dict[str, object], why: str, remedy: str) -> None:
    with HeldPort() as port:
        index, token = fail(world, how, port.number)
        locked = world.lock(["needs_six", "idna"], {**index, "packages": ["Six", "ours_*"]}, token)
    assert wheels(locked, world) == {"idna": "3.6 public", "needs-six": "1.0 public"}
    ((what, (actual_why, actual_remedy)),) = unlocked(locked).items()
    assert what == "six (a dependency)"
    assert "index ours (" in actual_why
    assert why in actual_why
    assert remedy in actual_remedy


@pytest.mark.parametrize("packages", [[], ["six"]], ids=["unbound", "bound"])
@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_index_whose_files_cannot_be_had_has_failed(world: World, status: int, packages: list[str]) -> None:
    wheel_name = "six-1.16.0-py3-none-any.whl"
    world.private.always[wheel_name] = Fault(status=status)
    locked = world.lock(["six==1.16.0", "idna"], {"packages": packages})
    assert wheels(locked, world) == ({"idna": "3.6 public"} if packages else {})
    why, remedy = unlocked(locked)["six==1.16.0 (layer common)"]
    assert "index ours (" in why
    assert f"{status} " in why
    assert f"for {wheel_name}" in why
    assert f"xaiva lock {NAME}" in remedy


def test_a_page_in_the_place_of_a_wheel_is_no_contradiction(world: World) -> None:
    (world.private.folder / "six-1.16.0-py3-none-any.whl").write_text(LOGIN_PAGE)
    locked = world.lock(["six==1.16.0", "idna"], {"packages": ["six"]})
    assert wheels(locked, world) == {"idna": "3.6 public"}
    assert "not a wheel" in unlocked(locked)["six==1.16.0 (layer common)"][0]


def test_a_lock_with_the_index_back_keeps_nothing_from_elsewhere(world: World) -> None:
    world.lock(["six"], None)  # as a lock of before, which knew no such index
    assert wheels(lock_store.read_lock(world.site, NAME), world) == {"six": "9.9 public"}
    assert wheels(world.lock(["six"], {}, token=""), world) == {}
    locked = world.lock(["six"], {})
    assert wheels(locked, world) == {"six": "1.16.0 ours"}
    assert [file.index for file in locked.of_kind(FileKind.WHEEL)] == [f"{world.private.url}/simple"]
    assert world.lock(["six"], {}, token="") == locked  # the same requirements: packages from the right index stay
    assert wheels(world.lock(["six", "idna"], {}), world) == {"six": "1.16.0 ours", "idna": "3.6 public"}


# -- one row what is asked first, with the index, and then, without it: what then is locked and what is not

APP = {"ours-app": "1.0 ours", "six": "1.16.0 ours"}
KEPT = [
    ("one-more", ["six"], ["six", "idna"], [], {"six": "1.16.0 ours"}, {"idna (layer common)"}),
    ("one-more-bound", ["six"], ["six", "idna"], ["six"], {"six": "1.16.0 ours", "idna": "3.6 public"}, set()),
    ("another-wish", ["six", "idna"], ["six>=1", "idna"], [], {"idna": "3.6 public"}, {"six>=1 (layer common)"}),
    ("one-less", ["six", "idna"], ["idna"], [], {"idna": "3.6 public"}, set()),
    ("with-needs", ["ours_app"], ["ours_app", "idna"], ["*"], APP, {"idna (layer common)"}),
]


@pytest.mark.parametrize(
    ("first", "then", "packages", "expected", "missing"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT]
)
def test_what_came_from_the_right_place_for_the_same_wish_stays(
    world: World, first: list[str], then: list[str], packages: list[str], expected: dict[str, str], missing: set[str]
) -> None:
    world.lock(first, {"packages": packages})
    locked = world.lock(then, {"packages": packages}, token="")
    assert wheels(locked, world) == expected
    assert set(unlocked(locked)) == missing
    assert "wheels" not in locked.inputs  # the next lock asks again


# -- one row a binding: the layer, the patterns, and what each package's version and index must be

BOUND = {"needs-ours": "1.0 public", "ours-tool": "1.0 ours", "idna": "3.6 public"}
BINDINGS = [
    ("direct", ["six"], ["six"], {"six": "1.16.0 ours"}),
    ("transitive", ["needs_six"], ["six"], {"needs-six": "1.0 public", "six": "1.16.0 ours"}),
    ("pattern", ["needs_ours"], ["ours-*"], BOUND),
    ("spelling", ["needs_ours"], ["Ours.Tool"], BOUND),
    ("another", ["six"], ["ours-*"], {"six": "9.9 public"}),
    ("not-for-this-machine", ["idna", 'six; sys_platform == "win32"'], ["six"], {"idna": "3.6 public"}),
    ("unbound", ["six", "idna"], [], {"six": "1.16.0 ours", "idna": "3.6 public"}),
]


@pytest.mark.parametrize("row", BINDINGS, ids=lambda row: row[0])
def test_bound_packages_come_from_their_index_alone(world: World, row: tuple[Any, ...]) -> None:
    _name, layer, packages, expected = row
    locked = world.lock(layer, {"packages": packages})
    assert wheels(locked, world) == expected
    assert unlocked(locked) == {}


def test_a_wheel_built_for_the_preset_counts_before_a_failed_index(world: World) -> None:
    path = lock_store.artifacts_folder(world.site, NAME) / lock_store.LOCAL_WHEELS / "six-1.0-py3-none-any.whl"
    wheel_file(path, "six", "1.0")
    for packages in (["six"], []):
        locked = world.lock(["six"], {"packages": packages}, token="")
        assert [file.url for file in locked.of_kind(FileKind.WHEEL)] == ["file:local-wheels/six-1.0-py3-none-any.whl"]
        assert unlocked(locked) == {}


def test_a_package_that_its_index_does_not_have_is_not_taken_from_elsewhere(world: World) -> None:
    with pytest.raises(XaivaError) as caught:
        world.lock(["idna"], {"packages": ["idna"]})
    assert f"idna: from index ours ({world.private.url}/simple) alone" in caught.value.why


def test_an_unbound_name_that_several_indexes_have_is_a_finding(world: World) -> None:
    locked = world.lock(["six", "idna", "ours_app"], {})
    assert locked.shared == {"six": [f"{world.private.url}/simple", f"{world.public.url}/simple"]}
    findings = verify.lock_findings(world.site, NAME, locked)
    (finding,) = [finding for finding in findings if finding.code == "dependency-confusion"]
    assert "six" in finding.what
    assert world.public.url in finding.why
    assert '"packages"' in finding.remedy
    assert world.outcome["findings"] == [finding.model_dump(mode="json")]
    assert "six" in next(line for line in world.progress.lines if line.startswith("warning: "))
    assert world.lock(["six", "idna", "ours_app"], {"packages": ["six", "ours-*"]}).shared == {}


def test_a_strategy_of_the_user_counts_but_a_failed_index_is_no_empty_one(world: World) -> None:
    world.site = world.with_env(UV_INDEX_STRATEGY="unsafe-best-match")
    assert wheels(world.lock(["six"], {}, token="old"), world) == {}
    locked = world.lock(["six"], {})
    assert wheels(locked, world) == {"six": "9.9 public"}
    assert locked.shared == {"six": [f"{world.public.url}/simple", f"{world.private.url}/simple"]}
    world.site = world.with_env(UV_INDEX_STRATEGY="first-index")
    assert wheels(world.lock(["six"], {}), world) == {"six": "1.16.0 ours"}


# -- the machine's own indexes


def test_an_index_of_the_machine_that_refuses_is_named(world: World) -> None:
    """pip's `extra-index-url` with an expired token: the other index's package of that name must not be taken."""
    refusing = f"http://me:old@{world.private.url.removeprefix('http://')}/simple"
    good = f"{world.public.url}/simple"
    world.site = world.with_env(UV_DEFAULT_INDEX="", PIP_INDEX_URL=good, PIP_EXTRA_INDEX_URL=refusing)
    with pytest.raises(XaivaError, match="401") as caught:
        world.lock(["six"], None)
    assert f"{world.private.url}/simple" in caught.value.what
    assert "old@" not in str(caught.value)


def test_the_only_index_of_the_machine_refuses(world: World) -> None:
    world.site = world.with_env(UV_DEFAULT_INDEX=f"{world.private.url}/simple")
    with pytest.raises(XaivaError, match="401") as caught:
        world.lock(["six"], None)
    assert f"{world.private.url}/simple" in caught.value.what


@pytest.mark.parametrize(
    "content", [b"[global\nindex-url = x", b"index-url = x", b"\xff\xfe", b"[global]\na = 1\na = 2"]
)
def test_a_pip_configuration_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pip.conf"
    path.write_bytes(content)
    with pytest.raises(XaivaError, match="pip's index settings") as caught:
        uv_environment({"PIP_CONFIG_FILE": str(path), "HOME": str(tmp_path)}, [])
    assert str(path) in caught.value.what


def test_a_preset_that_cannot_be_used_leaves_the_locks_age_unknown(world: World) -> None:
    world.lock(["idna"], None)
    (world.site.presets / f"{NAME}.json").write_text("{")
    findings = verify.lock_findings(world.site, NAME, lock_store.read_lock(world.site, NAME))
    codes = {finding.code: finding.why for finding in findings}
    assert "it cannot be used" in codes["lock-outdated"]


def test_uv_that_cannot_say_which_pythons_there_are(world: World) -> None:
    world.site = world.with_env(UV_PYTHON_DOWNLOADS_JSON_URL="/nowhere.json")
    parts = sources.LockedParts()
    context = sources.LockContext(world.site, NAME, world.site.root, None, None, RecordingProgress())  # type: ignore[arg-type]
    assert sources._python_source(context, "3.11", parts) is None
    (missing,) = parts.unlocked
    assert "nowhere.json" in missing.why


def test_a_bound_package_is_built_from_the_archive_of_its_own_index(world: World) -> None:
    for folder, version in ((world.public.folder, "9.0"), (world.private.folder, "1.0"), (world.private.folder, "2.0")):
        (folder / f"ours_source-{version}.tar.gz").write_bytes(folder.name.encode())
    index = PresetIndex(name="ours", url=f"{world.private.url}/simple", token_variable="OUR_TOKEN", packages=["ours-*"])
    site = world.with_env(OUR_TOKEN="s3cret")
    own = hashlib.sha256(b"private").hexdigest()
    assert build_wheel._pin_to_index_hash(site, [index], "ours-source<2") == f"ours-source==1.0 --hash=sha256:{own}"
    assert build_wheel._pin_to_index_hash(site, [index], "idna") == "idna"
    with pytest.raises(XaivaError, match="lists no source archive"):
        build_wheel._pin_to_index_hash(site, [index], "ours-source>2")


def test_no_wheel_is_built_while_the_index_that_may_have_it_has_no_token(world: World) -> None:
    world.lock(["six"], {}, token="")
    for requirement in ("six", "idna"):
        with pytest.raises(XaivaError, match="OUR_TOKEN is not set"):
            build_wheel.run(world.site, NAME, {"requirement": requirement}, RecordingProgress())
