"""Asks: Django's own view says who may listen. One test or more for every row of the table of "Ask" in docs/streams.md."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Site, cookie_header, log_in, until
from streams import Listeners, Stream
from wire import Answer, chunked, head_bytes, send


def ask_url(name: str, route: str = "ask", **query: Any) -> str:
    return f"/{route}/{name}/?{urlencode(query)}"


def open_ask(listeners: Listeners, gateway: Gateway, name: str, **query: Any) -> Stream:
    """A stream whose ask is answered so, once it is open."""
    stream = listeners.open(gateway.http, ask_url(name, **query))
    listeners.until_open(stream)
    return stream


def refused(gateway: Gateway, target: str, **more: object) -> Answer:
    """The answer to an event source that is not to get a stream; a stream would run into the timeout."""
    return gateway.get(target, headers={"Accept": "text/event-stream"}, timeout=5, **more)


# -- what Django is sent ---------------------------------------------------------------------


def test_django_is_sent_the_clients_own_request(pair: tuple[Gateway, Site], listeners: Listeners, name: str) -> None:
    gateway, site = pair
    target = ask_url(name, channel=name)
    headers = {"Cookie": "a=1; b=2", "Authorization": "Bearer t", "Accept-Language": "de"}
    stream = listeners.open(gateway.http, target, headers=headers)
    listeners.until_open(stream)
    (seen,) = site.journal(f"/ask/{name}/")
    assert (seen["method"], seen["path"]) == ("GET", target)
    assert seen["headers"]["Accept"] == "text/event-stream, */*;q=0.1"
    assert seen["headers"]["Sse-Ask"] == "1"
    assert seen["headers"]["Cookie"] == "a=1; b=2"
    assert seen["headers"]["Authorization"] == "Bearer t"
    assert seen["headers"]["Accept-Language"] == "de"
    assert seen["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert "Last-Event-Id" not in seen["headers"] and "Sse-Replay" not in seen["headers"]
    # The stream's own id goes to both sides.
    assert stream.answer and seen["headers"]["Sse-Stream"] == stream.answer.header("SSE-Stream")


@pytest.mark.parametrize("by", ["header", "lastEventId", "last-event-id"])
def test_django_is_told_where_the_client_left_off(
    gateway: Gateway, site: Site, listeners: Listeners, name: str, by: str
) -> None:
    place = gateway.publish(name, "one")["id"]
    query = {} if by == "header" else {by: place}
    stream = listeners.open(
        gateway.http, ask_url(name, channel=name, **query), last_event_id=place if by == "header" else None
    )
    listeners.until_open(stream)
    (seen,) = site.journal(f"/ask/{name}/")
    assert seen["headers"]["Last-Event-Id"] == place
    assert seen["headers"]["Sse-Replay"] == "full"


def test_django_is_told_when_the_log_does_not_reach_back_so_far(
    gateway: Gateway, site: Site, listeners: Listeners, name: str
) -> None:
    stream = listeners.open(gateway.http, ask_url(name, channel=name), last_event_id="0123456789-7")
    listeners.until_open(stream)
    (seen,) = site.journal(f"/ask/{name}/")
    assert seen["headers"]["Sse-Replay"] == "partial"


def test_what_a_client_says_about_asks_does_not_reach_django(
    gateway: Gateway, site: Site, listeners: Listeners, name: str
) -> None:
    headers = {"SSE-Ask": "2", "SSE-Stream": "mine", "SSE-Replay": "full", "SSE-Channel": "secret"}
    stream = listeners.open(gateway.http, ask_url(name, channel=name), headers=headers)
    listeners.until_open(stream)
    (seen,) = site.journal(f"/ask/{name}/")
    assert seen["headers"]["Sse-Ask"] == "1"
    assert "mine" not in seen["headers"].values()
    assert not {"Sse-Replay", "Sse-Channel"} & set(seen["headers"])


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_body_of_a_post_is_part_of_the_ask(gateway: Gateway, name: str, framing: str) -> None:
    target = ask_url(name, echo="")
    if framing == "length":
        answer = gateway.request("POST", target, body=b"question=1")
    else:
        head = head_bytes("POST", target, "site.test", {"Transfer-Encoding": "chunked"})
        answer = send(gateway.http, head + chunked([b"quest", b"ion=1"]))
    assert (answer.status, answer.text) == (200, "question=1")


# -- answers that open a stream ---------------------------------------------------------------


def test_sse_channel_names_the_one_channel(pair: tuple[Gateway, Site], listeners: Listeners, name: str) -> None:
    gateway, _ = pair
    stream = open_ask(listeners, gateway, name, channel=name)
    assert gateway.publish(name, "hi")["streams"] == 1
    listeners.until_data("hi", [stream])
    assert stream.data == ["hi"]


def test_sse_channels_names_several(gateway: Gateway, listeners: Listeners, name: str) -> None:
    channels = [f"{name}-one", f"{name}-two"]
    stream = open_ask(listeners, gateway, name, channels=json.dumps(channels))
    for channel in channels:
        assert gateway.publish(channel, channel)["streams"] == 1
    listeners.until_data(channels[-1], [stream])
    assert stream.data == channels


def test_sse_channel_may_repeat(pair: tuple[Gateway, Site], listeners: Listeners, name: str) -> None:
    gateway, _ = pair
    channels = [f"{name}-one", f"{name}-two", f"{name}-three"]
    stream = open_ask(listeners, gateway, name, repeat=" ".join(channels))
    for channel in channels:
        assert gateway.publish(channel, channel)["streams"] == 1
    listeners.until_data(channels[-1], [stream])
    assert stream.data == channels


def test_sse_user_is_known_to_the_gateway(gateway: Gateway, listeners: Listeners, name: str) -> None:
    stream = open_ask(listeners, gateway, name, channel=name, user="42")
    assert gateway.publish(name, "hi")["streams"] == 1
    listeners.until_data("hi", [stream])


@pytest.mark.parametrize("channel", ["a,b", "a b", "a;b", "ä", "a" * 201, "a?b", '["a"]'])
def test_a_channel_outside_of_the_grammar_is_the_views_mistake(gateway: Gateway, name: str, channel: str) -> None:
    answer = refused(gateway, ask_url(name, channel=channel))
    assert answer.status == 404
    assert "SSE-Channel" in gateway.process.log.read_text(), "no hint in the log"


@pytest.mark.parametrize("channels", ["a,b", "[1]", '["a b"]', '{"a": 1}', "["])
def test_channels_that_are_no_list_of_names_are_the_views_mistake(gateway: Gateway, name: str, channels: str) -> None:
    assert refused(gateway, ask_url(name, channels=channels)).status == 404


def test_sse_retry_sets_this_clients_retry(gateway: Gateway, listeners: Listeners, name: str) -> None:
    stream = open_ask(listeners, gateway, name, channel=name, retry=12345)
    assert stream.parser.retry == 12345


def test_the_body_of_an_ask_is_the_initial_state(gateway: Gateway, listeners: Listeners, name: str) -> None:
    state = "event: state\ndata: one\ndata: two\n\ndata: three\n\n"
    stream = open_ask(listeners, gateway, name, channel=name, type="text/event-stream", body=state)
    gateway.publish(name, "live")
    listeners.until_data("live", [stream])
    assert [(event.type, event.data) for event in stream.events] == [
        ("state", "one\ntwo"),
        ("message", "three"),
        ("message", "live"),
    ]


def test_an_initial_state_cut_off_in_an_event_does_not_swallow_the_next(
    gateway: Gateway, listeners: Listeners, name: str
) -> None:
    stream = open_ask(listeners, gateway, name, channel=name, type="text/event-stream", body="data: state\n\ndata: cut")
    gateway.publish(name, "live")
    listeners.until_data("live", [stream])
    assert stream.data[0] == "state" and stream.data[-1] == "live"


def test_a_body_of_another_type_is_not_sent(gateway: Gateway, listeners: Listeners, name: str) -> None:
    stream = open_ask(listeners, gateway, name, channel=name, body="data: no event\n\n")
    gateway.publish(name, "live")
    listeners.until_data("live", [stream])
    assert stream.data == ["live"]


def test_nothing_falls_between_the_ask_and_the_stream(
    gateway: Gateway, site: Site, listeners: Listeners, name: str
) -> None:
    stream = listeners.open(gateway.http, ask_url(name, channel=name, gate=name))
    until(lambda: site.journal(f"/ask/{name}/"), "the ask to reach Django")
    # Django is working out its answer now.
    gateway.publish(name, "meanwhile")
    site.open_gate(name)
    listeners.until_data("meanwhile", [stream])
    gateway.publish(name, "later")
    listeners.until_data("later", [stream])
    assert stream.data == ["meanwhile", "later"]


def test_the_cookie_of_an_ask_is_passed_on_only_when_there_is_no_stream(
    gateway: Gateway, listeners: Listeners, name: str
) -> None:
    stream = open_ask(listeners, gateway, name, channel=name, cookie="sweet")
    assert stream.answer and stream.answer.all("Set-Cookie") == []
    answer = refused(gateway, ask_url(name, status=403, cookie="sweet"))
    assert len(answer.all("Set-Cookie")) == 1


def test_cors_is_copied_from_djangos_answer(gateway: Gateway, listeners: Listeners, name: str) -> None:
    stream = open_ask(listeners, gateway, name, channel=name, allow="https://app.example.com")
    assert stream.answer
    assert stream.answer.header("Access-Control-Allow-Origin") == "https://app.example.com"


# -- answers that do not ------------------------------------------------------------------------


def test_a_plain_answer_is_passed_on_as_it_is(gateway: Gateway, name: str) -> None:
    answer = refused(gateway, ask_url(name, body="just a page", status=203, cookie="c"))
    assert (answer.status, answer.text) == (203, "just a page")
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    # The client wanted an event stream: whoever wrote the view is told what is missing.
    assert "SSE-Channel" in gateway.process.log.read_text()


def test_204_stops_the_client(gateway: Gateway, name: str) -> None:
    answer = refused(gateway, ask_url(name, status=204))
    assert answer.status == 204 and answer.body == b""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_becomes_401(gateway: Gateway, name: str, status: int) -> None:
    answer = refused(gateway, ask_url(name, status=status, location="/login/"))
    assert answer.status == 401
    assert answer.header("Location") is None


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_passes_through(pair: tuple[Gateway, Site], name: str, status: int) -> None:
    gateway, _ = pair
    answer = refused(gateway, ask_url(name, status=status, body="because", channel=name))
    assert (answer.status, answer.text) == (status, "because")


def test_a_login_required_view_needs_a_login(pair: tuple[Gateway, Site], listeners: Listeners) -> None:
    gateway, _ = pair
    assert refused(gateway, "/me/events/").status == 401
    anna, ben = (cookie_header(log_in(gateway.http, user)) for user in ("anna", "ben"))
    streams = [listeners.open(gateway.http, "/me/events/", headers={"Cookie": cookie}) for cookie in (anna, ben, anna)]
    listeners.until_open(*streams)
    assert gateway.publish("user-1", "for anna")["streams"] == 2
    assert gateway.publish("user-2", "for ben")["streams"] == 1
    listeners.until_data("for anna", [streams[0], streams[2]])
    listeners.until_data("for ben", [streams[1]])
    assert [stream.data for stream in streams] == [["for anna"], ["for ben"], ["for anna"]]
    assert refused(gateway, "/me/events/").status == 401


# -- backend_down ---------------------------------------------------------------------------------

DOWN = [429, 500, 502, 503]


@pytest.mark.parametrize("status", DOWN)
def test_hold_keeps_the_stream_open_and_asks_again(
    gateway: Gateway, site: Site, listeners: Listeners, name: str, status: int
) -> None:
    site.script(name, status=status)
    stream = listeners.open(gateway.http, ask_url(name))
    listeners.until_answered(stream)
    until(lambda: len(site.journal(f"/ask/{name}/")) >= 2, "a second ask")
    # Published while nobody knows yet who may listen: it is delivered when that is known.
    gateway.publish(name, "meanwhile")
    site.script(name, channel=name)
    listeners.until_data("meanwhile", [stream])
    assert not stream.ended


@pytest.mark.parametrize("status", [204, 302, 401, 403, 404])
def test_hold_ends_when_the_later_answer_is_a_refusal_and_the_reconnect_gets_it(
    gateway: Gateway, site: Site, listeners: Listeners, name: str, status: int
) -> None:
    site.script(name, status=503)
    stream = listeners.open(gateway.http, ask_url(name))
    listeners.until_answered(stream)
    site.script(name, status=status, location="/login/")
    listeners.until_ended(stream)
    assert stream.complete and stream.data == []
    assert refused(gateway, ask_url(name)).status == (401 if status == 302 else status)


@pytest.mark.parametrize("status", DOWN)
def test_retry_answers_200_with_a_retry_and_ends(
    gateway: Gateway, listeners: Listeners, name: str, status: int
) -> None:
    stream = listeners.open(gateway.http, ask_url(name, "ask-retry", status=status))
    listeners.until_ended(stream)
    assert stream.status == 200 and stream.complete
    assert stream.answer and (stream.answer.header("Content-Type") or "").startswith("text/event-stream")
    assert stream.parser.retry and stream.data == []


@pytest.mark.parametrize("status", DOWN)
def test_fail_passes_the_status_on(gateway: Gateway, name: str, status: int) -> None:
    assert refused(gateway, ask_url(name, "ask-fail", status=status)).status == status


def test_while_gunicorn_is_down_each_kind_does_what_it_says(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_site()
    gateway = new_gateway(site, upstream='retry_for = "100ms"')
    site.kill()
    held = listeners.open(gateway.http, ask_url(name, channel=name))
    told = listeners.open(gateway.http, ask_url(name, "ask-retry", channel=name))
    listeners.until_answered(held)
    listeners.until_ended(told)
    assert told.status == 200 and told.parser.retry
    assert refused(gateway, ask_url(name, "ask-fail", channel=name)).status == 502
    site.start()
    until(lambda: gateway.streams_on(name) == 1, "the held stream on its channel")
    gateway.publish(name, "back")
    listeners.until_data("back", [held])


def test_hold_does_not_wait_for_retry_for(
    new_gateway: GatewayMaker, folder: Path, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(f"unix:{folder}/{name}.sock", upstream='retry_for = "1h"')
    stream = listeners.open(gateway.http, ask_url(name, channel=name))
    listeners.until(lambda: stream.status == 200 and stream.parser.comments, "a head and a comment")


def test_an_ask_that_is_not_answered_in_time_is_held(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_site(threads=4)
    gateway = new_gateway(site, upstream='response_timeout = "300ms"')
    stream = listeners.open(gateway.http, ask_url(name, channel=name, gate=name))
    until(lambda: len(site.journal(f"/ask/{name}/")) >= 2, "another ask")
    site.open_gate(name)
    listeners.until_open(stream)
    gateway.publish(name, "hi")
    listeners.until_data("hi", [stream])
    assert refused(gateway, ask_url(f"{name}-closed", "ask-fail", gate=f"{name}-closed")).status == 504
    site.open_gate(f"{name}-closed")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_neither_held_nor_repeated(gateway: Gateway, site: Site, name: str, method: str) -> None:
    answer = gateway.request(method, ask_url(name, status=500), body=b"x")
    assert answer.status == 503
    assert answer.header("Retry-After")
    assert len(site.journal(f"/ask/{name}/")) == 1


def test_a_post_may_open_a_stream(gateway: Gateway, listeners: Listeners, name: str) -> None:
    stream = listeners.open(gateway.http, ask_url(name, channel=name), method="POST", headers={"Content-Length": "0"})
    listeners.until_open(stream)
    gateway.publish(name, "hi")
    listeners.until_data("hi", [stream])


# -- the budget ------------------------------------------------------------------------------------


def test_django_is_never_asked_more_than_at_once_allows(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_site(threads=32)
    route = '[[route]]\npath = "/ask/<path:rest>"\nsse = {{ ask = {{ to = "django", at_once = {} }} }}\n'
    everything = '[[route]]\npath = "/<path:rest>"\nproxy = "django"\n'
    gateway = new_gateway(site, routes=route.format(3) + everything)
    streams = [listeners.open(gateway.http, ask_url(name, channel=name, gate=name)) for _ in range(12)]
    until(lambda: len(site.journal(f"/ask/{name}/")) == 3, "three asks at Django")
    # The asks hold all of their budget now, and pages are served beside them.
    for _ in range(20):
        assert gateway.get("/").status == 200
    assert len(site.journal(f"/ask/{name}/")) == 3
    site.open_gate(name)
    listeners.until_open(*streams)
    until(lambda: gateway.streams_on(name) == 12, "twelve streams on the channel")
    asks = site.journal(f"/ask/{name}/")
    # Here `at_once` is how many requests the site had under way, which after the pages were asks alone.
    assert len(asks) == 12 and max(ask["at_once"] for ask in asks) <= 3
    assert gateway.publish(name, "hi")["streams"] == 12
    listeners.until_data("hi", streams)


def test_those_beyond_the_budget_wait_on_an_open_stream(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_site()
    gateway = new_gateway(site, sse='heartbeat = "100ms"')
    first = listeners.open(gateway.http, ask_url(name, channel=name, gate=name))
    until(lambda: site.journal(f"/ask/{name}/"), "the ask that holds the one worker")
    others = [listeners.open(gateway.http, ask_url(name, channel=name, gate=name)) for _ in range(20)]
    # Eight asks wait for the worker; the rest wait for the budget, and for them heartbeats must come already.
    listeners.until(
        lambda: sum(stream.parser.comments >= 3 for stream in others) >= 13, "heartbeats for those who wait"
    )
    site.open_gate(name)
    listeners.until_open(first, *others)


# -- SSE-Expires -------------------------------------------------------------------------------------


def test_a_stream_whose_time_is_up_asks_again_and_goes_on(
    gateway: Gateway, site: Site, listeners: Listeners, name: str
) -> None:
    site.script(name, channel=name, expires=1)
    stream = listeners.open(gateway.http, ask_url(name))
    listeners.until_open(stream)
    until(lambda: len(site.journal(f"/ask/{name}/")) >= 2, "the second ask")
    gateway.publish(name, "still here")
    listeners.until_data("still here", [stream])


def test_a_refusal_of_the_later_ask_ends_the_stream(
    gateway: Gateway, site: Site, listeners: Listeners, name: str
) -> None:
    site.script(name, channel=name, expires=1)
    stream = listeners.open(gateway.http, ask_url(name))
    listeners.until_open(stream)
    site.script(name, status=403)
    listeners.until_ended(stream)
    assert stream.complete
    assert refused(gateway, ask_url(name)).status == 403


def test_a_later_ask_may_change_the_channels(gateway: Gateway, site: Site, listeners: Listeners, name: str) -> None:
    site.script(name, channel=f"{name}-old", expires=1)
    stream = listeners.open(gateway.http, ask_url(name))
    listeners.until_open(stream)
    site.script(name, channel=f"{name}-new")
    until(lambda: gateway.streams_on(f"{name}-new") == 1, "the stream on its new channel")
    assert gateway.publish(f"{name}-old", "old")["streams"] == 0
    gateway.publish(f"{name}-new", "new")
    listeners.until_data("new", [stream])
    assert stream.data == ["new"]


def test_an_expired_stream_delivers_nothing_until_django_can_be_asked(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_site()
    gateway = new_gateway(site, upstream='retry_for = "0s"', sse='heartbeat = "50ms"')
    witness = listeners.open(gateway.http, f"/rooms/{name}/events/")
    stream = listeners.open(gateway.http, ask_url(name, channel=f"room-{name}", expires=1))
    listeners.until_open(witness, stream)
    site.script(name, status=503)
    until(lambda: len(site.journal(f"/ask/{name}/")) >= 2, "the ask after the expiry")
    gateway.publish(f"room-{name}", "while nobody knows")
    listeners.until_data("while nobody knows", [witness])
    beats = stream.parser.comments
    listeners.until(lambda: stream.parser.comments >= beats + 3, "heartbeats meanwhile")
    assert stream.data == [] and not stream.ended
    site.script(name, channel=f"room-{name}")
    listeners.until_data("while nobody knows", [stream])
    assert stream.data == ["while nobody knows"]
