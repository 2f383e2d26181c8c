"""django-eventstream with EVENTSTREAM_REDIS: what its `send_event` publishes there."""

import json

import pytest
from django.conf import settings

from conftest import GatewayMaker
from harness import Gateway, Site
from redis_project import ROUTES, Server, call, listening, open_raw, raw_event, rule, until_connected
from streams import Listeners

if not settings.configured:
    settings.configure()

from django_eventstream.utils import make_id, sse_encode_event  # noqa: E402  (looks at the settings)

SEND = "/eventstream/send/"


@pytest.fixture(scope="module")
def gateway(shared_gateways: GatewayMaker, project: Site, redis_server: Server) -> Gateway:
    rules = rule("events_channel", "django-eventstream")
    made = shared_gateways(project, routes=ROUTES, more=listening(redis_server.url, rules))
    until_connected(made)
    return made


MESSAGES = [
    ("message", {"text": "hi\nthere", "at": None}),
    ("note", "\N{GRINNING FACE} \u2028 \r"),
    ("forged\nid: 1", [1.5, True]),
    (None, {}),
]


@pytest.mark.parametrize(("event", "data"), MESSAGES)
def test_a_kept_event_is_that_of_its_own_listener(
    gateway: Gateway, listeners: Listeners, name: str, event: str, data: object
) -> None:
    stream = open_raw(listeners, gateway, f"/sse/{name}/")
    call(gateway, SEND, name, event, data)
    expected = sse_encode_event(event, json.dumps(data), event_id=make_id({name: 1}))
    assert raw_event(listeners, stream) == expected.encode()


def test_an_event_that_is_not_kept_has_an_id_of_the_gateways(
    gateway: Gateway, listeners: Listeners, name: str
) -> None:
    channel = f"brief-{name}"
    stream = open_raw(listeners, gateway, f"/sse/{channel}/")
    call(gateway, SEND, channel, "note", "two\r\nlines\n", json_encode=False)
    given = raw_event(listeners, stream).replace(f"id: {stream.last_id}\n".encode(), b"", 1)
    assert given == sse_encode_event("note", "two\r\nlines\n").encode()
    # Its own listener would write the dictionary as Python does.
    call(gateway, SEND, channel, "object", {"a": None}, json_encode=False)
    listeners.until_data('{"a": null}', [stream])


def test_events_are_on_their_own_channel_and_resume_by_their_own_ids(
    gateway: Gateway, listeners: Listeners, name: str
) -> None:
    mine, other = (listeners.open(gateway.http, f"/sse/{channel}/") for channel in (name, f"{name}x"))
    listeners.until_open(mine, other)
    for text in ("one", "two", "three"):
        call(gateway, SEND, name, "message", text)
    listeners.until_data('"three"', [mine])
    assert mine.ids == [f"{name}:1", f"{name}:2", f"{name}:3"] and not other.events
    again = listeners.open(gateway.http, f"/sse/{name}/", last_event_id=f"{name}:1")
    listeners.until_data('"three"', [again])
    assert again.data == ['"two"', '"three"']
