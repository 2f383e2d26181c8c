"""Other ways of a held stream through Tidegate: HTTP/2, without the fast path, beside its own streams, two gateways."""

from pathlib import Path
from urllib.parse import quote

import pytest

from conftest import Listeners
from grip_backend import Backend, poll, stream
from grip_fixtures import FrontMaker, ProjectMaker
from grip_fronts import PUSHPIN, Front, Pushpin, Tidegate, sent
from grip_project import Project
from harness import Gateway, room, until
from http2 import Http2
from test_grip_eventstream import kicked, until_told, values
from test_grip_links import Log
from test_grip_streams import until_body

pytestmark = pytest.mark.usefixtures("only_tidegate")


@pytest.fixture
def only_tidegate(kind: str) -> None:
    if kind == "pushpin":
        pytest.skip("about Tidegate")


def test_without_the_fast_path_a_stream_is_the_same(
    new_front: FrontMaker, backend: Backend, listeners: Listeners, name: str
) -> None:
    front = new_front(server="fast_path = false")
    log = Log(backend, name, 0, ("Grip-Keep-Alive", "[k]; timeout=1"))
    opened = front.open(listeners, log.path)
    until_body(listeners, opened, "[open][k][k]")
    for lost in (False, False, True, True, False, False):
        log.add(front, lost=lost)
    until_body(listeners, opened, "[6]")
    given = opened.body.replace(b"[k]", b"")
    assert given == b"[open][1][2][3][4][5][6]"
    front.publish(sent(name, action="close", prev_id="6", id="7"))
    listeners.until_ended(opened)
    assert opened.complete


def test_over_http_2_a_stream_is_the_same(front: Front, backend: Backend, name: str) -> None:
    log = Log(backend, name, 0, ("Grip-Keep-Alive", "[k]; timeout=1"))
    with Http2(front.http) as client:
        client.send("GET", log.path)
        body = b""

        def until_read(text: bytes) -> None:
            nonlocal body
            while text not in body:
                for event in client.receive():
                    body += getattr(event, "data", b"") if type(event).__name__ == "DataReceived" else b""

        until_read(b"[open]")
        for lost in (False, True, False):
            log.add(front, lost=lost)
        until_read(b"[3]")
        until_read(b"[k]")
        assert body.replace(b"[k]", b"") == b"[open][1][2][3]"


def test_channels_of_the_gateway_and_of_grip_are_two_worlds(
    new_front: FrontMaker, backend: Backend, listeners: Listeners, name: str
) -> None:
    """Whoever may publish to one does not speak to the listeners of the other, though the name is the same."""
    front = new_front()
    assert isinstance(front, Tidegate)
    gateway: Gateway = front.gateway
    text = gateway.config.read_text()
    front.stop()
    route = '[[route]]\npath = "/rooms/<slug:room>/events/"\nsse = { channels = ["room-{room}"], public = true }\n'
    gateway.config.write_text(text.replace("[[route]]", route + "[[route]]", 1))
    gateway.start()
    backend.on(f"/{name}", stream(f"room-{name}", body="[open]"))
    held = front.open(listeners, f"/{name}")
    native = listeners.open(gateway.http, room(name))
    listeners.until_open(native)
    front.publish(sent(f"room-{name}", "data: from grip\n\n"))
    gateway.publish(f"room-{name}", "native")
    until_body(listeners, held, "data: from grip\n\n")
    listeners.until(lambda: native.data, "the event")
    front.publish(sent(f"room-{name}", "[end]"))
    gateway.publish(f"room-{name}", "end")
    until_body(listeners, held, "[end]")
    listeners.until_data("end", [native])
    assert held.body == b"[open]data: from grip\n\n[end]" and native.data == ["native", "end"]


def test_streams_of_one_client_are_limited_as_others_are(
    new_front: FrontMaker, backend: Backend, listeners: Listeners, name: str
) -> None:
    front = new_front(sse="per_ip = 3")
    backend.on(f"/{name}", stream(name, body="[open]"))
    opened = [front.open(listeners, f"/{name}") for _ in range(3)]
    refused = front.open(listeners, f"/{name}")
    assert refused.status == 429
    front.publish(sent(name, action="close"))
    listeners.until_ended(*opened)
    until(lambda: front.open(listeners, f"/{name}").status == 200, "a place")


def test_a_logout_ends_the_streams_of_the_session(held_project: Project, listeners: Listeners, name: str) -> None:
    cookie = held_project.cookie("anna")
    anna = held_project.events(listeners, name, headers=cookie)
    other = held_project.events(listeners, name, headers=held_project.cookie("anna"))
    polled = listeners.open(held_project.front.http, f"/grip/poll/?channel={name}&timeout=60", headers=cookie)
    until(lambda: held_project.asked(f"/grip/poll/?channel={name}"), "the poll to be asked for")
    assert held_project.front.get("/out/", headers=cookie).status == 200
    listeners.until_ended(anna, polled)
    assert (anna.complete, polled.body) == (True, b"nothing new\n")
    held_project.send(name, "still")
    assert values(until_told(listeners, other, 1)) == ["still"]


def test_a_gateway_that_is_stopped_ends_streams_and_answers_polls(
    new_front: FrontMaker, backend: Backend, listeners: Listeners, name: str
) -> None:
    front = new_front()
    backend.on(f"/{name}", stream(name, body="[open]"))
    backend.on(f"/{name}-poll", poll(name, ("Grip-Timeout", "60"), body="said"))
    opened = front.open(listeners, f"/{name}")
    polled = listeners.open(front.http, f"/{name}-poll")
    until(lambda: backend.asked(f"/{name}-poll"), "the poll to be asked for")
    assert front.process.popen is not None
    front.process.popen.terminate()
    listeners.until_ended(opened, polled)
    assert opened.complete and opened.body == b"[open]"
    assert polled.complete and polled.body == b"said"


# A project whose gateway or whose Django goes away.


def test_after_a_restart_of_the_gateway_nothing_is_missing(
    new_project: ProjectMaker, listeners: Listeners, name: str
) -> None:
    """The events are in the project's database: a browser that comes back is given what it missed."""
    project = new_project()
    front = project.front
    assert isinstance(front, Tidegate)
    opened = project.events(listeners, name)
    project.send(name, 0)
    until_told(listeners, opened, 1)
    front.gateway.kill()
    listeners.until_ended(opened)
    project.call("/many/", channel=name, first=1, count=3, silently=1)
    front.gateway.start()
    again = project.events(listeners, name, last_event_id=opened.last_id)
    project.send(name, 3)
    assert values(until_told(listeners, again, 3)) == [1, 2, 3]


def test_a_restart_of_django_ends_no_stream(new_project: ProjectMaker, listeners: Listeners, name: str) -> None:
    project = new_project(grip='link_every = "1s"')
    opened = project.events(listeners, name)
    project.send(name, 0)
    until_told(listeners, opened, 1)
    project.process.kill()
    # The link is due meanwhile, and cannot be asked.
    front = project.front
    assert isinstance(front, Tidegate)
    until(lambda: "Link failed" in front.process.log.read_text(), "a link that fails")
    project.process.start()
    until(lambda: project.process.must_run() and project.answers(), "gunicorn to answer again")
    project.call("/many/", channel=name, first=1, count=3, silently=1)
    project.send(name, 3)
    assert values(until_told(listeners, opened, 4)) == [0, 1, 2, 3]
    assert not opened.ended


@pytest.mark.parametrize("room", ["a b<ä>%c", "комната"])
def test_a_lost_publish_is_found_for_a_path_that_must_be_quoted(
    held_project: Project, listeners: Listeners, name: str, room: str
) -> None:
    """The package writes the path into its link as it is decoded."""
    room = f"{name}-{room}"
    opened = held_project.events(listeners, target=f"/rooms/{quote(room)}/events/")
    held_project.send(room, 0)
    until_told(listeners, opened, 1)
    held_project.call("/many/", channel=room, first=1, count=3, silently=1)
    held_project.send(room, 3)
    assert values(until_told(listeners, opened, 4)) == [0, 1, 2, 3]


def test_a_site_below_a_prefix_that_django_does_not_see(
    new_project: ProjectMaker, listeners: Listeners, name: str
) -> None:
    """The package writes its link with FORCE_SCRIPT_NAME, as every other."""
    route = '[[route]]\npath = "/app/<path:rest>"\nproxy = { to = "django", strip = "/app" }\n'
    project = new_project(env={"SITE_SCRIPT_NAME": "/app"}, routes=route)
    opened = project.events(listeners, target=f"/app/events/?channel={name}")
    project.send(name, 0)
    until_told(listeners, opened, 1)
    project.call("/many/", channel=name, first=1, count=3, silently=1)
    project.send(name, 3)
    assert values(until_told(listeners, opened, 4)) == [0, 1, 2, 3]


# Two gateways in front of one project: every publish goes to each.


@pytest.mark.parametrize("other", ["tidegate", *(["pushpin"] if PUSHPIN else [])])
def test_two_proxies_in_front_of_one_project(
    new_project: ProjectMaker, listeners: Listeners, folder: Path, name: str, other: str
) -> None:
    """A second Tidegate, or the Pushpin that is still there while a team moves."""
    key = "changeme-to-something-of-32-bytes"
    kinds: dict[str, type[Front]] = {"tidegate": Tidegate, "pushpin": Pushpin}
    project: Project = new_project(key=key, iss="pushpin", query=f"?iss=pushpin&key={key}", also=True)
    server = f"127.0.0.1:{project.address[1]}"
    second = kinds[other](folder / f"second-{name}", server, key=key, iss="pushpin", control=project.also)
    try:
        one = project.events(listeners, name, headers=project.cookie("anna"))
        project.front, first = second, project.front
        two = project.events(listeners, name, headers=project.cookie("anna"))
        project.front = first
        project.send(name, "both")
        assert values(until_told(listeners, one, 1)) == values(until_told(listeners, two, 1)) == ["both"]
        project.deny(("anna", name))
        project.call("/kick/", user="anna", channel=name)
        listeners.until_ended(one, two)
        assert kicked(one) and kicked(two)
    finally:
        second.stop()
