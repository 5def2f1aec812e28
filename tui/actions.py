"""Every action of the console, named once: its key, its words, and whether a visitor may use it.

Screens make their bindings from this table, the command palette lists it, the help screen explains it, and
`--read-only` hides what changes anything. `id` is `<screen>.<method>`; screen `app` means everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

DISPLAYS = {"question_mark": "?", "colon": ":", "slash": "/"}


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
            key_display=DISPLAYS.get(first, first),
        )


SCREENS: dict[str, tuple[str, str]] = {  # screen → (key, title)
    "overview": ("1", "Overview"),
    "presets": ("2", "Presets"),
    "artifacts": ("3", "Artifacts"),
    "builds": ("4", "Builds"),
    "containers": ("5", "Containers"),
    "cameras": ("6", "Cameras"),
    "operations": ("7", "Operations"),
}


def _goes() -> list[Action]:
    return [
        Action(f"app.go('{name}')", key, f"Go to {title}", help=f"Open the {title} screen")
        for name, (key, title) in SCREENS.items()
    ]


ACTIONS: tuple[Action, ...] = (
    *_goes(),
    Action("app.help", "question_mark,f1", "Help", "Help", "The keys in view and what they do"),
    Action("app.command_palette", "colon,ctrl+p", "Commands", "Commands", "Find any action by its name"),
    Action("app.next_theme", "f2", "Next theme", help="Dark, light, high contrast, the terminal's own colours"),
    Action("app.bandwidth", "f3", "Low bandwidth on or off", help="Fewer updates, for a thin line"),
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
    Action("cameras.add", "a", "Add a camera", "Add", "An RTSP URL or a file; shows whether it connects", changes=True),
    Action("cameras.remove", "X", "Remove the camera", "Remove", "The service forgets the camera", changes=True),
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
BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def bindings(*screens: str) -> list[Binding]:
    """The bindings of all actions of these screens, in the order of the table."""
    return [action.binding() for screen in screens for action in ACTIONS if action.screen == screen]
