"""Clients that upload and download slowly, in a process of their own, so that they do not slow whoever measures.

The process keeps each client to its pace until it is told to finish; then the rest goes as fast as it can, and every
body is compared with what it should be.
"""

import hashlib
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from harness import Gateway, Site
from wire import Address, Reader, connect, head_bytes

TICK = 0.05
# So little that a client which does not read is felt by the gateway at once.
RECEIVE_BUFFER = 16 << 10
PIECE = bytes(range(256)) * 256


def content(size: int) -> bytes:
    """What the view `download` answers, and what is uploaded."""
    return (PIECE * (size // len(PIECE) + 1))[:size]


@dataclass(frozen=True)
class Load:
    """So many clients of each kind, bytes of each body, bytes per second of each client."""

    uploads: int = 20
    downloads: int = 20
    size: int = 5_000_000
    rate: int = 20_000


class SlowClients:
    """The process with the clients."""

    def __init__(self, address: Address, load: Load) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, __file__, json.dumps(address), json.dumps(asdict(load))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def line(self) -> Any:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, "the slow clients have failed"
        return json.loads(line)

    def until_all_have_begun(self) -> None:
        assert self.line() == "begun"

    def finish(self) -> dict[str, float]:
        """Let them have the rest at once, and wait until each has everything; how far they were."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        done = self.line()
        assert self.popen.wait(60) == 0
        return done

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


class Client:
    """One slow client. `allowed` is how many bytes of the body it may have sent or read by now."""

    def __init__(self, address: Address, load: Load) -> None:
        self.load, self.done, self.over = load, 0, False
        if isinstance(address, str):
            self.conn = socket.socket(socket.AF_UNIX)
        else:
            self.conn = socket.socket(socket.AF_INET)
        self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.conn.settimeout(60)
        self.conn.connect(address)

    def go_on(self, allowed: int) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError


class Upload(Client):
    def __init__(self, address: Address, load: Load) -> None:
        super().__init__(address, load)
        self.body = memoryview(content(load.size))
        self.conn.sendall(head_bytes("POST", "/upload/", "site.test", {"Content-Length": str(load.size)}))

    def go_on(self, allowed: int) -> None:
        self.conn.sendall(self.body[self.done : allowed])
        self.done = max(self.done, allowed)
        if self.done == self.load.size and not self.over:
            self.finish()

    def finish(self) -> None:
        self.conn.sendall(self.body[self.done :])
        answer = Reader(self.conn).answer()
        assert answer.status == 200, answer
        arrived = answer.json()
        assert arrived["sha256"] == hashlib.sha256(self.body).hexdigest(), arrived
        self.done, self.over = self.load.size, True


class Download(Client):
    def __init__(self, address: Address, load: Load) -> None:
        super().__init__(address, load)
        self.conn.sendall(head_bytes("GET", f"/download/{load.size}/?length=1", "site.test"))
        reader = Reader(self.conn)
        answer = reader.head()
        assert answer.status == 200, answer
        self.digest = hashlib.sha256(reader.buffer)
        self.done = len(reader.buffer)

    def go_on(self, allowed: int) -> None:
        while self.done < allowed:
            data = self.conn.recv(min(allowed - self.done, 1 << 16))
            assert data, f"cut off after {self.done} bytes"
            self.digest.update(data)
            self.done += len(data)
        self.over = self.done == self.load.size

    def finish(self) -> None:
        self.go_on(self.load.size)
        assert self.digest.digest() == hashlib.sha256(content(self.load.size)).digest()


def pace(clients: list[Client], load: Load) -> None:
    """Keep all to their pace until standard input ends."""
    start = time.monotonic()
    with selectors.DefaultSelector() as told:
        told.register(sys.stdin, selectors.EVENT_READ)
        while not told.select(TICK):
            for number, client in enumerate(clients):
                # Not all at the same moment.
                seconds = time.monotonic() - start - number * TICK
                if not client.over and seconds > 0:
                    client.go_on(min(int(seconds * load.rate), load.size))


def main() -> None:
    address, load = json.loads(sys.argv[1]), Load(**json.loads(sys.argv[2]))
    address = address if isinstance(address, str) else (address[0], address[1])
    clients = [Upload(address, load) for _ in range(load.uploads)]
    clients += [Download(address, load) for _ in range(load.downloads)]
    print(json.dumps("begun"), flush=True)
    pace(clients, load)
    far = [client.done / load.size for client in clients]
    for client in clients:
        if not client.over or isinstance(client, Download):
            client.finish()
    print(json.dumps({"least": min(far), "most": max(far)}), flush=True)


@dataclass
class Pages:
    """Milliseconds of an ordinary page."""

    times: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.times, n=100)[98]

    def row(self, what: str) -> str:
        return f"{what:<34}{self.median:>10.3f}{self.p99:>10.3f}{max(self.times):>10.3f}   {len(self.times)} pages"


def load_pages(gateway: Gateway, seconds: float, into: Pages) -> None:
    """One visitor who loads a page again and again on one connection."""
    page, end = head_bytes("GET", "/", "site.test"), time.monotonic() + seconds
    with connect(gateway.http) as conn:
        reader = Reader(conn)
        while (start := time.perf_counter()) and time.monotonic() < end:
            conn.sendall(page)
            answer = reader.answer()
            into.times.append((time.perf_counter() - start) * 1000)
            assert answer.status == 200 and answer.complete


def compare(gateway: Gateway, load: Load, rounds: int, seconds: float) -> tuple[Pages, Pages]:
    """Pages with no slow client and with all of them, in turns: whatever else the machine does falls on both."""
    quiet, busy = Pages([]), Pages([])
    load_pages(gateway, 1, Pages([]))  # for warmth
    for _ in range(rounds):
        load_pages(gateway, seconds, quiet)
        clients = SlowClients(gateway.http, load)
        try:
            clients.until_all_have_begun()
            load_pages(gateway, seconds, busy)
            far = clients.finish()
        finally:
            clients.kill()
        print(f"the slow ones had {far['least']:.0%} to {far['most']:.0%} of their bodies when they were let go")
    print(f"{'milliseconds':<34}{'median':>10}{'p99':>10}{'worst':>10}")
    print(quiet.row("a page, no slow client"))
    print(busy.row(f"a page, {load.uploads} uploads, {load.downloads} downloads"))
    print(f"{'ratio':<34}{busy.median / quiet.median:>10.3f}{busy.p99 / quiet.p99:>10.3f}")
    return quiet, busy


def worker_times(site: Site, what: str) -> list[float]:
    """Milliseconds that the worker was busy with each request whose method and path begin so."""
    lines = [line for line in site.process.log.read_text().splitlines() if line.startswith(f"access {what}")]
    return [int(line.split()[-1]) / 1000 for line in lines]


if __name__ == "__main__":
    main()
