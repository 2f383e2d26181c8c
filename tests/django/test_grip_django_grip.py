"""A project with django-grip and gripcontrol alone: streams, polls and publishes by their own API."""

import json
import time

import pytest

from conftest import Listeners
from grip_fixtures import ProjectMaker
from grip_project import Project
from harness import until
from streams import Stream
from test_grip_polls import until_answered
from test_grip_streams import until_body


def until_polled(held_project: Project, listeners: Listeners, opened: Stream, channel: str, **said: object) -> None:
    until_answered(listeners, opened, lambda: held_project.publish(channel, **said))


def test_set_hold_stream_and_publish(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.front.open(listeners, f"/grip/stream/?channel={name}&channel={name}-2")
    until_body(listeners, opened, "[open]")
    held_project.publish(name, stream="[one]")
    held_project.publish(f"{name}-2", stream="[zwei: ä]")
    held_project.publish(name, bytes=list(b"[\0\xff]"))
    held_project.publish(name, close=True)
    listeners.until_ended(opened)
    assert opened.complete
    assert opened.body == b"[open][one]" + "[zwei: ä]".encode() + b"[\0\xff]"


@pytest.mark.parametrize(
    "keep, data",
    [
        ("event: keep-alive\ndata:\n\n", b"event: keep-alive\ndata:\n\n"),
        ("\r\n\r\n", b"\r\n\r\n"),
        # The package writes three backslashes for one; two of them are one again, and the third eats what follows.
        ("a\\\\nb", b"a\\\\\\\\nb"),
    ],
)
def test_set_hold_stream_with_a_keep_alive(
    held_project: Project, listeners: Listeners, name: str, keep: str, data: bytes
) -> None:
    opened = listeners.open(
        held_project.front.http,
        f"/grip/stream/?channel={name}&timeout=1&keep=" + "".join(f"%{byte:02x}" for byte in keep.encode()),
    )
    listeners.until(lambda: len(opened.body) > len(b"[open]") or opened.ended, "a keep-alive")
    assert opened.body[: len(b"[open]")] == b"[open]"
    if "\\" not in keep:
        until_body(listeners, opened, b"[open]" + data * 2)
    else:
        assert opened.body[len(b"[open]") :].startswith(b"a\\"), opened.body


def test_set_hold_longpoll_and_publish(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = listeners.open(held_project.front.http, f"/grip/poll/?channel={name}&timeout=60")
    response = {
        "code": 202,
        "reason": "Came",
        "headers": {"X-New": "1", "Content-Type": "application/json"},
        "body": "[1]",
    }
    until_polled(held_project, listeners, opened, name, response=response)
    assert opened.answer and (opened.status, opened.body) == (202, b"[1]")
    assert opened.answer.all("Content-Type") == ["application/json"]
    assert (opened.answer.header("X-New"), opened.answer.header("X-Kind")) == ("1", "poll")


def test_one_publish_for_streams_and_polls(held_project: Project, listeners: Listeners, name: str) -> None:
    streamed = held_project.front.open(listeners, f"/grip/stream/?channel={name}")
    polled = listeners.open(held_project.front.http, f"/grip/poll/?channel={name}&timeout=60")
    until_polled(held_project, listeners, polled, name, stream="[it]", response={"body": "it\n"})
    until_body(listeners, streamed, "[open][it]")
    assert polled.body == b"it\n"


def test_a_poll_and_an_unchanged_answer_after_their_time(held_project: Project, listeners: Listeners, name: str) -> None:
    """304 cannot have Grip-* headers everywhere, so the package sends 200 with Grip-Status."""
    polled = listeners.open(held_project.front.http, f"/grip/poll/?channel={name}&timeout=5")
    unchanged = listeners.open(held_project.front.http, f"/grip/unchanged/?channel={name}")
    listeners.until_ended(polled)
    assert (polled.status, polled.body) == (200, b"nothing new\n")
    listeners.until(lambda: unchanged.status, "304")
    assert unchanged.answer and (unchanged.status, unchanged.answer.header("ETag"), unchanged.body) == (304, '"7"', b"")


def test_a_hint_asks_the_view_again(held_project: Project, listeners: Listeners, name: str) -> None:
    listeners.open(held_project.front.http, f"/grip/poll/?channel={name}&timeout=60", headers={"X-Own": "1"})
    path = f"/grip/poll/?channel={name}"

    def again() -> bool:
        held_project.publish(name, hint=True, response={"action": "hint"})
        time.sleep(0.05)
        return len(held_project.asked(path)) >= 3

    until(again, "the view to be asked again")
    assert all(asked["headers"]["X-Own"] == "1" for asked in held_project.asked(path))


@pytest.mark.parametrize("mode", ["stream", "response"])
def test_instructions_made_by_gripcontrol(held_project: Project, listeners: Listeners, name: str, mode: str) -> None:
    opened = listeners.open(held_project.front.http, f"/grip/instruct/{mode}/?channel={name}")
    if mode == "stream":
        until_body(listeners, opened, "[open]")
        held_project.publish(name, stream="[x]")
        until_body(listeners, opened, "[open][x]")
    else:
        listeners.until_ended(opened)
        assert opened.complete and opened.body == b"[open]"
    assert opened.answer and opened.status == 201
    assert (opened.answer.header("X-Kind"), opened.answer.header("Content-Type")) == (mode, "text/plain")


def test_a_reliable_stream_by_grip_last(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.front.open(listeners, f"/grip/reliable/?channel={name}&at=3&newest=5")
    until_body(listeners, opened, "[4][5]")
    held_project.publish(name, stream="[6]", id="6", prev_id="5")
    until_body(listeners, opened, "[6]")
    # The seventh is lost; the link gives it.
    held_project.publish(name, stream="[8]", id="8", prev_id="7")
    until_body(listeners, opened, "[7]")
    assert opened.body.startswith(b"[4][5][6][7]")
    assert held_project.asked(f"channel={name}&link=1")[-1]["headers"]["Grip-Last"].startswith(f"{name}; last-id=")


def test_a_prefix_of_the_package(new_project: ProjectMaker, listeners: Listeners, name: str) -> None:
    """GRIP_PREFIX is put before the names on both ways."""
    project = new_project(env={"GRIP_PREFIX": "p-"})
    opened = project.front.open(listeners, f"/grip/stream/?channel={name}")
    until_body(listeners, opened, "[open]")
    project.publish(name, stream="[x]")
    until_body(listeners, opened, "[x]")
    project.front.publish({"channel": f"p-{name}", "http-stream": {"content": "[y]"}})
    until_body(listeners, opened, "[y]")


def test_what_is_held_is_not_compressed_though_the_project_compresses(
    held_project: Project, listeners: Listeners, name: str
) -> None:
    gzip = {"Accept-Encoding": "gzip"}
    opened = held_project.front.open(listeners, f"/grip/stream/?channel={name}", headers=gzip)
    events = held_project.events(listeners, name, headers=gzip)
    until_body(listeners, opened, "[open]")
    assert opened.answer and opened.answer.header("Content-Encoding") is None
    assert events.answer and events.answer.header("Content-Encoding") is None
    answer = held_project.front.get("/", headers=gzip)
    assert answer.status == 200


def test_the_features_reach_the_view(held_project: Project) -> None:
    said = json.loads(held_project.front.get("/grip/is-proxied/").body)
    assert said["proxied"] and {"link:next", "filter:build-id", "filter:require-sub"} <= set(said["features"])
