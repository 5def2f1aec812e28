"""Completes names in a shell: presets, cameras, containers, operations and more.

Tab waits at most `COMPLETION_SECONDS` for them. When they cannot be read in time, nothing is completed and no error is
printed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from core.cli.session import CliSession

COMPLETION_SECONDS = 2.0
_NEWEST_OPERATIONS = 50  # the newest
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def cameras(session: CliSession, _: click.Context) -> Iterable[str]:
    """The ids of the service's cameras."""
    from core.containers.service_discovery import connect_service

    return [camera.id for camera in connect_service(session.site, COMPLETION_SECONDS).cameras()]


def products(session: CliSession, _: click.Context) -> Iterable[str]:
    """The names of the service's products."""
    from core.containers.service_discovery import connect_service

    return [product.name for product in connect_service(session.site, COMPLETION_SECONDS).products.all().products]


def rules(session: CliSession, _: click.Context) -> Iterable[str]:
    """The names of the service's rules."""
    from core.containers.service_discovery import connect_service

    return [rule.name for rule in connect_service(session.site, COMPLETION_SECONDS).rules()]


def users(session: CliSession, _: click.Context) -> Iterable[str]:
    """The names of the service's users, if the caller may see them."""
    from core.containers.service_discovery import connect_service

    return [user.name for user in connect_service(session.site, COMPLETION_SECONDS).users()]


def jobs(session: CliSession, _: click.Context) -> Iterable[str]:
    """The ids of the service's newest jobs."""
    from core.containers.service_discovery import connect_service

    return [str(job.id) for job in connect_service(session.site, COMPLETION_SECONDS).jobs.page().jobs]


def containers(session: CliSession, _: click.Context) -> Iterable[str]:
    """The names of the engine's containers."""
    from core.containers.listing import list_containers

    return [container.name for container in list_containers(session.engine)]


def operations(session: CliSession, _: click.Context) -> Iterable[str]:
    """The ids of the newest operations. Does not create a ledger."""
    if not session.site.state.is_dir():
        return []
    return [str(operation.id) for operation in session.ledger.list(_NEWEST_OPERATIONS)]


def build_ids(session: CliSession, _: click.Context) -> Iterable[str]:
    """The ids of the past builds."""
    from core.images.build_history import list_builds

    return [build.id for build in list_builds(session.site)]


def stages(session: CliSession, context: click.Context) -> Iterable[str]:
    """The possible targets of a build: the layers of the preset on the line, runtime and dev."""
    from core.presets.store import load_named

    name = context.params["preset"] or next(iter(context.args), "")  # not parsed yet after an incomplete option
    preset = load_named(session.site, name)
    return [*(layer.name for layer in preset.layers), "runtime", "dev"]


def complete(names: Callable[[CliSession, click.Context], Iterable[str]]) -> Completion:
    """A `shell_complete` function for these names."""

    def completion(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        options = context.find_root().params
        session = CliSession(options.get("root") or ".", options.get("service") or "")
        candidates: list[str] = []

        def fetch() -> None:
            try:
                candidates.extend(names(session, context))
            except Exception as error:  # a shell cannot show any error
                logging.getLogger(__name__).debug("no names to complete: %s", error)

        disabled_level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # nothing may be printed while the user types
        thread = threading.Thread(target=fetch, daemon=True)
        thread.start()
        thread.join(COMPLETION_SECONDS)
        logging.disable(disabled_level)
        return [CompletionItem(name) for name in dict.fromkeys(list(candidates)) if name.startswith(incomplete)]

    return completion
