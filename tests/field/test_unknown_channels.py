"""A kind of channel or a service that does not exist is named; only a slip of the finger is guessed at.

It applies to forms and the command line (kinds) and to what the service is asked (Apprise's services).
"""

from __future__ import annotations

import pytest

from core.api_schema import Channel, ChannelKind
from core.errors import InputError
from core.inference.notifications.channel_addresses import check_channel
from core.service_client import text_formats

KINDS = [  # what is typed, and the remedy
    ("webhok:https://host/x", "did you mean webhook:?"),
    ("emial:smtp://host", "did you mean email:?"),
    ("aprise:tgram://token/chat", "did you mean apprise:?"),
    ("pigeon:https://host/x", "kinds are email, webhook, apprise"),
]
SERVICES = [  # an Apprise URL, why it is refused, the remedy
    ("tgrm://token/chat", "knows no service tgrm://", "did you mean tgram://?"),
    ("slak://a/b/c", "knows no service slak://", "did you mean slack://?"),
    ("webhok://host/x", "knows no service webhok://", "see the list of services"),
    ("pigeon-post://x", "it has no scheme", "write it as Apprise documents it"),
    ("tgram://", "a part of it is missing or wrong", "see Apprise's documentation"),
]


@pytest.mark.parametrize(("typed", "remedy"), KINDS)
def test_a_kind(typed: str, remedy: str) -> None:
    with pytest.raises(InputError, match="there is no such kind of channel") as refused:
        text_formats.parse_channels([typed])
    assert refused.value.remedy == remedy
    assert "https://host" not in str(refused.value)


@pytest.mark.parametrize("typed", ["a@example.org", "https://host/x", "tgram://token/chat", "email:a@example.org"])
def test_what_is_right_stays(typed: str) -> None:
    assert len(text_formats.parse_channels([typed])) == 1


@pytest.mark.parametrize(("url", "why", "remedy"), SERVICES)
def test_a_service(url: str, why: str, remedy: str) -> None:
    with pytest.raises(InputError, match=why) as refused:
        check_channel(Channel(kind=ChannelKind.APPRISE, to=url))
    assert refused.value.remedy.startswith(remedy)
    assert "token" not in str(refused.value)
