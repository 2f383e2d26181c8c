"""Held streams and what they promise: every event of their channels, in order, each exactly once, or one reset."""

import json
import os
import threading
from pathlib import Path

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site, numbers, room, until
from streams import Listeners, Stream
from wire import Reader, connect, head_bytes


# -- the answer ------------------------------------------------------------------------------


def test_a_public_stream_begins_at_once_and_django_is_not_asked(stream: Stream, site: Site, name: str) -> None:
    assert stream.answer and stream.status == 200
    assert stream.answer.header("Content-Type") == "text/event-stream"
    assert stream.answer.header("Cache-Control") == "no-cache, no-transform"
    assert stream.answer.header("X-Accel-Buffering") == "no"
    assert stream.answer.header("SSE-Stream")
    assert stream.parser.retry is not None and 2000 <= stream.parser.retry <= 6000
    assert stream.parser.comments >= 1
    assert stream.last_id, "a place to resume from, before any event"
    assert stream.events == []
    assert site.journal(name) == []


def test_retry_is_drawn_for_each_client(gateway: Gateway, listeners: Listeners, name: str) -> None:
    streams = [listeners.open(gateway.http, room(name)) for _ in range(20)]
    listeners.until_open(*streams)
    assert len({stream.parser.retry for stream in streams}) > 1


def test_head_answers_the_head_alone(gateway: Gateway, name: str) -> None:
    for target in (room(name), f"/ask/{name}/?channel={name}"):
        with connect(gateway.http) as conn:
            reader = Reader(conn)
            conn.sendall(head_bytes("HEAD", target, "site.test"))
            assert reader.answer("HEAD").header("Content-Type") == "text/event-stream"
            # The connection is free for something else: nothing is held.
            conn.sendall(head_bytes("GET", "/echo/", "site.test"))
            assert reader.answer().json()["method"] == "GET"
    assert gateway.streams_on(f"room-{name}") == 0


def test_an_open_event_names_the_stream(site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str) -> None:
    gateway = new_gateway(site, sse='open_event = "open"')
    stream = listeners.open(gateway.http, room(name))
    listeners.until(lambda: stream.events, "the first event")
    assert stream.events[0].type == "open"
    assert stream.answer and (stream.answer.header("SSE-Stream") or "-") in stream.events[0].data


def test_heartbeats_come_in_the_quiet(site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str) -> None:
    gateway = new_gateway(site, sse='heartbeat = "50ms"')
    stream = listeners.open(gateway.http, room(name))
    listeners.until(lambda: stream.parser.comments >= 5, "heartbeats")
    assert stream.events == []


def test_a_client_that_leaves_is_noticed_at_once(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream
) -> None:
    until(lambda: gateway.streams_on(f"room-{name}") == 1, "the stream to be counted")
    listeners.close(stream)
    # Long before the next heartbeat, which is 15 s away.
    until(lambda: gateway.streams_on(f"room-{name}") == 0, "the stream to be gone", timeout=5)
    assert gateway.publish(f"room-{name}", "hi")["streams"] == 0


# Paths that one reader could take for another's: none of them may name a channel.
AMBIGUOUS = ["a%2Fb", "a%2fb", "..%2Fa", "%2e%2e", "a%00", "a%0A", "a%20", "a%25", "a;b", "a,b", "é", "%ff", "a//b"]


@pytest.mark.parametrize("room_name", AMBIGUOUS)
def test_an_ambiguous_path_opens_no_stream(gateway: Gateway, room_name: str) -> None:
    answer = gateway.get(f"/rooms/{room_name}/events/", timeout=5)
    assert answer.status in (400, 404)


@pytest.mark.parametrize(
    "path", ["/rooms/../rooms/{}/events/", "/rooms//{}/events/", "/./rooms/{}/events/", "/x/%2e%2e/rooms/{}/events/"]
)
def test_a_path_with_dots_or_empty_parts_is_not_another_spelling(gateway: Gateway, name: str, path: str) -> None:
    assert gateway.get(path.format(name), timeout=5).status in (400, 404)


def test_a_client_that_leaves_while_it_is_held_is_noticed_too(
    new_gateway: GatewayMaker, folder: Path, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(f"unix:{folder}/{name}.sock")
    held = listeners.open(gateway.http, f"/ask/{name}/")
    listeners.until_answered(held)

    def open_streams() -> int:
        return gateway.internal("GET", "/v1/stats").json()["streams"]

    until(lambda: open_streams() == 1, "the stream to be counted")
    listeners.close(held)
    until(lambda: open_streams() == 0, "the stream to be gone", timeout=5)


# -- delivery --------------------------------------------------------------------------------

TEXTS = {
    "plain": "hi",
    "empty": "",
    "lines": "one\ntwo\n\nfour",
    "a line end at the end": "one\n",
    "spaces": "  two before, two after  ",
    "a colon": ": no comment",
    "fields": "data: x\nid: y\nevent: z\nretry: 1",
    "other characters": "äöü € 😀 \u2028\u2029\u0085\x0b\x0c",
    "NUL": "a\0b",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_arrives_as_it_was_published(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream, text: str
) -> None:
    gateway.publish(f"room-{name}", text, event="tick")
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [stream])
    assert [(event.type, event.data) for event in stream.events] == [("tick", text), ("message", "end")]


@pytest.mark.parametrize("data", [{"text": "hi", "n": [1, 2.5, None, True]}, [1, 2], 42, None, False])
def test_data_that_is_no_string_arrives_as_compact_json(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream, data: object
) -> None:
    gateway.publish(f"room-{name}", data)
    listeners.until(lambda: stream.events, "the event")
    assert stream.data == [json.dumps(data, separators=(",", ":"))]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"], ids=["CR", "LF", "CRLF"])
def test_no_line_end_in_data_can_forge_a_field_or_an_event(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream, end: str
) -> None:
    forged = end.join(["hi", "event: forged", "id: forged", "", "data: a second event", "", ""])
    published = gateway.publish(f"room-{name}", forged)
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [stream])
    assert len(stream.events) == 2
    assert stream.events[0].type == "message" and stream.events[0].id == published["id"]
    assert stream.events[0].data == forged.replace("\r\n", "\n").replace("\r", "\n")


def test_the_body_of_a_channels_own_url_is_the_data_as_it_is(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream
) -> None:
    body = b'{"text":  "not made compact"}\r\nsecond line'
    answer = gateway.internal(
        "POST", f"/v1/channels/room-{name}/events?event=tick", body, {"Content-Type": "text/plain"}
    )
    assert (answer.status, answer.json()["streams"]) == (200, 1)
    listeners.until(lambda: stream.events, "the event")
    (event,) = stream.events
    assert (event.type, event.id) == ("tick", answer.json()["id"])
    assert event.data == '{"text":  "not made compact"}\nsecond line'


def test_a_batch_is_delivered_in_its_order(gateway: Gateway, listeners: Listeners, name: str, stream: Stream) -> None:
    sent = numbers("b", 50)
    answer = gateway.post_event([{"channel": f"room-{name}", "data": data} for data in sent])
    assert answer.status == 200 and answer.json()["published"] == 50
    listeners.until_data(sent[-1], [stream])
    assert stream.data == sent
    assert stream.ids[-1] == answer.json()["last_id"]


def test_an_event_for_two_channels_is_heard_once(gateway: Gateway, listeners: Listeners, name: str) -> None:
    both = listeners.open(gateway.http, f"/two/{name}-a/{name}-b/events/")
    one = listeners.open(gateway.http, room(f"{name}-a"))
    listeners.until_open(both, one)
    answer = gateway.post_event({"channels": [f"room-{name}-a", f"room-{name}-b"], "data": "hi"}).json()
    assert answer["streams"] == 2
    gateway.publish(f"room-{name}-b", "for b")
    gateway.publish(f"room-{name}-a", "end")
    listeners.until_data("end", [both, one])
    assert both.data == ["hi", "for b", "end"] and one.data == ["hi", "end"]
    assert both.ids[0] == one.ids[0] == answer["id"]


def test_a_stream_may_be_excepted(gateway: Gateway, listeners: Listeners, name: str, stream: Stream) -> None:
    other = listeners.open(gateway.http, room(name))
    listeners.until_open(other)
    assert stream.answer
    gateway.publish(f"room-{name}", "not for you", **{"except": stream.answer.header("SSE-Stream")})
    gateway.publish(f"room-{name}", "for all", retry=4321)
    listeners.until_data("for all", [stream, other])
    assert stream.data == ["for all"] and other.data == ["not for you", "for all"]
    assert stream.parser.retry == 4321


def test_no_event_of_another_channel_is_heard(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream
) -> None:
    for other in (f"room-{name}x", f"room-{name[:-1]}", "room", f"Room-{name}", f"room-{name}/x"):
        gateway.publish(other, "not for you")
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [stream])
    assert stream.data == ["end"]


def test_a_thousand_streams_get_an_event_posted_by_django_exactly_once(
    gateway: Gateway, listeners: Listeners, name: str
) -> None:
    # Half of them asked of one sync worker.
    streams = [listeners.open(gateway.http, f"/ask/{name}/?channel=room-{name}") for _ in range(500)]
    streams += [listeners.open(gateway.http, room(name)) for _ in range(500)]
    listeners.until_open(*streams)
    # One that has to wait for its turn to be asked about is open, but on no channel yet.
    until(lambda: gateway.streams_on(f"room-{name}") == 1000, "a thousand streams on the channel")
    answer = gateway.request("POST", "/publish/", body=json.dumps({"channel": f"room-{name}", "data": "hi"}).encode())
    assert answer.status == 200 and answer.json()["streams"] == 1000
    assert gateway.publish(f"room-{name}", "end")["streams"] == 1000
    listeners.until_data("end", streams)
    assert all(stream.data == ["hi", "end"] for stream in streams)
    assert {stream.ids[0] for stream in streams} == {answer.json()["id"]}


def test_events_of_many_publishers_are_heard_by_all_in_one_order(
    gateway: Gateway, listeners: Listeners, name: str
) -> None:
    streams = [listeners.open(gateway.http, room(name)) for _ in range(50)]
    listeners.until_open(*streams)

    def publisher(number: int) -> None:
        for data in numbers(f"p{number}", 40):
            gateway.publish(f"room-{name}", data)

    threads = [threading.Thread(target=publisher, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", streams)
    assert all(stream.events == streams[0].events for stream in streams)
    assert sorted(streams[0].data[:-1]) == sorted(data for n in range(4) for data in numbers(f"p{n}", 40))
    for number in range(4):
        own = [data for data in streams[0].data if data.startswith(f"p{number}-")]
        assert own == numbers(f"p{number}", 40), "the order of one publisher"


def test_a_listener_that_does_not_read_delays_nobody_and_costs_no_memory(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site)
    stream = listeners.open(gateway.http, room(name))
    listeners.until_open(stream)
    for _ in range(20):
        listeners.open(gateway.http, room(name), asleep=True)
    until(lambda: gateway.streams_on(f"room-{name}") == 21, "21 streams")
    pid = gateway.process.popen.pid if gateway.process.popen else 0
    before = resident(pid)
    sent = [f"{number} {'x' * 100_000}" for number in range(200)]
    for data in sent:
        gateway.publish(f"room-{name}", data)
    listeners.until_data(sent[-1], [stream])
    assert stream.data == sent
    # 20 MB were published, of which history keeps all; a queue per sleeper would have held 400 MB.
    assert resident(pid) - before < 80_000_000


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", ["close", "skip"])
def test_a_client_too_slow_for_the_log_is_told(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str, kind: str
) -> None:
    gateway = new_gateway(site, sse=f'slow_client = "{kind}"\nhistory = {{ events = 20, age = "10m" }}')
    sleeper = listeners.open(gateway.http, room(name), asleep=True)
    until(lambda: gateway.streams_on(f"room-{name}") == 1, "the stream on its channel")
    # More than the sockets hold, and more than history keeps.
    sent = [f"{number} {'x' * 200_000}" for number in range(150)]
    for data in sent:
        gateway.publish(f"room-{name}", data)
    listeners.wake(sleeper)
    if kind == "close":
        listeners.until_ended(sleeper)
        assert sleeper.complete and 0 < len(sleeper.data) < len(sent)
        assert sleeper.data == sent[: len(sleeper.data)], "a gap before the end"
        sleeper = listeners.open(gateway.http, room(name), last_event_id=sleeper.last_id)
    listeners.until(lambda: sleeper.resets, "the reset")
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [sleeper])
    assert len(sleeper.resets) == 1
    before = [event.type for event in sleeper.events].index("reset")
    assert sleeper.data[:before] == sent[:before], "a gap before the reset"


# -- counting --------------------------------------------------------------------------------


def test_channels_and_stats_count_streams_and_events(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream
) -> None:
    last = [gateway.publish(f"room-{name}", data)["id"] for data in ("one", "two")][-1]
    channel = gateway.channel(f"room-{name}")
    expected = {"name": f"room-{name}", "streams": 1, "events": 2, "last_id": last}
    assert channel is not None and channel == channel | expected
    matched = gateway.internal("GET", f"/v1/channels?match=room-{name[:1]}*").json()["channels"]
    assert f"room-{name}" in [channel["name"] for channel in matched]
    assert gateway.internal("GET", "/v1/stats").status == 200


def test_metrics_are_prometheus_text(gateway: Gateway, stream: Stream) -> None:
    answer = gateway.internal("GET", "/metrics")
    assert answer.status == 200
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line and not line.startswith("#"))
    assert float(values["tidegate_streams_open"]) >= 1
