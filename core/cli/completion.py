"""`xaiva completion`: the script that completes commands, options and names in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from core.cli.single_use_options import Command

# click's script for bash inserts `night shift` as two words; bash quotes only what it treats as file names.
_QUOTED = """COMPREPLY+=("$value")
            [[ $value != *[!A-Za-z0-9_./:=@%+,-]* ]] || compopt -o filenames 2>/dev/null"""


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    bash: eval "$(xaiva completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc; fish: xaiva completion fish >
    ~/.config/fish/completions/xaiva.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # one of the choices
    script = kind(ctx.find_root().command, {}, "xaiva", "_XAIVA_COMPLETE").source()
    click.echo(script.replace("COMPREPLY+=($value)", _QUOTED))
