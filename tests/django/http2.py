"""HTTP/2 by prior knowledge (RFC 9113, 3.3): one connection, one request at a time."""

import socket
from collections.abc import Iterable

import h2.config
import h2.connection
import h2.events

from streams import Parser
from wire import Address, Answer, Headers, connect, pairs


class Reset(Exception):
    """The gateway broke the answer off."""


class Http2:
    """A connection, or one over a socket that is connected already. `complete` of its answers means that END_STREAM was
    seen. A `careless` one sends what is wrong."""

    def __init__(self, address: Address | socket.socket, careless: bool = False) -> None:
        self.conn = address if isinstance(address, socket.socket) else connect(address)
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=not careless,
            normalize_outbound_headers=not careless,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        # No waiting for flow control in what the tests download.
        self.h2.increment_flow_control_window(1 << 28)
        self.flush()

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.close()

    def flush(self) -> None:
        self.conn.sendall(self.h2.data_to_send())

    def receive(self) -> list[h2.events.Event]:
        data = self.conn.recv(1 << 16)
        if not data:
            raise ConnectionError("the gateway closed the connection")
        events = self.h2.receive_data(data)
        self.flush()
        return events

    def send(
        self,
        method: str,
        target: str,
        *,
        host: str = "site.test",
        headers: Headers = (),
        parts: Iterable[bytes] = (),
    ) -> int:
        """Send a request, its body in these parts, without a length; the number of its stream."""
        number = self.h2.get_next_available_stream_id()
        parts = list(parts)
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", target)]
        self.h2.send_headers(number, [*pseudo, *pairs(headers)], end_stream=not parts)
        for part in parts:
            while part:
                while not (room := min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)):
                    self.receive()
                self.h2.send_data(number, part[:room])
                part = part[room:]
                self.flush()
        if parts:
            self.h2.end_stream(number)
        self.flush()
        return number

    def answer(self, number: int) -> Answer:
        """The whole answer on that stream."""
        answer = Answer(0, [])
        while not answer.complete:
            for event in self.receive():
                self.take(event, number, answer)
        return answer

    def take(self, event: h2.events.Event, number: int, answer: Answer) -> None:
        if getattr(event, "stream_id", number) != number:
            return
        match event:
            case h2.events.ResponseReceived():
                fields = [(str(name), str(value)) for name, value in event.headers or []]
                answer.status = int(dict(fields)[":status"])
                answer.headers = [(name, value) for name, value in fields if not name.startswith(":")]
            case h2.events.DataReceived():
                answer.body += event.data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                self.flush()
            case h2.events.StreamEnded():
                answer.complete = True
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise Reset(f"{event}")

    def request(self, method: str, target: str, **more: object) -> Answer:
        return self.answer(self.send(method, target, **more))  # type: ignore[arg-type]

    def listen_once(self, number: int, parser: Parser) -> None:
        """Read what comes next on an event stream."""
        for event in self.receive():
            answer = Answer(0, [])
            self.take(event, number, answer)
            parser.feed(answer.body)
            if answer.complete:
                raise ConnectionError("the stream ended")
