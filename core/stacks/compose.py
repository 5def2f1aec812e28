"""Runs docker compose: resolves a compose file, and changes what it describes.

Compose reads its own file; xaiva does not. `docker compose config` needs no engine.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from core.engine import EngineError
from core.errors import InputError
from core.images.docker_cli import docker_cli_errors
from core.stacks.model import COMPOSE_FILE

CONFIG_SECONDS = 30.0
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNKNOWN_KEY = re.compile(r"Additional property (\S+) is not allowed")
_YAML_LINE = re.compile(r"^yaml: (?:line \d+: )?")
_FIELD = re.compile(r"'?\b((?:services|networks|volumes|secrets|configs)(?:\.[\w.-]+|\[[^\]]+\])+)'?")
_SERVICE = re.compile(r'service "([^"]+)"')
_NOISE = re.compile(r"^(time=\S+ level=\S+ msg=|validating \S+: )")
COMPOSE_REMEDY = "install its plugin: docker-compose-plugin, or docker-compose of Debian 13; see: xaiva doctor"


def compose_command(folder: Path, *words: str, profiles: Sequence[str] = ("*",)) -> list[str]:
    """The words of a compose command on the stack in `folder`."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    return [
        "docker",
        "compose",
        "--project-directory",
        str(folder),
        "--file",
        str(folder / COMPOSE_FILE),
        *chosen,
        *words,
    ]


def resolve_config(folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The compose file of a folder as compose resolves it, with the services of all profiles.

    Raises InputError with file, line and field; EngineError when the docker client is missing.
    """
    path = folder / COMPOSE_FILE
    if not path.is_file():
        raise InputError(f"{path}", "there is no such file", "write one, or see: xaiva stack list")
    # The YAML form: compose before 2.30 leaves the extensions of services out of its JSON.
    output = _run(folder, env, "config")
    config = yaml.load(output, Loader=_LOADER)
    return dict(config) if isinstance(config, dict) else {}


def run_compose(folder: Path, env: Mapping[str, str], *words: str, on_line: Callable[[str], None]) -> None:
    """Change something with compose; `on_line` gets each line of its progress. Raises EngineError with its reason."""
    with docker_cli_errors():
        process = subprocess.Popen(
            [*compose_command(folder), "--progress", "plain", *words],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.strip())
            on_line(line.strip())
        code = process.wait()
    if code:
        told = [line for line in lines if "error" in line.lower()] or lines
        raise EngineError(f"docker compose {words[0]}", (told or [f"exit code {code}"])[-1], "")


def config_hashes(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Service → the hash that compose puts into the label `com.docker.compose.config-hash` of its containers."""
    rows = (line.split() for line in _run(folder, env, "config", "--hash", "*").splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _run(folder: Path, env: Mapping[str, str], *words: str) -> str:
    with docker_cli_errors():
        done = subprocess.run(
            compose_command(folder, *words), env=dict(env), capture_output=True, text=True, timeout=CONFIG_SECONDS
        )
    if done.returncode:
        raise _explain(folder / COMPOSE_FILE, done.stderr)
    return done.stdout


def _explain(path: Path, stderr: str) -> InputError:
    """Compose's error with the line and the field that it is about."""
    if "is not a docker command" in stderr or "unknown command: docker compose" in stderr:
        return InputError("docker compose", "the docker client has no such plugin", COMPOSE_REMEDY)
    lines = [_NOISE.sub("", line.strip()).strip('"') for line in stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("decoding failed due to")]
    why = "; ".join(lines) or "compose refuses it, and does not say why"
    line = _line_of(path, why)
    where = f"{path}, line {line}" if line else f"{path}"
    return InputError(where, _YAML_LINE.sub("", why), f"correct it; check with: docker compose -f {path} config")


def _line_of(path: Path, message: str) -> int:
    """The line of the deepest key that the message names, or of the YAML that cannot be read; 0 when neither helps."""
    named = _FIELD.search(message)
    keys = re.split(r"[.\[\]]+", named[1].strip("[]")) if named else []
    keys += _UNKNOWN_KEY.findall(message)
    if not keys and (service := _SERVICE.search(message)):
        keys = ["services", service[1]]
    try:
        node: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:  # compose's own line is often that of the block around it
        return error.problem_mark.line + 1 if error.problem_mark else 0
    except (OSError, ValueError, yaml.YAMLError):
        return 0
    line = 0
    while keys and isinstance(node, yaml.MappingNode):
        # a service's name may have dots of its own
        count, found = next(
            (
                (count, pair)
                for count in range(len(keys), 0, -1)
                for pair in node.value
                if pair[0].value == ".".join(keys[:count])
            ),
            (0, None),
        )
        if found is None:
            break
        line, node, keys = found[0].start_mark.line + 1, found[1], keys[count:]
    return line
