"""Graphs of histories with a bounded length."""

from __future__ import annotations

from itertools import pairwise

from core.telemetry.history import History
from tui.widgets.sparkline import sparkline


def test_bars_follow_the_values() -> None:
    assert sparkline([0, 50, 100], 3, 100) == "▁▅█"
    assert sparkline([100], 4, 100) == "   █"
    assert sparkline([], 3) == "   "
    assert sparkline([0, 0], 2) == "▁▁"
    assert sparkline([1, 900, 1, 1], 2, 1000, step=2) == "▇▁"


def test_a_full_history_keeps_its_bars_when_it_moves_on() -> None:
    """Otherwise every bar of a long-running graph would change with every value, and be sent again."""
    step, history = 5, History(50)
    drawn = []
    for value in range(90):
        history.add(value * 37 % 101)
        drawn.append(sparkline(history.values()[-history.dropped % step :], 12, 100, step=step).strip())
    for before, after in pairwise(drawn[60:]):
        assert after[:-1] in (before[:-1], before, before[1:]) or after.startswith(before[1:-1])
