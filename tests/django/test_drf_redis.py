"""DRF with Redis: the view says who may listen, and each message for whom it is."""

import base64
import json
from typing import Any

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site
from redis_project import ROUTES, Server, listening, metric, rule, until_connected
from streams import Listeners, Stream

IDS = {"anna": 1, "ben": 2}


def login(name: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{name}".encode()).decode()}


def notify(gateway: Gateway, message: Any) -> None:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    answer = gateway.request("POST", "/notify/", headers={"Content-Type": "application/json"}, body=body)
    assert answer.status == 200, answer


RULES = (
    rule("push-notifications", "json", "user-{recipient_id}"),
    rule("push-notifications", "json", "owner-{thing.owner.id}"),
)


@pytest.fixture(scope="module")
def gateway(shared_gateways: GatewayMaker, project: Site, redis_server: Server) -> Gateway:
    made = shared_gateways(project, routes=ROUTES, more=listening(redis_server.url, *RULES))
    until_connected(made)
    return made


def open_for(listeners: Listeners, gateway: Gateway, name: str) -> Stream:
    stream = listeners.open(gateway.http, "/api/notifications/", headers=login(name))
    listeners.until_open(stream)
    return stream


def test_who_may_not_listen_is_told_before_any_stream(gateway: Gateway, listeners: Listeners) -> None:
    for path, headers, status in [
        ("/api/notifications/", {}, 401),
        ("/api/notifications/", login("nobody"), 401),
        ("/api/staff/", login("anna"), 403),
    ]:
        answer = gateway.get(path, headers={"Accept": "text/event-stream", **headers})
        assert (answer.status, answer.header("Content-Type")) == (status, "application/json"), path
        assert "detail" in answer.json()


def test_a_message_is_for_its_recipient_alone(gateway: Gateway, listeners: Listeners) -> None:
    anna, ben = (open_for(listeners, gateway, name) for name in IDS)
    message = '{"recipient_id": 1,  "text": "\\u00fc", "n": 1.50}'
    notify(gateway, message.encode())
    # Ids may be strings as well.
    notify(gateway, {"recipient_id": "2", "text": "for ben"})
    listeners.until(lambda: anna.events and ben.events, "an event for each")
    assert [(event.type, event.data) for event in anna.events] == [("message", message)]
    assert [json.loads(data)["text"] for data in ben.data] == ["for ben"]


def test_a_field_may_lie_deeper(gateway: Gateway, listeners: Listeners, name: str) -> None:
    stream = listeners.open(gateway.http, f"/sse/owner-{name}/")
    listeners.until_open(stream)
    notify(gateway, {"thing": {"owner": {"id": name}}})
    listeners.until(lambda: stream.events, "the event")


def test_a_message_for_nobody_is_counted_and_dropped(
    new_gateway: GatewayMaker, project: Site, redis_server: Server, listeners: Listeners
) -> None:
    gateway = new_gateway(project, routes=ROUTES, more=listening(redis_server.url, RULES[0]))
    until_connected(gateway)
    stream = open_for(listeners, gateway, "anna")
    strange: list[object] = [None, "", 1.5, True, [1], {"id": 1}, 10**30]
    for recipient in strange:
        notify(gateway, {"recipient_id": recipient})
    notify(gateway, {"text": "for whom?"})
    notify(gateway, {"recipient_id": "1, 2"})
    notify(gateway, [1])
    notify(gateway, {"recipient_id": 1})
    listeners.until(lambda: stream.events, "the event")
    assert len(stream.events) == 1
    reasons = ("no-field", "no-channel", "shape")
    counted = {reason: metric(gateway, f'redis_dropped_total{{reason="{reason}"}}') for reason in reasons}
    assert counted == {"no-field": len(strange) + 1, "no-channel": 1, "shape": 1}
    # One line of each kind, however many messages.
    assert gateway.process.log.read_text().count("Message of Redis dropped") == 3


def test_the_heartbeat_may_be_json(
    new_gateway: GatewayMaker, project: Site, redis_server: Server, listeners: Listeners
) -> None:
    """As front ends know it that look for a `ping` in each message."""
    sse = """heartbeat = "100ms"\nheartbeat_event = "message"\nheartbeat_data = '{"ping": true}'"""
    gateway = new_gateway(project, routes=ROUTES, sse=sse, more=listening(redis_server.url, RULES[0]))
    until_connected(gateway)
    stream = open_for(listeners, gateway, "anna")
    listeners.until(lambda: len(stream.events) > 2, "heartbeats")
    assert {(event.type, event.data) for event in stream.events} == {("message", '{"ping": true}')}
    place = stream.last_id
    notify(gateway, {"recipient_id": 1, "text": "hi"})
    listeners.until(lambda: stream.last_id != place, "the event")


def test_a_returning_client_is_given_what_it_missed(gateway: Gateway, listeners: Listeners) -> None:
    stream = open_for(listeners, gateway, "anna")
    notify(gateway, {"recipient_id": 1, "text": "one"})
    listeners.until(lambda: stream.events, "the event")
    place = stream.last_id
    listeners.close(stream)
    notify(gateway, {"recipient_id": 2, "text": "for ben"})
    notify(gateway, {"recipient_id": 1, "text": "two"})
    stream = listeners.open(gateway.http, "/api/notifications/", headers=login("anna"), last_event_id=place)
    listeners.until(lambda: stream.events, "what was missed")
    assert [json.loads(data)["text"] for data in stream.data] == ["two"]
