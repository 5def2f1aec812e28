"""Commands whose options are given once: of two values click would take the last and drop the other in silence."""

from __future__ import annotations

from collections import Counter

import click

from core.errors import InputError


class Command(click.Command):
    """Raises InputError for an option that is given twice, unless it may be repeated or says the same again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's."""
        if not ctx.resilient_parsing:  # completion looks at half a line
            _check(ctx, self.make_parser(ctx).parse_args(list(args))[2])
        return super().parse_args(ctx, args)


class Group(Command, click.Group):
    """The same of the options before a subcommand; its subcommands are such commands, too."""

    command_class = Command


def _check(ctx: click.Context, order: list[click.Parameter]) -> None:
    for parameter, count in Counter(order).items():
        if count > 1 and isinstance(parameter, click.Option) and _has_one_value(parameter):
            name = max(parameter.opts, key=len)
            raise InputError(f"{ctx.command_path} {name}", f"it was given {count} times", "give it once")


def _has_one_value(option: click.Option) -> bool:
    says_the_same_again = option.is_flag and not option.secondary_opts
    return not option.multiple and not option.count and not says_the_same_again
