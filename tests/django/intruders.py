"""Clients that want to hear what they are not granted, and the proof that they hear no byte of it.

Nothing waits for silence: when a listener who is granted the channels has the marker, the gateway is asked to end. It
then gives each stream what was published so far and closes it, so what an intruder has read to the end is all there is.
"""

import json
import socket
from dataclasses import dataclass, field
from urllib.parse import quote

from h2.events import ConnectionTerminated, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from harness import Gateway
from http2 import Http2
from streams import Listeners, Stream
from wire import Headers, connect, head_bytes, pairs

# Every stream ends at once when the gateway is asked to end.
DRAIN = 'drain = "5s"\ndrain_spread = "50ms"'
EVENT_STREAM = ("Accept", "text/event-stream")


@dataclass
class Intruder:
    label: str
    conn: socket.socket
    heard: bytes = b""
    http2: Http2 | None = None
    status: int = 0

    def until_answered(self) -> None:
        """Until the head is there, and the beginning of the stream if it is one."""
        while not self.answered() and self.more():
            pass

    def answered(self) -> bool:
        if self.http2:
            return bool(self.status) and (self.status != 200 or b"\n\n" in self.heard)
        head, end, body = self.heard.partition(b"\r\n\r\n")
        if end and not self.status:
            self.status = int(head.split(b" ", 2)[1])
        return bool(end) and (b"text/event-stream" not in head or b"\n\n" in body)

    def more(self) -> bool:
        return self.more_of_http2() if self.http2 else self.more_of_http1()

    def more_of_http1(self) -> bool:
        try:
            data = self.conn.recv(1 << 16)
        except ConnectionResetError:
            return False
        self.heard += data
        return bool(data)

    def more_of_http2(self) -> bool:
        """The raw bytes are kept, for DATA is not compressed; what they mean is needed for the status alone.

        h2 takes nothing after a GOAWAY, but a gateway that ends still sends the rest of its streams.
        """
        assert self.http2
        try:
            data = self.conn.recv(1 << 16)
        except ConnectionResetError:
            return False
        self.heard += data
        try:
            events = self.http2.h2.receive_data(data)
            self.http2.flush()
        except (ProtocolError, OSError):
            events = []
        for event in events:
            match event:
                case ResponseReceived():
                    self.status = int(dict(event.headers or [])[":status"])
                case StreamEnded() | StreamReset() | ConnectionTerminated():
                    self.status = self.status or -1
        return bool(data)

    def to_the_end(self) -> bytes:
        while self.more():
            pass
        self.conn.close()
        return self.heard


@dataclass
class Intruders:
    gateway: Gateway
    listeners: Listeners
    all: list[Intruder] = field(default_factory=list)

    def send(self, label: str, data: bytes) -> Intruder:
        """Send these very bytes."""
        intruder = Intruder(label, connect(self.gateway.http))
        self.all.append(intruder)
        intruder.conn.sendall(data)
        intruder.until_answered()
        return intruder

    def get(self, target: str, headers: Headers = (), label: str = "") -> Intruder:
        """A request for a stream; what is not ASCII in it is sent as UTF-8."""
        spelled = target.encode().decode("latin-1")
        data = head_bytes("GET", spelled, "site.test", [EVENT_STREAM, *pairs(headers)])
        return self.send(label or f"{target[:100]} {list(pairs(headers))}"[:200], data)

    def get_by_http2(self, target: str, headers: Headers = ()) -> Intruder:
        http2 = Http2(self.gateway.http, careless=True)
        intruder = Intruder(f"HTTP/2 {target} {list(pairs(headers))}", http2.conn, http2=http2)
        self.all.append(intruder)
        http2.send("GET", target, headers=[(EVENT_STREAM[0].lower(), EVENT_STREAM[1]), *pairs(headers)])
        intruder.until_answered()
        return intruder

    def granted(self, channels: list[str], user: str = "") -> Stream:
        """A listener whom Django lets hear these."""
        query = f"channels={quote(json.dumps(channels))}" + (f"&user={user}" if user else "")
        stream = self.listeners.open(self.gateway.http, f"/ask/granted/?{query}")
        self.listeners.until_open(stream)
        return stream

    def hear_nothing_of(self, marker: str, channels: list[str], user: str = "") -> None:
        """Publish the marker where it is forbidden; end everything; it may not be in what anybody was sent."""
        if channels:
            self.publish(marker, channels, user)
        self.gateway.process.stop(patience=15)
        leaks = {each.label: each.heard[-300:] for each in self.all if marker.encode() in each.to_the_end()}
        assert not leaks, f"{marker} was heard: {leaks}"

    def publish(self, marker: str, channels: list[str], user: str) -> None:
        """When this returns, a listener who is granted the channels has the marker."""
        witness = self.granted(channels, user)
        targets = [{"channel": channel} for channel in channels] + ([{"user": user}] if user else [])
        sent = {f"{marker} in {target}" for target in targets}
        for target in targets:
            answer = self.gateway.post_event({**target, "data": f"{marker} in {target}"})
            assert answer.status == 200, answer
        # What the channels keep for a newcomer came first.
        self.listeners.until(lambda: sent <= set(witness.data), "the marker, where it is granted")


def in_history(gateway: Gateway, marker: str, channels: list[str], own_id: str = "") -> list[str]:
    """Some events with the marker that were published before anybody came; their ids."""
    ids = []
    for channel in channels:
        ids.append(gateway.publish(channel, f"{marker} one")["id"])
        ids.append(gateway.publish(channel, f"{marker} two", id=f"{own_id or marker}-{channel}")["id"])
        ids.append(gateway.publish(channel, f"{marker} three", keep="last")["id"])
    return ids

