"""Links: the URL that a backend gives a stream, to be asked when something is missing, or now and then."""

import os
import threading
import time

import pytest

from conftest import Listeners
from grip_backend import Asked, Backend, Reply, link, plain, poll, stream
from grip_fixtures import FrontMaker, Seen
from grip_fronts import Front, sent
from harness import until
from test_grip_streams import until_body


class Log:
    """What a reliable backend does: it holds numbered events, and a link gives those after Grip-Last."""

    def __init__(self, backend: Backend, name: str, newest: int = 0, *headers: tuple[str, str]) -> None:
        self.name, self.newest, self.headers = name, newest, headers
        self.path, self.link = f"/{name}", f"/{name}-next"
        backend.on(self.path, lambda _: self.reply("[open]"))
        backend.on(self.link, self.recover)

    def reply(self, body: str) -> Reply:
        return stream(f"{self.name}; prev-id={self.newest}", link(self.link), *self.headers, body=body)

    def recover(self, asked: Asked) -> Reply:
        at = int(asked.last[self.name])
        return self.reply("".join(f"[{number}]" for number in range(at + 1, self.newest + 1)))

    def add(self, front: Front, *, lost: bool = False) -> None:
        self.newest += 1
        if not lost:
            front.publish(sent(self.name, f"[{self.newest}]", id=str(self.newest), prev_id=str(self.newest - 1)))


@pytest.fixture
def log(backend: Backend, name: str) -> Log:
    return Log(backend, name)


# Paging.


def test_an_answer_with_a_link_and_no_hold_is_paged(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    for number in range(1, 4):
        backend.on(f"/{name}-{number}", plain(f"[{number}]", ("X-Page", f"{number}"), link(f"/{name}-{number + 1}")))
    backend.on(f"/{name}-4", stream(name, ("X-Page", "4"), body="[4]"))
    opened = front.open(listeners, f"/{name}-1")
    until_body(listeners, opened, "[1][2][3][4]")
    assert opened.answer and opened.answer.all("X-Page") == ["1"]
    front.publish(sent(name, "[held]"))
    until_body(listeners, opened, "[held]")
    assert [len(backend.asked(f"/{name}-{number}")) for number in range(1, 5)] == [1, 1, 1, 1]


def test_pages_without_a_hold_at_their_end_are_an_answer(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", plain("[1]", link(f"/{name}-2")))
    backend.on(f"/{name}-2", plain("[2]"))
    opened = front.open(listeners, f"/{name}")
    listeners.until_ended(opened)
    assert opened.complete and opened.body == b"[1][2]"


def test_a_replay_that_is_longer_than_what_the_proxy_remembers(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    """Its first pages end at items that no proxy knows any more, its last ones at items that one may remember."""
    newest = 700

    def answer(asked: Asked) -> Reply:
        at = int(asked.last.get(name) or asked.query.get("at", "0"))
        page = min(at + 100, newest)
        body = "".join(f"[{number}]" for number in range(at + 1, page + 1))
        channel = f"{name}; prev-id={page}"
        if page < newest:
            return plain(body, ("Grip-Channel", channel), link(f"/{name}?at={page}"))
        return stream(channel, link(f"/{name}?at={page}"), body=body)

    backend.on(f"/{name}", answer)
    for start in range(1, newest, 100):
        numbers = range(start, start + 100)
        front.publish(*(sent(name, f"[{n}]", id=f"{n}", prev_id=f"{n - 1}") for n in numbers))
    front.publish(sent(f"{name}-other", "x"))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[700]")
    for _ in range(2):
        newest += 1
        front.publish(sent(name, f"[{newest}]", id=f"{newest}", prev_id=f"{newest - 1}"))
        until_body(listeners, opened, f"[{newest}]")
    assert opened.body.decode() == "".join(f"[{number}]" for number in range(1, newest + 1))


@pytest.mark.parametrize("form", ["/{name}/two?a=b", "?page=two", "http://site.test/{name}/two", "two?x=a;b,c"])
def test_a_link_is_resolved_against_the_request(
    front: Front, backend: Backend, listeners: Listeners, name: str, form: str
) -> None:
    """The semicolon and the comma are inside of `<…>`."""
    target = form.format(name=name)
    if front.kind == "pushpin" and ";" in form:
        target = "two?x=a"  # it cuts there
    if front.kind == "pushpin" and target.startswith("http"):
        pytest.skip("it resolves the name and asks over the network")
    two = stream(name, body="[2]")
    backend.on(f"/{name}/two", two)
    backend.on(f"/{name}/one", lambda asked: two if "page" in asked.query else plain("[1]", link(target)))
    opened = front.open(listeners, f"/{name}/one")
    until_body(listeners, opened, "[1][2]")
    expected = {"/": f"/{name}/two?a=b", "?": f"/{name}/one?page=two", "h": f"/{name}/two", "t": f"/{name}/{target}"}
    asked = [*backend.asked(f"/{name}/two"), *backend.asked(f"/{name}/one")]
    assert expected[form[0]] in [one.target for one in asked]


def test_a_link_to_another_host(
    front: Front, backend: Backend, own_backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    own_backend.on("/elsewhere", plain("[elsewhere]"))
    backend.on(f"/{name}", plain("[1]", link(f"http://{own_backend.server}/elsewhere")))
    opened = front.open(listeners, f"/{name}")
    listeners.until_ended(opened)
    what = "is asked" if own_backend.asked("/elsewhere") else "is not asked"
    seen("a link to another host", what, tidegate="is not asked", pushpin="is asked")


# Repair.


def test_items_that_follow_need_no_link(front: Front, listeners: Listeners, backend: Backend, log: Log) -> None:
    opened = front.open(listeners, log.path)
    for _ in range(20):
        log.add(front)
    until_body(listeners, opened, "[20]")
    assert opened.body.decode() == "[open]" + "".join(f"[{number}]" for number in range(1, 21))


def test_an_item_that_does_not_follow_has_the_link_asked(
    front: Front, backend: Backend, listeners: Listeners, log: Log
) -> None:
    opened = front.open(listeners, log.path)
    log.add(front)
    until_body(listeners, opened, "[1]")
    for _ in range(3):
        log.add(front, lost=True)
    log.add(front)
    until_body(listeners, opened, "[5]")
    log.add(front)
    until_body(listeners, opened, "[6]")
    assert opened.body == b"[open][1][2][3][4][5][6]"
    repair = [asked for asked in backend.asked(log.link) if asked.last == {log.name: "1"}]
    assert repair and repair[-1].method == "GET" and repair[-1].body == b""


def test_items_that_come_while_the_link_is_asked_are_given_once(
    front: Front, backend: Backend, listeners: Listeners, log: Log
) -> None:
    opened = front.open(listeners, log.path)
    log.add(front)
    until_body(listeners, opened, "[1]")
    gate, waiting = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Reply:
        if asked.last == {log.name: "1"} and not gate.is_set():
            reply = log.recover(asked)  # as it is now; what comes while the answer is on its way is not in it
            waiting.set()
            gate.wait(20)
            return reply
        return log.recover(asked)

    backend.on(log.link, slow)
    log.add(front, lost=True)
    log.add(front)
    assert waiting.wait(20)
    for _ in range(3):
        log.add(front)
    gate.set()
    until_body(listeners, opened, "[6]")
    assert opened.body == b"[open][1][2][3][4][5][6]"


def test_the_answer_of_a_link_replaces_the_instructions(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(f"{name}-old, {name}", link(f"/{name}-1"), body="[open]"))
    keep = ("Grip-Keep-Alive", "[k]; timeout=1")
    new = stream(f"{name}-new, {name}", keep, ("X-Late", "ignored"), body="[replaced]")
    backend.on(f"/{name}-1", Reply(206, new.headers, new.body))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[open]")
    front.publish(sent(f"{name}-old", "[old]"))
    until_body(listeners, opened, "[old]")
    front.publish(sent(name, action="hint"))
    until_body(listeners, opened, "[replaced]")
    front.publish(sent(f"{name}-old", "[not any more]"), sent(f"{name}-new", "[new]"))
    until_body(listeners, opened, "[new]")
    assert b"[not any more]" not in opened.body
    until_body(listeners, opened, "[k]")
    assert opened.answer and opened.answer.header("X-Late") is None


@pytest.mark.parametrize("what", ["nothing more", "a poll"])
def test_a_link_that_says_no_more_ends_the_stream(
    front: Front, backend: Backend, listeners: Listeners, name: str, what: str
) -> None:
    end = (
        plain("[bye]") if what == "nothing more" else plain("[bye]", ("Grip-Hold", "response"), ("Grip-Channel", name))
    )
    backend.on(f"/{name}", stream(name, link(f"/{name}-1"), body="[open]"))
    backend.on(f"/{name}-1", end)
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[open]")
    front.publish(sent(name, action="hint"))
    listeners.until_ended(opened)
    if what == "nothing more":
        assert opened.complete and opened.body == b"[open][bye]"


def test_a_link_that_fails_is_asked_again(front: Front, backend: Backend, listeners: Listeners, log: Log) -> None:
    opened = front.open(listeners, log.path)
    log.add(front)
    until_body(listeners, opened, "[1]")
    before = len(backend.asked(log.link))
    backend.on(log.link, plain("broken", status=500), lambda _: None, log.recover)
    log.add(front, lost=True)
    log.add(front)
    until_body(listeners, opened, "[3]")
    assert opened.body == b"[open][1][2][3]"
    times = [asked.at for asked in backend.asked(log.link)[before:]]
    assert len(times) >= 3 and times[2] - times[0] > 1, times


def test_a_backend_that_is_away_for_a_moment_loses_nothing(
    new_front: FrontMaker, own_backend: Backend, listeners: Listeners, name: str
) -> None:
    front, log = new_front(own_backend), Log(own_backend, name)
    opened = front.open(listeners, log.path)
    log.add(front)
    until_body(listeners, opened, "[1]")
    own_backend.stop()
    log.add(front, lost=True)
    log.add(front)
    log.add(front)
    own_backend.start()
    until_body(listeners, opened, "[4]")
    log.add(front)
    until_body(listeners, opened, "[5]")
    assert opened.body == b"[open][1][2][3][4][5]"


@pytest.mark.skipif(not os.environ.get("TESTS_PUSHPIN"), reason="it takes two minutes, to show what Pushpin does")
@pytest.mark.timeout(240)
def test_a_backend_that_is_away_for_longer(
    new_front: FrontMaker, own_backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    front, log = new_front(own_backend), Log(own_backend, name, 0)
    opened = front.open(listeners, log.path)
    log.add(front)
    until_body(listeners, opened, "[1]")
    own_backend.stop()
    log.add(front, lost=True)
    log.add(front)
    try:
        listeners.until(lambda: opened.ended, "the end of the stream", timeout=60)
    except AssertionError:
        own_backend.start()
        listeners.until(lambda: b"[3]" in opened.body, "what was missed", timeout=90)
    what = "ends the stream" if opened.ended else "the stream goes on after it, with nothing lost"
    seen(
        "a backend that is away for a minute",
        what,
        pushpin="ends the stream",
        tidegate="the stream goes on after it, with nothing lost",
    )


@pytest.mark.skipif(not os.environ.get("TESTS_PUSHPIN"), reason="it takes a minute, to show that both do the same")
def test_a_link_that_goes_on_failing_ends_the_stream_after_its_sixth_answer(
    front: Front, backend: Backend, listeners: Listeners, log: Log
) -> None:
    opened = front.open(listeners, log.path)
    until_body(listeners, opened, "[open]")
    if front.kind == "pushpin":
        until(lambda: backend.asked(log.link), "what it asks by itself")
    before = len(backend.asked(log.link))
    backend.on(log.link, plain("broken", status=500))
    front.publish(sent(log.name, action="hint"))
    listeners.until(lambda: opened.ended, "the end", timeout=60)
    assert len(backend.asked(log.link)) - before == 6


def test_a_reliable_channel_without_a_link(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    backend.on(f"/{name}", stream(f"{name}; prev-id=1", body="[open]"))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[open]")
    front.publish(sent(name, "[9]", id="9", prev_id="8"))
    listeners.until_ended(opened)
    assert opened.body == b"[open]"
    seen("a reliable channel without a link", "the stream ends", tidegate="the stream ends")


def test_a_stream_that_begins_behind_is_repaired_at_once(
    front: Front, backend: Backend, listeners: Listeners, log: Log
) -> None:
    """The backend answered before an event, and the hold begins after it."""
    first = front.open(listeners, log.path)
    log.add(front)
    until_body(listeners, first, "[1]")
    stale = stream(f"{log.name}; prev-id=0", link(log.link), body="[late]")
    backend.on(f"/{log.name}-late", stale)
    late = front.open(listeners, f"/{log.name}-late")
    until_body(listeners, late, "[late][1]")


def test_a_hint_has_the_link_asked(front: Front, backend: Backend, listeners: Listeners, log: Log) -> None:
    opened = front.open(listeners, log.path)
    log.add(front, lost=True)
    front.publish(sent(log.name, action="hint"))
    until_body(listeners, opened, "[open][1]")


def test_recover_has_every_link_and_every_poll_asked(
    front: Front, backend: Backend, listeners: Listeners, log: Log, name: str
) -> None:
    opened = front.open(listeners, log.path)
    # Pushpin asks once again by itself; that does not end the poll yet.
    hold = poll(f"{name}-p", ("Grip-Timeout", "55"))
    backend.on(f"/{name}-poll", hold, hold, hold, plain("asked again"))
    polled = listeners.open(front.http, f"/{name}-poll")
    log.add(front, lost=True)

    def again() -> bool:
        answer = front.post("/recover/", b"")
        assert (answer.status, answer.text) == (200, "Updated\n"), answer
        time.sleep(0.1)
        return polled.ended

    until(again, "the poll to be asked again")
    assert polled.body == b"asked again"
    until_body(listeners, opened, "[open][1]")


# When nothing happens.


def test_a_quiet_stream_asks_a_link_with_a_timeout(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    def answer(asked: Asked) -> Reply:
        at = int(asked.last.get(name, "0"))
        return stream(f"{name}; prev-id={at + 1}", link(f"/{name}", timeout=1), body=f"[{at + 1}]")

    backend.on(f"/{name}", answer)
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[1][2][3]")


def test_nobody_is_asked_for_a_stream_that_has_left(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(name, link(f"/{name}-next", timeout=1)))
    backend.on(f"/{name}-next", stream(name, link(f"/{name}-next", timeout=1), body="."))
    backend.on(f"/{name}-other", stream(name, link(f"/{name}-other-next", timeout=1)))
    backend.on(f"/{name}-other-next", stream(name, link(f"/{name}-other-next", timeout=1), body="."))
    gone = front.open(listeners, f"/{name}")
    until_body(listeners, gone, "..")
    listeners.close(gone)
    # The other one tells the time: a request for the first may still be on its way, but none comes after that.
    other = front.open(listeners, f"/{name}-other")
    until_body(listeners, other, ".")
    asked = len(backend.asked(f"/{name}-next"))
    until_body(listeners, other, "....")
    assert len(backend.asked(f"/{name}-next")) == asked


def test_a_gone_link_is_told_when_the_client_has_left(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    backend.on(f"/{name}", stream(name, link(f"/{name}-gone?who=7", rel="gone"), body="[open]"))
    backend.on(f"/{name}-gone", plain("ok"))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[open]")
    listeners.close(opened)
    if front.kind == "tidegate":
        until(lambda: backend.asked(f"/{name}-gone"), "the gone link to be asked")
    told = backend.asked(f"/{name}-gone")
    seen("`rel=gone`", "is told" if told else "unknown", tidegate="is told", pushpin="unknown")
    for asked in told:
        assert (asked.method, asked.target, asked.body) == ("POST", f"/{name}-gone?who=7", b"")
        assert len(asked.all("Grip-Sig")) == 1 and asked.header("Host") == "site.test"
