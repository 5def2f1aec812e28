"""Histories are bounded, name the time that they span, and have a gap where nobody asked."""

from __future__ import annotations

from core.telemetry.history import Trend, Trends


def test_trends_are_bounded_and_say_how_long_they_are() -> None:
    trends = Trends(length=6, step=2, gap_seconds=10)
    for moment in range(20):
        kept = trends.add({"a": {"cpu": moment}}, now=moment)
    assert kept["a"]["cpu"] == Trend([14, 15, 16, 17, 18, 19], 5, 2)
    assert trends.add({"a": {"cpu": 20}}, now=20)["a"]["cpu"] == Trend([16, 17, 18, 19, 20], 4, 2)  # whole groups


def test_a_gap_is_no_value_and_others_are_forgotten() -> None:
    trends = Trends(length=6, step=2, gap_seconds=10)
    trends.add({"a": {"cpu": 1}, "b": {"cpu": 2}}, now=0)
    assert trends.add({"a": {"cpu": 3}}, now=60)["a"]["cpu"] == Trend([1, None, None, 3], 60, 2)
    assert trends.add({"b": {"cpu": 4}}, now=61)["b"]["cpu"] == Trend([4], 0, 2)
