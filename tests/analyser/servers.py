"""What chat endpoints answer."""

from __future__ import annotations

import json

from tests.support.receivers import Answer


def chat_answer(text: str) -> Answer:
    """A chat endpoint's answer with that text."""
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}], "usage": {}}
    return Answer(body=json.dumps(body).encode())


def verdict_answer(
    kind: str = "person", description: str = "Somebody climbs the fence.", confidence: float = 0.8
) -> Answer:
    """A chat endpoint's answer that says so."""
    return chat_answer(json.dumps({"type": kind, "description": description, "confidence": confidence}))
