"""A backend that records what reaches it, to the byte, and answers with any bytes.

It reads requests so that it can answer them, in the one way that RFC 9112 allows; what can be read in another way too is
noted as odd, and answered all the same.
"""

import re
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
LINE = re.compile(rb"(%s) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])" % TOKEN)
FIELD = re.compile(rb"(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*" % TOKEN)
HOST = re.compile(rb"[A-Za-z0-9._\-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e]*)?")

FINE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nfine"


@dataclass
class Request:
    """One request, and what is odd about it."""

    line: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    raw: bytes = b""
    odd: list[str] = field(default_factory=list)

    @property
    def target(self) -> bytes:
        return (self.line.split(b" ") + [b""])[1]

    def all(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.fields if known.lower() == name.lower()]


def read_request(data: bytes) -> Request | None:
    """The first request in these bytes; None while it is not whole."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    request = Request()
    lines = head.split(b"\r\n")
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", b"".join(lines)):
        request.odd.append("a control character in the head")
    request.line = lines[0]
    line = LINE.fullmatch(lines[0])
    if not line:
        request.odd.append(f"the request line {lines[0]!r}")
    for each in lines[1:]:
        found = FIELD.fullmatch(each)
        if found:
            request.fields.append((found[1], found[2]))
        else:
            request.odd.append(f"the line {each!r}")
    hosts = request.all(b"host")
    if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
        request.odd.append(f"the hosts {hosts}")
    length = read_body(request, rest, is_1_0=bool(line and line[3] == b"0"))
    if length is None:
        return None
    request.raw = data[: len(head) + 4 + length]
    return request


def read_body(request: Request, rest: bytes, is_1_0: bool) -> int | None:
    """Take the body; how many bytes it is of `rest`, or None while it is not whole."""
    lengths, codings = request.all(b"content-length"), request.all(b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        request.odd.append(f"framed by {lengths} and {codings}")
    if codings:
        if codings[0].lower() != b"chunked" or is_1_0:
            request.odd.append(f"the coding {codings}")
        return read_chunks(request, rest)
    if not lengths:
        return 0
    if not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        request.odd.append(f"the length {lengths[0]!r}")
        return 0
    length = int(lengths[0])
    if len(rest) < length:
        return None
    request.body = rest[:length]
    return length


def read_chunks(request: Request, rest: bytes) -> int | None:
    at = 0
    while True:
        end = rest.find(b"\r\n", at)
        if end < 0:
            return None
        size = SIZE.fullmatch(rest[at:end])
        if not size:
            request.odd.append(f"the chunk size {rest[at:end]!r}")
            return len(rest)
        at, length = end + 2, int(size[1], 16)
        if length == 0:
            break
        if len(rest) < at + length + 2:
            return None
        request.body += rest[at : at + length]
        if rest[at + length : at + length + 2] != b"\r\n":
            request.odd.append("a chunk that is longer than it says")
        at += length + 2
    while (end := rest.find(b"\r\n", at)) > at:
        if not FIELD.fullmatch(rest[at:end]):
            request.odd.append(f"the trailer {rest[at:end]!r}")
        at = end + 2
    return None if end < 0 else at + 2


# Makes an answer of a request: its bytes, and whether the connection is closed after them. None: no answer at all.
Script = Callable[[Request], tuple[bytes, bool] | None]


class Conn:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.bytes = b""
        self.pending = b""
        self.to_send = b""
        self.closing = False


class Backend(threading.Thread):
    """Serves until stopped. All that has arrived before a request is answered was read before it."""

    def __init__(self, script: Script = lambda _: (FINE, False)) -> None:
        super().__init__(daemon=True)
        self.script = script
        self.lock = threading.Lock()
        self.requests: list[Request] = []
        self.conns: list[Conn] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.server = f"127.0.0.1:{self.port}"
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.stopped = False
        self.start()

    def run(self) -> None:
        while not self.stopped:
            ready = self.selector.select(0.2)
            with self.lock:
                arrived = [key.data for key, events in ready if key.data and events & selectors.EVENT_READ]
                for conn in [conn for conn in arrived if self.receive(conn)]:
                    self.answer(conn)
                for key, events in ready:
                    if key.data is None:
                        self.accept()
                    elif events & selectors.EVENT_WRITE and key.data.sock.fileno() >= 0:
                        self.flush(key.data)

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        self.conns.append(Conn(sock))
        self.selector.register(sock, selectors.EVENT_READ, self.conns[-1])

    def receive(self, conn: Conn) -> bool:
        try:
            data = conn.sock.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self.close(conn)
            return False
        conn.bytes += data
        conn.pending += data
        return True

    def answer(self, conn: Conn) -> None:
        while request := read_request(conn.pending):
            conn.pending = conn.pending[len(request.raw) :]
            self.requests.append(request)
            answer = self.script(request)
            if answer and not conn.closing:
                conn.to_send += answer[0]
                conn.closing = answer[1]
        self.flush(conn)

    def flush(self, conn: Conn) -> None:
        try:
            while conn.to_send:
                sent = conn.sock.send(conn.to_send[: 1 << 16])
                conn.to_send = conn.to_send[sent:]
        except BlockingIOError:
            self.selector.modify(conn.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, conn)
            return
        except OSError:
            self.close(conn)
            return
        if conn.closing:
            self.close(conn)
        else:
            self.selector.modify(conn.sock, selectors.EVENT_READ, conn)

    def close(self, conn: Conn) -> None:
        if conn.sock.fileno() >= 0:
            self.selector.unregister(conn.sock)
            conn.sock.close()

    # How tests look in.

    def reset(self) -> None:
        """Forget what came so far; open connections stay."""
        with self.lock:
            self.requests.clear()
            self.conns = [conn for conn in self.conns if conn.sock.fileno() >= 0]
            for conn in self.conns:
                conn.bytes = b""

    def seen(self) -> list[Request]:
        with self.lock:
            return list(self.requests)

    def bytes(self) -> bytes:
        """Every byte since the last reset, by connections."""
        with self.lock:
            return b"".join(conn.bytes for conn in self.conns)

    def open_connections(self) -> int:
        with self.lock:
            return sum(conn.sock.fileno() >= 0 for conn in self.conns)

    def stop(self) -> None:
        self.stopped = True
        self.join()
        for conn in self.conns:
            conn.sock.close()
        self.listener.close()
        self.selector.close()
