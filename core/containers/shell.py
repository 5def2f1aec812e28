"""A shell in a container, through the docker command line, which knows terminals, contexts and ssh."""

from __future__ import annotations

from collections.abc import Sequence

# bash where there is one; minimal images have only sh
SHELL = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash || exec sh")


def exec_argv(container: str, command: Sequence[str] = SHELL, *, terminal: bool = True) -> list[str]:
    """The command that runs `command` in the container; its environment is `core.engine.docker_environment(site)`."""
    return ["docker", "exec", "-it" if terminal else "-i", container, *command]
