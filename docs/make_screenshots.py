"""Makes the pictures of the documentation: every screen at both sizes, over the sample site of the tests.

python docs/make_screenshots.py            docs/screenshots/*.png, or *.svg without rsvg-convert
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "screenshots"
SIZES = ((160, 45), (80, 24))
PNG_WIDTH = {160: 1200, 80: 760}
KEYS = {":": "colon", "/": "slash", ".": "full_stop", "@": "at"}
ADDRESS = [KEYS.get(character, character) for character in "rtsp://user:password@10.0.0.7/stream1"]
VIEWS: dict[str, tuple[str, ...]] = {
    "overview": ("1",),
    "first-steps": ("1", "f"),
    "presets": ("2", "down", "down"),
    "editor": ("2", "down", "e"),
    "artifacts": ("3", "down"),
    "builds": ("4", "down"),
    "carry": ("comma", "y"),
    "containers": ("5",),
    "stacks": ("comma", "k", "down", "down"),
    "engine": ("comma", "n", "down"),
    "cameras": ("6",),
    "camera-form": ("6", "e"),
    "camera-add": ("6", "a", *"gate", "tab", *ADDRESS, "ctrl+t"),
    "operations": ("7",),
    "events": ("8",),
    "event-filter": ("8", "f"),
    "statistics": ("9",),
    "service": ("0",),
    "help": ("2", "question_mark"),
    "palette": ("1", "colon"),
    "go-menu": ("5", "comma"),
    "processes": ("comma", "r"),
    "products": ("comma", "d", "down", "down", "v"),
    "jobs": ("comma", "j", "down", "down"),
    "settings": ("comma", "g", "end", "up"),
}
WITH_PICTURE = ("6", "8", "v")
FONT_SIZE = 20.26  # the converter's own font is narrower than the one the SVG is made for
SETTLE = 0.6  # seconds a screen gets to show what it asks for


async def take(view: str, keys: tuple[str, ...], size: tuple[int, int], root: Path) -> Path:
    """One picture, as SVG."""
    import tui.app
    import tui.picture.rate_control
    import tui.widgets.picture_view
    from core.site import Site
    from tests.tui.sample import PARTS, write_logs

    tui.widgets.picture_view.LIVE_SECONDS = tui.widgets.picture_view.SHARPEN_SECONDS = (
        0.05  # a picture is sharp after a few
    )
    tui.picture.rate_control.SHARPER_BELOW_SECONDS = tui.picture.rate_control.COARSER_ABOVE_SECONDS = 60.0
    site = Site.open(root, {"PATH": os.environ["PATH"]})
    write_logs(site)
    app = tui.app.XaivaApp(site, parts=PARTS)
    async with app.run_test(size=size) as pilot:
        for key in keys:
            await pilot.press(key)
            await pilot.pause(SETTLE if key not in WITH_PICTURE else 3 * SETTLE)
            app.tick()
            await pilot.pause()
        path = FOLDER / f"{view}-{size[0]}x{size[1]}.svg"
        path.write_text(app.export_screenshot(title="xaiva"))
    return path


def to_png(path: Path, width: int) -> None:
    """A PNG in the place of the SVG."""
    if converter := shutil.which("rsvg-convert"):
        picture = path.read_text().replace("<text ", '<text xml:space="preserve" ')
        picture = picture.replace("font-size: 20px", f"font-size: {FONT_SIZE}px")
        command = [converter, "-w", str(width), "-o", str(path.with_suffix(".png"))]
        subprocess.run(command, input=picture.encode(), check=True)
        path.unlink()


def main() -> None:
    """All pictures, or those of the views named on the command line."""
    sys.path.insert(0, str(ROOT))
    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or list(VIEWS)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "airport-north"
        shutil.copytree(ROOT / "presets", root / "presets")
        for view in wanted:
            for size in SIZES:
                path = asyncio.run(take(view, VIEWS[view], size, root))
                to_png(path, PNG_WIDTH[size[0]])


if __name__ == "__main__":
    main()
