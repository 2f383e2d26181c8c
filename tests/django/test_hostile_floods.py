"""Floods over HTTP/2, by prior knowledge and over TLS: they end, memory is bounded, another client notices nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from frames import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    Frames,
    block,
    frame,
    head,
    request,
    setting,
    text,
    window,
)
from hostile_backend import FINE, Backend, Request
from hostile_proxies import TidegateTls, front
from wire import Address, Reader, connect, head_bytes

MIB = 1 << 20
# What a flood may cost while it lasts. All of them are far below; a gateway that gathers what it is sent is far above.
MOST_MEMORY = 48 * MIB
MOST_SECONDS_OF_CPU = 5.0
MOST_LATENCY = 2.0

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000


def answers(seen: Request) -> tuple[bytes, bool] | None:
    return {b"/page": (PAGE, False), b"/never": None}.get(seen.target, (FINE, False))


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    started = Backend(answers)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def tidegate(folder: Path, backend: Backend) -> Iterator[TidegateTls]:
    place = folder / "hostile-floods"
    place.mkdir()
    # By default the pages that nobody takes would wait in memory: 80 MB, of the 256 that the site allows for it.
    limits = 'body_idle = "1s"\nbuffers_memory = "8MiB"'
    with front(lambda *them: TidegateTls(*them, limits=limits), place, backend) as running:
        assert isinstance(running, TidegateTls)
        yield running


@pytest.fixture(params=["plain", "tls"])
def opened(request: pytest.FixtureRequest, tidegate: TidegateTls) -> Callable[[], socket.socket]:
    return tidegate.open_h2 if request.param == "tls" else lambda: connect(tidegate.address)


@dataclass
class Other:
    """Another client, who asks for one page after the other meanwhile."""

    address: Address
    answered: int = 0
    slowest: float = 0
    failed: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            with connect(self.address) as conn:
                reader = Reader(conn)
                while not self.stop.is_set() or not self.answered:
                    before = time.monotonic()
                    conn.sendall(head_bytes("GET", "/other", "site.test"))
                    answer = reader.answer()
                    if answer.body != b"fine":
                        self.failed.append(str(answer))
                    self.slowest = max(self.slowest, time.monotonic() - before)
                    self.answered += 1
        except OSError as error:
            self.failed.append(repr(error))


@contextmanager
def undisturbed(tidegate: TidegateTls) -> Iterator[None]:
    """What the gateway spends in here is bounded, and another client is answered all the time."""
    other = Other(tidegate.address)
    thread = threading.Thread(target=other.run)
    cpu, memory = cpu_seconds(tidegate), tidegate.gateway.resident_bytes()
    thread.start()
    try:
        yield
    finally:
        other.stop.set()
        thread.join()
    spent, grown = cpu_seconds(tidegate) - cpu, tidegate.gateway.resident_bytes() - memory
    print(f"{spent:.2f} s of CPU, {grown / MIB:.1f} MiB; {other.answered} answers, the slowest {other.slowest:.3f} s")
    assert other.failed == [] and other.answered > 0
    assert other.slowest < MOST_LATENCY
    assert grown < MOST_MEMORY
    # What the other client costs is not the flood's.
    assert spent < MOST_SECONDS_OF_CPU + 0.001 * other.answered


def cpu_seconds(tidegate: TidegateTls) -> float:
    process = tidegate.process.popen
    assert process is not None
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def streams(count: int) -> range:
    return range(1, 2 * count, 2)


# A field of 4,000 bytes that goes into the table, and a reference to it.
BIG = b"\x40" + text("x") + text("y" * 4000)
AGAIN = b"\xbe"


def in_pieces(data: bytes, end: bool) -> bytes:
    """A head in frames of 16,000 bytes."""
    pieces = [data[at : at + 16_000] for at in range(0, len(data), 16_000)]
    frames = [frame(HEADERS, END_STREAM, 1, pieces[0]), *(frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:])]
    return b"".join(frames) + (frame(CONTINUATION, END_HEADERS, 1) if end else b"")


# What is sent, again and again, until the connection ends: what comes once, and each of what follows, by its number.
Flood = tuple[bytes, Callable[[int], bytes]]
UPLOAD = request(1, head("/never", "POST"), end=0)

ENDED: dict[str, Flood] = {
    "rapid reset (CVE-2023-44487)": (b"", lambda n: request(2 * n + 1) + frame(RST_STREAM, 0, 2 * n + 1, CANCEL)),
    "rapid reset of what Django does not answer": (
        b"",
        lambda n: request(2 * n + 1, head("/never")) + frame(RST_STREAM, 0, 2 * n + 1, CANCEL),
    ),
    "made you reset by a window of nothing (CVE-2025-8671)": (
        b"",
        lambda n: request(2 * n + 1, head("/never")) + window(2 * n + 1, 0),
    ),
    "made you reset by a window that overflows": (
        b"",
        lambda n: request(2 * n + 1, head("/never")) + window(2 * n + 1, (1 << 31) - 1),
    ),
    "made you reset by a stream that depends on itself": (
        b"",
        lambda n: request(2 * n + 1, head("/never")) + frame(PRIORITY, 0, 2 * n + 1, (2 * n + 1).to_bytes(4) + b"\x10"),
    ),
    "CONTINUATION without end (CVE-2024-27316)": (
        frame(HEADERS, END_STREAM, 1, block(head())),
        lambda n: frame(CONTINUATION, 0, 1, block([(f"x-{n}", "y" * 16_000)])),
    ),
    "CONTINUATION of one byte": (
        frame(HEADERS, END_STREAM, 1, block(head())) + frame(CONTINUATION, 0, 1, b"\0\x01x\x7f\xff\xff\x7f"),
        lambda n: frame(CONTINUATION, 0, 1, b"y"),
    ),
    "empty CONTINUATION": (frame(HEADERS, END_STREAM, 1, block(head())), lambda n: frame(CONTINUATION, 0, 1)),
    "settings (CVE-2019-9515)": (b"", lambda n: frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, n))),
    "empty settings": (b"", lambda n: frame(SETTINGS)),
    "pings (CVE-2019-9512)": (b"", lambda n: frame(PING, 0, 0, n.to_bytes(8))),
    "answers to pings": (b"", lambda n: frame(PING, ACK, 0, n.to_bytes(8))),
    "empty data (CVE-2019-9518)": (UPLOAD, lambda n: frame(DATA, 0, 1)),
    "data of padding": (UPLOAD, lambda n: frame(DATA, PADDED, 1, b"\x09" + b"\0" * 9)),
    "priorities (CVE-2019-9513)": (
        b"",
        lambda n: frame(PRIORITY, 0, 2 * (n % 50) + 1, (2 * (n % 49)).to_bytes(4) + b"\x10"),
    ),
    "windows": (b"", lambda n: window(0, 1)),
    "frames nobody knows": (b"", lambda n: frame(0xFA, 0, 0, b"x" * 50)),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_flood_is_ended_with_a_goaway(tidegate: TidegateTls, opened: Callable[[], socket.socket], name: str) -> None:
    first, each = ENDED[name]
    with undisturbed(tidegate), Frames(opened()) as conn:
        alive = conn.send(first)
        for at in range(0, 200_000, 50):
            alive = alive and conn.send(b"".join(each(number) for number in range(at, at + 50)))
            # Who does not read would be cut off as one that takes nothing, and might miss the word.
            conn.drain()
            if not alive or conn.closed:
                break
        assert conn.until_closed()


HEADS: dict[str, bytes] = {
    "a field of 4,000 bytes, 16,000 times (CVE-2016-6581)": in_pieces(block(head()) + BIG + AGAIN * 16_000, True),
    "one-byte fields, 16,000 of them (CVE-2026-49975)": in_pieces(
        block(head()) + b"\x40\x01x\x01y" + AGAIN * 16_000, True
    ),
    "one-byte crumbs of a cookie, 16,000 of them": in_pieces(
        block(head()) + b"\x40" + text("cookie") + b"\x01y" + AGAIN * 16_000, True
    ),
    "a head of a megabyte": in_pieces(block([*head(), *[("x", "y" * 1000)] * 1000]), True),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_header_bomb_is_refused(
    tidegate: TidegateTls, opened: Callable[[], socket.socket], backend: Backend, name: str
) -> None:
    backend.reset()
    with undisturbed(tidegate):
        for _ in range(20):
            with Frames(opened()) as conn:
                conn.send(HEADS[name])
                stream = conn.until_done(1)
                assert stream.status == 431 or stream.reset is not None or conn.goaway is not None
    assert {seen.target for seen in backend.seen()} == {b"/other"}


def test_many_streams_with_shut_windows_are_given_up(
    tidegate: TidegateTls, opened: Callable[[], socket.socket]
) -> None:
    """CVE-2019-9517 and its like: a hundred pages asked for on each of four connections, and nothing taken of them."""
    with undisturbed(tidegate):
        conns = [Frames(opened(), setting(INITIAL_WINDOW_SIZE, 0)) for _ in range(4)]
        for conn in conns:
            conn.send(b"".join(request(number, head("/page")) for number in streams(100)))
        for conn in conns:
            for number in streams(100):
                stream = conn.until_done(number)
                assert stream.reset is not None and stream.body == b""
            # The connection is a good one still, for who takes what it asks for.
            conn.send(request(999, head("/g")) + window(999, 100))
            assert conn.until_done(999).body == b"fine"
            conn.conn.close()
