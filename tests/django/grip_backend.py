"""A backend for GRIP proxies that does what a test says, and keeps every request as it came.

It stands where Django would, for what no package can be made to do: answers that are wrong, that fail and recover, or
that wait for the test. A path belongs to one test.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from harness import free_port
from relay import shut


@dataclass
class Asked:
    """A request, as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.target.partition("?")[2]).items()}

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def last(self) -> dict[str, str]:
        """Grip-Last: the last id of each channel."""
        entries = [entry for line in self.all("Grip-Last") for entry in line.split(",")]
        return {entry.split(";")[0].strip(): entry.partition("last-id=")[2].strip() for entry in entries}


@dataclass
class Reply:
    """An answer. Headers may repeat."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


Answerer = Callable[[Asked], Reply | None]


def plain(body: str | bytes = b"", *headers: tuple[str, str], status: int = 200) -> Reply:
    fields = list(headers)
    if not any(name.lower() == "content-type" for name, _ in fields):
        fields.insert(0, ("Content-Type", "text/plain"))
    return Reply(status, fields, body.encode() if isinstance(body, str) else body)


def held(mode: str, channels: str | list[str], *headers: tuple[str, str], body: str | bytes = b"") -> Reply:
    """An answer with Grip-Hold and a Grip-Channel for each line given."""
    lines = [channels] if isinstance(channels, str) else channels
    return plain(body, ("Grip-Hold", mode), *(("Grip-Channel", line) for line in lines), *headers)


def stream(channels: str | list[str], *headers: tuple[str, str], body: str | bytes = b"") -> Reply:
    return held("stream", channels, *headers, body=body)


def poll(channels: str | list[str], *headers: tuple[str, str], body: str | bytes = b"") -> Reply:
    return held("response", channels, *headers, body=body)


def link(uri: str, rel: str = "next", timeout: int | None = None) -> tuple[str, str]:
    return "Grip-Link", f"<{uri}>; rel={rel}" + (f"; timeout={timeout}" if timeout is not None else "")


class Backend:
    """Listens on a port of its own; `on` says what a path answers."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", free_port())
        self._answers: dict[str, Answerer] = {"/grip/stream/": lambda _: stream("warm")}
        self._asked: list[Asked] = []
        self._lock = threading.Lock()
        self._running = 0
        self.most_at_once = 0
        self._server: ThreadingHTTPServer | None = None
        self._conns: set[socket.socket] = set()
        self.start()

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.address[1]}"

    def on(self, path: str, *answers: Reply | Answerer) -> None:
        """The first request gets the first answer, and so on; the last one stays."""
        left = list(answers)

        def answer(asked: Asked) -> Reply | None:
            with self._lock:
                now = left[0] if len(left) == 1 else left.pop(0)
            return now if isinstance(now, Reply) else now(asked)

        self._answers[path] = answer

    def asked(self, path: str) -> list[Asked]:
        """What came in for this very path."""
        with self._lock:
            return [asked for asked in self._asked if asked.path == path]

    def start(self) -> None:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without it each answer waits for an acknowledgement of its head.
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                backend._conns.add(self.connection)

            def finish(self) -> None:
                backend._conns.discard(self.connection)
                super().finish()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, ValueError):
                    # The proxy went away, or the test ended all connections.
                    self.close_connection = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                backend.answer(self, Asked(self.command, self.path, list(self.headers.items()), body))

            do_POST = do_HEAD = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                """Keep quiet: what was asked is kept."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

        self._server = Server(self.address, Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        with self._lock:
            self._asked.append(asked)
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        try:
            answerer = self._answers.get(asked.path)
            reply = answerer(asked) if answerer else plain("nothing here\n", status=404)
        finally:
            with self._lock:
                self._running -= 1
        if reply is None:
            # Broken off without an answer.
            handler.close_connection = True
            return
        handler.send_response_only(reply.status)
        for name, value in reply.headers:
            handler.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in reply.headers) and reply.status not in (204, 304):
            handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        if asked.method != "HEAD":
            handler.wfile.write(reply.body)
        handler.wfile.flush()
        if asked.method != "HEAD" and int(dict(reply.headers).get("Content-Length", len(reply.body))) > len(reply.body):
            # Broken off in its middle.
            handler.close_connection = True

    @property
    def running(self) -> bool:
        return self._server is not None

    def stop(self) -> None:
        """End all connections and refuse new ones; `start` lets them in again."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        for conn in list(self._conns):
            shut(conn)
