"""The load the checker looks at: listeners that come, go and stall, and publishers of all three kinds.

All listeners are driven by one thread, which also notes their traces. What each of them does is drawn from a seed;
when the network lets it happen is not. Delays here make the load; nothing waits by them.
"""

import heapq
import itertools
import json
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from checker import Ended, Opened, Placed, Published, Received, Trace, seq_of
from harness import Gateway
from streams import Parser, Stream
from wire import Answer, Reader, connect, head_bytes

CHANNELS = [f"c-{number:02}" for number in range(50)]
# Some channels are busy and most are not, so histories of all lengths are met.
WEIGHTS = [(1 + number) ** -0.5 for number in range(len(CHANNELS))]
LITTLE = 4096  # bytes of a stalling client's socket


class Noting(Parser):
    """Writes a trace while it parses."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def dispatch(self) -> None:
        before = self.last_id
        super().dispatch()
        if self.events:
            self.trace.entries.append(Received(self.events.pop(), time.monotonic()))
        elif self.last_id != before:
            self.trace.entries.append(Placed(self.last_id))


@dataclass(eq=False)
class Listener:
    trace: Trace
    random: random.Random
    channels: frozenset[str]
    stream: Stream | None = None
    last_id: str = ""
    reading: bool = False
    calm: bool = False  # it never stalls and never leaves by itself
    turn: int = 0  # counts what was planned, so that an outdated plan is known

    @property
    def gone(self) -> bool:
        return self.stream is None


class Crowd:
    """Listeners who behave badly until `settle`, and then come back and read."""

    def __init__(self, gateway: Gateway, ledger: "Ledger", seed: int, count: int) -> None:
        self.gateway, self.ledger = gateway, ledger
        self.counts = dict.fromkeys(("reconnects", "stalls", "refused", "cut off", "regranted"), 0)
        self.settled = threading.Event()
        self._stopped = False
        self._selector = selectors.DefaultSelector()
        self._plans: list[tuple[float, int, Listener, int]] = []
        self._plan_numbers = itertools.count()
        # On all channels, so each kick of a channel ends it too; it comes back at once, as everybody does.
        self.observer = Listener(Trace("the observer"), random.Random(0), frozenset(CHANNELS), calm=True)
        self.listeners = [self.observer]
        self.plan(self.observer, 0)
        for number in range(count):
            dice = random.Random(f"{seed}/listener/{number}")
            self.listeners.append(Listener(Trace(f"listener {number}"), dice, some_channels(dice)))
            self.plan(self.listeners[-1], dice.uniform(0, 1))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()
        for listener in self.listeners:
            self.leave(listener)

    def stream_ids(self) -> list[str]:
        streams = [listener.stream for listener in self.listeners]
        return [stream.answer.header("SSE-Stream") or "" for stream in streams if stream and stream.answer]

    def plan(self, listener: Listener, delay: float) -> None:
        listener.turn += 1
        entry = (time.monotonic() + delay, next(self._plan_numbers), listener, listener.turn)
        heapq.heappush(self._plans, entry)

    def _run(self) -> None:
        was_settled = False
        while not self._stopped:
            for key, _ in self._selector.select(0.01):
                self.read(key.data)
            if self.settled.is_set() and not was_settled:
                was_settled = True
                for listener in self.listeners:
                    self.plan(listener, 0)
            while self._plans and self._plans[0][0] <= time.monotonic():
                _, _, listener, turn = heapq.heappop(self._plans)
                if turn == listener.turn:
                    self.act(listener)

    def act(self, listener: Listener) -> None:
        """What this listener does next: it comes, goes on reading, stalls, or leaves."""
        dice = listener.random
        if listener.gone:
            self.come(listener)
            delay = dice.expovariate(1 / 6)
        elif not listener.reading:
            self.read_on(listener)
            delay = dice.expovariate(1 / 6)
        elif self.settled.is_set() or listener.calm:
            return
        elif dice.random() < 0.25:
            self.counts["stalls"] += 1
            self._selector.unregister(listener.stream.conn)  # type: ignore[union-attr]
            listener.reading = False
            delay = dice.uniform(0.3, 3)
        else:
            self.leave(listener)
            listener.trace.entries.append(Ended("left"))
            delay = self.absence(dice)
        if not self.settled.is_set() or listener.gone:
            self.plan(listener, delay)

    @staticmethod
    def absence(dice: random.Random) -> float:
        """Mostly a page reload; sometimes longer than history lasts."""
        return dice.uniform(0, 0.3) if dice.random() < 0.8 else dice.uniform(2, 4)

    def come(self, listener: Listener) -> None:
        if listener.trace.entries:
            self.counts["reconnects"] += 1
        if not listener.calm and listener.random.random() < 0.15:
            self.counts["regranted"] += 1
            listener.channels = some_channels(listener.random)
        query = quote(json.dumps(sorted(listener.channels)))
        target = "/observer/" if listener.calm else f"/ask/crowd/?channels={query}"
        fields = [("Accept", "text/event-stream")]
        if listener.last_id:
            fields.append(("Last-Event-ID", listener.last_id))
        listener.trace.entries.append(Opened(listener.last_id, listener.channels, self.ledger.newest))
        conn = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if not listener.calm and listener.random.random() < 0.25:
            # Before the connect: the window is agreed on there.
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
        conn.connect(self.gateway.http)
        conn.sendall(head_bytes("GET", target, "site.test", fields))
        conn.setblocking(False)
        listener.stream = Stream(conn)
        listener.stream.parser = Noting(listener.trace)
        # As in a browser, the last id outlives the connection.
        listener.stream.parser.last_id = listener.stream.parser._id = listener.last_id
        self.read_on(listener)

    def read_on(self, listener: Listener) -> None:
        listener.reading = True
        self._selector.register(listener.stream.conn, selectors.EVENT_READ, listener)  # type: ignore[union-attr]

    def leave(self, listener: Listener) -> None:
        if listener.stream is None:
            return
        if listener.reading:
            self._selector.unregister(listener.stream.conn)
        listener.reading = False
        listener.stream.conn.close()
        listener.last_id = listener.stream.last_id
        listener.stream = None

    def read(self, listener: Listener) -> None:
        stream = listener.stream
        if stream is None:
            return
        try:
            data = stream.conn.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            stream.feed(data)
            listener.last_id = stream.last_id
        if data and not stream.complete:
            return
        if stream.answer is None:
            self.counts["cut off"] += 1
        elif stream.status != 200:
            self.counts["refused"] += 1
        self.leave(listener)
        listener.trace.entries.append(Ended("ended by the gateway" if stream.status == 200 else f"{stream.status}"))
        self.plan(listener, 0 if listener.calm else 0.02)

    def behind(self, place: str) -> list[Listener]:
        """Those who are not yet at this place of the log, or beyond it."""
        epoch, _, number = place.rpartition("-")
        at = [(each, seq_of(each.last_id, epoch)) for each in self.listeners]
        return [each for each, seq in at if seq is None or seq < int(number) or each.gone]


def some_channels(dice: random.Random) -> frozenset[str]:
    return frozenset(dice.sample(CHANNELS, dice.randint(1, 12)))


class Ledger:
    """What was published, by whom and when; the numbers are given here."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.newest = 0  # the highest number of the log that a publisher was told
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._of_channel = dict.fromkeys(CHANNELS, 0)

    def make(self, publisher: str, dice: random.Random, channels: tuple[str, ...] = ()) -> Published:
        many = dice.random() < 0.1
        drawn = dice.choices(CHANNELS, WEIGHTS, k=dice.randint(2, 5) if many else 1)
        channels = channels or tuple(dict.fromkeys(drawn))
        with self._lock:
            number = len(self.published)
            for channel in channels:
                self._of_channel[channel] += 1
            numbers = [self._of_channel[channel] for channel in channels]
            document = {"c": list(channels), "n": numbers, "g": number, "pad": "x" * dice.choice([0] * 9 + [3000])}
            event = Published(
                number,
                publisher,
                channels,
                dice.choice(["message", "tick", "note"]),
                json.dumps(document),
                own_id=f"own {number}" if dice.random() < 0.1 else None,
                sent_at=time.monotonic(),
            )
            self.published.append(event)
        return event

    def answered(self, events: list[Published], last_id: str) -> None:
        now = time.monotonic()
        for event in events:
            event.answered_at = now
        events[-1].answered_id = last_id
        if events[-1].own_id is None:
            self.newest = max(self.newest, int(last_id.rpartition("-")[2]))

    def refused(self, events: list[Published], what: str) -> None:
        """Nothing of these may be seen."""
        with self._lock:
            self.problems.append(what)
        for event in events:
            event.channels = ()

    def taken(self) -> list[Published]:
        return [event for event in self.published if event.channels]


def document(event: Published) -> dict[str, object]:
    fields: dict[str, object] = {"data": event.data, "event": event.event}
    if len(event.channels) == 1:
        fields["channel"] = event.channels[0]
    else:
        fields["channels"] = list(event.channels)
    return fields | ({"id": event.own_id} if event.own_id else {})


@dataclass
class Publisher:
    """One publisher in a thread of its own, over one connection for as long as that lasts."""

    kind: str
    gateway: Gateway
    ledger: Ledger
    seed: int
    pause: float
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}/{self.kind}")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        send = {"single": self.single, "batch": self.batch, "ndjson": self.ndjson}[self.kind.split()[0]]
        with connect(self.gateway.internal_address) as conn:
            self.conn, self.reader = conn, Reader(conn)
            while not self.stopped.is_set():
                try:
                    send()
                except (OSError, AssertionError) as error:
                    mine = [event for event in self.ledger.taken() if event.publisher == self.kind]
                    lost = [event for event in mine if event.answered_at == float("inf")]
                    self.ledger.refused(lost, f"{self.kind}: {error!r}")
                    return

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()

    def post(self, body: bytes) -> Answer:
        fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        self.conn.sendall(head_bytes("POST", "/v1/events", "localhost", fields) + body)
        return self.reader.answer()

    def single(self) -> None:
        event = self.ledger.make(self.kind, self.random)
        answer = self.post(json.dumps(document(event)).encode())
        if answer.status == 200:
            self.ledger.answered([event], answer.json()["id"])
        else:
            self.ledger.refused([event], f"{self.kind}: {answer}")
        self.stopped.wait(self.pause)

    def batch(self) -> None:
        events = [self.ledger.make(self.kind, self.random) for _ in range(self.random.randint(2, 20))]
        answer = self.post(json.dumps([document(event) for event in events]).encode())
        self.conclude(events, answer)
        self.stopped.wait(self.pause * len(events))

    def ndjson(self) -> None:
        """One request that lasts a while; its lines are cut into chunks in all ways."""
        fields = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")]
        self.conn.sendall(head_bytes("POST", "/v1/events", "localhost", fields))
        events: list[Published] = []
        try:
            for parts in self.cut(events):
                self.conn.sendall(b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts))
                self.stopped.wait(self.pause * self.random.random() * 2)
            self.conn.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused in the middle; the answer says why
        self.conclude(events, self.reader.answer())

    def cut(self, events: list[Published]) -> Iterator[list[bytes]]:
        left = b""
        for _ in range(self.random.randint(20, 300)):
            events.append(self.ledger.make(self.kind, self.random))
            left += json.dumps(document(events[-1])).encode() + b"\n"
            match self.random.randrange(3):
                case 0:
                    yield [left]
                    left = b""
                case 1:
                    at = self.random.randint(1, len(left) - 1)
                    yield [left[:at], left[at:]]
                    left = b""
                case _:
                    pass  # it goes with the next
            if self.stopped.is_set():
                break
        if left:
            yield [left.removesuffix(b"\n")]  # the last line need not end

    def conclude(self, events: list[Published], answer: Answer) -> None:
        if answer.status == 200 and answer.json()["published"] == len(events):
            self.ledger.answered(events, answer.json()["last_id"])
        else:
            self.ledger.refused(events, f"{self.kind}: {answer}")
            if answer.header("Connection") == "close":
                raise ConnectionError("the gateway closes")

