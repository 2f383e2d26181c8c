"""A project with django-eventstream behind a GRIP proxy: nothing of it is changed but GRIP_URL."""

import json
import os
import time
from urllib.parse import quote

import pytest

from conftest import Listeners
from grip_fixtures import ProjectMaker, Seen
from grip_project import Project
from harness import until
from streams import Event, Stream
from wire import request


def told(opened: Stream) -> list[Event]:
    """The events but for those that only say that the stream is there."""
    return [event for event in opened.events if event.type not in ("stream-open", "keep-alive")]


def until_told(listeners: Listeners, opened: Stream, count: int) -> list[Event]:
    listeners.until(lambda: len(told(opened)) >= count or opened.ended, f"{count} events")
    assert len(told(opened)) == count, opened.events
    return told(opened)


def values(events: list[Event]) -> list[object]:
    return [json.loads(event.data) for event in events]


def test_an_event_that_is_sent_arrives_with_its_id(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.events(listeners, name)
    assert opened.answer and (opened.answer.header("Content-Type") or "").startswith("text/event-stream")
    assert opened.answer.header("Cache-Control") == "no-cache"
    held_project.send(name, {"text": "100 % ä\n"})
    held_project.send(name, [1, None], type="note")
    first, second = until_told(listeners, opened, 2)
    assert (first.type, json.loads(first.data), first.id) == ("message", {"text": "100 % ä\n"}, f"{name}:1")
    assert (second.type, json.loads(second.data), second.id) == ("note", [1, None], f"{name}:2")


def test_an_event_that_is_sent_in_the_background_arrives(held_project: Project, listeners: Listeners, name: str) -> None:
    """The default of send_event: a thread of the worker publishes, up to ten at once."""
    opened = held_project.events(listeners, name)
    for number in range(30):
        held_project.send(name, number, **{"async": "1"})
    assert values(until_told(listeners, opened, 30)) == list(range(30))
    assert opened.ids[-1] == f"{name}:30"


def test_a_channel_may_come_from_the_path(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.events(listeners, target=f"/rooms/{name}/events/")
    held_project.send(name, "hi")
    assert values(until_told(listeners, opened, 1)) == ["hi"]


def test_a_channel_of_any_script_may_come_from_the_path(
    held_project: Project, listeners: Listeners, name: str, seen: Seen
) -> None:
    """Django writes the link, and so the whole header, as an encoded word."""
    room = f"{name}-комната"
    opened = held_project.events(listeners, target=f"/rooms/{quote(room)}/events/")
    what = "ends at once" if opened.ended else "is held"
    seen("a stream at `/rooms/комната/events/`", what, tidegate="is held", pushpin="ends at once")
    if not opened.ended:
        held_project.send(room, "hi")
        assert values(until_told(listeners, opened, 1)) == ["hi"]


def test_a_stream_takes_no_worker(held_project: Project, listeners: Listeners, name: str) -> None:
    """There is one sync worker, and a generator that never ends would keep it."""
    opened = [held_project.events(listeners, name) for _ in range(20)]
    assert held_project.front.get("/").status == 200
    held_project.send(name, "all")
    for one in opened:
        assert values(until_told(listeners, one, 1)) == ["all"]
    assert held_project.front.get("/grip/is-proxied/").json()["proxied"] is True


def test_keep_alives_come_by_themselves(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.events(listeners, name)
    listeners.until(lambda: "keep-alive" in [event.type for event in opened.events], "a keep-alive", timeout=25)
    assert opened.events[-1] == Event("", "keep-alive", "")


def test_several_channels_on_one_stream(held_project: Project, listeners: Listeners, name: str) -> None:
    """Ten, as many as django-eventstream allows; their ids are one vector."""
    channels = [f"{name}-{number}" for number in range(10)]
    opened = held_project.events(listeners, *channels)
    for number, channel in enumerate(channels):
        held_project.send(channel, number)
    events = until_told(listeners, opened, 10)
    assert values(events) == list(range(10))
    assert dict(part.split(":") for part in events[-1].id.split(",")) == dict.fromkeys(channels, "1")
    assert sorted(part.split(":")[1] for part in events[3].id.split(",")) == ["0"] * 6 + ["1"] * 4


def test_too_many_channels_are_an_error_of_the_package(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = listeners.open(held_project.front.http, "/events/?" + "&".join(f"channel={name}-{n}" for n in range(11)))
    listeners.until_ended(opened)
    assert opened.status == 200 and opened.events[0].type == "stream-error"
    assert json.loads(opened.events[0].data)["condition"] == "bad-request"


# Resuming.


def test_who_comes_back_is_given_what_was_missed(held_project: Project, listeners: Listeners, name: str) -> None:
    held_project.call("/many/", channel=name, count=5)
    opened = held_project.events(listeners, name, last_event_id=f"{name}:2")
    assert [event.id for event in until_told(listeners, opened, 3)] == [f"{name}:{number}" for number in (3, 4, 5)]
    held_project.send(name, "live")
    events = until_told(listeners, opened, 4)
    assert (events[-1].id, json.loads(events[-1].data)) == (f"{name}:6", "live")


def test_the_id_may_be_in_the_query(held_project: Project, listeners: Listeners, name: str) -> None:
    held_project.call("/many/", channel=name, count=3)
    opened = held_project.events(listeners, target=f"/events/?channel={name}&lastEventId={name}:1")
    assert values(until_told(listeners, opened, 2)) == [1, 2]


@pytest.mark.parametrize("count", [99, 100, 101, 450])
def test_a_long_replay_comes_in_pages(held_project: Project, listeners: Listeners, name: str, count: int) -> None:
    """A hundred events for each request to Django; the link of a page leads to the next."""
    held_project.call("/many/", channel=name, count=1 + count)
    held_project.send(f"{name}-other", 0)
    opened = held_project.events(listeners, name, last_event_id=f"{name}:1")
    events = until_told(listeners, opened, count)
    assert values(events) == list(range(1, count + 1))
    assert [event.id for event in events] == [f"{name}:{number}" for number in range(2, count + 2)]
    assert [event.type for event in opened.events].count("stream-open") == 1
    held_project.send(name, "live")
    held_project.send(name, "more")
    assert values(until_told(listeners, opened, count + 2))[count:] == ["live", "more"]


def test_an_id_that_is_gone_is_a_reset(held_project: Project, listeners: Listeners, name: str) -> None:
    held_project.call("/many/", channel=name, count=3)
    held_project.call("/forget/", channel=name)
    opened = held_project.events(listeners, name, last_event_id=f"{name}:1")
    (reset,) = until_told(listeners, opened, 1)
    assert (reset.type, json.loads(reset.data), reset.id) == ("stream-reset", {"channels": [name]}, f"{name}:3")
    held_project.send(name, "live")
    assert until_told(listeners, opened, 2)[1].id == f"{name}:4"


def test_who_was_told_of_an_error_is_stopped(held_project: Project, name: str) -> None:
    answer = held_project.front.get(f"/events/?channel={name}", headers={"Last-Event-ID": "error"})
    assert answer.status == 400


def test_an_event_whose_publish_was_lost_comes_with_the_next(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.events(listeners, name)
    held_project.call("/many/", channel=name, count=1)
    until_told(listeners, opened, 1)
    held_project.call("/many/", channel=name, first=1, count=4, silently=1)
    held_project.send(name, 4)
    events = until_told(listeners, opened, 5)
    assert values(events) == [0, 1, 2, 3, 4]
    assert [event.id for event in events] == [f"{name}:{number}" for number in range(1, 6)]


def test_a_lost_publish_is_found_for_a_channel_that_must_be_quoted(
    held_project: Project, listeners: Listeners, name: str
) -> None:
    """Grip-Last has the name in its quoted form, and the package unquotes it."""
    channel = f"{name} a,b;c"
    opened = held_project.events(listeners, channel)
    held_project.send(channel, 0)
    until_told(listeners, opened, 1)
    held_project.call("/many/", channel=channel, first=1, count=2, silently=1)
    held_project.send(channel, 2)
    listeners.until(lambda: len(told(opened)) >= 3 or opened.ended, "what was lost", timeout=15)
    recovered = values(told(opened)) == [0, 1, 2]
    # The package does not escape ids in what it replays: see the filters.
    assert recovered == (held_project.front.kind == "tidegate"), opened.events


def test_channels_that_must_be_quoted(held_project: Project, listeners: Listeners, name: str, seen: Seen) -> None:
    channel = f"{name} ä"
    opened = held_project.events(listeners, channel)
    held_project.send(channel, "one")
    (event,) = until_told(listeners, opened, 1)
    assert (json.loads(event.data), event.id) == ("one", f"{name}%20%C3%A4:1")
    held_project.send(channel, "two")
    until_told(listeners, opened, 2)
    again = listeners.open(held_project.front.http, f"/events/?channel={name}%20%C3%A4", last_event_id=event.id)
    listeners.until(lambda: told(again) or again.ended, "a replay, or the end")
    what = "is replayed" if values(told(again)) == ["two"] else "breaks off"
    seen("a replay of the channel `a ä`", what, tidegate="is replayed", pushpin="breaks off")


def test_a_long_replay_of_long_events(held_project: Project, listeners: Listeners, name: str, seen: Seen) -> None:
    """A hundred of over a kilobyte are a body of over 100 kB."""
    held_project.send(name, "first")
    for number in range(100):
        held_project.send(name, f"{number}:" + "x" * 1500)
    opened = listeners.open(held_project.front.http, f"/events/?channel={name}", last_event_id=f"{name}:1")
    listeners.until(lambda: len(told(opened)) >= 100 or opened.ended, "a hundred events, or the end")
    what = "arrives" if len(told(opened)) == 100 else f"{opened.status}, and at each reconnect again"
    seen("a replay of 100 events of 1.5 kB", what, tidegate="arrives", pushpin="502, and at each reconnect again")


# Permissions.


def test_a_channel_that_is_not_allowed_is_an_error_and_the_end(
    held_project: Project, listeners: Listeners, name: str
) -> None:
    opened = listeners.open(held_project.front.http, f"/events/?channel=private-{name}&channel={name}")
    listeners.until_ended(opened)
    (event,) = opened.events
    assert (opened.status, opened.complete, event.type, event.id) == (200, True, "stream-error", "error")
    assert json.loads(event.data)["condition"] == "forbidden"
    assert json.loads(event.data)["channels"] == [f"private-{name}"]


def test_a_user_who_may_is_let_in(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.events(listeners, f"private-{name}", headers=held_project.cookie("anna"))
    held_project.send(f"private-{name}", "hi")
    assert values(until_told(listeners, opened, 1)) == ["hi"]


def test_skipped_users_are_given_nothing(held_project: Project, listeners: Listeners, name: str) -> None:
    anna, ben = (held_project.events(listeners, name, headers=held_project.cookie(user)) for user in ("anna", "ben"))
    nobody = held_project.events(listeners, name)
    held_project.send(name, "not for anna", skip=[held_project.user_id("anna"), "999"])
    held_project.send(name, "for all")
    assert (
        values(until_told(listeners, ben, 2)) == values(until_told(listeners, nobody, 2)) == ["not for anna", "for all"]
    )
    (event,) = until_told(listeners, anna, 1)
    # What she was not given has moved her place all the same: nothing is missing when she comes back.
    assert (json.loads(event.data), event.id) == ("for all", f"{name}:2")


def kicked(opened: Stream) -> bool:
    return bool(opened.ended and opened.events[-1].type == "stream-error" and opened.events[-1].id == "error")


def test_a_permission_that_is_taken_away_ends_the_stream(held_project: Project, listeners: Listeners, name: str) -> None:
    anna, ben = (held_project.events(listeners, name, headers=held_project.cookie(user)) for user in ("anna", "ben"))
    other = held_project.events(listeners, f"{name}-other", headers=held_project.cookie("anna"))
    held_project.deny(("anna", name))
    held_project.call("/kick/", user="anna", channel=name)
    listeners.until_ended(anna)
    assert kicked(anna) and anna.complete and "forbidden" in anna.events[-1].data
    held_project.send(name, "still")
    held_project.send(f"{name}-other", "still")
    assert values(until_told(listeners, ben, 1)) == values(until_told(listeners, other, 1)) == ["still"]
    assert not other.ended


def test_a_permission_that_is_still_there_ends_nothing(held_project: Project, listeners: Listeners, name: str) -> None:
    anna = held_project.events(listeners, name, headers=held_project.cookie("anna"))
    held_project.call("/kick/", user="anna", channel=name)
    held_project.send(name, "still")
    assert values(until_told(listeners, anna, 1)) == ["still"]


def test_a_second_kick_of_a_user_within_a_minute(
    new_project: ProjectMaker, listeners: Listeners, name: str, seen: Seen
) -> None:
    """Every kick has the ids `kick-1` and `kick-2`; these two are from different channels."""
    project = new_project()
    one, two = (project.events(listeners, f"{name}-{n}", headers=project.cookie("anna")) for n in (1, 2))
    project.deny(("anna", f"{name}-1"), ("anna", f"{name}-2"))
    project.call("/kick/", user="anna", channel=f"{name}-1")
    listeners.until_ended(one)
    project.call("/kick/", user="anna", channel=f"{name}-2")
    # An event tells that nothing else is on its way.
    project.send(f"{name}-2", "after")
    listeners.until(lambda: two.ended or told(two), "the kick, or the event after it")
    what = "ends the stream" if kicked(two) else "is swallowed"
    seen("a second kick of one user, from another channel", what, tidegate="ends the stream", pushpin="is swallowed")


def test_the_same_kick_after_a_reconnect(
    new_project: ProjectMaker, listeners: Listeners, name: str, seen: Seen
) -> None:
    """Allowed again, denied again: the same two items once more, later than a retry would come."""
    project = new_project()
    first = project.events(listeners, name, headers=project.cookie("anna"))
    project.deny(("anna", name))
    project.call("/kick/", user="anna", channel=name)
    listeners.until_ended(first)
    project.deny()
    anna = project.events(listeners, name, headers=project.cookie("anna"))
    if project.front.kind == "pushpin":
        # It asks the link of the first stream once, and would be told there.
        before = len(project.asked("link=next"))
        until(lambda: len(project.asked("link=next")) > before, "that link to be asked")
    project.deny(("anna", name))
    begun = time.monotonic()
    while not anna.ended and time.monotonic() - begun < 15:
        project.call("/kick/", user="anna", channel=name)
        time.sleep(0.5)
    # What a link request would be told comes later, and is JSON.
    is_prompt = time.monotonic() - begun < 5 and "{" not in str(anna.events[-1].data)
    what = "ends the stream" if anna.ended and is_prompt else "is swallowed for a minute"
    seen("the very same kick once more", what, tidegate="ends the stream", pushpin="is swallowed for a minute")


def test_a_kick_from_a_channel_whose_name_must_be_quoted(
    held_project: Project, listeners: Listeners, name: str, seen: Seen
) -> None:
    """The package names the channel unquoted in the kick, and quoted in the subscription."""
    channel = f"{name} b"
    anna = held_project.events(listeners, channel, headers=held_project.cookie("anna"))
    held_project.deny(("anna", channel))
    held_project.call("/kick/", user="anna", channel=channel)
    held_project.send(channel, "still")
    listeners.until(lambda: anna.ended or told(anna), "the kick, or the event after it")
    what = "ends the stream" if anna.ended else "does nothing (a mistake of the package)"
    seen("a kick from the channel `a b`", what, tidegate="does nothing (a mistake of the package)")


# Without a storage, and settings.


def test_a_channel_that_is_not_reliable(held_project: Project, listeners: Listeners, name: str) -> None:
    opened = held_project.events(listeners, f"loose-{name}")
    held_project.send(f"loose-{name}", "100 %")
    (event,) = until_told(listeners, opened, 1)
    assert (json.loads(event.data), event.id) == ("100 %", "")


def test_a_project_without_a_storage(new_project: ProjectMaker, listeners: Listeners, name: str) -> None:
    project = new_project(env={"GRIP_STORAGE": "no"})
    opened = project.events(listeners, name, f"{name}-2")
    project.send(name, "100 %")
    project.send(f"{name}-2", "more")
    assert [(event.data, event.id) for event in until_told(listeners, opened, 2)] == [('"100 %"', ""), ('"more"', "")]
    again = project.events(listeners, name, last_event_id=f"{name}:1")
    project.send(name, "live")
    assert values(until_told(listeners, again, 1)) == ["live"]


QUERIES = {
    "a key and an issuer": ("?iss=pushpin&key=changeme-to-something-of-32-bytes", "changeme-to-something-of-32-bytes"),
    "a key alone": ("?key=changeme-to-something-of-32-bytes", "changeme-to-something-of-32-bytes"),
    "a base64 key": (
        "?iss=pushpin&key=base64:Y2hhbmdlbWUtdG8tc29tZXRoaW5nLW9mLTMyLWJ5dGVz",
        "base64:Y2hhbmdlbWUtdG8tc29tZXRoaW5nLW9mLTMyLWJ5dGVz",
    ),
    "a key to verify by": (
        "?iss=pushpin&key=another-key-to-publish-by-000000"
        "&verify-key=changeme-to-something-of-32-bytes&verify-iss=pushpin",
        "changeme-to-something-of-32-bytes",
    ),
}


@pytest.mark.parametrize("what", QUERIES)
def test_grip_url_with(new_project: ProjectMaker, listeners: Listeners, name: str, what: str) -> None:
    query, key = QUERIES[what]
    project = new_project(query=query, key=key, iss="pushpin")
    said = project.front.get("/grip/is-proxied/").json()
    assert said["proxied"] and said["signed"]
    opened = project.events(listeners, name)
    project.send(name, "hi")
    assert values(until_told(listeners, opened, 1)) == ["hi"]


def test_grip_url_is_all_that_a_guarded_port_needs(
    new_project: ProjectMaker, kind: str, listeners: Listeners, name: str
) -> None:
    if kind == "pushpin":
        pytest.skip("it has no guard")
    key = "changeme-to-something-of-32-bytes"
    publish = 'tokens = [{ name = "other", secret = "a-token-of-the-internal-api-000" }]'
    project = new_project(query=f"?iss=us&key={key}", key=key, iss="us", publish=publish)
    opened = project.events(listeners, name)
    project.send(name, "hi")
    assert values(until_told(listeners, opened, 1)) == ["hi"]


def test_links_that_are_due_renew_what_the_package_signs(
    new_project: ProjectMaker, kind: str, listeners: Listeners, name: str
) -> None:
    """Its link is good for an hour; the gateway asks for a new one before, and the stream goes on."""
    if kind == "pushpin":
        pytest.skip("it asks every two minutes, whatever is said")
    project = new_project(grip='link_every = "1s"')
    opened = project.events(listeners, name, headers=project.cookie("anna"))
    project.send(name, 1)
    until(lambda: len(project.asked("link=next")) >= 3, "three link requests")
    project.send(name, 2)
    assert values(until_told(listeners, opened, 2)) == [1, 2]
    for asked in project.asked("link=next"):
        assert "Cookie" not in asked["headers"] and "Grip-Sig" in asked["headers"]
    project.deny(("anna", name))
    listeners.until_ended(opened)
    assert kicked(opened)


@pytest.mark.skipif(not os.environ.get("TESTS_PUSHPIN"), reason="shows a trap, and takes its time")
def test_without_a_signature_the_worker_is_lost(held_project: Project, name: str) -> None:
    """Why the gateway signs also when nobody has configured a key: this is what django-eventstream does otherwise."""
    with pytest.raises(TimeoutError):
        request(held_project.address, "GET", f"/events/?channel={name}", host="site.test", timeout=3)
        request(held_project.address, "GET", "/", timeout=3)
    held_project.process.kill()
    held_project.process.start()
    until(lambda: held_project.process.must_run() and held_project.answers(), "gunicorn to answer again")
