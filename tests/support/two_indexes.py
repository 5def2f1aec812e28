"""A site whose machine has a public package index, beside a private one of the preset."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.artifacts import lock, lock_store
from core.artifacts.lockfile import Lock
from core.site import Site
from tests.support.artifacts import RecordingProgress
from tests.support.index import Index

NAME = "small"
LOGIN = "__token__:s3cret"
LOGIN_PAGE = '<html><body><form action="/login"><input name="user"></form><a href="/help">Help</a></body></html>'
PUBLIC = [
    ("six", "1.16.0", ""),
    ("six", "9.9", ""),
    ("idna", "3.6", ""),
    ("needs_six", "1.0", "Requires-Dist: six\n"),
    ("needs_ours", "1.0", "Requires-Dist: ours-tool\n"),
    ("ours_tool", "99.0", ""),
]
PRIVATE = [
    ("six", "1.16.0", ""),
    ("ours_tool", "1.0", "Requires-Dist: idna\n"),
    ("ours_app", "1.0", "Requires-Dist: six\n"),
]


@dataclass
class World:
    """A site whose machine has one public index, and a private one beside it, which needs a login."""

    site: Site
    public: Index
    private: Index

    def lock(self, common: list[str], index: dict[str, object] | None, token: str = "s3cret", **more: object) -> Lock:
        """The lock of a preset with one layer and one index of its own; `more` are further keys of the preset."""
        indexes = [
            {"name": "ours", "url": f"{self.private.url}/simple", "token_variable": "OUR_TOKEN", **(index or {})}
        ]
        preset = {
            "base_image": "debian:bookworm-slim",
            "python_version": "3.11",
            "layers": [{"name": "common", "requirements": common}],
            "inference_service": False,
            "indexes": indexes if index is not None else [],
            **more,
        }
        (self.site.presets / f"{NAME}.json").write_text(json.dumps(preset))
        self.progress = RecordingProgress()
        self.outcome = lock.run(self.with_env(OUR_TOKEN=token), NAME, {}, self.progress)
        return lock_store.read_lock(self.site, NAME)

    def with_env(self, **env: str) -> Site:
        return Site(self.site.root, self.site.settings, {**self.site.env, **env})
