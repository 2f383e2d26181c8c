"""Hostile frames over HTTP/2, by prior knowledge and over TLS: what reached the backend of each case, to the byte."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from frames import END_HEADERS, HEADERS, Frames, block, frame, head, request
from hostile_backend import Backend
from hostile_frames import BORNE, BROKEN, FAMILIES, Case
from hostile_fronts import frames_run, reached
from hostile_proxies import Front, Tidegate, TidegateTls, front
from test_hostile_http1 import OURS, expected


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    started = Backend()
    yield started
    started.stop()


@pytest.fixture(scope="module", params=["plain", "tls"])
def tidegate(request: pytest.FixtureRequest, folder: Path, backend: Backend) -> Iterator[Front]:
    place = folder / f"hostile-http2-{request.param}"
    place.mkdir()
    with front(TidegateTls if request.param == "tls" else Tidegate, place, backend) as running:
        yield running


def arrived(running: Front, line: str, fields: list[str], body: bytes) -> bytes:
    whole = expected(line, fields, body)
    if isinstance(running, TidegateTls):
        whole = whole.replace(b"x-forwarded-proto: http\r\n", b"x-forwarded-proto: https\r\n")
        whole = whole.replace(b"x-forwarded-port: 80\r\n", b"x-forwarded-port: 443\r\n")
    return whole


# The library that reads the frames drops these two before anybody here can look: the fragment of a path, and what
# trailers say beside their fields. Neither reaches the backend in any form.
DROPPED = {
    "the path '/a#b'": ("GET /a HTTP/1.1", ["host: site.test"], b""),
    "trailers with a path": ("POST /p HTTP/1.1", ["host: site.test", "content-length: 3"], b"abc"),
}
CASES = [pytest.param(case, id=f"{family}: {case.name}") for family, cases in FAMILIES.items() for case in cases]


@pytest.mark.parametrize("case", CASES)
def test_what_reaches_the_backend(tidegate: Front, case: Case) -> None:
    outcome = frames_run(tidegate, case)
    assert sum(len(request.raw) for request in outcome.requests) == len(outcome.reached)
    came = [OURS.sub(b"*", request.raw) for request in outcome.requests]
    behind = arrived(tidegate, "GET /behind HTTP/1.1", ["host: site.test"], b"")
    reaches = case.reaches or DROPPED.get(case.name)
    if reaches:
        assert sorted(came) == sorted([arrived(tidegate, *reaches), behind])
        assert outcome.statuses == [200]
    else:
        # The good request behind it may have ended with the connection.
        assert came in ([], [behind])
        assert outcome.closed and all(400 <= status < 500 for status in outcome.statuses)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_frames_end_the_connection(tidegate: Front, backend: Backend, name: str) -> None:
    backend.reset()
    with Frames(tidegate.open_h2()) as conn:
        conn.send(BROKEN[name])
        assert conn.until_closed()
        assert conn.goaway not in (0, None)
    requests, _ = reached(tidegate)
    # A good request that came before the error may have been served.
    assert {request.target for request in requests} <= {b"/g"}


@pytest.mark.parametrize("name", BORNE)
def test_odd_frames_leave_the_connection_alone(tidegate: Front, name: str) -> None:
    with Frames(tidegate.open_h2()) as conn:
        conn.send(BORNE[name] + request(101, head("/behind")))
        assert conn.until_done(101).status == 200


LIMITS: dict[str, list[tuple[str, str]]] = {
    "more than a hundred fields": [(f"x-{n}", "y") for n in range(101)],
    "more than a hundred crumbs of a cookie": [("cookie", "a=b")] * 101,
    "thousands of the smallest field": [("a", "")] * 1000,
    "a long field": [("x", "y" * 14_000)] * 3,
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_head_has_its_limits(tidegate: Front, backend: Backend, name: str) -> None:
    backend.reset()
    with Frames(tidegate.open_h2()) as conn:
        data = block([*head(), *LIMITS[name]])
        pieces = [data[at : at + 16_000] for at in range(0, len(data), 16_000)]
        conn.send(frame(HEADERS, 1 | (END_HEADERS if len(pieces) == 1 else 0), 1, pieces[0]))
        for number, piece in enumerate(pieces[1:], 2):
            conn.send(frame(9, END_HEADERS if number == len(pieces) else 0, 1, piece))
        stream = conn.until_done(1)
        assert stream.status == 431 or stream.reset is not None
        conn.send(request(3))
        assert conn.until_done(3).status == 200
    assert [request.target for request in backend.seen()] == [b"/g"]
