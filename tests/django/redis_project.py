"""A real redis-server, and a project that publishes through it."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import redis
from harness import Gateway, Process, Site, free_port, until
from streams import Listeners, Parser, Stream
from wire import Answer

# A user who may listen and do nothing else.
USER, PASSWORD = "gateway", "p/a@s:s%"


class Server:
    """redis-server on a port, with TLS on another, and on a unix socket. Nothing is kept on disk."""

    def __init__(self, folder: Path, *, password: str = "", cluster: bool = False) -> None:
        folder.mkdir()
        # That of a cluster's nodes for each other, unset, would be 10,000 above the first: among the ports of clients.
        self.port, self.tls_port, self.bus_port = free_port(), free_port(), free_port()
        self.socket, self.certificate = folder / "r.sock", folder / "cert.pem"
        self.password = password
        make_certificate(self.certificate, folder / "key.pem")
        (folder / "users.acl").write_text(
            f"user default on {f'>{password}' if password else 'nopass'} ~* &* +@all\n"
            f"user {USER} on >{PASSWORD} &* -@all +subscribe +psubscribe +ping\n"
        )
        options = {
            "port": self.port,
            "tls-port": self.tls_port,
            "tls-cert-file": self.certificate,
            "tls-key-file": folder / "key.pem",
            "tls-ca-cert-file": self.certificate,
            "tls-auth-clients": "no",
            "unixsocket": self.socket,
            "bind": "127.0.0.1",
            "aclfile": folder / "users.acl",
            "dir": folder,
            "save": "",
            "cluster-enabled": "yes" if cluster else "no",
            "cluster-port": self.bus_port,
        }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self.process = Process("redis", folder, ["redis-server", *words], {})

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process.start()
        until(lambda: self.process.must_run() and self.answers(), "redis-server to answer")

    def kill(self) -> None:
        self.process.kill()

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password or None)

    def answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False

    def speaks_tls(self) -> bool:
        """Not each build does."""
        context = ssl.create_default_context(cafile=self.certificate)
        try:
            with socket.create_connection(("127.0.0.1", self.tls_port)) as conn:
                context.wrap_socket(conn, server_hostname="127.0.0.1").close()
        except OSError:
            return False
        return True


def make_certificate(certificate: Path, key: Path) -> None:
    """One that signs itself, for 127.0.0.1."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def rule(channel: str, format: str, to: str = "") -> str:
    lines = [f'channel = "{channel}"', f'format = "{format}"', *([f'to = "{to}"'] if to else [])]
    return "\n[[redis.listen]]\n" + "\n".join(lines) + "\n"


def listening(url: str, *rules: str) -> str:
    """The part of gateway.toml."""
    return f'[redis]\nurl = "{url}"\n' + "".join(rules)


ROUTES = """
[[route]]
path = "/sse/<slug:channel>/"
sse = { channels = ["{channel}"], public = true }

[[route]]
path = "/api/notifications/"
sse = { ask = "django" }

[[route]]
path = "/api/staff/"
sse = { ask = "django" }

[[route]]
path = "/<path:rest>"
proxy = "django"
"""


def metric(gateway: Gateway, name: str) -> int:
    """A number of /metrics, the name without its prefix; 0 if it is not there."""
    text = gateway.internal("GET", "/metrics").text
    values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"tidegate_{name} ")]
    return int(values[0]) if values else 0


def until_connected(gateway: Gateway) -> None:
    until(lambda: metric(gateway, "redis_connected") == 1, "the gateway to listen to Redis")


def call(gateway: Gateway, path: str, *args: object, **kwargs: object) -> Answer:
    """Has a view of the project call the package's own `send_event` so."""
    body = json.dumps({"args": args, "kwargs": kwargs}).encode()
    answer = gateway.request("POST", path, headers={"Content-Type": "application/json"}, body=body)
    assert answer.status == 200, answer
    return answer


class Raw(Parser):
    """Keeps the bytes too."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = b""

    def feed(self, data: bytes) -> None:
        self.bytes += data
        super().feed(data)


def open_raw(listeners: Listeners, gateway: Gateway, target: str) -> Stream:
    stream = listeners.open(gateway.http, target, asleep=True)
    stream.parser = Raw()
    listeners.wake(stream)
    listeners.until_open(stream)
    stream.parser.bytes = b""
    return stream


def raw_event(listeners: Listeners, stream: Stream) -> bytes:
    """The bytes of the one event that comes."""
    listeners.until(lambda: stream.events, "the event")
    assert isinstance(stream.parser, Raw) and len(stream.events) == 1
    return stream.parser.bytes


ServerMaker = Callable[..., Server]


def server_maker(folder: Path) -> Iterator[ServerMaker]:
    made: list[Server] = []

    def make(start: bool = True, **more: object) -> Server:
        server = Server(folder / f"r{free_port()}", **more)  # type: ignore[arg-type]
        made.append(server)
        if start:
            server.start()
        return server

    yield make
    for server in made:
        server.kill()


new_redis = pytest.fixture(name="new_redis")(server_maker)
shared_redis = pytest.fixture(name="shared_redis", scope="session")(server_maker)


@pytest.fixture(scope="session")
def redis_server(shared_redis: ServerMaker) -> Server:
    """The Redis of the run. Nobody may kill it."""
    return shared_redis()


def project_on(make_site: Callable[..., Site], server: Server) -> Site:
    """The project under one sync worker, publishing through this server."""
    env = {"REDIS_PORT": str(server.port)}
    return make_site("unix", project="redis_site", app="redissite.wsgi", env=env)


@pytest.fixture(scope="session")
def project(shared_sites: Callable[..., Site], redis_server: Server) -> Site:
    return project_on(shared_sites, redis_server)
