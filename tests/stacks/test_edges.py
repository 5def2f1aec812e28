"""Services that compose treats in a way of their own: jobs, scales, shared networks, what starts again with another."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Cancelled, XaivaError
from core.progress import NullProgress
from core.stacks import replace
from core.stacks.compose import run_compose
from core.stacks.replace import before_tag
from core.stacks.run import run
from tests.stacks.conftest import BASE, NAME, WORKS, Shop
from tests.stacks.test_interrupted import add_to, rows
from tests.support import until

pytestmark = pytest.mark.engine

JOB = f"""
  job:
    image: {BASE}
    network_mode: none
    command: [sh, -c, "sleep 3; exit CODE"]
"""


def add_service(shop: Shop, text: str) -> None:
    """Add a service to the compose file."""
    file = shop.folder / "compose.yaml"
    file.write_text(file.read_text().replace("\nservices:\n", f"\nservices:{text}", 1))


def image_of(shop: Shop, reference: str) -> str:
    return shop.engine.docker("image", "inspect", "--format", "{{.Id}}", reference).strip()


def test_a_job_is_waited_for_and_is_not_run_again(shop: Shop) -> None:
    add_service(shop, JOB.replace("CODE", "0"))
    file = shop.folder / "compose.yaml"
    wait = "depends_on: {job: {condition: service_completed_successfully}, cache:"
    file.write_text(file.read_text().replace("depends_on: {cache:", wait))
    shop.up()
    job, api = rows(shop, "job")[0], rows(shop, "api")[0]
    assert job["State"]["FinishedAt"] < api["State"]["StartedAt"]
    assert shop.steps() == []
    shop.change("api", WORKS.replace("1", "2"))
    assert shop.up() == ["build api", "replace api"]
    assert rows(shop, "job")[0]["State"] == job["State"]


def test_a_job_that_fails_stops_those_that_wait_for_it(shop: Shop) -> None:
    add_service(shop, JOB.replace("CODE", "3"))
    file = shop.folder / "compose.yaml"
    wait = "depends_on: {job: {condition: service_completed_successfully}, cache:"
    file.write_text(file.read_text().replace("depends_on: {cache:", wait))
    with pytest.raises(XaivaError, match="it ended with code 3"):
        shop.up()
    assert rows(shop, "api") == []
    assert shop.steps()[0] == "start job"


def test_two_containers_of_one_service_are_replaced_together(shop: Shop) -> None:
    add_to(shop, "page", "scale: 2")
    shop.up()
    before = rows(shop, "page")
    assert len(before) == 2
    assert shop.steps() == []
    shop.change("page", WORKS.replace("1", "2"))
    assert shop.up() == ["build page", "replace page"]
    after = rows(shop, "page")
    assert {row["Name"] for row in after} == {row["Name"] for row in before}
    assert {row["State"]["Health"]["Status"] for row in after} == {"healthy"}
    shop.engine.docker("rm", "--force", after[0]["Id"])
    assert shop.up() == ["create page"]
    assert len(rows(shop, "page")) == 2


def test_one_that_somebody_scaled_by_hand_keeps_one_container(shop: Shop) -> None:
    shop.up()
    before = shop.containers()
    shop.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "api=2", "api")
    assert shop.up() == ["replace api"]
    assert shop.containers() == before
    assert shop.state("api") == "running healthy"


def test_who_uses_the_network_of_another_gets_a_new_container_with_it(shop: Shop) -> None:
    file = shop.folder / "compose.yaml"
    file.write_text(file.read_text().replace("build: page\n", 'build: page\n    network_mode: "service:api"\n'))
    shop.up()
    shop.change("api", WORKS.replace("1", "2"))
    assert shop.up() == ["build api", "replace api", "replace page"]
    api, page = rows(shop, "api")[0], rows(shop, "page")[0]
    assert page["HostConfig"]["NetworkMode"] == f"container:{api['Id']}"
    assert shop.steps() == []
    run(shop.site, NAME, {"action": "stop", "services": ["api"]}, NullProgress())
    assert shop.up() == ["start api", "restart page"]
    assert shop.state("page") == "running healthy"


def test_who_asks_for_it_starts_again_with_another(shop: Shop) -> None:
    file = shop.folder / "compose.yaml"
    file.write_text(
        file.read_text().replace(
            "{api: {condition: service_healthy}}", "{api: {condition: service_healthy, restart: true}}"
        )
    )
    shop.up()
    before = rows(shop, "page")[0]
    shop.change("api", WORKS.replace("1", "2"))
    assert shop.up() == ["build api", "replace api", "restart page"]
    after = rows(shop, "page")[0]
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]


def test_after_a_failure_the_tag_means_what_runs(shop: Shop) -> None:
    shop.up()
    before = shop.containers()
    good = image_of(shop, f"{shop.project}-api")
    shop.change("api", "sleep 1000\n")
    with pytest.raises(XaivaError, match="the one before runs as before"):
        shop.up()
    assert image_of(shop, f"{shop.project}-api") == good
    shop.compose("up", "--detach", "--no-build", "--pull", "never")
    assert shop.containers() == before
    assert shop.steps() == ["build api", "replace api"]


def test_the_image_before_stays_and_no_older_one_does(shop: Shop) -> None:
    shop.up()
    tag = f"{shop.project}-api"
    images = [image_of(shop, tag)]  # that of page, too
    for number in (2, 3, 4):
        shop.change("api", f"# {shop.project} {number}\n{WORKS}")  # no image of another test
        shop.up()
        images.append(image_of(shop, tag))
        assert image_of(shop, before_tag(tag)) == images[-2]
    every = shop.engine.docker("images", "--all", "--no-trunc", "--quiet").split()
    assert images[1] not in every
    assert {images[0], *images[2:]} <= set(every)


def test_an_unhealthy_one_is_started_again(shop: Shop) -> None:
    shop.up()
    api = shop.containers()["api"]
    shop.engine.docker("exec", api, "rm", "/tmp/works")
    until(lambda: shop.state("api") == "running unhealthy", seconds=30)
    assert shop.steps() == ["restart api"]
    assert shop.up() == ["restart api"]
    assert shop.state("api") == "running healthy"
    assert shop.containers()["api"] == api


def test_a_service_gets_the_time_to_stop_that_the_file_gives_it(shop: Shop) -> None:
    file = shop.folder / "compose.yaml"
    slow = 'trap "sleep 12; exit 0" TERM; touch /tmp/works; while :; do sleep 0.1; done'
    file.write_text(file.read_text().replace("touch /tmp/works; exec sleep 1000", slow.replace('"', '\\"')))
    add = "stop_grace_period: 30s\n    command"
    file.write_text(file.read_text().replace("    command", f"    {add}"))
    shop.up()
    run(shop.site, NAME, {"action": "stop", "services": ["cache"]}, NullProgress())
    assert rows(shop, "cache")[0]["State"]["ExitCode"] == 0


def test_down_takes_the_containers_of_services_that_are_gone_along(shop: Shop) -> None:
    add_service(shop, JOB.replace("exit CODE", "sleep 1000"))
    shop.up()
    file = shop.folder / "compose.yaml"
    file.write_text(file.read_text().replace(JOB.replace("exit CODE", "sleep 1000"), "\n"))
    assert any(finding.code == "leftover" for finding in shop.plan().findings)
    run(shop.site, NAME, {"action": "down"}, NullProgress())
    assert shop.containers() == {}


def test_a_cancel_of_an_update_leaves_what_ran(shop: Shop) -> None:
    shop.up()
    before = shop.containers()
    shop.change("api", "sleep 1000\n")

    class CancelsWithTheSecond(NullProgress):
        def cancelled(self) -> bool:
            return len(rows(shop, "api")) == 2

    with pytest.raises(Cancelled):
        run(shop.site, NAME, {"action": "up"}, CancelsWithTheSecond())
    assert shop.containers() == before
    assert shop.state("api") == "running healthy"


def test_a_cancel_while_compose_works_leaves_no_second_container(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.up()
    before = shop.containers()
    shop.change("api", "sleep 1000\n")

    def cancelled_at_its_end(*words: Any, **options: Any) -> None:
        run_compose(*words, **options)
        raise Cancelled

    monkeypatch.setattr(replace, "run_compose", cancelled_at_its_end)
    with pytest.raises(Cancelled):
        shop.up()
    assert shop.containers() == before
    assert shop.state("api") == "running healthy"


BUILD = """
    build:
      context: api
      additional_contexts: {lib: ./lib}
      secrets: [token]
      labels: {org.example.kind: api}
      dockerfile_inline: |
        FROM shop-base:1
        COPY --from=lib hello /
        RUN --mount=type=secret,id=token test "$(cat /run/secrets/token)" = hunter2
        COPY serve.sh /
        CMD ["sh", "/serve.sh"]
"""


def test_further_contexts_secrets_and_a_dockerfile_in_the_file(shop: Shop) -> None:
    file = shop.folder / "compose.yaml"
    text = file.read_text().replace("    build: api\n", BUILD[1:])
    file.write_text(f"{text}secrets: {{token: {{file: ./token}}}}\n")
    (shop.folder / "lib").mkdir()
    (shop.folder / "lib" / "hello").write_text("hello")
    (shop.folder / "token").write_text("hunter2")
    shop.up()
    assert shop.engine.docker("exec", shop.containers()["api"], "cat", "/hello") == "hello"
    assert rows(shop, "api")[0]["Config"]["Labels"]["org.example.kind"] == "api"
    assert shop.steps() == []
    (shop.folder / "lib" / "hello").write_text("goodbye")
    reasons = {step.subject: step.reason for step in reversed(shop.plan().steps)}
    assert reasons["api"] == "context lib changed"
    shop.up()
    assert shop.engine.docker("exec", shop.containers()["api"], "cat", "/hello") == "goodbye"
    history = shop.engine.docker("history", "--no-trunc", f"{shop.project}-api")
    assert "hunter2" not in history.replace('" = hunter2', "")
