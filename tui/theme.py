"""The console's themes. Each has the same colours for states: ok, warning, error, stale."""

from __future__ import annotations

from textual.theme import Theme

DARK_THEME = Theme(
    name="xaiva-dark",
    primary="#6cb6c9",
    secondary="#4a7f8c",
    accent="#d9b36c",
    success="#7fbf8e",
    warning="#e0b25c",
    error="#e2777a",
    foreground="#d7dce0",
    background="#14181c",
    surface="#181d22",
    panel="#222a31",
    dark=True,
    variables={
        "xaiva-dim": "#7d8a94",
        "xaiva-stale": "#b497c6",
        "xaiva-frame": "#34404a",
        "xaiva-cursor": "#274653",
        "xaiva-cursor-idle": "#222c33",
    },
)
LIGHT_THEME = Theme(
    name="xaiva-light",
    primary="#1d6f86",
    secondary="#3f8496",
    accent="#8a5b00",
    success="#1f7a3a",
    warning="#8f6100",
    error="#b3282d",
    foreground="#20262b",
    background="#f6f7f5",
    surface="#f6f7f5",
    panel="#e7eae8",
    dark=False,
    variables={
        "xaiva-dim": "#66717a",
        "xaiva-stale": "#7a4f96",
        "xaiva-frame": "#b9c2c6",
        "xaiva-cursor": "#cfe4ea",
        "xaiva-cursor-idle": "#e3e9ea",
    },
)
CONTRAST_THEME = Theme(
    name="xaiva-contrast",
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffff00",
    success="#00ff00",
    warning="#ffff00",
    error="#ff6060",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    dark=True,
    variables={
        "xaiva-dim": "#d0d0d0",
        "xaiva-stale": "#ff80ff",
        "xaiva-frame": "#ffffff",
        "xaiva-cursor": "#0000c0",
        "xaiva-cursor-idle": "#404040",
    },
)
CONSOLE_THEMES = (DARK_THEME, LIGHT_THEME, CONTRAST_THEME)
TERMINAL_THEME = "ansi-dark"  # the terminal's own colours: 40 % fewer bytes
THEME_NAMES = (*(theme.name for theme in CONSOLE_THEMES), TERMINAL_THEME)
TERMINAL_VARIABLES = {  # for Textual's themes
    "xaiva-dim": "ansi_bright_black",
    "xaiva-stale": "ansi_magenta",
    "xaiva-frame": "ansi_bright_black",
    "xaiva-cursor": "ansi_blue",
    "xaiva-cursor-idle": "ansi_bright_black",
}
