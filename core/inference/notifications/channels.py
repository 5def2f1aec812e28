"""Sends one message over one channel."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from core.api_schema import ChannelKind
from core.errors import XaivaError
from core.inference.http_post import post
from core.inference.notifications import apprise_process
from core.inference.notifications.channel_addresses import check_channel, shown_address
from core.inference.notifications.mail import DeliveryRefused, LoginRefused, MailServer, parse_server, send_mail
from core.inference.notifications.message import Message
from core.inference.notifications.signature import webhook_headers
from core.inference.settings import ServiceSettings

WEBHOOK_SECONDS = 10.0
WEBHOOK_REPLY_BYTES = 1 << 12  # bytes
_LOGIN_STATUSES = (401, 403)
_PERMANENT_STATUSES = (400, 410, 413, 415, 422)  # the receiver will always refuse the same request


class ChannelSender:
    """Sends messages over all kinds of channels. Raises InputError for an invalid mail server."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._mail: MailServer | None = parse_server(settings.smtp_url) if settings.smtp_url else None
        self._from = settings.mail_from
        self._zone = ZoneInfo(settings.zone)

    def send(self, message: Message) -> None:
        """Send a message and wait until it is accepted. Raises DeliveryRefused (final) and XaivaError (retry)."""
        if message.channel.kind is ChannelKind.EMAIL:
            self._send_mail(message)
        elif message.channel.kind is ChannelKind.WEBHOOK:
            _send_webhook(message)
        else:
            _send_apprise(message, message.text(self._zone))

    def _send_mail(self, message: Message) -> None:
        if self._mail is None:
            remedy = "set XAIVA_SMTP_URL in the service's environment, then restart the service"
            raise XaivaError("Mail server", "no mail server is set", remedy)
        text = message.text(self._zone)
        send_mail(self._mail, self._from, message.channel.to, message.subject(), text, message.id)


def _send_webhook(message: Message) -> None:
    channel = message.channel
    content = message.payload()
    headers = webhook_headers(message.id, content, channel.secret_variable)
    what = f"Webhook {shown_address(channel)}"
    reply = post(channel.to, content, headers, WEBHOOK_SECONDS, what, WEBHOOK_REPLY_BYTES)
    if reply.is_success:
        return
    why = f"it answers with status {reply.status}"
    if reply.status in _PERMANENT_STATUSES:
        raise DeliveryRefused(what, why, "check what the receiver expects")
    if reply.status in _LOGIN_STATUSES:
        raise LoginRefused(what, why, "check the secret and who may send to it")
    raise XaivaError(what, why, "it will be tried again")


def _send_apprise(message: Message, text: str) -> None:
    check_channel(message.channel)  # an older version may have stored it unchecked
    apprise_process.send(message.channel.to, message.subject(), text, shown_address(message.channel))
