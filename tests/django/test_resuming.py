"""Coming back to a stream, and its end: what was missed arrives, exactly that, or one reset says that it cannot."""

import json
from collections.abc import Iterator

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site, numbers, room, until
from streams import Listeners, Stream

# -- resuming --------------------------------------------------------------------------------


@pytest.fixture
def missed(gateway: Gateway, listeners: Listeners, name: str, stream: Stream) -> Iterator[tuple[str, list[str]]]:
    """The place of a client that saw one event and then missed a hundred."""
    gateway.publish(f"room-{name}", "seen")
    listeners.until_data("seen", [stream])
    listeners.close(stream)
    sent = numbers("missed", 100)
    for data in sent:
        gateway.publish(f"room-{name}", data)
        gateway.publish(f"other-{name}", "of another channel")
    yield stream.last_id, sent


@pytest.mark.parametrize("by", ["header", "lastEventId", "last-event-id"])
def test_a_client_that_missed_a_hundred_events_gets_exactly_those(
    gateway: Gateway, listeners: Listeners, name: str, missed: tuple[str, list[str]], by: str
) -> None:
    place, sent = missed
    if by == "header":
        stream = listeners.open(gateway.http, room(name), last_event_id=place)
    else:
        stream = listeners.open(gateway.http, room(name, f"?{by}={place}"))
    listeners.until_data(sent[-1], [stream])
    gateway.publish(f"room-{name}", "live")
    listeners.until_data("live", [stream])
    assert stream.data == [*sent, "live"]


def test_the_place_given_at_the_start_resumes_before_any_event(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream
) -> None:
    listeners.close(stream)
    gateway.publish(f"room-{name}", "missed")
    again = listeners.open(gateway.http, room(name), last_event_id=stream.last_id)
    listeners.until_data("missed", [again])
    assert again.data == ["missed"]


def test_a_publishers_own_id_resumes_too(gateway: Gateway, listeners: Listeners, name: str) -> None:
    for data in ("one", "two", "three"):
        assert gateway.publish(f"room-{name}", data, id=f"order {data}")["id"] == f"order {data}"
    stream = listeners.open(gateway.http, room(name), last_event_id="order one")
    listeners.until_data("three", [stream])
    assert stream.data == ["two", "three"] and stream.ids == ["order two", "order three"]


def test_one_id_resumes_all_channels_of_a_stream(gateway: Gateway, listeners: Listeners, name: str) -> None:
    target = f"/two/{name}-a/{name}-b/events/"
    place = gateway.publish(f"room-{name}-a", "seen")["id"]
    for number in range(10):
        gateway.publish(f"room-{name}-{'ab'[number % 2]}", f"missed {number}")
    stream = listeners.open(gateway.http, target, last_event_id=place)
    listeners.until_data("missed 9", [stream])
    assert stream.data == [f"missed {number}" for number in range(10)]


def test_who_comes_without_an_id_starts_now(gateway: Gateway, listeners: Listeners, name: str) -> None:
    gateway.publish(f"room-{name}", "before")
    stream = listeners.open(gateway.http, room(name))
    listeners.until_open(stream)
    gateway.publish(f"room-{name}", "after")
    listeners.until_data("after", [stream])
    assert stream.data == ["after"]


def test_who_missed_more_than_history_holds_gets_one_reset(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, sse='history = { events = 20, age = "10m" }')
    place = gateway.publish(f"room-{name}", "seen")["id"]
    for data in numbers("missed", 100):
        gateway.publish(f"room-{name}", data)
    stream = listeners.open(gateway.http, room(name), last_event_id=place)
    listeners.until(lambda: stream.events, "the reset")
    gateway.publish(f"room-{name}", "live")
    listeners.until_data("live", [stream])
    assert stream.events[0].type == "reset" and len(stream.resets) == 1
    assert json.loads(stream.resets[0])["reason"]
    # After it the stream goes on; coming back now, it has missed nothing.
    again = listeners.open(gateway.http, room(name), last_event_id=stream.last_id)
    listeners.until_open(again)
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [stream, again])
    assert again.data == ["end"]


def test_who_missed_as_much_as_history_holds_gets_all_of_it(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, sse='history = { events = 20, age = "10m" }')
    place = gateway.publish(f"room-{name}", "seen")["id"]
    sent = numbers("missed", 20)
    for data in sent:
        gateway.publish(f"room-{name}", data)
    stream = listeners.open(gateway.http, room(name), last_event_id=place)
    listeners.until_data(sent[-1], [stream])
    assert stream.data == sent


def test_events_older_than_history_keeps_are_a_reset(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, sse='history = { events = 256, age = "200ms" }')
    place = gateway.publish(f"room-{name}", "seen")["id"]
    gateway.publish(f"room-{name}", "missed")

    def comes_back_to_a_reset() -> bool:
        stream = listeners.open(gateway.http, room(name), last_event_id=place)
        listeners.until(lambda: stream.events, "the missed event or a reset")
        listeners.close(stream)
        return stream.events[0].type == "reset"

    until(comes_back_to_a_reset, "the event to grow too old")


@pytest.mark.parametrize("place", ["nobody gave this id", "0123456789-7", "0123456789-99999999999999999999", "-", "ä"])
def test_an_id_that_nobody_knows_is_one_reset(gateway: Gateway, listeners: Listeners, name: str, place: str) -> None:
    stream = listeners.open(gateway.http, room(name), last_event_id=place)
    listeners.until(lambda: stream.events, "the reset")
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [stream])
    assert [event.type for event in stream.events] == ["reset", "message"]


def test_a_restarted_gateway_resets_those_who_come_back(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site)
    place = gateway.publish(f"room-{name}", "seen")["id"]
    gateway.kill()
    gateway.start()
    gateway.publish(f"room-{name}", "in the new log, in the same place")
    stream = listeners.open(gateway.http, room(name), last_event_id=place)
    listeners.until(lambda: stream.events, "the reset")
    assert stream.events[0].type == "reset"


# -- ending ----------------------------------------------------------------------------------


def test_close_delivers_the_event_ends_the_streams_and_a_reconnect_gets_204(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream
) -> None:
    place = stream.last_id
    gateway.publish(f"room-{name}", "step")
    gateway.publish(f"room-{name}", "finished", event="done", close=True)
    listeners.until_ended(stream)
    assert stream.complete
    assert [(event.type, event.data) for event in stream.events] == [("message", "step"), ("done", "finished")]
    seen_all = gateway.get(room(name), headers={"Last-Event-ID": stream.last_id})
    assert (seen_all.status, seen_all.body) == (204, b"")
    late = listeners.open(gateway.http, room(name), last_event_id=place)
    listeners.until_ended(late)
    assert late.data == ["step", "finished"] and late.complete


def test_close_without_data_only_ends(gateway: Gateway, listeners: Listeners, name: str, stream: Stream) -> None:
    gateway.publish(f"room-{name}", "last")
    answer = gateway.post_event({"channel": f"room-{name}", "close": True})
    assert answer.status == 200
    listeners.until_ended(stream)
    assert stream.data == ["last"]


def test_publishing_again_opens_a_closed_channel(
    gateway: Gateway, listeners: Listeners, name: str, stream: Stream
) -> None:
    gateway.publish(f"room-{name}", "finished", close=True)
    listeners.until_ended(stream)
    gateway.publish(f"room-{name}", "a new beginning")
    again = listeners.open(gateway.http, room(name), last_event_id=stream.last_id)
    listeners.until_data("a new beginning", [again])
    assert again.data == ["a new beginning"] and not again.ended
