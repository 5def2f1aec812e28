"""Runs docker compose: resolves a compose file, and changes what it describes.

Compose reads its own file; xaiva does not. `docker compose config` needs no engine.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from core.engine import EngineError
from core.errors import InputError
from core.images.docker_cli import docker_cli_errors, run_docker
from core.progress import Progress
from core.redaction import redact_text, secrets_of
from core.stacks.model import COMPOSE_FILE, Stack
from core.subprocesses import run_child

CONFIG_SECONDS = 30.0
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNKNOWN_KEY = re.compile(r"Additional property (\S+) is not allowed")
_YAML_LINE = re.compile(r"^yaml: (?:line \d+: )?")
_FIELD = re.compile(r"'?\b((?:services|networks|volumes|secrets|configs)(?:\.[\w.-]+|\[[^\]]+\])+)'?")
_SERVICE = re.compile(r'service "([^"]+)"')
_NOISE = re.compile(r"^(time=\S+ level=\S+ msg=|validating \S+: )")
_QUOTES_A_VALUE = "You may need to escape any $"  # what follows is the text of the value, which may be a secret
# What docker clients of several versions answer without the plugin.
_NO_PLUGIN = ("is not a docker command", "unknown command: docker compose", "unknown flag: --project-directory")
COMPOSE_REMEDY = "install its compose plugin; for the commands on this machine: xaiva doctor --fix"


def compose_version(env: Mapping[str, str]) -> str:
    """The version of the compose plugin. Raises InputError without the plugin, EngineError without a docker client."""
    done = run_docker("compose", "version", "--short", env=env)
    version = re.search(r"\d+\.\d+\.\d+", done.stdout)
    if done.returncode or not version:
        raise _no_plugin()
    return version[0]


def compose_command(folder: Path, *words: str, overrides: Sequence[Path] = ()) -> list[str]:
    """The words of a compose command on the stack in `folder`, with the services of all profiles."""
    files = [word for path in (folder / COMPOSE_FILE, *overrides) for word in ("--file", str(path))]
    return ["docker", "compose", "--project-directory", str(folder), *files, "--profile", "*", *words]


def resolve_config(folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The compose file of a folder as compose resolves it, with the services of all profiles.

    Raises InputError with file, line and field; EngineError when the docker client is missing.
    """
    path = folder / COMPOSE_FILE
    if not path.is_file():
        raise InputError(f"{path}", "there is no such file", "write one, or see: xaiva stack list")
    # The YAML form: compose before 2.30 leaves the extensions of services out of its JSON.
    output = _run(folder, env, "config")
    config = yaml.load(output.replace("$$", "$"), Loader=_LOADER)  # it doubles each $, so that it can be read again
    return dict(config) if isinstance(config, dict) else {}


def run_compose(folder: Path, env: Mapping[str, str], *words: str, progress: Progress) -> None:
    """Change something with compose, which reports each line. Raises EngineError with its reason, Cancelled."""
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(redact_text(line.strip()))
        progress.log(lines[-1])

    with docker_cli_errors():
        done = run_child([*compose_command(folder), "--progress", "plain", *words], progress, env=env, on_line=take)
    if done.code:
        told = [line for line in lines if "error" in line.lower()] or lines
        raise EngineError(f"docker compose {words[0]}", (told or [f"exit code {done.code}"])[-1], "")


def config_hashes(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Service → the hash that compose puts into the label `com.docker.compose.config-hash` of its containers."""
    rows = (line.split() for line in _run(folder, env, "config", "--hash", "*").splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


def shared_config_hashes(stack: Stack, env: Mapping[str, str], containers: Mapping[str, str]) -> dict[str, str]:
    """The hashes of the services that use a part of another one; `containers` has the container of each service.

    Compose makes these hashes when it knows the container whose part it is.
    """
    services = {
        service.name: {key: f"container:{containers[other]}" for key, other in service.shared_parts.items()}
        for service in stack.services.values()
        if service.shares_with and containers.keys() >= service.shares_with
    }
    if not services:
        return {}
    with tempfile.TemporaryDirectory(prefix="xaiva-compose-") as scratch:
        override = Path(scratch) / COMPOSE_FILE
        override.write_text(json.dumps({"services": services}))
        output = _run(stack.folder, env, "config", "--hash", ",".join(services), overrides=[override])
    return {row[0]: row[1] for row in map(str.split, output.splitlines()) if len(row) == 2}


def _run(folder: Path, env: Mapping[str, str], *words: str, overrides: Sequence[Path] = ()) -> str:
    command = compose_command(folder, *words, overrides=overrides)
    with docker_cli_errors():
        done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=CONFIG_SECONDS)
    if done.returncode:
        raise _explain(folder / COMPOSE_FILE, redact_text(done.stderr, secrets_of(dict(env))))
    return done.stdout


def _explain(path: Path, stderr: str) -> InputError:
    """Compose's error with the line and the field that it is about."""
    if any(sign in stderr for sign in _NO_PLUGIN):
        return _no_plugin()
    lines = [_NOISE.sub("", line.strip()).strip('"') for line in stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("decoding failed due to")]
    why = "; ".join(lines) or "compose refuses it, and does not say why"
    line = _line_of(path, why)
    where = f"{path}, line {line}" if line else f"{path}"
    return InputError(where, _YAML_LINE.sub("", why), f"correct it; check with: docker compose -f {path} config")


def _no_plugin() -> InputError:
    return InputError("docker compose", "the docker client has no such plugin", COMPOSE_REMEDY)


def _line_of(path: Path, message: str) -> int:
    """The line of the deepest key that the message names, or of the YAML that cannot be read; 0 when neither helps."""
    named = _FIELD.search(message)
    keys = re.split(r"[.\[\]]+", named[1].strip("[]")) if named else []
    keys += _UNKNOWN_KEY.findall(message)
    if not keys and (service := _SERVICE.search(message)):
        keys = ["services", service[1]]
    return line_of(path, keys)


def line_of(path: Path, keys: Sequence[str]) -> int:
    """The line of the deepest of these keys, or of the YAML that cannot be read; 0 when neither is known."""
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
