"""Every action of the console, defined once: its keys, its texts, and whether it changes anything.

Screens make their bindings from this table, the command palette lists it, the help screen explains it. `--read-only`
hides the actions that change anything, and a login hides those that its role does not allow. `id` is
`<screen>.<method>`; screen `app` means every screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.binding import Binding

from tui.navigation import SCREENS
from tui.relatives import RELATIVES

KEY_DISPLAYS = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "comma": ",",
    "backspace": "Backspace",
    "minus": "-",
    "plus": "+",
    "left": "←",
    "right": "→",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}

ROLES = {  # the least role that the service asks for; actions that are not here need none
    **dict.fromkeys(
        (
            *("cameras.learn", "cameras.start_stop", "cameras.restart", "cameras.suspend"),
            *("events.acknowledge", "events.acknowledge_all", "events.protect"),
            *("products.normal", "products.defect", "products.bank", "products.all_banks", "products.rollback"),
            *("products.correct", "jobs.cancel", "jobs.retry"),
        ),
        "operator",
    ),
    **dict.fromkeys(
        (
            *("cameras.add", "cameras.edit", "cameras.lower", "cameras.raise", "cameras.remove"),
            *("service.rule", "service.user", "service.edit", "service.test", "service.remove"),
            *("products.threshold", "overview.step('camera')"),
        ),
        "admin",
    ),
}


def key_text(key: str) -> str:
    """A key as people call it."""
    return KEY_DISPLAYS.get(key, key.replace("ctrl+", "^"))


@dataclass(frozen=True)
class Action:
    id: str
    keys: str
    """Separated by commas, "" for an action that only the palette and the mouse run."""
    title: str
    short: str = ""
    """The text in the key bar, "" to leave the action out."""
    help: str = ""
    changes: bool = False
    """Whether the action changes anything; `--read-only` hides it then."""

    @property
    def role(self) -> str:
        """The least role that the service asks for, "" for none."""
        return ROLES.get(self.id, "")

    @property
    def screen(self) -> str:
        return self.id.partition(".")[0]

    @property
    def method(self) -> str:
        """The name of the method that Textual calls, without `action_`."""
        return self.id.partition(".")[2]

    @property
    def opens_screen(self) -> bool:
        """Whether all it does is to open a screen."""
        return self.id.startswith("app.go(")

    def binding(self) -> Binding:
        first = self.keys.partition(",")[0]
        return Binding(
            self.keys,
            self.method,
            self.short or self.title,
            show=bool(self.short),
            id=self.id,
            tooltip=self.help,
            key_display=key_text(first),
        )


def _screen_actions() -> list[Action]:
    return [
        Action(f"app.go('{entry.name}')", entry.key, f"Go to {entry.title}", help=f"Open the {entry.title} screen")
        for entry in SCREENS.values()
    ]


def _relative_actions() -> Iterator[Action]:
    for screen, (first, *more) in RELATIVES.items():
        help_text = f"Open {first.title}; Backspace returns"
        yield Action(f"{screen}.relative", "o", f"Go to {first.title}", f"→{SCREENS[first.screen].title}", help_text)
        titles = ", ".join(relative.title for relative in (first, *more))
        yield Action(f"{screen}.relatives", "O", "Go to a relative", help=titles)


ACTIONS: tuple[Action, ...] = (
    *_screen_actions(),
    Action("app.help", "question_mark,f1", "Help", "Help", "The keys that work now and what they do"),
    Action("app.go_menu", "comma", "All screens", "Screens", "A letter opens any screen"),
    Action("app.previous", "backspace", "Back", help="The screen you came from"),
    Action("app.command_palette", "colon,ctrl+p", "Commands", "Commands", "Find any action by name"),
    Action("app.next_theme", "f2", "Next theme", help="Dark, light, high contrast, terminal colours"),
    Action("app.bandwidth", "f3", "Low bandwidth on or off", help="Fewer updates, for a slow connection"),
    Action("app.login", "f4", "Log in to the service", help="In this console only, or for the site"),
    Action("app.logout", "f6", "Log out of the service", help="In this console; the token from .env is used again"),
    Action(
        "app.password", "f7", "Change my password", help="For the current user; ends their other logins", changes=True
    ),
    Action("app.choose_service", "f8", "Choose the inference service", help="When several are running"),
    Action("app.quit", "q,ctrl+q", "Quit", "Quit", "Close the console; operations continue"),
    Action("app.redraw", "ctrl+l", "Redraw the screen", help="When another program wrote over it"),
    Action("panel.jump", "J,ctrl+g", "Jump to a panel", help="Each panel shows a letter, which focuses it"),
    Action("panel.full_screen", "Z", "Full screen", help="The focused panel fills the terminal, and back"),
    Action("overview.copy", "y", "Copy", "Copy", "Copy all panels to this terminal's clipboard"),
    Action("overview.refresh", "f5", "Refresh", "Refresh", "Ask every source now"),
    Action("overview.steps", "f", "First steps", "Steps", "The way to a live camera; the same key or Esc hides it"),
    Action("overview.step('engine')", "e", "First steps: engine", help="What to install here to get one"),
    Action("overview.step('preset')", "p", "First steps: preset", help="Choose the one that they follow", changes=True),
    Action("overview.step('lock')", "l", "First steps: lock", help="Pin every file of the image", changes=True),
    Action("overview.step('sync')", "s", "First steps: sync", help="Download the locked files", changes=True),
    Action("overview.step('build')", "b", "First steps: build", help="Build the image without network", changes=True),
    Action(
        "overview.step('launch')", "L", "First steps: launch", help="Start a container from the image", changes=True
    ),
    Action("overview.step('up')", "U", "First steps: up", help="Lock, sync, build and launch at once", changes=True),
    Action("overview.step('camera')", "a", "First steps: camera", help="Add a camera to the service", changes=True),
    Action("list.search", "slash", "Search", "Search", "Show only rows with these words; !word excludes"),
    Action(
        "list.sort_right",
        "greater_than_sign",
        "Sort by the next column",
        help="Past the last one, the list has its own order",
    ),
    Action(
        "list.sort_left",
        "less_than_sign",
        "Sort by the previous column",
        help="Past the first one, the list has its own order",
    ),
    Action("list.sort_reverse", "I", "Reverse the order", help="The third time, the list has its own order again"),
    Action("list.copy", "y", "Copy", help="Copy the details to this terminal's clipboard"),
    Action("list.refresh", "f5", "Refresh", help="Ask every source of this screen now"),
    # presets
    Action("presets.check_target", "c", "Check for another GPU", "Check", "Findings for a GPU and driver you enter"),
    Action("presets.suggest", "u", "Suggest versions", "Suggest", "The newest versions that work on a GPU"),
    Action("presets.up", "U", "Up", "Up", "Lock, sync, build and launch; skip what is done", changes=True),
    Action("presets.lock", "l", "Lock", "Lock", "Pin every file of the image by size and SHA-256", changes=True),
    Action("presets.sync", "s", "Sync", "Sync", "Make the artifacts match the lock", changes=True),
    Action("presets.build", "b", "Build", "Build", "Build the image without network access", changes=True),
    Action("presets.launch", "L", "Launch", "Launch", "Start a container from the image", changes=True),
    Action("presets.edit", "e", "Edit preset", "Edit", "Change the preset; findings are shown beside it", changes=True),
    Action("presets.new", "n", "New preset", "New", "Create a preset", changes=True),
    Action("presets.duplicate", "d", "Duplicate preset", help="Copy it to a new name", changes=True),
    Action("presets.rename", "r", "Rename preset", help="Give it another name", changes=True),
    Action("presets.delete", "X", "Delete preset", help="Delete the file; artifacts and images stay", changes=True),
    # artifacts
    Action("artifacts.lock", "l", "Lock", "Lock", "Pin every file of the image by size and SHA-256", changes=True),
    Action(
        "artifacts.upgrade",
        "U",
        "Lock again with newer versions",
        "Upgrade",
        "Take the newest versions allowed",
        changes=True,
    ),
    Action("artifacts.sync", "s", "Sync", "Sync", "Download missing files, replace corrupt ones", changes=True),
    Action("artifacts.verify", "v", "Verify", "Verify", "Read every file and check its SHA-256", changes=True),
    Action("artifacts.follow", "f", "Follow the operation", "Follow", "Open the newest operation of this preset"),
    # builds
    Action("builds.stages", "t", "Stages and log", "Stages", "The stages of this build and its log"),
    Action("builds.compare", "m", "Compare", "Compare", "With the marked build (space): what made it slower?"),
    Action("builds.build", "b", "Build again", "Build", "Build this preset's image again", changes=True),
    # carry
    Action("carry.pack", "p", "Pack", "Pack", "Put presets with all they need onto the medium", changes=True),
    Action("carry.unpack", "u", "Unpack", "Unpack", "Take the newest shipment into this site", changes=True),
    Action("carry.check", "v", "Check", "Check", "Read every byte of the newest shipment", changes=True),
    Action("carry.name", "a", "Name a folder", "Folder", "List a folder, or ssh://…, as a medium"),
    Action("carry.create_key", "c", "Create a signing key", "Key", "The key that signs shipments", changes=True),
    Action("carry.follow", "f,enter", "Follow the operation", "Follow", "Open the newest operation of this medium"),
    # containers
    Action("containers.logs", "l", "Logs", "Logs", "Follow the container's log"),
    Action("containers.inspect", "i", "Inspect", "Inspect", "Everything the engine knows about the container"),
    Action("containers.shell", "e", "Shell", "Shell", "A shell inside the container", changes=True),
    Action("containers.command", "E", "Run a command", "Command", "Any command inside the container", changes=True),
    Action("containers.restart", "r", "Restart", "Restart", "Stop the container and start it again", changes=True),
    Action("containers.stop", "s", "Stop", "Stop", "Stop the container; it can be started again", changes=True),
    Action("containers.remove", "X", "Remove", "Remove", "Remove the container; volumes stay", changes=True),
    # stacks
    Action("stacks.up", "U", "Up", "Up", "Bring the stack in line with its files; shows the plan", changes=True),
    Action("stacks.up_service", "u", "Up, only this service", "Up one", "And what it waits for", changes=True),
    Action("stacks.start", "S", "Start", "Start", "Start what is stopped: the service, or the stack", changes=True),
    Action("stacks.stop", "s", "Stop", "Stop", "The service, or the stack; asks first", changes=True),
    Action("stacks.restart", "r", "Restart", "Restart", "The service, or the stack; asks first", changes=True),
    Action("stacks.down", "X", "Down", "Down", "Remove the stack's containers; its volumes stay", changes=True),
    Action("stacks.logs", "l", "Logs", "Logs", "Go to the log of the service"),
    Action("stacks.follow", "f,enter", "Follow the operation", "Follow", "Open the newest operation of this stack"),
    # processes
    Action("processes.kill", "X", "End the process", "Kill", "Ask it to end, or kill it; asks first", changes=True),
    # engine
    Action("engine.kind", "t", "Only one kind", "Kind", "Images, volumes, networks, build cache, then all again"),
    Action("engine.events", "l", "Events", "Events", "Go to the engine's events, to search and scroll them"),
    Action("engine.remove", "X", "Remove image", "Remove", "The image under the cursor; asks first", changes=True),
    Action("engine.clean", "c", "Clean up", "Clean", "Show what nothing needs any more, then remove it", changes=True),
    # cameras
    Action("cameras.add", "a", "Add a camera", "Add", "A form with a connection test", changes=True),
    Action("cameras.edit", "e", "Edit the camera", "Edit", "All settings, with a connection test", changes=True),
    Action(
        "cameras.lower", "minus", "Lower the threshold", "Lower", "By 0.01; sent when you stop pressing", changes=True
    ),
    Action(
        "cameras.raise",
        "plus,equals_sign",
        "Raise the threshold",
        "Raise",
        "By 0.01; sent when you stop pressing",
        changes=True,
    ),
    Action("cameras.learn", "l", "Learn what is normal", "Learn", "Then it scores with its memory bank", changes=True),
    Action("cameras.large", "enter", "Large picture", help="The camera's picture in full size"),
    Action("cameras.picture", "v", "Picture now", "Picture", "Fetch a new picture (also with low bandwidth)"),
    Action(
        "cameras.start_stop", "s", "Start or stop", "Start/stop", "A stopped camera stays in the list", changes=True
    ),
    Action("cameras.restart", "r", "Restart", "Restart", "Disconnect and connect again; asks first", changes=True),
    Action(
        "cameras.suspend",
        "z",
        "Suspend notifications",
        "Suspend",
        "For some minutes; events are still recorded",
        changes=True,
    ),
    Action(
        "cameras.remove",
        "X",
        "Remove the camera",
        "Remove",
        "Remove it from the service; its events stay",
        changes=True,
    ),
    # events
    Action("events.acknowledge", "a", "Acknowledge", "Ack", "This event, or all marked ones (space)", changes=True),
    Action(
        "events.acknowledge_all",
        "A",
        "Acknowledge all",
        "Ack all",
        "All that match the filter; asks first",
        changes=True,
    ),
    Action("events.open", "u", "Only waiting events", "Waiting", "Hide or show acknowledged events"),
    Action("events.camera", "c", "Only this camera", "Camera", "Show one camera's events, or all again"),
    Action("events.filter", "f", "Filter", "Filter", "Camera, type, priority, score, time, text, order"),
    Action("events.large", "enter", "Large picture", help="The event's picture in full size"),
    Action("events.picture", "v", "Picture now", "Picture", "Fetch it again (also with low bandwidth)"),
    Action("events.clip", "s", "Save the clip", "Clip", "Save the recording to a file", changes=True),
    Action("events.export", "x", "Export", "Export", "Marked events, else all that match the filter", changes=True),
    Action(
        "events.protect",
        "p",
        "Protect or unprotect",
        "Protect",
        "Keep its clip and picture from being deleted",
        changes=True,
    ),
    # statistics
    Action("statistics.range", "d", "Days shown", "Days", "7, 30 or 90"),
    Action("statistics.earlier", "left", "Earlier", "Earlier", "The previous days"),
    Action("statistics.later", "right", "Later", "Later", "The next days"),
    Action("statistics.camera", "c", "Only one camera", "Camera", "Show one camera, or all again"),
    # service
    Action("service.rule", "n", "New rule", "Rule", "Who is notified of which events", changes=True),
    Action("service.user", "u", "New user", "User", "Who can log in, with which role", changes=True),
    Action("service.edit", "e", "Edit", "Edit", "The rule or user under the cursor", changes=True),
    Action(
        "service.test", "t", "Send a test message", "Test", "Over every channel of the rule; asks first", changes=True
    ),
    Action("service.remove", "X", "Remove", "Remove", "The rule or user under the cursor", changes=True),
    # products
    Action("products.normal", "n", "Rebuild the normal index", "Normal", "Of all normal pictures", changes=True),
    Action("products.defect", "d", "Rebuild the defect index", "Defect", "Of all defect pictures", changes=True),
    Action("products.bank", "b", "Rebuild the memory bank", "Bank", "Of the product under the cursor", changes=True),
    Action("products.all_banks", "B", "Rebuild all memory banks", "All banks", "One after the other", changes=True),
    Action("products.rollback", "r", "Roll back", "Roll back", "The generation before answers again", changes=True),
    Action("products.threshold", "t", "Threshold", "Threshold", "Set it by the scores of known pictures", changes=True),
    Action("products.correct", "c", "Correct the verdict", "Correct", "False alarm, or a missed defect", changes=True),
    Action("products.heat", "h", "Heat map on or off", "Heat map", "Over the picture of the inspection"),
    Action("products.large", "enter", "Large picture", help="The picture of the inspection in full size"),
    Action("products.inspections", "i", "Inspections", "Inspections", "Go to the inspections of the product"),
    Action("products.picture", "v", "Picture now", "Picture", "Fetch it again (also with low bandwidth)"),
    # jobs
    Action("jobs.cancel", "c", "Cancel the job", "Cancel", "It publishes nothing more; asks first", changes=True),
    Action("jobs.retry", "r", "Start again", "Retry", "With the same options; asks first", changes=True),
    Action("jobs.compare", "m", "Compare", "Compare", "With the marked job (space), stage by stage"),
    Action("jobs.filter", "f", "Filter", "Filter", "Kind, state, subject, time"),
    Action("jobs.only_live", "u", "Only live jobs", "Live", "Hide or show jobs that have ended"),
    # settings
    Action("settings.edit", "e", "Change the setting", "Edit", "Its value in site.toml; checked before", changes=True),
    Action(
        "settings.reset", "X", "Remove from site.toml", "Remove", "The default holds then; asks first", changes=True
    ),
    # operations
    Action(
        "operations.cancel",
        "c",
        "Cancel the operation",
        "Cancel",
        "Finished parts stay",
        changes=True,
    ),
    Action("operations.retry", "r", "Start again", "Retry", "It continues from the finished parts", changes=True),
    Action("operations.only_live", "u", "Only running operations", "Running", "Hide or show finished operations"),
    *_relative_actions(),
)
ACTION_BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def bindings(*screens: str) -> list[Binding]:
    """The bindings of all actions of these screens, in the order of the table."""
    return [action.binding() for screen in screens for action in ACTIONS if action.screen == screen and action.keys]
