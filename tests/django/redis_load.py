"""Many users, each notified of his own through one channel of Redis: what arrives, how late, what the gateway uses.

    tests/django/.venv/bin/python tests/django/redis_load.py [--listeners N] [--rate N] [--seconds N]

Each message names one recipient, drawn from a seed, and its number; so what each listener is owed is known, and more
or less than that is told. All listeners are read by one thread of this process, which so has its share in the times:
they are those from the `PUBLISH` to the event read.
"""

import argparse
import json
import os
import random
import selectors
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness import Gateway, raise_open_files
from redis_project import Server, listening, rule, until_connected
from streams import Parser, Stream
from wire import connect, head_bytes

CHANNEL = "push-notifications"
ROUTES = """
[[route]]
path = "/users/<int:user>/"
sse = { channels = ["user-{user}"], public = true }
"""


@dataclass
class Result:
    """What became of the messages."""

    published: int
    lost: int
    doubled: int
    strayed: int
    latencies: list[float]
    cpu_seconds: float
    seconds: float

    def quantile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]

    def __str__(self) -> str:
        shares = ("p50", 0.5), ("p99", 0.99), ("max", 1)
        times = ", ".join(f"{name} {1000 * self.quantile(share):.1f}" for name, share in shares)
        return (
            f"{self.published} messages in {self.seconds:.1f} s: {self.lost} lost, {self.doubled} twice, "
            f"{self.strayed} to others; {times} ms; "
            f"gateway {100 * self.cpu_seconds / self.seconds:.1f} % of a CPU"
        )


class Timed(Parser):
    """Notes when each event was read, and of which number it is."""

    def __init__(self, user: int, read: list[tuple[int, int, float]]) -> None:
        super().__init__()
        self.user, self.read = user, read

    def dispatch(self) -> None:
        super().dispatch()
        while self.events:
            event = self.events.pop()
            if event.type == "message":
                self.read.append((self.user, json.loads(event.data)["n"], time.monotonic()))


class Users:
    """A stream for each of them, read by one thread."""

    def __init__(self, gateway: Gateway, count: int) -> None:
        self.read: list[tuple[int, int, float]] = []
        self._selector = selectors.DefaultSelector()
        self._streams: list[Stream] = []
        for user in range(count):
            conn = connect(gateway.http)
            conn.sendall(head_bytes("GET", f"/users/{user}/", "site.test", [("Accept", "text/event-stream")]))
            conn.setblocking(False)
            stream = Stream(conn)
            stream.parser = Timed(user, self.read)
            self._streams.append(stream)
            self._selector.register(conn, selectors.EVENT_READ, stream)
        while not all(stream.is_open for stream in self._streams):
            self.turn(1)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def turn(self, patience: float) -> None:
        for key, _ in self._selector.select(patience):
            data = key.data.conn.recv(1 << 16)
            assert data, f"the stream of user {key.data.parser.user} has ended"
            key.data.feed(data)

    def _run(self) -> None:
        while not self._stopped:
            self.turn(0.1)

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()
        for stream in self._streams:
            stream.conn.close()
        self._selector.close()


def cpu_seconds(gateway: Gateway) -> float:
    """What the gateway has used so far, of all CPUs."""
    assert gateway.process.popen is not None
    fields = Path(f"/proc/{gateway.process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(gateway: Gateway, server: Server, listeners: int, rate: int, seconds: float, seed: int = 1) -> Result:
    users = Users(gateway, listeners)
    dice = random.Random(seed)
    recipients = [dice.randrange(listeners) for _ in range(int(rate * seconds))]
    sent: list[float] = []
    before, began = cpu_seconds(gateway), time.monotonic()
    with server.client() as publisher:
        for number, recipient in enumerate(recipients):
            # An even pace is the load, and no way to wait for anything.
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            sent.append(time.monotonic())
            publisher.publish(CHANNEL, json.dumps({"recipient_id": recipient, "n": number, "text": "x" * 100}))
    deadline = time.monotonic() + 20
    while len(users.read) < len(recipients) and time.monotonic() < deadline:
        time.sleep(0.01)
    took, used = time.monotonic() - began, cpu_seconds(gateway) - before
    users.stop()
    seen = Counter(number for _, number, _ in users.read)
    return Result(
        published=len(recipients),
        lost=len(set(range(len(recipients))) - set(seen)),
        doubled=sum(count > 1 for count in seen.values()),
        strayed=sum(recipients[number] != user for user, number, _ in users.read),
        latencies=sorted(at - sent[number] for _, number, at in users.read),
        cpu_seconds=used,
        seconds=took,
    )


def rules(server: Server) -> str:
    return listening(server.url, rule(CHANNEL, "json", "user-{recipient_id}"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listeners", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=50, help="messages a second")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="tg-", dir="/tmp") as folder:
        server = Server(Path(folder) / "redis")
        # Nobody is asked: the streams are public.
        gateway = Gateway(Path(folder) / "gate", "127.0.0.1:9", routes=ROUTES, more=rules(server))
        try:
            server.start()
            gateway.start()
            until_connected(gateway)
            print(run(gateway, server, options.listeners, options.rate, options.seconds))
        finally:
            gateway.stop()
            server.kill()


if __name__ == "__main__":
    main()
