"""Django is told who comes on which channel and who leaves it, and believes nobody else."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from standardwebhooks import Webhook

from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Site, room, until
from streams import Listeners, Stream
from wire import Answer

SECRET = "whsec_b25seSB0aGUgdGVzdHMgdXNlIHRoaXMgc2VjcmV0"


def telling(leave_after: str, path: str = "/sse/notify/") -> str:
    return f'notify = "{path}"\nnotify_secret = "{SECRET}"\nleave_after = "{leave_after}"'


def listen(listeners: Listeners, gateway: Gateway, channel: str, user: str) -> Stream:
    query = urlencode({"channel": channel, "user": user})
    stream = listeners.open(gateway.http, f"/ask/{channel}/?{query}")
    listeners.until_open(stream)
    return stream


def told(site: Site, channel: str) -> list[str]:
    """What Django believed about a channel."""
    changes = [change for line in site.journal("believed ") for change in line["told"]["changes"]]
    words = ([change[key] for key in ("type", "user") if key in change] for change in changes if on(change, channel))
    return [" ".join(word) for word in words]


def on(change: dict[str, Any], channel: str) -> bool:
    return change.get("channel") == channel


def until_told(site: Site, channel: str, expected: list[str]) -> None:
    until(lambda: len(told(site, channel)) >= len(expected), f"Django to be told {expected}")
    assert told(site, channel) == expected


@pytest.mark.parametrize("path", ["/sse/notify/", "/sse/notify-by-hand/"])
def test_django_is_told_who_comes_and_who_goes(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str, path: str
) -> None:
    gateway = new_gateway(site, sse=telling("0s", path))
    first = [listen(listeners, gateway, name, "42"), listen(listeners, gateway, name, "42")]
    until_told(site, name, ["in-use", "joined 42"])
    second = listen(listeners, gateway, name, "43")
    until_told(site, name, ["in-use", "joined 42", "joined 43"])
    listeners.close(*first)
    until_told(site, name, ["in-use", "joined 42", "joined 43", "left 42"])
    listeners.close(second)
    until_told(site, name, ["in-use", "joined 42", "joined 43", "left 42", "left 43", "empty"])
    believed = site.journal(f"believed {path}")
    assert all(line["secure"] and line["host"] == "site.test" for line in believed)
    # The life of a gateway begins with a reset.
    batches = {line["told"]["id"]: line["told"]["changes"] for line in believed}
    mine = next(batch for batch, changes in batches.items() if any(on(change, name) for change in changes))
    life, _, _ = mine.partition("-")
    assert batches[f"{life}-1"][0]["type"] == "reset"


def test_a_page_reload_makes_no_noise(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, sse=telling("1h"))
    stream = listen(listeners, gateway, name, "42")
    until_told(site, name, ["in-use", "joined 42"])
    for _ in range(5):
        listeners.close(stream)
        until(lambda: gateway.streams_on(name) == 0, "the stream to be gone")
        stream = listen(listeners, gateway, name, "42")
    listen(listeners, gateway, name, "43")
    until_told(site, name, ["in-use", "joined 42", "joined 43"])


def test_what_happens_while_gunicorn_is_away_is_told_when_it_is_back(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_site()
    gateway = new_gateway(site, sse=telling("0s"), upstream='retry_for = "0s"')
    until(lambda: site.journal("believed "), "Django to be told of the start")
    site.kill()
    channel = f"room-{name}"
    stays, goes = (listeners.open(gateway.http, room(name)) for _ in range(2))
    passing = listeners.open(gateway.http, room(f"{name}-passing"))
    listeners.until_open(stays, goes, passing)
    until(lambda: "tidegate_notify_batches_total{outcome=\"unanswered\"}" in metrics(gateway), "a try in vain")
    listeners.close(goes, passing)
    until(lambda: gateway.streams_on(channel) == 1, "the others to be gone")
    site.start()
    until_told(site, channel, ["in-use"])


def metrics(gateway: Gateway) -> str:
    return gateway.internal("GET", "/metrics").body.decode()


def test_django_believes_nobody_without_the_secret(gateway: Gateway, site: Site, name: str) -> None:
    body = json.dumps({"id": "x-1", "changes": [{"type": "joined", "channel": name, "user": "1", "at": ""}]}).encode()

    def post(path: str, secret: str, signed: bytes, age: int = 0) -> Answer:
        sent = int(time.time()) - age
        headers = {
            "Content-Type": "application/json",
            "webhook-id": "x-1",
            "webhook-timestamp": str(sent),
            "webhook-signature": signature(secret, sent, signed),
        }
        return gateway.request("POST", path, headers=headers, body=body)

    for path in ("/sse/notify/", "/sse/notify-by-hand/"):
        assert gateway.request("POST", path, body=body).status == 403
        assert post(path, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBpcyB0aGlz", body).status == 403
        assert post(path, SECRET, b"another body").status == 403
        assert post(path, SECRET, body, age=600).status == 403
        believed = told(site, name)
        assert post(path, SECRET, body).status == 204, "or the others prove nothing"
        assert told(site, name) == [*believed, "joined 1"]
    assert told(site, name) == ["joined 1", "joined 1"]


def signature(secret: str, sent: int, body: bytes) -> str:
    return Webhook(secret).sign("x-1", datetime.fromtimestamp(sent, UTC), body.decode())
