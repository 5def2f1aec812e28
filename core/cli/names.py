"""Names for the completion in a shell: what the site, its engine and its service have.

Whoever presses Tab waits for them at most `SECONDS`. What cannot be had in that time completes nothing, without a word.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from core.cli.session import Session

SECONDS = 2.0
_OPERATIONS = 50  # the newest
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def cameras(session: Session, _: click.Context) -> Iterable[str]:
    """The ids of the service's cameras."""
    from core.containers.service_discovery import connect_service

    return [camera.id for camera in connect_service(session.site, SECONDS).cameras()]


def rules(session: Session, _: click.Context) -> Iterable[str]:
    """The service's rules."""
    from core.containers.service_discovery import connect_service

    return [rule.name for rule in connect_service(session.site, SECONDS).rules()]


def users(session: Session, _: click.Context) -> Iterable[str]:
    """The service's users, for those who may see them."""
    from core.containers.service_discovery import connect_service

    return [user.name for user in connect_service(session.site, SECONDS).users()]


def containers(session: Session, _: click.Context) -> Iterable[str]:
    """The engine's containers."""
    from core.containers.listing import list_containers

    return [container.name for container in list_containers(session.engine)]


def operations(session: Session, _: click.Context) -> Iterable[str]:
    """The numbers of the newest operations; a folder without any gets no ledger by that."""
    if not session.site.state.is_dir():
        return []
    return [str(operation.id) for operation in session.ledger.list(_OPERATIONS)]


def build_ids(session: Session, _: click.Context) -> Iterable[str]:
    """The builds that are kept."""
    from core.images.build_history import list_builds

    return [build.id for build in list_builds(session.site)]


def stages(session: Session, context: click.Context) -> Iterable[str]:
    """What a build may stop at: the layers of the preset that was named before, and what comes after them."""
    from core.presets.store import load_named

    name = context.params["preset"] or next(iter(context.args), "")  # behind an open option it is not parsed yet
    preset = load_named(session.site, name)
    return [*(layer.name for layer in preset.layers), "runtime", "dev"]


def complete(names: Callable[[Session, click.Context], Iterable[str]]) -> Completion:
    """The `shell_complete` of an argument or option that takes one of these names."""

    def completion(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        options = context.find_root().params
        session = Session(options.get("root") or ".", options.get("service") or "")
        found: list[str] = []

        def ask() -> None:
            try:
                found.extend(names(session, context))
            except Exception as error:  # a shell has no place for an error, whatever it is
                logging.getLogger(__name__).debug("no names to complete: %s", error)

        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # nothing is printed into the line that is being typed
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(SECONDS)
        logging.disable(before)
        return [CompletionItem(name) for name in dict.fromkeys(list(found)) if name.startswith(incomplete)]

    return completion
