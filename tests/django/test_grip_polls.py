"""Polls: a request is held without an answer until an item answers it, or its time is over."""

import json
import threading
import time
from collections.abc import Callable

import pytest

from conftest import Listeners
from grip_backend import Asked, Backend, Reply, plain, poll, stream
from grip_fixtures import Seen
from grip_fronts import Front, answered, sent
from harness import until
from streams import Stream
from wire import Reader, connect, head_bytes

LONG = ("Grip-Timeout", "60")


def until_answered(listeners: Listeners, opened: Stream, publish: Callable[[], object]) -> None:
    """Nobody is told when a poll is held, so publish until it is answered."""

    def again() -> bool:
        if not opened.ended:
            publish()
            time.sleep(0.02)
        return opened.ended

    until(again, "the answer to a poll")
    assert opened.complete, opened


def test_an_item_answers_a_poll_and_its_headers_join_the_first_answers(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", poll(name, LONG, ("X-First", "kept"), ("X-Both", "first"), body="nobody sees this"))
    opened = listeners.open(front.http, f"/{name}")
    form = {"code": 201, "reason": "Made", "headers": {"X-Both": "second", "X-New": "new"}, "body": "the answer\n"}
    until_answered(listeners, opened, lambda: front.publish(answered(name, form)))
    answer = opened.answer
    assert answer and answer.status == 201 and opened.body == b"the answer\n"
    assert answer.header("Content-Length") == "11" and not answer.all("Transfer-Encoding")
    assert (answer.all("X-First"), answer.all("X-Both"), answer.all("X-New")) == (["kept"], ["second"], ["new"])
    assert answer.header("Content-Type") == "text/plain"
    assert not [key for key, _ in answer.headers if key.lower().startswith("grip-")]


def test_an_item_may_leave_out_what_has_a_default(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", poll(name, LONG))
    opened = listeners.open(front.http, f"/{name}")
    until_answered(listeners, opened, lambda: front.publish(answered(name, {"body": ""})))
    assert opened.status == 200 and opened.body == b""


def test_headers_of_an_item_may_be_a_list_and_its_body_bytes(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", poll(name, LONG))
    opened = listeners.open(front.http, f"/{name}")
    form = {"code": 404, "headers": [["X-A", "1"], ["X-A", "2"]], "body-bin": "AP8="}
    until_answered(listeners, opened, lambda: front.publish(answered(name, form)))
    assert opened.answer and opened.answer.all("X-A") == ["1", "2"]
    assert (opened.status, opened.body) == (404, b"\0\xff")


def test_the_connection_of_a_poll_can_be_used_again(front: Front, backend: Backend, name: str) -> None:
    backend.on(f"/{name}", poll(name, ("Grip-Timeout", "5"), body="over"))
    backend.on(f"/{name}-page", plain("page"))
    with connect(front.http) as conn:
        conn.sendall(head_bytes("GET", f"/{name}", "site.test"))
        reader = Reader(conn)
        assert reader.answer().body == b"over"
        conn.sendall(head_bytes("GET", f"/{name}-page", "site.test"))
        assert reader.answer().body == b"page"


def test_when_the_time_is_over_the_first_answer_is_given(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    """Many at once, as each of them takes seconds."""
    kinds: dict[str, list[tuple[str, str]]] = {
        "five": [("Grip-Timeout", "5"), ("X-First", "kept")],
        "one": [("Grip-Timeout", "1")],
        "304": [("Grip-Timeout", "5"), ("Grip-Status", "304"), ("ETag", '"7"')],
        "410": [("Grip-Timeout", "5"), ("Grip-Status", "410 Over")],
        "exposed": [("Grip-Timeout", "5"), ("X-First", "kept"), ("Grip-Expose-Headers", "X-Nothing")],
    }
    for kind, headers in kinds.items():
        backend.on(f"/{name}-{kind}", poll(f"{name}-{kind}", *headers, body="as it was"))
    begun = time.monotonic()
    polls = {kind: listeners.open(front.http, f"/{name}-{kind}") for kind in kinds}
    ends: dict[str, float] = {}

    def all_over() -> bool:
        for kind, opened in polls.items():
            # What has no body needs none to be complete.
            if opened.ended or (opened.answer and opened.status == 304):
                ends.setdefault(kind, time.monotonic() - begun)
        return len(ends) == len(polls)

    listeners.until(all_over, "the answers of all polls")
    assert all(4.5 < end < 8 for end in ends.values()), ends
    took = "5 s" if ends["five"] < 5.7 else "6 s"
    seen("a poll with Grip-Timeout 5", took, tidegate="5 s", pushpin="6 s")
    five, over = polls["five"], polls["410"]
    assert five.answer and (five.status, five.body, five.answer.header("X-First")) == (200, b"as it was", "kept")
    assert (polls["one"].status, polls["one"].body) == (200, b"as it was")
    assert (over.status, over.body) == (410, b"as it was")
    unchanged, exposed = polls["304"].answer, polls["exposed"].answer
    assert unchanged and unchanged.status == 304 and unchanged.header("ETag") == '"7"'
    assert exposed and exposed.header("X-First") is None


def test_each_kind_of_client_is_given_its_own_form_of_an_item(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}-stream", stream(name))
    backend.on(f"/{name}-poll", poll(name, LONG))
    streamed = front.open(listeners, f"/{name}-stream")
    polled = listeners.open(front.http, f"/{name}-poll")
    # A poll does not end by what is only for streams.
    front.publish(sent(name, "[only streams]"), sent(name, "[again]"))
    both = answered(name, {"body": "for polls"}) | {"http-stream": {"content": "[for streams]"}}
    until_answered(listeners, polled, lambda: front.publish(both))
    listeners.until(lambda: b"[for streams]" in streamed.body, "the stream's form")
    assert polled.body == b"for polls"
    assert streamed.body.startswith(b"[only streams][again]") and b"for polls" not in streamed.body


def test_one_item_answers_every_poll_of_its_channel(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    """And a poll of several channels is answered by the first item of any."""
    backend.on(f"/{name}", poll(f"{name}-1, {name}-2", LONG))
    polls = [listeners.open(front.http, f"/{name}") for _ in range(20)]
    until(lambda: len(backend.asked(f"/{name}")) >= 20, "all polls to be asked for")
    for number, opened in enumerate(polls):
        form = {"body": f"{number}"}
        until_answered(
            listeners, opened, lambda form=form: front.publish(answered(f"{name}-{len(form) % 2 + 1}", form))
        )
    assert sum(opened.body == b"0" for opened in polls) >= 10, [opened.body for opened in polls]


@pytest.mark.parametrize(
    "first, patch, result",
    [
        (b'{"a": 1, "b": [1, 2]}', [{"op": "replace", "path": "/a", "value": 2}], {"a": 2, "b": [1, 2]}),
        (b'{"a": 1}\n', [{"op": "add", "path": "/b", "value": {"c": None}}], {"a": 1, "b": {"c": None}}),
        (
            b'{"b": [1, 2]}',
            [{"op": "add", "path": "/b/-", "value": 3}, {"op": "remove", "path": "/b/0"}],
            {"b": [2, 3]},
        ),
        (b'{"a": 1}', [{"op": "test", "path": "/a", "value": 1}, {"op": "move", "from": "/a", "path": "/b"}], {"b": 1}),
        (b'{"a/b": 1}', [{"op": "copy", "from": "/a~1b", "path": "/c"}], {"a/b": 1, "c": 1}),
    ],
)
def test_an_item_may_patch_the_json_of_the_first_answer(
    front: Front, backend: Backend, listeners: Listeners, name: str, first: bytes, patch: list, result: object
) -> None:
    backend.on(f"/{name}", poll(name, LONG, ("Content-Type", "application/json"), body=first))
    opened = listeners.open(front.http, f"/{name}")
    until_answered(listeners, opened, lambda: front.publish(answered(name, {"body-patch": patch})))
    assert json.loads(opened.body) == result
    assert opened.body.endswith(b"\n") == first.endswith(b"\n")


# Asking again.


def asked_again(backend: Backend, path: str, hint: Callable[[], object], times: int = 2) -> list[Asked]:
    """Give hints until the backend has been asked so often."""

    def again() -> bool:
        hint()
        time.sleep(0.05)
        return len(backend.asked(path)) >= times

    until(again, "the backend to be asked again")
    return backend.asked(path)


@pytest.mark.parametrize("method, body", [("GET", b""), ("POST", b"body")])
def test_a_hint_has_the_very_request_asked_again(
    front: Front, backend: Backend, name: str, method: str, body: bytes
) -> None:
    # Pushpin asks once again by itself, so hints are seen only beyond that.
    hold = poll(f"{name}; prev-id=7", LONG)
    backend.on(f"/{name}", hold, hold, hold, plain("now there is", ("X-Second", "yes")))
    # By hand, for the body.
    with connect(front.http) as conn:
        fields = [("X-Own", "header"), ("Cookie", "a=b"), *([("Content-Length", f"{len(body)}")] if body else [])]
        conn.sendall(head_bytes(method, f"/{name}?q=1", "site.test", fields) + body)
        hint = answered(name, {"action": "hint"})
        first, *others = asked_again(backend, f"/{name}", lambda: front.publish(hint), 4)
        answer = Reader(conn).answer()
    assert (answer.body, answer.header("X-Second")) == (b"now there is", "yes")
    for asked in (first, *others):
        assert (asked.method, asked.target, asked.body) == (method, f"/{name}?q=1", body)
        assert (asked.header("X-Own"), asked.header("Cookie"), asked.header("Host")) == ("header", "a=b", "site.test")
        assert len(asked.all("Grip-Sig")) == 1
    assert first.last == {} and all(asked.last == {name: "7"} for asked in others)


def test_an_item_that_does_not_follow_has_the_poll_asked_again(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    def answer(asked: Asked) -> Reply:
        return plain("from 7 to 9") if asked.last else poll(f"{name}; prev-id=7", LONG)

    backend.on(f"/{name}", answer)
    opened = listeners.open(front.http, f"/{name}")
    form = {"body": "only 9"}
    until_answered(listeners, opened, lambda: front.publish(answered(name, form, prev_id="8")))
    assert opened.body == b"from 7 to 9"
    assert backend.asked(f"/{name}")[-1].last == {name: "7"}


def test_an_item_that_follows_answers_the_poll(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    backend.on(f"/{name}", poll(f"{name}; prev-id=7", LONG))
    opened = listeners.open(front.http, f"/{name}")
    until_answered(listeners, opened, lambda: front.publish(answered(name, {"body": "8"}, prev_id="7")))
    assert opened.body == b"8"


def test_an_item_published_while_a_poll_is_asked_again(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    gate = threading.Event()

    def waits(_: Asked) -> Reply:
        gate.wait(20)
        return poll(name, ("Grip-Timeout", "5"), body="nothing")

    backend.on(f"/{name}", poll(name, LONG), waits)
    opened = listeners.open(front.http, f"/{name}")
    asked_again(backend, f"/{name}", lambda: front.publish(answered(name, {"action": "hint"})))
    front.publish(answered(name, {"body": "meanwhile"}))
    gate.set()
    listeners.until_ended(opened)
    what = {b"meanwhile": "answers it", b"nothing": "is lost"}[opened.body]
    seen("an item published while a poll is asked again", what, tidegate="answers it", pushpin="is lost")


def test_polls_cost_the_backend_one_request_each(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    backend.on(f"/{name}", poll(name, ("Grip-Timeout", "5")))
    opened = listeners.open(front.http, f"/{name}")
    listeners.until_ended(opened)
    count = len(backend.asked(f"/{name}"))
    seen("requests that a quiet poll costs the backend", count, tidegate=1, pushpin=2)
