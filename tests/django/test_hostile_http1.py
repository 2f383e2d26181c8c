"""Hostile bytes over HTTP/1.1: what reached the backend of each case, to the byte."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import until
from hostile_backend import FINE, Backend, Request
from hostile_cases import BEHIND, FAMILIES, HIDDEN, Case, get, post
from hostile_fronts import bytes_run, talk
from hostile_proxies import Front, Tidegate, front
from wire import Reader, connect, head_bytes

# What differs with each request.
OURS = re.compile(rb"(?<=\r\nx-request-id: )[0-9a-f]{32}(?=\r\n)|(?<=\r\nsse-cursor: )[0-9a-f]+-[0-9]+(?=\r\n)")


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    started = Backend(answers)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def tidegate(folder: Path, backend: Backend) -> Iterator[Front]:
    place = folder / "hostile-http1"
    place.mkdir()
    with front(Tidegate, place, backend) as running:
        yield running


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def answers(request: Request) -> tuple[bytes, bool] | None:
    return None if request.target == b"/silent" else (FINE, False)


def expected(line: str, fields: list[str], body: bytes) -> bytes:
    """What Tidegate makes of a request: the client's fields, what it vouches for, the length."""
    host = next(field.removeprefix("host: ") for field in fields if field.startswith("host: "))
    _, _, port = host.partition(":")
    lines = [
        line,
        *(field for field in fields if not field.startswith("content-length: ")),
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        f"x-forwarded-host: {host}",
        f"x-forwarded-port: {port or 80}",
        "x-real-ip: 127.0.0.1",
        "x-request-id: *",
        "sse-cursor: *",
        *(field for field in fields if field.startswith("content-length: ")),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


EXPECTED_BEHIND = expected("GET /behind HTTP/1.1", ["host: site.test"], b"")
CASES = [pytest.param(case, id=f"{family}: {case.name}") for family, cases in FAMILIES.items() for case in cases]


@pytest.mark.parametrize("case", CASES)
def test_what_reaches_the_backend(tidegate: Front, case: Case) -> None:
    outcome = bytes_run(tidegate, case)
    reached = sorted(OURS.sub(b"*", request.raw) for request in outcome.requests)
    assert sum(len(request.raw) for request in outcome.requests) == len(outcome.reached)
    assert outcome.closed
    if case.reaches:
        assert reached == sorted([expected(*case.reaches), EXPECTED_BEHIND])
        assert outcome.statuses == [200, 200]
    else:
        assert reached == []
        # What comes too late to be answered in an orderly way, in a body, is answered by the end alone.
        assert outcome.statuses in ([case.status], []) if b"chunked" in case.raw else [case.status] == outcome.statuses


# -- what follows a request that was answered before its end -----------------------------------


LONG = f"Content-Length: {1_000_000 + len(HIDDEN)}"

UNREAD: dict[str, tuple[str, int]] = {
    "a path that is refused": (post(LONG).replace("/p ", "/a/../b "), 400),
    "a method that is refused": (post(LONG).replace("POST", "TRACE"), 405),
    "a host that is refused": (post(LONG).replace("site.test", "evil.test"), 421),
    "a body that is too long": (post(f"Content-Length: {1 << 40}"), 413),
    "a length and Expect": (post(f"Content-Length: {1 << 40}", "Expect: 100-continue"), 413),
    "a refused path and Expect": (post(LONG, "Expect: 100-continue").replace("/p ", "/%00 "), 400),
}


@pytest.mark.parametrize("name", UNREAD)
def test_the_body_of_a_refused_request_never_becomes_a_request(tidegate: Front, backend: Backend, name: str) -> None:
    raw, status = UNREAD[name]
    backend.reset()
    with connect(tidegate.address) as conn:
        conn.sendall(raw.encode())
        reader = Reader(conn)
        answer = reader.answer()
        assert answer.status == status and answer.informational == []
        assert answer.header("Connection") == "close"
        try:
            conn.sendall(HIDDEN + BEHIND)
        except OSError:
            pass
        assert reader.at_end()
    assert backend.bytes() == b""


def test_what_follows_a_body_that_is_shorter_than_it_says_is_body(tidegate: Front, backend: Backend) -> None:
    backend.reset()
    body = HIDDEN * 3
    with connect(tidegate.address) as conn:
        conn.sendall(head_bytes("POST", "/p", "site.test", {"Content-Length": str(len(body))}) + body + HIDDEN)
        reader = Reader(conn)
        assert [reader.answer().status for _ in range(2)] == [200, 200]
    assert [request.target for request in backend.seen()] == [b"/p", b"/hidden"]
    assert backend.seen()[0].body == body


def test_a_client_that_leaves_in_its_body_never_has_it_taken_for_whole(tidegate: Front, backend: Backend) -> None:
    backend.reset()
    for framing in ("Content-Length: 1000", "Transfer-Encoding: chunked"):
        with connect(tidegate.address) as conn:
            conn.sendall(post(framing).encode() + b"3e8\r\n" + HIDDEN)
    talk(tidegate.address, BEHIND)
    assert [request.target for request in backend.seen()] == [b"/behind"]


def test_bytes_behind_an_upgrade_wait_for_the_101(tidegate: Front, backend: Backend) -> None:
    backend.reset()
    with connect(tidegate.address) as conn:
        conn.sendall(get(*UPGRADE, target="/silent").encode() + HIDDEN)
        until(backend.seen, "the upgrade to reach the backend")
        talk(tidegate.address, BEHIND)
        assert [request.target for request in backend.seen()] == [b"/silent", b"/behind"]
        assert b"/hidden" not in backend.bytes()


def test_an_upgrade_that_was_not_taken_is_an_ordinary_request(tidegate: Front, backend: Backend) -> None:
    backend.reset()
    answer, closed = talk(tidegate.address, get(*UPGRADE).encode() + BEHIND)
    assert closed and answer.count(b"HTTP/1.1 101") == 0
    assert [request.target for request in backend.seen()] in ([b"/g"], [b"/g", b"/behind"])


# -- limits ------------------------------------------------------------------------------------


LIMITS: dict[str, tuple[str, int]] = {
    # Host and Connection count as well.
    "a hundred fields": (get(*(f"X-{n}: y" for n in range(98)), "Connection: close"), 200),
    "more than a hundred fields": (get(*(f"X-{n}: y" for n in range(99)), "Connection: close"), 431),
    "the same field many times": (get(*["X: y"] * 5000), 431),
    "a long field": (get("X: " + "y" * 40_000), 431),
    "a long name": (get("X" * 40_000 + ": y"), 431),
    "a long cookie": (get("Cookie: " + "y=1; " * 10_000), 431),
    "a long target": (get(target="/" + "y" * 70_000), 414),
    "a head just as long as it may be": (get("X: " + "y" * 30_000, "Connection: close"), 200),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_head_has_its_limits(tidegate: Front, backend: Backend, name: str) -> None:
    raw, status = LIMITS[name]
    backend.reset()
    answer, closed = talk(tidegate.address, raw.encode())
    assert closed
    assert int(answer.split(b" ")[1]) in (status, 431 if status == 414 else status)
    assert len(backend.seen()) == (status == 200)


Sender = Callable[[int], bytes]
BODIES: dict[str, Sender] = {
    "a length": lambda size: post(f"Content-Length: {size}").encode() + b"x" * size,
    "chunks": lambda size: post("Transfer-Encoding: chunked").encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size),
    "small chunks": lambda size: post("Transfer-Encoding: chunked").encode() + b"1\r\nx\r\n" * size + b"0\r\n\r\n",
}


@pytest.mark.parametrize("framing", BODIES)
def test_a_body_has_its_limit(folder: Path, backend: Backend, framing: str, name: str) -> None:
    place = folder / f"hostile-{name}"
    place.mkdir()
    with front(lambda *them: Tidegate(*them, limits='body = "64KiB"'), place, backend) as small:
        backend.reset()
        answer, _ = talk(small.address, BODIES[framing](65_536))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert [len(request.body) for request in backend.seen()] == [65_536]
        backend.reset()
        answer, closed = talk(small.address, BODIES[framing](65_537) + BEHIND)
        assert closed and answer.startswith(b"HTTP/1.1 413 ") and answer.count(b"HTTP/1.1") == 1
        assert backend.bytes() == b""
