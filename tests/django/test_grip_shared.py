"""How often a backend is asked: a link's answers are shared where that is safe, idle streams cost nothing."""

import threading

from conftest import Listeners
from grip_backend import Asked, Backend, Reply, link, stream
from grip_fixtures import FrontMaker, Seen
from grip_fronts import Front, sent
from test_grip_streams import until_body

STREAMS = 50


def test_a_lost_item_costs_a_crowd_few_requests(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    """All have the same link and have seen the same."""
    backend.on(f"/{name}", stream(f"{name}; prev-id=0", link(f"/{name}-next")))
    backend.on(
        f"/{name}-next",
        lambda asked: stream(
            f"{name}; prev-id=2", link(f"/{name}-next"), body="[1][2]" if asked.last == {name: "0"} else ""
        ),
    )
    opened = [front.open(listeners, f"/{name}") for _ in range(STREAMS)]
    before = len(backend.asked(f"/{name}-next"))
    front.publish(sent(name, "[2]", id="2", prev_id="1"))
    listeners.until(lambda: all(one.body == b"[1][2]" for one in opened), "the repair of all")
    # Pushpin asks on behalf of its first stream besides.
    assert len(backend.asked(f"/{name}-next")) - before <= 10


def test_nobody_is_given_the_answer_of_another_link(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    """The query of django-eventstream's link says who the user is."""

    def answer(asked: Asked) -> Reply:
        who = asked.query["who"]
        body = f"[secret of {who}]" if asked.last else ""
        return stream(f"{name}; prev-id={2 if asked.last else 0}", link(f"/{name}-next?who={who}"), body=body)

    backend.on(f"/{name}", answer)
    backend.on(f"/{name}-next", answer)
    opened = {who: front.open(listeners, f"/{name}?who={who}") for who in range(STREAMS)}
    front.publish(sent(name, "[2]", id="2", prev_id="1"))
    listeners.until(lambda: all(one.body for one in opened.values()), "the repair of all")
    for who, one in opened.items():
        assert one.body.startswith(f"[secret of {who}]".encode()), one
        assert one.body.count(b"secret") == one.body.count(f"secret of {who}]".encode()), one


def test_nobody_is_given_what_another_has_missed(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    """The same link, but the streams have seen different things."""

    def answer(asked: Asked) -> Reply:
        at = int(asked.last.get(name, asked.query.get("at", "0")))
        newest = 9 if asked.last else at
        body = "".join(f"[{number}]" for number in range(at + 1, newest + 1))
        return stream(f"{name}; prev-id={newest}", link(f"/{name}-next"), body=body or "[open]")

    backend.on(f"/{name}", answer)
    backend.on(f"/{name}-next", answer)
    opened = {at: front.open(listeners, f"/{name}?at={at}") for at in range(3, 8)}
    front.publish(sent(name, "[9]", id="9", prev_id="8"))
    for at, one in opened.items():
        until_body(listeners, one, "[open]" + "".join(f"[{number}]" for number in range(at + 1, 10)))


def test_two_hundred_idle_streams_ask_nothing(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    backend.on(f"/{name}", stream(name, link(f"/{name}-next"), ("Grip-Keep-Alive", "k; timeout=1")))
    backend.on(f"/{name}-next", stream(name, link(f"/{name}-next"), ("Grip-Keep-Alive", "k; timeout=1")))
    opened = [front.open(listeners, f"/{name}") for _ in range(200)]
    # The keep-alives are the clock.
    listeners.until(lambda: all(one.body.count(b"k") >= 3 for one in opened), "three keep-alives on each")
    asked = len(backend.asked(f"/{name}-next"))
    what = "no request" if asked == 0 else "a few requests" if asked < 10 else f"{asked} requests"
    seen("200 idle streams with a link, in their first seconds", what, tidegate="no request", pushpin="a few requests")


def test_many_links_that_are_due_are_asked_a_few_at_once(
    new_front: FrontMaker, own_backend: Backend, listeners: Listeners, name: str
) -> None:
    """Each stream has a link of its own, so nothing can be shared."""
    cap = 3
    front = new_front(own_backend, grip=f"links_at_once = {cap}")
    gate = threading.Event()

    def slow(asked: Asked) -> Reply:
        gate.wait(0.02)
        who = asked.query["who"]
        return stream(name, link(f"/{name}-next?who={who}", timeout=1), body=f"[{who}]")

    own_backend.on(f"/{name}", lambda asked: stream(name, link(f"/{name}-next?who={asked.query['who']}", timeout=1)))
    own_backend.on(f"/{name}-next", slow)
    opened = {who: front.open(listeners, f"/{name}?who={who}") for who in range(200)}
    if front.kind == "tidegate":
        own_backend.most_at_once = 0
    listeners.until(lambda: all(one.body for one in opened.values()), "every link to be asked", timeout=60)
    assert all(one.body.startswith(f"[{who}]".encode()) for who, one in opened.items())
    if front.kind == "tidegate":
        assert own_backend.most_at_once <= cap, own_backend.most_at_once


def test_who_has_read_the_first_byte_is_on_the_channel(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(name, body="[first]"))
    for number in range(200):
        opened = listeners.open(front.http, f"/{name}")
        listeners.until(lambda opened=opened: opened.body, "the first byte")
        front.publish(sent(name, f"[{number}]"))
        until_body(listeners, opened, f"[first][{number}]")
        listeners.close(opened)


def test_one_item_reaches_a_crowd_once_and_in_order(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(name))
    opened = [front.open(listeners, f"/{name}") for _ in range(200)]
    for start in range(0, 50, 10):
        front.publish(*(sent(name, f"[{number}]", id=f"{number}") for number in range(start, start + 10)))
    expected = "".join(f"[{number}]" for number in range(50)).encode()
    listeners.until(lambda: all(len(one.body) >= len(expected) for one in opened), "all items for all")
    assert all(one.body == expected for one in opened)
