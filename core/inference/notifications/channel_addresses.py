"""Channel addresses: checks new ones, and shows them without secrets."""

from __future__ import annotations

import difflib
import re
from urllib.parse import unquote

from core.api_schema import Channel, ChannelKind
from core.errors import InputError
from core.inference.address_guard import check_host
from core.inference.http_post import check_url
from core.redaction import HIDDEN, has_placeholder, redact_address

TYPO_SIMILARITY = 0.75  # least similarity of a mistyped scheme
_MAIL = re.compile(r"^[^\s@,;<>\"\x00-\x1f]+@[^\s@,;<>\"\x00-\x1f]+$")
_SCHEME = re.compile(r"^([a-z0-9]+)://", re.I)
# Apprise schemes that notify the service's own machine instead of people.
_LOCAL_SCHEMES = frozenset(("blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"))
_NAMES_A_FILE = re.compile(r"^(?:file:|~|\.{0,2}/)", re.I)
_FILE_OPTIONS = re.compile(r"[?&](?:keyfile|subfile|pgpkey|pgpprv|attach|template)=([^&]*)", re.I)


def shown_address(channel: Channel) -> str:
    """The channel's address without possible secrets.

    A mail address has none; a web address keeps its harmless parts; an Apprise URL keeps only its scheme, because each
    service puts its token elsewhere.
    """
    if channel.kind is ChannelKind.EMAIL:
        return channel.to
    if channel.kind is ChannelKind.APPRISE:
        return f"{channel.to.partition('://')[0]}://{HIDDEN}"
    return redact_address(channel.to)


def check_channel(channel: Channel) -> None:
    """Raise InputError, without secrets, for an invalid or forbidden address."""
    if has_placeholder(channel.to):
        why = "it contains *** in place of a secret, and there is no stored secret to fill in"
        raise InputError(f"Channel {channel.kind.value}: to", why, "enter the complete address")
    if channel.kind is ChannelKind.EMAIL:
        if not _MAIL.match(channel.to):
            raise InputError(
                f"Mail address {channel.to}", "it is not of the form name@host", "give one address per channel"
            )
    elif channel.kind is ChannelKind.WEBHOOK:
        check_url(channel.to, "Webhook")
    else:
        _check_apprise(channel.to)


def _check_apprise(url: str) -> None:
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise InputError("Apprise URL", "it has no scheme", "write it as Apprise documents it: tgram://…, ntfy://…")
    what = f"Apprise URL {scheme[1].lower()}://{HIDDEN}"
    if scheme[1].lower() in _LOCAL_SCHEMES:
        raise InputError(
            what, "it opens a notification on the service's own machine, where nobody sees it", "use another service"
        )
    for value in _FILE_OPTIONS.findall(url):
        if _NAMES_A_FILE.match(unquote(unquote(value))):
            raise InputError(what, "it names a file on the service's own machine", "leave that option out")
    import apprise  # takes a quarter of a second

    schemes: list[str] = apprise.manager_plugins.NotificationManager().schemas()  # type: ignore[no-untyped-call]
    if scheme[1].lower() not in schemes:
        close = difflib.get_close_matches(scheme[1].lower(), sorted(schemes), n=1, cutoff=TYPO_SIMILARITY)
        remedy = f"did you mean {close[0]}://?" if close else "see the list of services in Apprise's documentation"
        raise InputError(what, f"Apprise knows no service {scheme[1]}://", remedy)
    plugin = apprise.Apprise.instantiate(url)
    if plugin is None:
        raise InputError(what, "a part of it is missing or wrong", "see Apprise's documentation of the service")
    check_host(str(plugin.host or ""), what)
