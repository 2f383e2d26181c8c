"""HTTP/2 frames by hand (RFC 9113): whatever a test wants to send, and what comes back."""

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field

import hpack

from wire import Address, connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITISED = 4, 8, 32
CANCEL = (8).to_bytes(4)
INITIAL_WINDOW_SIZE = 4

Fields = Iterable[tuple[str | bytes, str | bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """RFC 7541, 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def text(value: str | bytes) -> bytes:
    value = value.encode("latin-1") if isinstance(value, str) else value
    return integer(len(value), 7) + value


def block(fields: Fields) -> bytes:
    """Each field as a literal that is in no table, as it is: no library looks at it."""
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def head(path: str = "/g", method: str = "GET", **more: str) -> list[tuple[str, str]]:
    """The pseudo-headers of a good request; another authority or scheme by name, None leaves one out."""
    fields = {"method": method, "scheme": "http", "authority": "site.test", "path": path, **more}
    return [(f":{name}", value) for name, value in fields.items() if value is not None]


def request(stream: int, fields: Fields | None = None, end: int = END_STREAM) -> bytes:
    return frame(HEADERS, end | END_HEADERS, stream, block(head() if fields is None else fields))


def setting(number: int, value: int) -> bytes:
    return number.to_bytes(2) + value.to_bytes(4)


def window(stream: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, more.to_bytes(4))


@dataclass
class Stream:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None


class Frames:
    """A connection on which the preface and these settings were sent."""

    def __init__(self, address: Address | socket.socket, settings: bytes = b"", timeout: float = 20) -> None:
        self.conn = address if isinstance(address, socket.socket) else connect(address)
        self.conn.settimeout(timeout)
        self.decoder = hpack.Decoder(max_header_list_size=1 << 24)
        self.buffer = self.block = b""
        self.streams: dict[int, Stream] = {}
        self.goaway: int | None = None
        self.closed = False
        self.pongs = 0
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self) -> "Frames":
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.close()

    def send(self, data: bytes) -> bool:
        """Whether all of it was taken."""
        try:
            self.conn.sendall(data)
        except OSError:
            return False
        return True

    def more(self) -> bool:
        """Take what comes next; False at the end."""
        try:
            data = self.conn.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        self.buffer += data
        while len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3]):
            length = int.from_bytes(self.buffer[:3])
            self.take(self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9]), self.buffer[9 : 9 + length])
            self.buffer = self.buffer[9 + length :]
        self.closed |= not data
        return bool(data)

    def take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self.streams.setdefault(number, Stream())
        match kind:
            case 1:
                self.block = payload
                # Heard of before its end comes: nothing else may come in between.
                stream.ended |= bool(flags & END_STREAM)
            case 9:
                self.block += payload
            case 0:
                stream.body += payload
                stream.ended |= bool(flags & END_STREAM)
            case 3:
                stream.reset = int.from_bytes(payload)
            case 4 if not flags & ACK:
                self.send(frame(SETTINGS, ACK))
            case 6 if flags & ACK:
                self.pongs += 1
            case 6:
                self.send(frame(PING, ACK, 0, payload))
            case 7:
                self.goaway = int.from_bytes(payload[4:8])
        if kind in (HEADERS, CONTINUATION) and flags & END_HEADERS:
            fields = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in self.decoder.decode(self.block, raw=True)
            ]
            status = int(dict(fields).get(":status", "0"))
            if status >= 200:
                stream.status, stream.headers = status, fields

    def drain(self) -> None:
        """Take what is there already."""
        timeout = self.conn.gettimeout()
        self.conn.settimeout(0)
        try:
            while self.more():
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            self.conn.settimeout(timeout)

    def until_done(self, number: int) -> Stream:
        """Until that stream is over, one way or the other."""
        while not ((stream := self.streams.get(number, Stream())).ended or stream.reset is not None):
            if not self.more():
                break
        return self.streams.get(number, Stream())

    def until_closed(self) -> bool:
        """Whether the end is announced; it has to come."""
        while self.more():
            pass
        return self.goaway is not None
