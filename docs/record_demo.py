"""Records `./xaiva demo` for the README, as an animated picture of a terminal.

python docs/record_demo.py            docs/screenshots/demo.gif; needs rsvg-convert and FFmpeg

A scene begins when the screen shows what the scene is about: the time until then is cut out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from pyte.screens import Char, Screen

    from tests.support.pty_session import PtySession

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "screenshots" / "demo.gif"
COLUMNS, ROWS = 110, 32
CELL = (9, 17)  # pixels
FONT_SIZE = CELL[0] / 0.60205  # of DejaVu Sans Mono, whose characters are so wide
FRAMES_PER_SECOND = 5
LONGEST_WAIT = 300  # seconds
COMMAND = b"$ ./xaiva demo\r\n"
GRAPHICS = re.compile(rb"\x1b_.*?\x1b\\", re.DOTALL)  # a question that the emulated terminal does not know
COLOURS = {"default": ("d8d8d8", "101418"), "black": ("000000",) * 2, "white": ("ffffff",) * 2}


class Scene(NamedTuple):
    """Keys, the sign that the screen shows what they lead to, and how long it is looked at, in seconds."""

    keys: tuple[str, ...]
    sign: Callable[[str], bool]
    seconds: float


def _has(*words: str) -> Callable[[str], bool]:
    return lambda text: all(word in text for word in words)


def _has_picture(text: str, *, cells: int = 200) -> bool:
    return sum(map(text.count, "▀▄")) > cells


def _has_large_picture(text: str) -> bool:
    return _has_picture(text, cells=1200)


def _has_anomaly_with_clip(text: str) -> bool:
    return _has_picture(text) and re.search(r"anomaly, priority.*clip +\d+ s", text, re.DOTALL) is not None


SCENES = (
    Scene((), _has("starting the inference service"), 1.5),
    Scene((), _has("Overview", "● live"), 3.5),
    Scene(("6",), _has_picture, 4),
    Scene(("enter",), _has_large_picture, 6),
    Scene(("escape", "8", "/", *"anomaly", "enter"), _has_anomaly_with_clip, 4.5),
    Scene(("enter",), _has_large_picture, 3.5),
    Scene(("escape", "s"), _has("Save the clip", ".mp4"), 2),
    Scene(("enter",), _has("saved"), 2.5),
    Scene(("9",), _has("By camera", "anomaly"), 4),
)


def record(terminal: PtySession) -> list[tuple[float, float]]:
    """Walk through the scenes. Returns the start and the end of each, in the time of the terminal's chunks."""
    times = []
    for scene in SCENES:
        terminal.press(*scene.keys)
        terminal.wait_for(scene.sign, LONGEST_WAIT)
        begin = time.monotonic()
        time.sleep(scene.seconds)
        times.append((begin, begin + scene.seconds))
    return times


def frames(chunks: list[tuple[float, bytes]], scenes: list[tuple[float, float]]) -> Iterator[str]:
    """The screen in each moment of the scenes, as SVG."""
    from tests.support.terminal_emulator import ByteStream, Screen

    screen = Screen(COLUMNS, ROWS)
    stream = ByteStream(screen)
    stream.feed(COMMAND)
    fed = 0
    for begin, end in scenes:
        for number in range(round((end - begin) * FRAMES_PER_SECOND)):
            until = begin + number / FRAMES_PER_SECOND
            waiting = [data for at, data in chunks[fed:] if at <= until]
            fed += len(waiting)
            stream.feed(GRAPHICS.sub(b"", b"".join(waiting)))
            yield to_svg(screen)


def to_svg(screen: Screen) -> str:
    """A picture of the screen."""
    width, height = CELL[0] * COLUMNS, CELL[1] * ROWS
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" shape-rendering="crispEdges" '
        f'font-family="DejaVu Sans Mono" font-size="{FONT_SIZE}"><rect width="100%" height="100%" '
        f'fill="#{COLOURS["default"][1]}"/>'
    ]
    for row in range(ROWS):
        column = 0
        for (foreground, background, bold, kind), run in groupby(
            (screen.buffer[row][column] for column in range(COLUMNS)), key=_style
        ):
            text = "".join(cell.data for cell in run)
            parts += _drawn(text, column, row, foreground, background, bold, kind)
            column += len(text)
    return "\n".join([*parts, "</svg>"])


def _style(cell: Char) -> tuple[str, str, bool, str]:
    """The colours, whether it is bold, and the character itself where the font must not decide on its place."""
    foreground, background = _colour(cell.fg, 0), _colour(cell.bg, 1)
    if cell.reverse:
        foreground, background = background, foreground
    return foreground, background, cell.bold, "" if cell.data.isascii() else cell.data


def _colour(name: str, which: int) -> str:
    return COLOURS[name][which] if name in COLOURS else name


def _drawn(text: str, column: int, row: int, foreground: str, background: str, bold: bool, kind: str) -> Iterator[str]:
    """A run of characters of one style; all are the same if `kind` is not empty."""
    x, y, width = column * CELL[0], row * CELL[1], len(text) * CELL[0]
    yield f'<rect x="{x}" y="{y}" width="{width}" height="{CELL[1]}" fill="#{background}"/>'
    half = CELL[1] / 2
    if kind in ("▀", "▄", "█"):
        top, tall = (y + half, half) if kind == "▄" else (y, half if kind == "▀" else CELL[1])
        yield f'<rect x="{x}" y="{top}" width="{width}" height="{tall}" fill="#{foreground}"/>'
    elif text.strip():
        weight = ' font-weight="bold"' if bold else ""
        words = [(x, text)] if not kind else [(x + number * CELL[0], kind) for number in range(len(text))]
        for left, word in words:
            yield (
                f'<text xml:space="preserve" x="{left}" y="{y + 0.78 * CELL[1]}" fill="#{foreground}"{weight}>'
                f"{escape(word)}</text>"
            )


def draw(chunks: list[tuple[float, bytes]], scenes: list[tuple[float, float]]) -> None:
    """The animated picture of the scenes."""
    with tempfile.TemporaryDirectory() as folder:
        before = ""
        for number, picture in enumerate(frames(chunks, scenes)):
            path = Path(folder, f"{number:04}.png")
            if picture == before:
                shutil.copy(path.with_name(f"{number - 1:04}.png"), path)
            else:
                subprocess.run(["rsvg-convert", "-o", str(path)], input=picture.encode(), check=True)
            before = picture
        colours = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
        command = ["ffmpeg", "-loglevel", "error", "-y", "-framerate", str(FRAMES_PER_SECOND)]
        subprocess.run([*command, "-i", f"{folder}/%04d.png", "-vf", colours, str(TARGET)], check=True)


def main() -> None:
    """Record the demo and draw it."""
    sys.path.insert(0, str(ROOT))
    from tests.support.pty_session import PtySession

    with PtySession([str(ROOT / "xaiva"), "demo"], columns=COLUMNS, rows=ROWS) as terminal:
        scenes = record(terminal)
        terminal.press("q")
        terminal.wait_end(LONGEST_WAIT)
    draw(terminal.chunks, scenes)


if __name__ == "__main__":
    main()
