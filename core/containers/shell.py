"""Opens a shell in a container with the docker command line, which supports terminals, contexts and ssh."""

from __future__ import annotations

from collections.abc import Sequence

# bash if the image has it, else sh
SHELL = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash || exec sh")


def exec_argv(container: str, command: Sequence[str] = SHELL, *, terminal: bool = True) -> list[str]:
    """The command line that runs `command` in the container. Run it with `core.engine.docker_environment(site)`."""
    return ["docker", "exec", "-it" if terminal else "-i", container, *command]
