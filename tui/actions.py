"""Every action of the console, named once: its key, its words, and whether it is for visitors too.

Screens make their bindings from this table, the command palette lists it, the help screen explains it, and
`--read-only` hides what changes anything. `id` is `<screen>.<method>`; screen `app` means everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

KEY_DISPLAYS = {"question_mark": "?", "colon": ":", "slash": "/", "minus": "-", "plus": "+", "left": "←", "right": "→"}


@dataclass(frozen=True)
class Action:
    """One action. `short` stands in the key bar ("" to keep it out); `changes`: not for visitors."""

    id: str
    keys: str
    title: str
    short: str = ""
    help: str = ""
    changes: bool = False

    @property
    def screen(self) -> str:
        """The screen it belongs to."""
        return self.id.partition(".")[0]

    @property
    def method(self) -> str:
        """What Textual calls: `action_<method>`."""
        return self.id.partition(".")[2]

    def binding(self) -> Binding:
        """The binding with this action's keys."""
        first = self.keys.partition(",")[0]
        return Binding(
            self.keys,
            self.method,
            self.short or self.title,
            show=bool(self.short),
            id=self.id,
            tooltip=self.help,
            key_display=KEY_DISPLAYS.get(first, first),
        )


SCREENS: dict[str, tuple[str, str]] = {  # screen → (key, title)
    "overview": ("1", "Overview"),
    "presets": ("2", "Presets"),
    "artifacts": ("3", "Artifacts"),
    "builds": ("4", "Builds"),
    "containers": ("5", "Containers"),
    "cameras": ("6", "Cameras"),
    "operations": ("7", "Operations"),
    "events": ("8", "Events"),
    "statistics": ("9", "Statistics"),
    "service": ("0", "Service"),
}
SHORT_TITLES: dict[str, str] = {  # where the tab bar has no room for the whole titles
    "overview": "Over",
    "presets": "Pres",
    "artifacts": "Arti",
    "builds": "Build",
    "containers": "Cont",
    "cameras": "Cams",
    "operations": "Oper",
    "events": "Events",
    "statistics": "Stat",
    "service": "Serv",
}


def _screen_actions() -> list[Action]:
    return [
        Action(f"app.go('{name}')", key, f"Go to {title}", help=f"Open the {title} screen")
        for name, (key, title) in SCREENS.items()
    ]


ACTIONS: tuple[Action, ...] = (
    *_screen_actions(),
    Action("app.help", "question_mark,f1", "Help", "Help", "The keys in view and what they do"),
    Action("app.command_palette", "colon,ctrl+p", "Commands", "Commands", "Find any action by its name"),
    Action("app.next_theme", "f2", "Next theme", help="Dark, light, high contrast, the terminal's own colours"),
    Action("app.bandwidth", "f3", "Low bandwidth on or off", help="Fewer updates, for a thin line"),
    Action("app.login", "f4", "Log in to the service", help="In this console alone, or for the site"),
    Action("app.logout", "f6", "Log out of the service", help="In this console; the token from .env counts again"),
    Action(
        "app.password", "f7", "Change my password", help="Of who is logged in; ends their other logins", changes=True
    ),
    Action("app.choose_service", "f8", "Choose the inference service", help="Of several that run, by name"),
    Action("app.quit", "q,ctrl+q", "Quit", "Quit", "Leave the console; operations go on without it"),
    Action("app.redraw", "ctrl+l", "Draw again", help="When something else wrote over the screen"),
    Action("overview.copy", "y", "Copy", "Copy", "Copy all panels to this terminal's clipboard"),
    Action("overview.refresh", "f5", "Ask again", "Ask again", "Ask every source now"),
    Action("list.search", "slash", "Search", "Search", "Keep the rows that have these words; !word excludes"),
    Action("list.copy", "y", "Copy", help="Copy what is selected to this terminal's clipboard"),
    Action("list.refresh", "f5", "Ask again", help="Ask every source of this screen now"),
    # presets
    Action("presets.check_target", "c", "Check for another GPU", "Check", "Findings for a GPU and driver you name"),
    Action("presets.suggest", "u", "Suggest versions", "Suggest", "The newest combinations that work on a GPU"),
    Action("presets.lock", "l", "Lock", "Lock", "Name every file the image needs, by size and SHA-256", changes=True),
    Action("presets.sync", "s", "Sync", "Sync", "Bring the artifacts in line with the lock", changes=True),
    Action("presets.build", "b", "Build", "Build", "Build the image with the network off", changes=True),
    Action("presets.launch", "L", "Launch", "Launch", "Start a container from the image", changes=True),
    Action("presets.edit", "e", "Edit preset", "Edit", "Change the preset, with findings beside it", changes=True),
    Action("presets.new", "n", "New preset", "New", "Write a new preset", changes=True),
    Action("presets.duplicate", "d", "Duplicate preset", help="Copy it under another name", changes=True),
    Action("presets.rename", "r", "Rename preset", help="Give it another name", changes=True),
    Action("presets.delete", "X", "Delete preset", help="Remove the file; artifacts and images stay", changes=True),
    # artifacts
    Action("artifacts.lock", "l", "Lock", "Lock", "Name every file the image needs, by size and SHA-256", changes=True),
    Action(
        "artifacts.upgrade",
        "U",
        "Lock again with newer versions",
        "Upgrade",
        "Take the newest versions allowed",
        changes=True,
    ),
    Action("artifacts.sync", "s", "Sync", "Sync", "Fetch what is missing, replace what is corrupt", changes=True),
    Action("artifacts.verify", "v", "Verify", "Verify", "Read every file and compare its SHA-256", changes=True),
    Action("artifacts.follow", "f", "Follow the operation", "Follow", "Open the operation that holds this preset"),
    # builds
    Action("builds.stages", "t", "Stages and log", "Stages", "The stages of this build and its log"),
    Action("builds.compare", "m", "Compare", "Compare", "With the build marked by space: why slower?"),
    Action("builds.build", "b", "Build again", "Build", "Build this preset's image again", changes=True),
    # containers
    Action("containers.logs", "l", "Logs", "Logs", "Follow the container's log"),
    Action("containers.inspect", "i", "Inspect", "Inspect", "Everything the engine knows about it"),
    Action("containers.shell", "e", "Shell", "Shell", "A shell inside the container", changes=True),
    Action("containers.restart", "r", "Restart", "Restart", "Stop it and start it again", changes=True),
    Action("containers.stop", "s", "Stop", "Stop", "Stop it; it can be started again", changes=True),
    Action("containers.remove", "X", "Remove", "Remove", "Remove the container; volumes stay", changes=True),
    # cameras
    Action("cameras.add", "a", "Add a camera", "Add", "A form with a connection test", changes=True),
    Action("cameras.edit", "e", "Edit the camera", "Edit", "Every setting of it, with a connection test", changes=True),
    Action("cameras.lower", "minus", "Lower the threshold", "Lower", "By 0.01, sent when you stop", changes=True),
    Action("cameras.raise", "plus,equals_sign", "Raise the threshold", "Raise", "By 0.01", changes=True),
    Action("cameras.learn", "l", "Learn what is normal", "Learn", "Then it scores with what it learned", changes=True),
    Action("cameras.large", "enter", "Large picture", help="The camera's picture as large as the terminal"),
    Action("cameras.picture", "v", "Picture now", "Picture", "A fresh picture: how a thin line gets any"),
    Action(
        "cameras.start_stop", "s", "Start or stop", "Start/stop", "A stopped camera stays in the list", changes=True
    ),
    Action("cameras.restart", "r", "Restart", "Restart", "Cut it off and connect again; asks first", changes=True),
    Action("cameras.suspend", "z", "Suspend notifications", "Suspend", "For a while; events are kept", changes=True),
    Action("cameras.events", "o", "Its events", "Events", "The screen Events, of this camera alone"),
    Action("cameras.remove", "X", "Remove the camera", "Remove", "The service forgets it; events stay", changes=True),
    # events
    Action("events.acknowledge", "a", "Acknowledge", "Ack", "This event, or all marked by space", changes=True),
    Action(
        "events.acknowledge_all", "A", "Acknowledge all", "Ack all", "All the filter shows; asks first", changes=True
    ),
    Action("events.open", "u", "Only those that wait", "Waiting", "Hide or show what is acknowledged"),
    Action("events.camera", "c", "Only of this camera", "Camera", "Or of all again"),
    Action("events.filter", "f", "Filter", "Filter", "Camera, type, priority, score, time, text, order"),
    Action("events.large", "enter", "Large picture", help="The event's picture as large as the terminal"),
    Action("events.picture", "v", "Picture now", "Picture", "Fetch it again: how a thin line gets any"),
    Action("events.clip", "s", "Save the clip", "Clip", "Into a file, whole or not at all", changes=True),
    Action(
        "events.export", "x", "Export", "Export", "The marked, else all the filter finds, as CSV or JSON", changes=True
    ),
    Action("events.protect", "p", "Protect or release", "Protect", "Keep its clip when older ones go", changes=True),
    # statistics
    Action("statistics.range", "d", "Days shown", "Days", "7, 30 or 90"),
    Action("statistics.earlier", "left", "Earlier", "Earlier", "The days before"),
    Action("statistics.later", "right", "Later", "Later", "The days after"),
    Action("statistics.camera", "c", "Of one camera", "Camera", "Or of all again"),
    # service
    Action("service.rule", "n", "New rule", "Rule", "Who is notified of which events", changes=True),
    Action("service.user", "u", "New user", "User", "Who may log in, and as what", changes=True),
    Action("service.edit", "e", "Edit", "Edit", "The rule or user under the cursor", changes=True),
    Action(
        "service.test", "t", "Send a test message", "Test", "Over every channel of the rule; asks first", changes=True
    ),
    Action("service.remove", "X", "Remove", "Remove", "The rule or user under the cursor", changes=True),
    # operations
    Action(
        "operations.cancel",
        "c",
        "Cancel the operation",
        "Cancel",
        "What is complete stays",
        changes=True,
    ),
    Action("operations.retry", "r", "Start it again", "Retry", "It goes on from what is complete", changes=True),
    Action("operations.only_live", "o", "Only running ones", "Running", "Hide the operations that are over"),
)
ACTION_BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def bindings(*screens: str) -> list[Binding]:
    """The bindings of all actions of these screens, in the order of the table."""
    return [action.binding() for screen in screens for action in ACTIONS if action.screen == screen]
