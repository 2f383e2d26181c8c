"""One listener that never reads: it costs no memory beyond the history's, and nobody waits for it."""

import json
import selectors
import socket
import statistics
import threading
import time

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site, room, until
from streams import Parser, Stream
from wire import Reader, connect, head_bytes

EVENTS, SIZE, READERS = 10_000, 1024, 100
# The channel gets its events in rounds: most of them in batches, the last ones one by one and timed.
ROUND, TIMED, BATCH = 500, 10, 70
HISTORY_BYTES = 4 << 20
# What it takes beside its history, with or without a stalled listener: code that is touched for the first time, the
# buffers of 200 connections, fragmentation.
ALLOWANCE_BYTES = 10 << 20
# What the stalled listener may add to that; a queue for it would need 10 MiB.
STALLED_BYTES = 5 << 20


class Counting(Parser):
    """Keeps no events: it notes when the last one came, and that none is missing or doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.last_at = 0.0

    def line(self, line: str) -> None:
        if line.startswith("data: "):
            number = int(line[6:16])
            assert number == self.count, f"event {number}, and {self.count} was due"
            self.last_at = time.monotonic()
            self.count += 1
        elif line.startswith("id: "):
            self.last_id = line


class Readers(threading.Thread):
    """Reads its streams as they come."""

    def __init__(self, gateway: Gateway, channel: str) -> None:
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.streams = []
        for _ in range(READERS):
            stream = Stream(subscribe(gateway, channel))
            stream.parser = Counting()
            stream.conn.setblocking(False)
            self.streams.append(stream)
            self.selector.register(stream.conn, selectors.EVENT_READ, stream)
        self.failure: BaseException | None = None
        self.stopped = False
        self.start()

    @property
    def parsers(self) -> list[Counting]:
        return [stream.parser for stream in self.streams]  # type: ignore[misc]

    def run(self) -> None:
        try:
            while not self.stopped:
                for key, _ in self.selector.select(0.05):
                    data = key.data.conn.recv(1 << 16)
                    assert data, "a reader was ended"
                    key.data.feed(data)
        except BaseException as failure:
            self.failure = failure

    def until_count(self, count: int) -> None:
        def all_have() -> bool:
            if self.failure:
                raise self.failure
            return all(parser.count >= count for parser in self.parsers)

        until(all_have, f"{count} events at each reader", timeout=60)

    def stop(self) -> None:
        self.stopped = True
        self.join()
        for stream in self.streams:
            stream.conn.close()


def subscribe(gateway: Gateway, channel: str, received: int | None = None) -> socket.socket:
    conn = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if received is not None:
        # Before the connect: the window is agreed on there.
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
    conn.connect(gateway.http)
    conn.sendall(head_bytes("GET", room(channel), "site.test", {"Accept": "text/event-stream"}))
    return conn


class Channel:
    """A channel, its readers, and one connection that publishes to it."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self.name, self.sent = name, 0
        self.readers = Readers(gateway, name)
        self.conn = connect(gateway.internal_address)
        until(lambda: all(parser.last_id for parser in self.readers.parsers), "all readers to have a stream")

    def publish(self, count: int) -> float:
        """The time just before the events were sent; the answer has come when this returns."""
        numbers = range(self.sent, self.sent + count)
        batch = [{"channel": f"room-{self.name}", "data": f"{n:010}".ljust(SIZE, "x")} for n in numbers]
        body = json.dumps(batch).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        before = time.monotonic()
        self.conn.sendall(head_bytes("POST", "/v1/events", "localhost", fields) + body)
        answer = Reader(self.conn).answer()
        assert answer.status == 200, answer
        self.sent += count
        return before

    def fill(self, count: int) -> None:
        """Publish in batches, and wait until the readers have them."""
        end = self.sent + count
        while self.sent < end:
            self.publish(min(BATCH, end - self.sent))
        self.readers.until_count(end)

    def timed(self) -> list[float]:
        """From the publish to each reader, for one event while nothing else is under way."""
        sent_at = self.publish(1)
        self.readers.until_count(self.sent)
        return [parser.last_at - sent_at for parser in self.readers.parsers]

    def stop(self) -> None:
        self.readers.stop()
        self.conn.close()


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@pytest.mark.parametrize("slow_client", ["close", "skip"])
def test_a_listener_that_never_reads_costs_no_memory_and_nobody_waits_for_it(
    site: Site, new_gateway: GatewayMaker, capsys: pytest.CaptureFixture[str], slow_client: str
) -> None:
    gateway = new_gateway(
        site,
        sse=f"""history = {{ events = 100_000, age = "10m" }}
history_memory = "{HISTORY_BYTES >> 20}MiB"
slow_client = "{slow_client}"
per_ip = 10000""",
    )
    with_stalled, without = Channel(gateway, "stalled"), Channel(gateway, "free")
    empty = gateway.resident_bytes()
    # Twice what history holds, so that all that comes now takes the place of something else.
    while (without.sent + with_stalled.sent) * SIZE < 2 * HISTORY_BYTES:
        for channel in (without, with_stalled):
            channel.fill(ROUND)
    start, full = with_stalled.sent, gateway.resident_bytes()
    stalled = subscribe(gateway, "stalled", received=4096)
    until(lambda: gateway.streams_on("room-stalled") == READERS + 1, "the stalled listener's stream")
    ratios, times = [], {"with": [], "without": []}
    highest = full
    while with_stalled.sent < start + EVENTS:
        for channel in (with_stalled, without):
            # The other one needs no more than keeps its readers warm.
            channel.fill((ROUND - TIMED) // (1 if channel is with_stalled else 10))
            highest = max(highest, gateway.resident_bytes())
        these: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(TIMED):
            these["with"] += with_stalled.timed()
            these["without"] += without.timed()
        for name, latencies in these.items():
            times[name].append(p99(latencies))
        ratios.append(times["with"][-1] / times["without"][-1])
        highest = max(highest, gateway.resident_bytes())
    medians = {name: f"{statistics.median(values) * 1000:.1f} ms" for name, values in times.items()}
    with capsys.disabled():
        print(
            f"\nstalled listener, {slow_client}: {EVENTS} events of {SIZE} bytes take {(highest - full) >> 10} KiB "
            f"more than the {(full - empty) >> 10} KiB of a history of {HISTORY_BYTES >> 10} KiB; "
            f"p99 {medians}, ratio {statistics.median(ratios):.2f} (median of {len(ratios)} rounds)"
        )
    with_stalled.stop()
    without.stop()
    stalled.close()
    assert highest - empty <= HISTORY_BYTES + ALLOWANCE_BYTES
    assert highest - full <= STALLED_BYTES
    assert statistics.median(ratios) < 3
