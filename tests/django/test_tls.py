"""TLS on a listener: Python's ssl in front of the real gateway, Django behind it."""

import datetime
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import h2.events
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conftest import GatewayMaker
from harness import Gateway, Site, free_port
from http2 import Http2
from streams import Parser, Stream
from wire import Reader, connect, head_bytes


def write_certificate(folder: Path, host: str = "site.test") -> tuple[Path, Path]:
    """A certificate of this host that only itself has signed, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return cert_file, key_file


Secure = Callable[..., ssl.SSLSocket]


@pytest.fixture
def secure(tmp_path: Path, new_gateway: GatewayMaker, site: Site) -> tuple[Gateway, Secure]:
    """A gateway that speaks TLS on a listener of its own, and what connects to that."""
    cert, key = write_certificate(tmp_path)
    port = free_port()
    more = f"""
[listen.https]
address = "127.0.0.1:{port}"
tls = "main"
[tls.main]
cert = "{cert}"
key = "{key}"
"""
    gateway = new_gateway(site, more=more)

    def open_secure(version: ssl.TLSVersion, protocol: str) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(cert))
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols([protocol])
        conn = context.wrap_socket(connect(("127.0.0.1", port)), server_hostname="site.test")
        assert conn.selected_alpn_protocol() == protocol
        return conn

    return gateway, open_secure


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_django_knows_that_a_page_came_over_https(secure: tuple[Gateway, Secure], version: ssl.TLSVersion) -> None:
    _, open_secure = secure
    with open_secure(version, "http/1.1") as conn:
        conn.sendall(head_bytes("GET", "/echo/", "site.test", []))
        echo = Reader(conn).answer().json()
    with Http2(open_secure(version, "h2")) as http2:
        echo_2 = http2.request("GET", "/echo/").json()
    for echoed in (echo, echo_2):
        assert echoed["is_secure"]
        assert echoed["meta"]["HTTP_X_FORWARDED_PROTO"] == "https"
        assert echoed["meta"]["HTTP_X_FORWARDED_PORT"] == "443"


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_an_event_stream_comes_over_https(secure: tuple[Gateway, Secure], version: ssl.TLSVersion, name: str) -> None:
    gateway, open_secure = secure
    with open_secure(version, "http/1.1") as conn:
        fields = [("Accept", "text/event-stream")]
        conn.sendall(head_bytes("GET", f"/rooms/{name}/events/", "site.test", fields))
        stream = Stream(conn)
        while not stream.is_open:
            stream.feed(receive(conn))
        for number in range(3):
            gateway.publish(f"room-{name}", f"event {number}")
        while len(stream.data) < 3:
            stream.feed(receive(conn))
        assert stream.data == ["event 0", "event 1", "event 2"]


def receive(conn: socket.socket) -> bytes:
    data = conn.recv(1 << 16)
    assert data, "the stream ended"
    return data


class Streams(Http2):
    """One connection with many event streams on it."""

    def __init__(self, conn: ssl.SSLSocket, target: str, count: int) -> None:
        super().__init__(conn)
        self.open = {self.send("GET", target, headers={"Accept": "text/event-stream"}): Parser() for _ in range(count)}
        self.ended: list[h2.events.Event] = []

    def read(self) -> None:
        """What is there by now; TLS may keep back some of what it has taken from the socket."""
        pending = True
        while pending:
            for event in self.receive():
                match event:
                    case h2.events.DataReceived():
                        self.open[event.stream_id].feed(event.data or b"")
                        self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                    case h2.events.StreamEnded() | h2.events.StreamReset() | h2.events.ConnectionTerminated():
                        self.ended.append(event)
            self.flush()
            pending = bool(self.conn.pending())  # type: ignore[attr-defined]


def shown(address: tuple[str, int]) -> bytes:
    """The certificate that a new client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(connect(address), server_hostname="site.test") as conn:
        return conn.getpeercert(binary_form=True) or b""


def test_a_certificate_is_replaced_under_500_streams_of_http2(
    secure: tuple[Gateway, Secure], tmp_path: Path, name: str
) -> None:
    gateway, open_secure = secure
    path, channel, conns = f"/rooms/{name}/events/", f"room-{name}", 10
    first = open_secure(VERSIONS[0], "h2")
    address, old = first.getpeername(), first.getpeercert(binary_form=True)
    sockets = [first, *(open_secure(VERSIONS[number % 2], "h2") for number in range(1, conns))]
    every = [Streams(conn, path, 500 // conns) for conn in sockets]
    selector = selectors.DefaultSelector()
    for one in every:
        selector.register(one.conn, selectors.EVENT_READ, one)
    parsers = [parser for one in every for parser in one.open.values()]
    assert len(parsers) == 500

    def read_until(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, what
            for key, _ in selector.select(0.2):
                key.data.read()

    def all_have(count: int) -> bool:
        return all(len(parser.events) >= count for parser in parsers)

    read_until(lambda: all(parser.last_id for parser in parsers), "500 open streams")
    gateway.publish(channel, "0")
    read_until(lambda: all_have(1), "the event before")

    # As most tools do: in place, and one file after the other.
    began = time.monotonic()
    write_certificate(tmp_path)
    published = 1
    while (now := shown(address)) == old:
        assert time.monotonic() - began < 30, "still the old certificate"
        gateway.publish(channel, str(published))
        published += 1
        read_until(lambda: all_have(published), "an event meanwhile")
    took = time.monotonic() - began
    with open_secure(VERSIONS[1], "h2") as new:
        assert new.getpeercert(binary_form=True) == now

    gateway.publish(channel, str(published))
    published += 1
    read_until(lambda: all_have(published), "the event after")
    expected = [str(number) for number in range(published)]
    assert all([event.data for event in parser.events] == expected for parser in parsers)
    assert [one.ended for one in every] == [[]] * conns
    assert gateway.streams_on(channel) == 500
    metrics = gateway.internal("GET", "/metrics").body.decode()
    assert 'tidegate_tls_reload_failures_total{tls="main"} 0' in metrics
    print(
        f"{len(parsers)} streams over {conns} connections of HTTP/2 had {published} events each and did not end; "
        f"new connections had the new certificate after {took:.1f} s"
    )
    for one in every:
        one.conn.close()
