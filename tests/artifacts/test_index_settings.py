"""Index settings of the machine and of a preset, and where tokens go."""

from __future__ import annotations

import os

from core.artifacts.index_settings import pip_config, uv_environment
from core.presets.model import Index


def test_tokens_reach_uv_by_its_environment_only() -> None:
    index = Index(name="my-index", url="https://h.example/simple", token_variable="TOKEN")
    env = uv_environment({"TOKEN": "secret", "PATH": "/bin", "OTHER_SECRET": "x"}, [index])
    assert env["UV_INDEX_MY_INDEX_PASSWORD"] == "secret"
    assert env["UV_INDEX_MY_INDEX_USERNAME"] == "__token__"
    assert "OTHER_SECRET" not in env
    assert "TOKEN" not in env


def test_tokens_reach_pip_by_its_configuration_file_only() -> None:
    index = Index(name="ours", url="https://h.example/simple", token_variable="KEY")
    env = {"KEY": "a/b@c", "UV_DEFAULT_INDEX": "main=https://pip.example/simple", "UV_INDEX": "https://x.test/simple"}
    assert pip_config(env, [index]).splitlines() == [
        "[global]",
        "index-url = https://pip.example/simple",
        "extra-index-url =",
        "    https://x.test/simple",
        "    https://__token__:a%2Fb%40c@h.example/simple",
    ]


def test_pip_settings_stand_in_for_uvs() -> None:
    env = {"PIP_INDEX_URL": "https://pip.example/simple", "PIP_CONFIG_FILE": os.devnull}
    assert uv_environment(env, [])["UV_DEFAULT_INDEX"] == "https://pip.example/simple"
    both = uv_environment({**env, "UV_DEFAULT_INDEX": "https://uv.example/simple"}, [])
    assert both["UV_DEFAULT_INDEX"] == "https://uv.example/simple"
