"""A stack on a real engine without a network: up, changes, failures, the way back, down."""

from __future__ import annotations

import socket

import pytest

from core.errors import ChecksFailed, XaivaError
from core.progress import NullProgress
from core.stacks.run import run
from tests.images.support import Recorder
from tests.stacks.conftest import NAME, WORKS, Shop

pytestmark = pytest.mark.engine


def test_up_leaves_nothing_to_do_for_anybody(shop: Shop) -> None:
    assert shop.up() == ["create cache", "build api", "create api", "build page", "create page"]
    assert [shop.state(name) for name in ("cache", "api", "page")] == ["running healthy"] * 3
    before = shop.containers()
    assert shop.steps() == []
    assert shop.up() == []
    shop.compose("up", "--detach", "--no-build", "--pull", "never")
    assert shop.containers() == before


def test_a_changed_file_builds_and_replaces_one_service_and_leaves_its_dependents(shop: Shop) -> None:
    shop.up()
    before = shop.containers()
    shop.change("api", WORKS.replace("1", "2"))
    assert next(step.reason for step in shop.plan().steps if step.subject == "api") == "api/serve.sh changed"
    assert shop.up() == ["build api", "replace api"]
    after = shop.containers()
    assert {name for name in after if after[name] != before[name]} == {"api"}
    assert shop.steps() == []
    assert "version 2" in shop.engine.docker("logs", after["api"])


@pytest.mark.parametrize("fault", ["never healthy", "ends at once"])
def test_the_one_before_comes_back_when_the_new_one_does_not_work(shop: Shop, fault: str) -> None:
    shop.up()
    before = shop.containers()
    shop.change("api", "echo last words\nsleep 1000\n" if fault == "never healthy" else "echo last words\nexit 3\n")
    with pytest.raises(XaivaError) as caught:
        shop.up()
    assert caught.value.what.startswith("replace api: Service api")
    assert "the one before runs as before" in caught.value.why
    assert "xaiva logs" not in caught.value.remedy  # of a container that is gone
    assert ("last words" in caught.value.why) == (fault == "ends at once")
    assert shop.containers() == before
    assert shop.state("api") == "running healthy"
    shop.change("api", WORKS)
    shop.up()
    assert shop.steps() == []


def test_one_that_writes_to_a_volume_is_stopped_first_and_comes_back(shop: Shop) -> None:
    shop.up()
    before = shop.containers()
    file = shop.folder / "compose.yaml"
    good = file.read_text()
    file.write_text(good.replace("touch /tmp/works; exec sleep 1000", "exit 1"))
    recorder = Recorder()
    with pytest.raises(XaivaError, match="the one before runs as before"):
        run(shop.site, NAME, {"action": "up"}, recorder)
    assert any("stopped first, because both would write to data" in line for _, line in recorder.lines)
    assert shop.containers() == before
    assert shop.state("cache").startswith("running")


def test_a_missing_image_or_a_taken_port_changes_nothing(shop: Shop) -> None:
    file = shop.folder / "compose.yaml"
    good = file.read_text()
    file.write_text(good.replace("image: shop-base:1", "image: not/here:1"))
    with pytest.raises(ChecksFailed, match="the engine has no image not/here:1"):
        shop.up()
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with_port = good.replace("network_mode: none", "").replace(
            "build: page", f'build: page\n    ports: ["{port}:80"]'
        )
        file.write_text(with_port)
        with pytest.raises(ChecksFailed, match=f"port {port}/tcp is used by"):
            shop.up()
    assert shop.containers() == {}


def test_down_leaves_the_volumes_unless_it_is_told_otherwise(shop: Shop) -> None:
    shop.up()
    run(shop.site, NAME, {"action": "down"}, NullProgress())
    assert shop.containers() == {}
    volume = f"{shop.project}_data"
    assert volume in shop.engine.docker("volume", "ls", "--quiet")
    assert f"{shop.project}_default" not in shop.engine.docker("network", "ls", "--format", "{{.Name}}")
    run(shop.site, NAME, {"action": "down", "volumes": True}, NullProgress())
    assert volume not in shop.engine.docker("volume", "ls", "--quiet")


def test_stop_and_start_follow_the_order_of_dependencies(shop: Shop) -> None:
    shop.up()
    before = shop.containers()
    assert run(shop.site, NAME, {"action": "stop"}, NullProgress())["done"] == ["stop page", "stop api", "stop cache"]
    assert shop.steps() == ["start cache", "start api", "start page"]
    done = run(shop.site, NAME, {"action": "start", "services": ["cache", "api"]}, NullProgress())["done"]
    assert done == ["start cache", "start api"]
    assert shop.up() == ["start page"]
    assert shop.containers() == before


def test_a_secret_in_the_environment_is_in_no_report(shop: Shop) -> None:
    secret = "correct-horse-battery"
    site = type(shop.site).open(shop.site.root, {**shop.site.process_env, "SHOP_TOKEN": secret})
    recorder = Recorder()
    outcome = run(site, NAME, {"action": "up"}, recorder)
    assert f"TOKEN={secret}" in shop.engine.docker("inspect", shop.containers()["api"])
    assert secret not in str(outcome)
    assert secret not in "\n".join(line for _, line in recorder.lines)
    assert secret not in shop.plan().model_dump_json()
    assert not [path for path in site.state.rglob("*") if path.is_file() and secret in path.read_text(errors="replace")]


def test_names_that_differ_in_punctuation_make_images_of_their_own(shop: Shop) -> None:
    text = (shop.folder / "compose.yaml").read_text()
    head, _, _ = text.partition("services:")
    services = "".join(f"  {name}:\n    <<: *small\n    build: {name}\n" for name in ("a.b", "a_b", "a-b"))
    for number, name in enumerate(("a.b", "a_b", "a-b")):
        (shop.folder / "api").rename(shop.folder / name) if number == 0 else (shop.folder / name).mkdir()
        (shop.folder / name / "Dockerfile").write_text("FROM shop-base:1\nCOPY serve.sh /\nCMD sh /serve.sh\n")
        (shop.folder / name / "serve.sh").write_text(f"# {name}\n{WORKS}")
    (shop.folder / "compose.yaml").write_text(f"{head}services:\n{services}")
    shop.up()
    for name in ("a.b", "a_b", "a-b"):
        assert f"# {name}\n" in shop.engine.docker("exec", shop.containers()[name], "cat", "/serve.sh")
    assert shop.steps() == []
