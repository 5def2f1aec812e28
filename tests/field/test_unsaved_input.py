"""What a person typed, or wrote into a file, is lost to nobody without a question.

It applies to every form that is left with something typed in it, to the console's end, to files that another program
changed while they were edited, and to settings of the service that another person changed while a form was open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from textual.pilot import Pilot
from textual.widgets import Input

from core.api_schema import CameraRequest, Channel, ChannelKind, Detection, Priority, RuleRequest, UserRequest
from core.api_schema.users import Role, UserUpdate
from core.errors import XaivaError
from core.presets.store import PresetEditConflict, read_text, save
from core.service_client import ServiceClient
from core.service_client.edit_merge import EditConflictError as SettingsChanged
from core.service_client.edit_merge import merge_changes
from core.site import Site
from tests.api.serving import TOKEN, Running, served
from tests.tui import sample
from tests.tui.bursts import console, open_screen
from tests.tui.conftest import bare_site, preset_site  # noqa: F401 - fixtures
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.screens.confirm import Confirm
from tui.screens.form import Form

# -- forms that are left -----------------------------------------------------------------------------------------------

FORMS = {  # screen → keys that open a form, and what is typed into it then; a blank ticks its first box
    "presets": [("n", "q"), ("d", "2"), ("c", "L"), ("u", "L"), ("L", " "), ("f4", "a")],
    "cameras": [("a", "g"), ("e", "9"), ("z", "5")],
    "events": [("f", "y"), ("A", "c"), ("x", "2")],
    "service": [("n", "n"), ("e", "x"), ("u", "l")],
}


async def form_of(pilot: Pilot[int], opens: str) -> Form[Any]:
    app = pilot.app
    await pilot.press(opens)
    await until(pilot, lambda: isinstance(app.screen, Form) and app.screen.is_mounted and app.focused)
    form: Form[Any] = app.screen  # type: ignore[assignment]
    return form


async def test_a_form_with_something_typed_asks(site: Site) -> None:
    async with console(site, "overview") as pilot:
        app = pilot.app
        for screen, rows in FORMS.items():
            await open_screen(pilot, screen)
            for opens, typed in rows:
                form = await form_of(pilot, opens)
                await pilot.press("escape")  # untouched: closed at once
                await until(pilot, lambda: len(app.screen_stack) == 1)
                form = await form_of(pilot, opens)
                next(box for box in form.query("Checkbox" if typed == " " else "Input") if not box.disabled).focus()
                await pilot.press(*(typed if typed != " " else ("space",)))
                assert form.unsaved, (screen, opens)
                await pilot.press("escape")
                await until(pilot, lambda: isinstance(app.screen, Confirm))
                await pilot.press("n")
                await until(pilot, lambda form=form: app.screen is form)  # type: ignore[misc]
                await pilot.press("escape", "y")
                await until(pilot, lambda: len(app.screen_stack) == 1)


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "succeeds"])
@pytest.mark.parametrize("answer", ["y", "n"])
async def test_what_is_being_sent_is_asked_about(
    site: Site, monkeypatch: pytest.MonkeyPatch, answer: str, fails: bool
) -> None:
    """The answer comes while the question is open."""
    answered = threading.Event()

    def add_user(*_: object) -> object:
        answered.wait(30)
        if fails:
            raise XaivaError("Inference service", "it does not answer within 10 s", "see its log")
        return sample.service().users[0]  # type: ignore[index]

    monkeypatch.setattr(sample.SampleService, "add_user", add_user, raising=False)
    async with console(site, "service") as pilot:
        app = pilot.app
        form = await form_of(pilot, "u")
        for name in ("password", "again"):
            form.query_one(f"#{name}", Input).value = "correct horse battery"
        await pilot.press("z", "enter")
        await until(pilot, lambda: form.busy)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await shows(pilot, "is being sent")
        answered.set()
        await until(pilot, lambda: not form.busy)
        await pilot.press(answer)
        if fails and answer == "n":
            await shows(pilot, "it does not answer within 10 s")
            assert form.value("name") == "z"
        else:
            await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_what_is_taken_back_is_nothing_typed(site: Site) -> None:
    async with console(site, "service") as pilot:
        form = await form_of(pilot, "u")
        await pilot.press("l", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("escape")  # of the question: the form stays
        await until(pilot, lambda: pilot.app.screen is form)
        await pilot.press("backspace", "escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)


# -- files that another program changed --------------------------------------------------------------------------------

NAME = "cpu-debian12"


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (lambda text: text.replace("3.11", "3.12"), "somebody else changed it in the meantime"),
        (lambda text: text + "\n", "somebody else changed it in the meantime"),
        (lambda _: "{", "somebody else changed it in the meantime"),
        (None, "somebody else removed or renamed it in the meantime"),
        (lambda text: text, ""),
    ],
    ids=["field", "blank line", "broken", "removed", "same"],
)
def test_a_preset_is_not_overwritten_unasked(preset_site: Site, theirs: Any, why: str) -> None:  # noqa: F811
    path = preset_site.presets / f"{NAME}.json"
    before = read_text(path)
    mine = before.replace("{", '{ "pins": ["six==1.16.0"],', 1)
    path.unlink() if theirs is None else path.write_text(theirs(before))
    now = path.read_text() if path.exists() else None
    if not why:
        save(preset_site, NAME, mine, expected_text=before)
        assert path.read_text() == mine
        return
    with pytest.raises(PresetEditConflict, match=why) as refused:
        save(preset_site, NAME, mine, expected_text=before)
    assert (path.read_text() if path.exists() else None) == now
    save(preset_site, NAME, mine, expected_text=refused.value.text)  # seen, and overwritten on purpose
    assert path.read_text() == mine


def link(path: Path) -> None:
    """Replace the preset by a link, as people do who share presets between sites."""
    path.rename(path.with_suffix(".shared"))
    path.symlink_to(path.with_suffix(".shared").name)


def dangle(path: Path) -> None:
    link(path)
    path.with_suffix(".shared").unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


PUT_IN_ITS_PLACE: list[tuple[str, Callable[[Path], object], str]] = [  # and why it is not written
    ("a link", link, ""),
    ("private", lambda path: path.chmod(0o600), ""),
    ("of a group", lambda path: path.chmod(0o664), ""),
    ("write-protected", lambda path: path.chmod(0o444), "it is write-protected"),
    ("a link to a protected one", lambda path: (link(path), path.chmod(0o444)), "it is write-protected"),
    ("a link to nothing", dangle, "which does not exist"),
    ("a folder", folder, "it is a folder"),
]


@pytest.mark.parametrize(
    ("put", "why"), [row[1:] for row in PUT_IN_ITS_PLACE], ids=[row[0] for row in PUT_IN_ITS_PLACE]
)
def test_saving_keeps_what_kind_of_file_a_preset_is(preset_site: Site, put: Any, why: str) -> None:  # noqa: F811
    path = preset_site.presets / f"{NAME}.json"
    before = read_text(path)
    put(path)
    is_link, mode = path.is_symlink(), path.stat().st_mode if path.exists() else 0
    if why:
        with pytest.raises(XaivaError, match=why):
            save(preset_site, NAME, before + "\n")
        assert not path.is_file() or path.read_text() == before
    else:
        save(preset_site, NAME, before + "\n", expected_text=before)
        assert path.read_text() == before + "\n"
    assert path.is_symlink() is is_link
    assert not path.exists() or path.stat().st_mode == mode


@pytest.mark.parametrize("answer", ["y", "n"])
async def test_the_editor_shows_what_somebody_else_wrote(preset_site: Site, answer: str) -> None:  # noqa: F811
    path = preset_site.presets / f"{NAME}.json"
    app = XaivaApp(preset_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("2")
        await shows(pilot, NAME)
        await until(pilot, lambda: app.preset in ("broken", NAME))
        app.screen.query_one("#choices").move_cursor_to(NAME)  # type: ignore[attr-defined]
        await pilot.press("e")
        await shows(pilot, "no changes")
        app.screen.query_one("#f-python", Input).value = "3.10"
        theirs = path.read_text().replace("3.11", "3.12")
        path.write_text(theirs)
        await pilot.press("ctrl+s")
        await shows(pilot, "was changed")
        assert '"3.12"' in text(pilot)
        assert path.read_text() == theirs
        await pilot.press(answer)
        if answer == "y":
            await until(pilot, lambda: '"3.10"' in path.read_text())
        else:
            await until(pilot, lambda: not isinstance(app.screen, Confirm))
            await pilot.press("ctrl+r", "y")
            await until(pilot, lambda: app.screen.query_one("#f-python", Input).value == "3.12")
            assert path.read_text() == theirs


# -- settings that another person changed ------------------------------------------------------------------------------

CAMERA = CameraRequest(id="gate", source="rtsp://10.0.0.1/a", fps=5, detection=Detection(threshold=1 / 3))
RULE = RuleRequest(name="night", channels=(Channel(kind=ChannelKind.EMAIL, to="a@example.org"),))


def camera(threshold: float = 1 / 3, **fields: Any) -> CameraRequest:
    detection = CAMERA.detection.model_copy(update={"threshold": threshold})
    return CAMERA.model_copy(update={"detection": detection, **fields})


def rule(**fields: Any) -> RuleRequest:
    return RULE.model_copy(update=fields)


UNTOUCHED = camera(threshold=0.333333)  # as a form writes it
MERGED = [  # what a form says untouched, what was wanted, what the service says now, what is sent
    (UNTOUCHED, UNTOUCHED, camera(), camera()),  # nothing typed: nothing changes, not even by rounding
    (UNTOUCHED, camera(0.333333, name="Gate"), camera(), camera(name="Gate")),
    (UNTOUCHED, camera(0.333333, name="Gate"), camera(fps=9), camera(name="Gate", fps=9)),
    (UNTOUCHED, camera(0.5), camera(fps=9), camera(0.5, fps=9)),
    (UNTOUCHED, camera(0.5), camera(0.5), camera(0.5)),  # both the same
    (UNTOUCHED, camera(0.333333, fps=9), camera(0.7), camera(0.7, fps=9)),
    (RULE, rule(within=20), rule(types=("person",)), rule(within=20, types=("person",))),
    (RULE, rule(priority=Priority.HIGH), rule(enabled=False), rule(priority=Priority.HIGH, enabled=False)),
]
CLASHES = [  # as above, the clash in words, and what is sent when it is overwritten
    (UNTOUCHED, camera(0.5), camera(0.7), "threshold is now 0.7", camera(0.5)),
    (UNTOUCHED, camera(0.5, name="A"), camera(0.7, name="B", fps=9), "name is now B", camera(0.5, name="A", fps=9)),
    (RULE, rule(enabled=False, within=1), rule(within=2), "within is now 2", rule(enabled=False, within=1)),
    (RULE, rule(types=("a",)), rule(types=("b",)), "types is now different", rule(types=("a",))),
]


def opened(untouched: BaseModel) -> Any:
    return CAMERA if untouched is UNTOUCHED else RULE


@pytest.mark.parametrize(("untouched", "wanted", "now", "sent"), MERGED, ids=range(len(MERGED)))
def test_only_what_was_typed_is_sent(untouched: Any, wanted: Any, now: Any, sent: Any) -> None:
    assert merge_changes("It", opened(untouched), untouched, wanted, now) == sent


@pytest.mark.parametrize(("untouched", "wanted", "now", "words", "sent"), CLASHES, ids=range(len(CLASHES)))
def test_a_field_that_two_people_changed_is_said(untouched: Any, wanted: Any, now: Any, words: str, sent: Any) -> None:
    with pytest.raises(SettingsChanged, match=words) as refused:
        merge_changes("It", opened(untouched), untouched, wanted, now)
    assert merge_changes("It", opened(untouched), untouched, wanted, now, refused.value.fields) == sent


@contextmanager
def service_site(site: Site, running: Running) -> Iterator[Site]:
    service = site.settings.service.model_copy(update={"url": running.url})
    settings = site.settings.model_copy(update={"service": service})
    yield Site(site.root, settings, {**site.env, "XAIVA_SERVICE_TOKEN": TOKEN})


PASSWORD = "a-long-password-1"


def their_camera(client: ServiceClient) -> None:
    """Another address with another login: the form never has more than the masked one."""
    client.update_camera(CameraRequest(id="gate", source="rtsp://v:other-secret@127.0.0.1:9/b", enabled=False, fps=9))


def their_rule(client: ServiceClient) -> None:
    channel = Channel(kind=ChannelKind.WEBHOOK, to="https://127.0.0.1:9/other?token=other-secret")
    client.update_rule(RuleRequest(name="night", channels=(channel,), types=("person",)))


def their_user(client: ServiceClient) -> None:
    client.update_user("ana", UserUpdate(role=Role.OPERATOR))


def their_same_field(client: ServiceClient) -> None:
    client.update_user("ana", UserUpdate(cameras=["door"]))


@pytest.mark.parametrize(
    ("screen", "field", "mine", "theirs", "clash"),
    [
        ("cameras", "name", "Mine", their_camera, ""),
        ("service", "within", "99", their_rule, ""),
        ("users", "cameras", "gate", their_user, ""),
        ("users", "cameras", "gate", their_same_field, "cameras is now different"),
    ],
    ids=["camera", "rule", "user", "user-same-field"],
)
async def test_what_another_person_changed_stays(
    bare_site: Site,  # noqa: F811
    tmp_path: Path,
    screen: str,
    field: str,
    mine: str,
    theirs: Any,
    clash: str,
) -> None:
    with served(tmp_path / "service") as running, service_site(bare_site, running) as at:
        service, client = running.service, running.client()
        service.add_camera(CameraRequest(id="gate", source="rtsp://u:secret@127.0.0.1:9/a", enabled=False))
        channel = Channel(kind=ChannelKind.WEBHOOK, to="https://127.0.0.1:9/hook?token=secret")
        client.add_rule(RuleRequest(name="night", channels=(channel,)))
        client.add_user(UserRequest(name="ana", password=PASSWORD))
        app = XaivaApp(at)
        async with app.run_test(size=(160, 45)) as pilot:
            await pilot.press("6" if screen == "cameras" else "0")
            await shows(pilot, "gate" if screen == "cameras" else "ana")
            if screen == "users":
                app.screen.query_one("#users").focus()
            await pilot.pause()
            form = await form_of(pilot, "e")
            form.query_one(f"#{field}", Input).value = mine
            theirs(client)
            await pilot.press("enter")
            if clash:
                await shows(pilot, clash)
                assert client.users()[0].cameras == ["door"]
                await pilot.press("enter")
            await until(pilot, lambda: len(app.screen_stack) == 1)
        camera, rule, user = (
            service.cameras.get("gate").request,
            service.rules.get_with_secrets("night"),
            client.users()[0],
        )
        if screen == "cameras":
            assert (camera.name, camera.fps, camera.source) == ("Mine", 9, "rtsp://v:other-secret@127.0.0.1:9/b")
        elif screen == "service":
            to = "https://127.0.0.1:9/other?token=other-secret"
            assert (rule.within, rule.types, rule.channels[0].to) == (99, ("person",), to)
        else:
            assert (user.role, user.cameras) == (Role.VIEWER if clash else Role.OPERATOR, ["gate"])


async def test_two_people_edit_one_camera(bare_site: Site, tmp_path: Path) -> None:  # noqa: F811
    with served(tmp_path / "service") as running, service_site(bare_site, running) as at:
        running.service.add_camera(CameraRequest(id="gate", source="rtsp://u:secret@127.0.0.1:9/none", enabled=False))
        other: ServiceClient = running.client()
        app = XaivaApp(at)
        async with app.run_test(size=(160, 45)) as pilot:
            await pilot.press("6")
            await shows(pilot, "gate")
            await until(pilot, lambda: app.screen.query_one("#choices").key == "gate")  # type: ignore[attr-defined]
            form = await form_of(pilot, "e")
            form.query_one("#name", Input).value = "Mine"
            form.query_one("#fps", Input).value = "7"
            now = other.camera_settings("gate")
            other.update_camera(now.model_copy(update={"name": "Theirs", "loop": True}))
            await pilot.press("enter")
            await shows(pilot, "name is now Theirs")
            assert running.service.cameras.get("gate").request.fps == 5
            await pilot.press("enter")
            await until(pilot, lambda: len(app.screen_stack) == 1)
            kept = running.service.cameras.get("gate").request
            assert (kept.name, kept.fps, kept.loop) == ("Mine", 7, True)
            assert kept.source == "rtsp://u:secret@127.0.0.1:9/none"
