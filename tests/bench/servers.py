"""The servers that are compared: how each is configured and started, and where its streams and publishes go.

Every configuration is the plainest in which the server does what is measured: one worker, no access log, a short
history, limits out of the way. A new server is a class with `prepare`, and a line in `OURS` or `THEIRS`.
"""

import http.client
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from processes import Cores, Failed, Session, Skipped, free_port, until

# Events that each channel keeps.
HISTORY = 64
# The files that are served, and their bytes.
FILES = {"1k.txt": 1024, "100k.txt": 100 * 1024}


@dataclass(frozen=True)
class Machine:
    """What all servers of a run share."""

    gateway: Path
    bench: Path
    folder: Path
    server_cores: Cores  # the first core; a second worker gets one more
    load_cores: Cores
    origin: str  # address of the one origin behind all proxies

    @property
    def files(self) -> Path:
        """The folder with the files that are served."""
        folder = self.folder / "files"
        if not folder.exists():
            folder.mkdir()
            for name, size in FILES.items():
                (folder / name).write_bytes(b"x" * size)
        return folder


@dataclass
class Server:
    machine: Machine
    name: str
    sessions: list[Session] = field(default_factory=list)
    workers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.folder = self.machine.folder / f"{type(self).__name__.lower()}-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.port, self.internal = free_port(), free_port()
        self.authority = f"127.0.0.1:{self.port}"
        self.public = f"http://{self.authority}"
        self.stream_url = f"{self.public}/events/c{{i}}/"
        self.publish_url = f"{self.public}/pub/c{{i}}"
        self.open_options: list[str] = []
        self.publish_options: list[str] = []

    def prepare(self) -> list[list[str]]:
        """Write the configuration; the commands that make the server."""
        raise NotImplementedError

    @property
    def cores(self) -> Cores:
        return self.machine.server_cores if self.workers == 1 else frozenset(range(self.workers))

    def start(self) -> None:
        commands = self.prepare()
        for number, command in enumerate(commands):
            self.sessions.append(Session(command, self.cores, self.folder / f"{number}.log"))
        until(self.answers, f"{self.name} to answer", 20)

    def answers(self) -> bool:
        for session in self.sessions:
            session.must_run()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def cpu(self) -> float:
        return sum(session.cpu() for session in self.sessions)

    def memory(self) -> int:
        return sum(session.memory() for session in self.sessions)

    def stop(self) -> None:
        for session in self.sessions:
            session.kill()
        self.sessions.clear()

    def first_answer(self) -> float:
        """Milliseconds from the start of the program to the first byte of its first answer."""
        self.stop()
        commands = self.prepare()
        began = time.perf_counter()
        for number, command in enumerate(commands):
            self.sessions.append(Session(command, self.cores, self.folder / f"{number}.log"))
        while time.perf_counter() - began < 10:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("GET", "/events/c0/", headers={"Accept": "text/event-stream"})
                connection.getresponse()
                return (time.perf_counter() - began) * 1000
            except ConnectionRefusedError:
                time.sleep(0.0002)
            finally:
                connection.close()
        raise Failed("no answer within ten seconds")


class Tidegate(Server):
    tls: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ask_url = f"{self.public}/ask/c{{i}}/"
        self.publish_url = f"http://127.0.0.1:{self.internal}/v1/channels/c{{i}}/events"

    def prepare(self) -> list[list[str]]:
        config = self.folder / "gateway.toml"
        config.write_text(f"""
            version = 1
            server = {{ hosts = ["*"], workers = {self.workers} }}
            listen.http = {{ address = "{self.authority}" }}
            listen.internal = {{ address = "127.0.0.1:{self.internal}", role = "internal" }}
            upstream.origin = {{ servers = ["{self.machine.origin}"] }}
            sse = {{ history = {{ events = {HISTORY}, age = "10m" }} }}
            log = {{ level = "warn" }}
            {self.tls_tables()}
            [[route]]
            path = "/events/<slug:room>/"
            sse = {{ channels = ["{{room}}"], public = true, per_ip = 0 }}
            [[route]]
            path = "/ask/<slug:room>/"
            sse = {{ ask = {{ to = "origin", at_once = 128 }}, per_ip = 0 }}
            [[route]]
            path = "/files/<path:file>"
            static = {{ root = "{self.machine.files}" }}
            [[route]]
            path = "/<path:rest>"
            proxy = "origin"
        """)
        return [[str(self.machine.gateway), "run", "-c", str(config)]]

    def tls_tables(self) -> str:
        return ""


class TidegateAsk(Tidegate):
    """With streams that Django was asked for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream_url = self.ask_url


class TidegateGrip(Tidegate):
    """Holding what the origin tells it to hold, as Pushpin does."""

    path: ClassVar[str] = "events"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream_url = f"{self.public}/{self.path}/c{{i}}/"
        self.publish_url = f"http://127.0.0.1:{self.internal}/publish/"
        event = r'{"items":[{"channel":"c{i}","formats":{"http-stream":{"content":"data: {payload}\n\n"}}}]}'
        self.publish_options = ["--body", event, "--content-type", "application/json"]

    def prepare(self) -> list[list[str]]:
        config = self.folder / "gateway.toml"
        config.write_text(f"""
            version = 1
            server = {{ hosts = ["*"], workers = {self.workers} }}
            listen.http = {{ address = "{self.authority}" }}
            listen.internal = {{ address = "127.0.0.1:{self.internal}", role = "internal" }}
            upstream.origin = {{ servers = ["{self.machine.origin}"], grip = true }}
            sse = {{ history = {{ events = {HISTORY}, age = "10m" }}, per_ip = 0 }}
            log = {{ level = "warn" }}
            [[route]]
            path = "/<path:rest>"
            proxy = "origin"
        """)
        return [[str(self.machine.gateway), "run", "-c", str(config)]]


class TidegateEventstream(TidegateGrip):
    """With all that django-eventstream says of a stream."""

    path = "eventstream"


class TidegateTwo(Tidegate):
    """With a second worker on a second core."""

    workers = 2


class TidegateTls(Tidegate):
    """With a TLS listener, if this gateway has one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.https = free_port()
        self.public = f"https://127.0.0.1:{self.https}"
        self.stream_url = f"{self.public}/events/c{{i}}/"

    def tls_tables(self) -> str:
        cert, key = certificate(self.machine.folder)
        return f"""
            tls.main = {{ cert = "{cert}", key = "{key}" }}
            listen.https = {{ address = "127.0.0.1:{self.https}", tls = "main" }}
        """

    def prepare(self) -> list[list[str]]:
        commands = super().prepare()
        check = [str(self.machine.gateway), "check", "-c", str(self.folder / "gateway.toml")]
        checked = subprocess.run(check, capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            words = checked.stderr.strip().splitlines()[:1]
            raise Skipped(f"this gateway refuses a TLS listener: {' '.join(words).split(': ', 1)[-1]}")
        return commands


class Floor(Server):
    options: ClassVar[list[str]] = []

    def prepare(self) -> list[list[str]]:
        return [[str(self.machine.bench), "floor", "--listen", self.authority, *self.options]]


class Coalesce(Floor):
    options = ["--coalesce"]


OURS: dict[str, type[Server]] = {
    "tidegate": Tidegate,
    "tidegate, 2 workers": TidegateTwo,
    "tidegate, ask": TidegateAsk,
    "tidegate, GRIP": TidegateGrip,
    "tidegate, django-eventstream": TidegateEventstream,
    "tidegate, TLS": TidegateTls,
    "floor": Floor,
    "coalesce": Coalesce,
}


def needed(program: str, package: str) -> str:
    found = shutil.which(program)
    if not found:
        raise Skipped(f"{program} is not installed (Debian: apt-get install {package})")
    return found


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, made once."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if not cert.exists():
        command = [
            *(needed("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ]
        subprocess.run(command, check=True, capture_output=True)
    return cert, key
