"""The event pipeline, from decision to end: event, snapshot, facts, analysis, flow, notifications."""
