"""The event pipeline: event on disk, snapshot, facts, analysis, flow, notifications."""
