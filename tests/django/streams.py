"""Clients of event streams: any number of them, read by one thread.

The parser follows the WHATWG's (HTML, 9.2.6), so what it takes for an event a browser takes for one too; that matters
where a test looks for forged fields.
"""

import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wire import TIMEOUT, Address, Answer, Headers, connect, head_bytes, pairs, parse_head


@dataclass(frozen=True)
class Event:
    id: str
    type: str
    data: str


class Parser:
    """Bytes of an event stream, cut anywhere, to events."""

    def __init__(self) -> None:
        self.rest = b""
        self.last_id = ""
        self.retry: int | None = None
        self.comments = 0
        self.events: list[Event] = []
        self._id = ""
        self._type = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> None:
        self.rest += data
        held_back = b""
        if self.rest.endswith(b"\r"):
            # Its LF may be in the next part.
            self.rest, held_back = self.rest[:-1], b"\r"
        *lines, rest = self.rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self.rest = rest + held_back
        for line in lines:
            self.line(line.decode())

    def line(self, line: str) -> None:
        if not line:
            self.dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments += 1
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isdigit():
                self.retry = int(value)

    def dispatch(self) -> None:
        self.last_id = self._id
        if self._data:
            self.events.append(Event(self._id, self._type or "message", "\n".join(self._data)))
        self._type, self._data = "", []


class Stream:
    """One client connection that reads an event stream (or whatever else it is answered)."""

    def __init__(self, conn: socket.socket) -> None:
        self.conn = conn
        self.answer: Answer | None = None
        self.parser = Parser()
        self.body = b""  # of an answer that is no event stream
        self.ended = False
        self.complete = False  # it ended as its framing says, not in the middle
        self._raw = b""
        self._chunk_left = -1
        self._taken = 0

    @property
    def status(self) -> int | None:
        return self.answer.status if self.answer else None

    @property
    def events(self) -> list[Event]:
        return self.parser.events

    @property
    def data(self) -> list[str]:
        return [event.data for event in self.events]

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    @property
    def last_id(self) -> str:
        return self.parser.last_id

    @property
    def is_open(self) -> bool:
        """The head is there, and the place where the stream starts: from now on nothing is missed."""
        return self.status == 200 and bool(self.last_id) and not self.ended

    def feed(self, data: bytes) -> None:
        self._raw += data
        if self.answer is None:
            head, end, rest = self._raw.partition(b"\r\n\r\n")
            if not end:
                return
            self.answer, self._raw = parse_head(head), rest
        if (self.answer.header("Transfer-Encoding") or "").lower() == "chunked":
            self.dechunk()
        else:
            self.take(self._raw)
            self._raw = b""
            # No stream has a body without chunks and length, so what ends by the close alone is not complete.
            self.complete = self._taken == int(self.answer.header("Content-Length") or -1)

    def dechunk(self) -> None:
        while self._raw:
            if self._chunk_left < 0:
                size, end, rest = self._raw.partition(b"\r\n")
                if not end:
                    return
                # Two more for the CRLF after the chunk.
                self._chunk_left, self._raw = int(size, 16) + 2, rest
                self.complete = self._chunk_left == 2
            part, self._raw = self._raw[: self._chunk_left], self._raw[self._chunk_left :]
            self.take(part[: max(0, self._chunk_left - 2)])
            self._chunk_left -= len(part)
            self._chunk_left = self._chunk_left or -1

    def take(self, body: bytes) -> None:
        assert self.answer is not None
        self._taken += len(body)
        if (self.answer.header("Content-Type") or "").startswith("text/event-stream"):
            self.parser.feed(body)
        else:
            self.body += body

    @property
    def resets(self) -> list[str]:
        """The data of the resets."""
        return [event.data for event in self.events if event.type == "reset"]

    def __repr__(self) -> str:
        return f"<Stream {self.status} events={len(self.events)} ended={self.ended} {self.body[:200]!r}>"


class Listeners:
    """Opens streams and reads them all in one thread, as a browser would, without ever being slow."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._changed = threading.Condition()
        self._stopped = False
        self._streams: list[Stream] = []
        # What wakes the thread when it has to look at new sockets.
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def open(
        self,
        address: Address,
        target: str,
        *,
        method: str = "GET",
        host: str = "site.test",
        headers: Headers = (),
        last_event_id: str | None = None,
        body: bytes = b"",
        asleep: bool = False,
    ) -> Stream:
        """Send the request; `until_open` waits for the answer. One that is asleep reads nothing until `wake`."""
        fields = [("Accept", "text/event-stream"), *pairs(headers)]
        if last_event_id is not None:
            fields.append(("Last-Event-ID", last_event_id))
        if body:
            fields.append(("Content-Length", str(len(body))))
        conn = connect(address)
        conn.sendall(head_bytes(method, target, host, fields) + body)
        conn.setblocking(False)
        stream = Stream(conn)
        with self._changed:
            self._streams.append(stream)
        if not asleep:
            self.wake(stream)
        return stream

    def wake(self, stream: Stream) -> None:
        """Read it from now on."""
        with self._changed:
            self._selector.register(stream.conn, selectors.EVENT_READ, stream)
        self._wake.send(b".")

    def until(self, condition: Callable[[], object], what: str, timeout: float = TIMEOUT) -> None:
        """Wait until the condition holds; it is looked at whenever any stream has read something."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                some = ", ".join(repr(stream) for stream in self._streams[:5])
                raise AssertionError(f"waited {timeout:.0f} s for: {what}; streams: {some}")

    def until_answered(self, *streams: Stream) -> None:
        """Wait for the 200 alone."""
        self.until(lambda: all(stream.status == 200 for stream in streams), f"200 for {len(streams)} streams")

    def until_open(self, *streams: Stream) -> None:
        def all_open() -> bool:
            for stream in streams:
                assert not stream.ended and stream.status in (None, 200), f"no stream: {stream}"
            return all(stream.is_open for stream in streams)

        self.until(all_open, f"{len(streams)} open streams")

    def until_ended(self, *streams: Stream) -> None:
        self.until(lambda: all(stream.ended for stream in streams), f"the end of {len(streams)} streams")

    def until_data(self, data: str, streams: Iterable[Stream]) -> None:
        """Wait until every stream has seen this event; being in order, it has then seen all before it."""
        waiting = set(streams)

        def all_have() -> bool:
            waiting.difference_update([stream for stream in waiting if data in stream.data[-50:]])
            return not waiting

        self.until(all_have, f"the event {data!r} on every stream")

    def close(self, *streams: Stream) -> None:
        """The client goes away."""
        with self._changed:
            for stream in streams:
                self._forget(stream)
                self._streams.remove(stream)

    def stop(self) -> None:
        self._stopped = True
        self._wake.send(b".")
        self._thread.join()
        self.close(*self._streams)
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _forget(self, stream: Stream) -> None:
        if stream.conn.fileno() >= 0:
            try:
                self._selector.unregister(stream.conn)
            except KeyError:
                pass
            stream.conn.close()
        stream.ended = True

    def _run(self) -> None:
        while not self._stopped:
            ready = self._selector.select()
            with self._changed:
                for key, _ in ready:
                    if key.data is None:
                        self._woken.recv(4096)
                    elif not key.data.ended:
                        self._read(key.data)
                self._changed.notify_all()

    def _read(self, stream: Stream) -> None:
        try:
            data = stream.conn.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            stream.feed(data)
        # The connection may be kept alive after the end of the answer; the stream is over all the same.
        if not data or stream.complete:
            self._forget(stream)
