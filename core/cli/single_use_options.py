"""Commands that refuse an option given twice; click would silently use the last value."""

from __future__ import annotations

from collections import Counter

import click

from core.errors import InputError


class Command(click.Command):
    """Raises InputError for an option that is given twice, unless it is repeatable or a flag."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check the options before click parses them."""
        if not ctx.resilient_parsing:  # completion parses incomplete lines
            _check(ctx, self.make_parser(ctx).parse_args(list(args))[2])
        return super().parse_args(ctx, args)


class Group(Command, click.Group):
    """A group with the same check for its own options and those of its subcommands."""

    command_class = Command


def _check(ctx: click.Context, order: list[click.Parameter]) -> None:
    for parameter, count in Counter(order).items():
        if count > 1 and isinstance(parameter, click.Option) and _has_one_value(parameter):
            name = max(parameter.opts, key=len)
            raise InputError(f"{ctx.command_path} {name}", f"it was given {count} times", "give it once")


def _has_one_value(option: click.Option) -> bool:
    says_the_same_again = option.is_flag and not option.secondary_opts
    return not option.multiple and not option.count and not says_the_same_again
