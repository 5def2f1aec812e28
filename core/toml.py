"""Python's `tomllib`, which 3.10 does not have: `from core.toml import tomllib`."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["tomllib"]
