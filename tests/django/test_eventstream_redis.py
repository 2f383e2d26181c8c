"""django-eventstream with EVENTSTREAM_REDIS: what its `send_event` publishes there."""

import json

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site
from redis_project import ROUTES, Server, call, listening, rule, until_connected
from streams import Listeners


@pytest.fixture(scope="module")
def gateway(shared_gateways: GatewayMaker, project: Site, redis_server: Server) -> Gateway:
    rules = rule("events_channel", "django-eventstream")
    made = shared_gateways(project, routes=ROUTES, more=listening(redis_server.url, rules))
    until_connected(made)
    return made


def test_events_arrive_as_its_own_listener_would_send_them(
    gateway: Gateway, listeners: Listeners, name: str
) -> None:
    stream, other = (listeners.open(gateway.http, f"/sse/{channel}/") for channel in (name, "another"))
    listeners.until_open(stream, other)
    call(gateway, "/eventstream/send/", name, "message", {"text": "hi\nthere", "at": None})
    call(gateway, "/eventstream/send/", name, "note", "two\nlines", json_encode=False)
    call(gateway, "/eventstream/send/", name, "object", {"a": 1}, json_encode=False)
    listeners.until(lambda: len(stream.events) == 3, "three events")
    told = [(event.type, event.data) for event in stream.events]
    assert told == [
        ("message", json.dumps({"text": "hi\nthere", "at": None})),
        ("note", "two\nlines"),
        ("object", '{"a": 1}'),
    ]
    assert not other.events


def test_the_number_of_a_kept_event_is_its_id(
    gateway: Gateway, redis_server: Server, listeners: Listeners, name: str
) -> None:
    """As the package publishes it with a storage: the project has none, so that this is by hand."""
    stream = listeners.open(gateway.http, f"/sse/{name}/")
    listeners.until_open(stream)
    with redis_server.client() as publisher:
        for number in ("7", "8"):
            message = {"channel": name, "event_type": "message", "data": f'"{number}"', "pub_id": number}
            publisher.publish("events_channel", json.dumps(message))
    listeners.until(lambda: len(stream.events) == 2, "two events")
    assert stream.ids == [f"{name}:7", f"{name}:8"]
    again = listeners.open(gateway.http, f"/sse/{name}/", last_event_id=f"{name}:7")
    listeners.until(lambda: again.events, "what was missed")
    assert again.ids == [f"{name}:8"]
