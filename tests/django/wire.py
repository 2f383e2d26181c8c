"""HTTP/1.1 by hand: bytes out, one answer back. No library may repair what a test sends wrong on purpose."""

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The one generous timeout of all waiting. A test that works never comes near it.
TIMEOUT = 20.0

# ("127.0.0.1", 8080), or the path of a unix socket.
Address = tuple[str, int] | str


def connect(address: Address, timeout: float = TIMEOUT) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    conn = socket.socket(family, socket.SOCK_STREAM)
    conn.settimeout(timeout)
    try:
        conn.connect(address)
    except OSError:
        conn.close()
        raise
    return conn


@dataclass
class Answer:
    """One answer. `complete` is False when the connection ended before the body did, or never framed it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = False
    informational: list[int] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Reader:
    """Reads answers from a connection, strictly: it fails on what a careful client would refuse."""

    def __init__(self, conn: socket.socket) -> None:
        self.conn = conn
        self.buffer = b""

    def more(self) -> bool:
        try:
            data = self.conn.recv(1 << 16)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def until(self, mark: bytes) -> bytes | None:
        """The bytes before `mark`, which is taken away too; None when the connection ends first."""
        while (at := self.buffer.find(mark)) < 0:
            if not self.more():
                return None
        found, self.buffer = self.buffer[:at], self.buffer[at + len(mark) :]
        return found

    def exactly(self, count: int) -> bytes | None:
        parts: list[bytes] = []
        missing = count
        while missing:
            if not self.buffer and not self.more():
                self.buffer = b"".join(parts)
                return None
            part, self.buffer = self.buffer[:missing], self.buffer[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def head(self) -> Answer:
        """Status and headers of the next final answer."""
        informational: list[int] = []
        while True:
            head = self.until(b"\r\n\r\n")
            if head is None:
                raise ConnectionError(f"the connection ended before an answer: {self.buffer!r}")
            answer = parse_head(head)
            if answer.status >= 200 or answer.status == 101:
                answer.informational = informational
                return answer
            informational.append(answer.status)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, body and all."""
        answer = self.head()
        if method == "HEAD" or answer.status in (204, 304):
            answer.complete = True
        elif answer.header("Transfer-Encoding"):
            assert answer.all("Transfer-Encoding") == ["chunked"], answer.headers
            assert not answer.all("Content-Length"), answer.headers
            self.chunks(answer)
        elif lengths := answer.all("Content-Length"):
            assert len(lengths) == 1, answer.headers
            whole = self.exactly(int(lengths[0]))
            answer.complete = whole is not None
            answer.body = self.buffer if whole is None else whole
        else:
            # Ended by the close alone: whole or cut off, nobody can tell.
            while self.more():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer

    def chunks(self, answer: Answer) -> None:
        while True:
            size = self.until(b"\r\n")
            if size is None:
                return
            if int(size, 16) == 0:
                while line := self.until(b"\r\n"):
                    answer.headers.append(parse_field(line))
                answer.complete = line is not None
                return
            chunk = self.exactly(int(size, 16))
            if chunk is None:
                answer.body += self.buffer
                return
            answer.body += chunk
            if self.until(b"\r\n") is None:
                return

    def at_end(self) -> bool:
        """Whether the gateway closes without sending anything else."""
        return not self.buffer and not self.more()


def parse_field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode("latin-1").partition(":")
    assert colon and name == name.strip(), f"a malformed header line: {line!r}"
    return name, value.strip(" \t")


def parse_head(head: bytes) -> Answer:
    first, *lines = head.split(b"\r\n")
    version, status, *_ = first.decode("latin-1").split(" ", 2)
    assert version in ("HTTP/1.1", "HTTP/1.0"), first
    return Answer(int(status), [parse_field(line) for line in lines])


Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def head_bytes(method: str, target: str, host: str, headers: Headers = ()) -> bytes:
    """A request head. A Host among the headers replaces the usual one."""
    fields = pairs(headers)
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("Host", host))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(parts: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def send(address: Address, data: bytes, method: str = "GET", timeout: float = TIMEOUT) -> Answer:
    """Send these very bytes on a new connection; the answer."""
    with connect(address, timeout) as conn:
        try:
            conn.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before the end of the body; the answer says why.
        return Reader(conn).answer(method)


def exchange(address: Address, data: bytes) -> tuple[Answer, bool]:
    """Send these very bytes on a new connection; the answer, and whether the connection is closed after it."""
    with connect(address) as conn:
        conn.sendall(data)
        reader = Reader(conn)
        answer = reader.answer()
        # One that stays open says nothing; the wait is for a test that fails, the others expect a close.
        conn.settimeout(2)
        try:
            return answer, reader.at_end()
        except TimeoutError:
            return answer, False


def request(
    address: Address,
    method: str = "GET",
    target: str = "/",
    *,
    host: str = "site.test",
    headers: Headers = (),
    body: bytes | None = None,
    timeout: float = TIMEOUT,
) -> Answer:
    """One well-formed request on a connection of its own."""
    fields = pairs(headers)
    if body is not None:
        fields.append(("Content-Length", str(len(body))))
    return send(address, head_bytes(method, target, host, fields) + (body or b""), method, timeout)
