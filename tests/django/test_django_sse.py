"""django-sse: the package's own `send_event`, and a stream that never reaches Django."""

import json

import pytest
from sse import Sse

from conftest import GatewayMaker
from harness import Gateway, Site
from redis_project import ROUTES, Server, call, listening, metric, open_raw, raw_event, rule, until_connected
from streams import Listeners


def written_by_the_package(event: object, data: object) -> bytes:
    """What its view writes for a message, after the `retry:` it begins with."""
    sse = Sse()
    sse.flush()
    sse.add_message(*json.loads(json.dumps([event, data])))
    return str(sse).encode()


@pytest.fixture(scope="module")
def gateway(shared_gateways: GatewayMaker, project: Site, redis_server: Server) -> Gateway:
    """One rule for one channel, and one for those whose names begin with `room`."""
    rules = rule("sse", "django-sse", "news"), rule("room[-_]*", "django-sse")
    made = shared_gateways(project, routes=ROUTES, more=listening(redis_server.url, *rules))
    until_connected(made)
    return made


MESSAGES = [
    ("myevent", "mydata"),
    ("myevent", json.dumps({"text": "hi", "emoji": "\N{GRINNING FACE}"})),
    ("lines", "one\ntwo\r\nthree\rfour\n\nsix\n"),
    ("python", "a\vb\fc\x1cd\x1de\x1ef\x85g\u2028h\u2029i\x1fj"),
    ("list", ["one", "two\nthree", "", " four"]),
    ("blanks", "  two  "),
    (None, "no name"),
    (7, "a number"),
    (True, "yes"),
    ("forged", "x\n\nid: 1\nevent: y"),
]


@pytest.mark.parametrize(("event", "data"), MESSAGES)
def test_an_event_is_that_of_the_packages_own_view_but_for_its_id(
    gateway: Gateway, listeners: Listeners, event: object, data: object
) -> None:
    stream = open_raw(listeners, gateway, "/sse/news/")
    call(gateway, "/send/", event, data)
    given = raw_event(listeners, stream).replace(f"id: {stream.last_id}\n".encode(), b"", 1)
    assert given == written_by_the_package(event, data)


def test_what_the_package_fails_at_arrives(gateway: Gateway, listeners: Listeners) -> None:
    stream = listeners.open(gateway.http, "/sse/news/")
    listeners.until_open(stream)
    # Its view writes no `data:` line for this one, so that a browser would not dispatch it.
    call(gateway, "/send/", "empty", "")
    call(gateway, "/send/", "object", {"a": [1, None]})
    call(gateway, "/send/", "", "no name")
    listeners.until(lambda: len(stream.events) == 3, "three events")
    told = [(event.type, event.data) for event in stream.events]
    assert told == [("empty", ""), ("object", '{"a": [1, null]}'), ("message", "no name")]


def test_the_channel_of_the_url_is_that_of_redis(gateway: Gateway, listeners: Listeners, name: str) -> None:
    mine, other = (listeners.open(gateway.http, f"/sse/room-{who}/") for who in (name, f"{name}x"))
    listeners.until_open(mine, other)
    call(gateway, "/send/", "e", "for mine", channel=f"room-{name}")
    call(gateway, "/send/", "e", "for other", channel=f"room-{name}x")
    call(gateway, "/send/", "e", "for nobody", channel=f"rooms{name}")
    listeners.until_data("for mine", [mine])
    listeners.until_data("for other", [other])
    assert (mine.data, other.data) == (["for mine"], ["for other"])


def test_every_channel_is_heard_and_a_message_of_another_kind_is_counted(
    new_gateway: GatewayMaker, project: Site, redis_server: Server, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(project, routes=ROUTES, more=listening(redis_server.url, rule("*", "django-sse")))
    until_connected(gateway)
    stream = listeners.open(gateway.http, f"/sse/{name}/")
    listeners.until_open(stream)
    with redis_server.client() as publisher:
        for payload in (b"\xff", b"{", b'["a"]', json.dumps(["a", "x" * (257 << 10)])):
            publisher.publish(name, payload)
        publisher.publish("no channel name", '["a", "b"]')
    call(gateway, "/send/", "e", "last", channel=name)
    listeners.until_data("last", [stream])
    assert stream.data == ["last"]
    for reason in ("not-utf8", "not-json", "shape", "too-large", "no-channel"):
        assert metric(gateway, f'redis_dropped_total{{reason="{reason}"}}') == 1, reason
    log = gateway.process.log.read_text()
    assert log.count("Message of Redis dropped") == 5 and "xxx" not in log


def test_a_stream_holds_no_worker_and_resumes(gateway: Gateway, listeners: Listeners, name: str) -> None:
    """The package's own view would be one worker for each of them, and forget what it sent."""
    streams = [listeners.open(gateway.http, f"/sse/room-{name}/") for _ in range(50)]
    listeners.until_open(*streams)
    call(gateway, "/send/", "e", "one", channel=f"room-{name}")
    listeners.until_data("one", streams)
    place = streams[0].last_id
    listeners.close(*streams)
    call(gateway, "/send/", "e", "two", channel=f"room-{name}")
    again = listeners.open(gateway.http, f"/sse/room-{name}/", last_event_id=place)
    listeners.until_data("two", [again])
    assert again.data == ["two"]
