"""What is compared. A row is one small function that puts one load on one server and returns numbers; its lines say
which of them stand in the table, and what is wanted of them.

A new row: a function under `@row`, with the servers it is for. Rounds, order, medians and the table are not its
business.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loads import Numbers, churn, fanout, handshakes, hold, proxy
from servers import FILES, Server

BIG = 100 * 1024
# Requests a second below what any of the servers can do on a slow day, for their times when they are not full.
SMALL_RATE, BIG_RATE = 10_000, 4_000


@dataclass(frozen=True)
class Scale:
    """How much of everything; a smoke run has a twentieth of the streams and a second of time."""

    quick: bool = False

    def streams(self, count: int) -> int:
        return max(count // 20, 200) if self.quick else count

    def seconds(self, seconds: float) -> float:
        return 1.0 if self.quick else seconds


@dataclass(frozen=True)
class Wanted:
    """A bound on our number: by itself, or as a multiple of another server's."""

    limit: float
    of: str = ""
    least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.limit:,g}{f' x {self.of}' if self.of else ''}"

    def met(self, values: dict[str, float], ours: float) -> bool | None:
        if self.of and self.of not in values:
            return None
        bound = self.limit * (values[self.of] if self.of else 1)
        return ours >= bound if self.least else ours <= bound


def at_least(limit: float, of: str = "") -> Wanted:
    return Wanted(limit, of, least=True)


def at_most(limit: float, of: str = "") -> Wanted:
    return Wanted(limit, of)


@dataclass(frozen=True)
class Line:
    """A line of the table: the name of a number, what it is, what is wanted."""

    number: str
    what: str
    wanted: tuple[Wanted, ...] = ()


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    servers: tuple[str, ...]
    lines: tuple[Line, ...]
    measure: Callable[[Server, Scale], Numbers]
    ours: str


ROWS: list[Row] = []


def row(name: str, title: str, servers: tuple[str, ...], *lines: Line, ours: str = "") -> Callable:
    def register(measure: Callable[[Server, Scale], Numbers]) -> Callable:
        ROWS.append(Row(name, title, servers, lines, measure, ours or servers[0]))
        return measure

    return register


HELD = ("tidegate", "floor", "nchan", "pushpin")
THOUSAND = Line("bytes", "bytes a stream", (at_most(1000),))


@row("memory-own", "idle HTTP/1.1 streams, 10,000 held, a channel for each", HELD, THOUSAND)
def memory_own(server: Server, scale: Scale) -> Numbers:
    return hold(server, scale.streams(10_000), 0)


@row("memory-one", "idle HTTP/1.1 streams, 10,000 held, one channel", HELD, THOUSAND)
def memory_one(server: Server, scale: Scale) -> Numbers:
    return hold(server, scale.streams(10_000), 1)


@row("memory-own-18000", "idle HTTP/1.1 streams, 18,000 held, a channel for each", HELD[:3], THOUSAND)
def memory_own_18000(server: Server, scale: Scale) -> Numbers:
    return hold(server, scale.streams(18_000), 0)


@row("memory-one-18000", "idle HTTP/1.1 streams, 18,000 held, one channel", HELD[:3], THOUSAND)
def memory_one_18000(server: Server, scale: Scale) -> Numbers:
    return hold(server, scale.streams(18_000), 1)


@row(
    "memory-grip",
    "idle streams that the origin told to hold, 10,000, a channel for each",
    ("tidegate, GRIP", "tidegate, django-eventstream", "tidegate, ask", "pushpin"),
    Line("bytes", "bytes a stream", (at_most(1.25, of="tidegate, ask"),)),
)
def memory_grip(server: Server, scale: Scale) -> Numbers:
    return hold(server, scale.streams(10_000), 0)


@row(
    "memory-tls",
    "idle streams over TLS, 10,000 held",
    ("tidegate, TLS", "nchan, TLS"),
    Line("bytes", "bytes a stream", (at_most(12_000),)),
)
def memory_tls(server: Server, scale: Scale) -> Numbers:
    return hold(server, scale.streams(10_000), 0)


@row(
    "memory-http2",
    "idle HTTP/2 streams, 10,000 held, 100 a connection",
    ("tidegate", "nchan, HTTP/2"),
    Line("bytes", "bytes a stream", (at_most(3_000),)),
)
def memory_http2(server: Server, scale: Scale) -> Numbers:
    return hold(server, scale.streams(10_000), 0, "--http2", 100)


@row(
    "connects",
    "streams opened and closed, public route",
    HELD,
    Line("connects", "connects/s", (at_least(1, "nchan"), at_least(8_000))),
)
def connects(server: Server, scale: Scale) -> Numbers:
    # Pushpin opens a thousand a second.
    return churn(server, server.stream_url, scale.streams(3_000 if server.name == "pushpin" else 30_000))


@row(
    "connects-ask",
    "streams opened and closed, Django is asked",
    ("tidegate",),
    Line("connects", "connects/s", (at_least(8_000),)),
)
def connects_ask(server: Server, scale: Scale) -> Numbers:
    return churn(server, f"{server.public}/ask/c{{i}}/", scale.streams(20_000))


FANOUT = ("tidegate", "floor", "coalesce", "nchan", "pushpin")


@row(
    "fanout",
    "1 channel x 10,000 listeners, 8 publishes in flight",
    FANOUT,
    Line("deliveries", "deliveries/s", (at_least(0.6, "coalesce"), at_least(5, "floor"))),
    Line("cpu_per_million", "CPU s per million deliveries"),
)
def fanout_burst(server: Server, scale: Scale) -> Numbers:
    return fanout(server, scale.streams(10_000), 1, 8, scale.seconds(5))


@row(
    "rate",
    "1 channel x 10,000 listeners, 5 publishes/s",
    FANOUT,
    Line("cpu_per_million", "CPU s per million deliveries", (at_most(1.10, "floor"),)),
    Line("last_p99", "p99 ms to the last byte", (at_most(1.15, "floor"),)),
    Line("last_p50", "p50 ms to the last byte"),
    Line("delivery_p99", "p99 ms of a delivery"),
)
def fanout_rate(server: Server, scale: Scale) -> Numbers:
    return fanout(server, scale.streams(10_000), 1, 4, scale.seconds(10), "--rate", 5)


@row(
    "fanout-grip",
    "the same on streams that the origin told to hold, items at the control endpoint",
    ("tidegate, GRIP", "tidegate", "pushpin"),
    Line("deliveries", "deliveries/s", (at_least(0.8, "tidegate"),)),
    Line("cpu_per_million", "CPU s per million deliveries", (at_most(1.2, "tidegate"),)),
)
def fanout_grip(server: Server, scale: Scale) -> Numbers:
    return fanout(server, scale.streams(10_000), 1, 8, scale.seconds(5))


@row(
    "channels",
    "10,000 channels x 1 listener, 16 publishes in flight",
    FANOUT,
    Line("publishes", "publishes/s", (at_least(0.85, "floor"),)),
    Line("cpu_per_publish_us", "CPU us per publish"),
)
def channels(server: Server, scale: Scale) -> Numbers:
    return fanout(server, scale.streams(10_000), 0, 16, scale.seconds(5))


@row(
    "single",
    "10,000 channels x 1 listener, one publish at a time",
    FANOUT,
    Line("delivery_p99", "p99 ms", (at_most(1.5, "floor"),)),
    Line("delivery_p50", "p50 ms"),
)
def single(server: Server, scale: Scale) -> Numbers:
    return fanout(server, scale.streams(10_000), 0, 1, scale.seconds(5), "--in-turn")


PROXIES = ("tidegate", "nginx", "haproxy")


def page_lines(rate: int) -> tuple[Line, ...]:
    return (
        Line("requests", "requests/s", (at_least(1, "nginx"),)),
        Line("cpu_us", "CPU us per request", (at_most(1, "nginx"),)),
        Line("p99", "p99 ms"),
        Line("rate_p99", f"p99 ms at {rate:,} requests/s"),
        Line("rate_p50", f"p50 ms at {rate:,} requests/s"),
    )


@row("proxy-small", "64-byte answers, 64 connections", PROXIES, *page_lines(SMALL_RATE))
def proxy_small(server: Server, scale: Scale) -> Numbers:
    return proxy(server, "/small", 64, scale.seconds(5), SMALL_RATE)


@row("proxy-big", "100 KiB answers, 64 connections", PROXIES, *page_lines(BIG_RATE))
def proxy_big(server: Server, scale: Scale) -> Numbers:
    return proxy(server, "/big", BIG, scale.seconds(5), BIG_RATE)


# Haproxy has no files.
@row("static-small", "a file of 1 KiB, 64 connections", PROXIES[:2], *page_lines(SMALL_RATE))
def static_small(server: Server, scale: Scale) -> Numbers:
    return proxy(server, "/files/1k.txt", FILES["1k.txt"], scale.seconds(5), SMALL_RATE)


@row("static-big", "a file of 100 KiB, 64 connections", PROXIES[:2], *page_lines(BIG_RATE))
def static_big(server: Server, scale: Scale) -> Numbers:
    return proxy(server, "/files/100k.txt", FILES["100k.txt"], scale.seconds(5), BIG_RATE)


TLS = ("tidegate, TLS", "nginx, TLS", "haproxy, TLS")


@row(
    "handshakes",
    "new connections with a full TLS 1.3 handshake (ECDSA P-256) and one 64-byte answer, 64 at once",
    TLS,
    Line("connects", "connections/s", (at_least(1, "nginx, TLS"),)),
    Line("cpu_us", "CPU us per connection", (at_most(1, "nginx, TLS"),)),
)
def full_handshakes(server: Server, scale: Scale) -> Numbers:
    return handshakes(server, scale.seconds(5))


@row(
    "handshakes-resumed",
    "the same, resumed",
    TLS,
    Line("connects", "connections/s", (at_least(1, "nginx, TLS"),)),
    Line("cpu_us", "CPU us per connection", (at_most(1, "nginx, TLS"),)),
)
def resumed_handshakes(server: Server, scale: Scale) -> Numbers:
    return handshakes(server, scale.seconds(5), "--resumed")


ONE_AND_TWO = ("tidegate", "tidegate, 2 workers")


@row(
    "core-fanout",
    "a second worker: 1 channel x 10,000 listeners, 8 in flight",
    ONE_AND_TWO,
    Line("deliveries", "deliveries/s", (at_least(1.8, "tidegate"),)),
    Line("deliveries_per_cpu", "deliveries per CPU second", (at_least(0.9, "tidegate"),)),
    ours="tidegate, 2 workers",
)
def core_fanout(server: Server, scale: Scale) -> Numbers:
    return fanout(server, scale.streams(10_000), 1, 8, scale.seconds(5))


@row(
    "core-channels",
    "a second worker: 10,000 channels x 1 listener, 16 in flight",
    ONE_AND_TWO,
    Line("deliveries", "deliveries/s", (at_least(1.8, "tidegate"),)),
    Line("deliveries_per_cpu", "deliveries per CPU second", (at_least(0.9, "tidegate"),)),
    ours="tidegate, 2 workers",
)
def core_channels(server: Server, scale: Scale) -> Numbers:
    return fanout(server, scale.streams(10_000), 0, 16, scale.seconds(5))


@row(
    "core-proxy",
    "a second worker: 64-byte answers, 64 connections",
    ONE_AND_TWO,
    Line("requests", "requests/s", (at_least(1.8, "tidegate"),)),
    Line("requests_per_cpu", "requests per CPU second", (at_least(0.9, "tidegate"),)),
    ours="tidegate, 2 workers",
)
def core_proxy(server: Server, scale: Scale) -> Numbers:
    return proxy(server, "/small", 64, scale.seconds(5))


@row(
    "growth-listeners",
    "CPU per delivery, 18,000 listeners to 1,000 (50,000 deliveries/s each)",
    FANOUT[:4],
    Line("growth", "ratio", (at_most(1.15),)),
)
def growth_listeners(server: Server, scale: Scale) -> Numbers:
    few, many = scale.streams(1_000), scale.streams(18_000)
    costs = []
    for listeners in (few, many):
        rate = 50_000 / listeners
        costs.append(fanout(server, listeners, 1, 4, scale.seconds(10), "--rate", rate)["cpu_per_million"])
    return {"few": costs[0], "many": costs[1], "growth": costs[1] / max(costs[0], 0.01)}


@row(
    "growth-channels",
    "CPU per publish, 100,000 channels to 10 (nobody listens)",
    FANOUT[:4],
    Line("growth", "ratio", (at_most(1.15),)),
)
def growth_channels(server: Server, scale: Scale) -> Numbers:
    costs = []
    for number in (10, scale.streams(100_000)):
        # Every channel is there before it counts.
        fanout(server, 0, number, 16, 60, "--publishes", number * 2)
        costs.append(fanout(server, 0, number, 16, scale.seconds(10))["cpu_per_publish_us"])
    return {"few": costs[0], "many": costs[1], "growth": costs[1] / max(costs[0], 0.01)}


@row(
    "growth-memory",
    "memory after 100,000 connects and disconnects (to that after the first 2,000)",
    HELD[:3],
    Line("growth", "ratio", (at_most(1.05),)),
    Line("after_mib", "MiB after"),
)
def growth_memory(server: Server, scale: Scale) -> Numbers:
    churn(server, server.stream_url, 2_000)
    time.sleep(2)
    before = server.memory()
    churn(server, server.stream_url, scale.streams(100_000))
    time.sleep(2)
    after = server.memory()
    return {"growth": after / before, "before_mib": before / 2**20, "after_mib": after / 2**20}


@row(
    "start",
    "start-up and size",
    ("tidegate", "nginx", "haproxy"),
    Line("first_answer", "ms to the first answer", (at_most(50),)),
    Line("megabytes", "MB of the program", (at_most(15),)),
)
def start(server: Server, _scale: Scale) -> Numbers:
    numbers = {"first_answer": server.first_answer()}
    if server.name == "tidegate":
        numbers["megabytes"] = server.machine.gateway.stat().st_size / 1e6
    return numbers
