"""Certificates by ACME: Debian's pebble signs, and looks at the real gateway whether the names are ours."""

import json
import signal
import ssl
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from conftest import GatewayMaker
from harness import Gateway, Process, Site, free_port, until
from streams import Listeners
from test_tls import write_certificate
from wire import connect, request

ISSUED = 'tidegate_acme_orders_total{outcome="issued"}'


class Pebble:
    """An authority of its own, with a DNS for which every name is this machine."""

    def __init__(self, folder: Path, validity: int = 3600, bad_nonces: int = 3, **external: object) -> None:
        self.folder = folder
        folder.mkdir()
        self.ca, key = write_certificate(folder, "localhost")
        self.port, self.management, self.dns = free_port(), free_port(), free_port()
        self.http, self.tls = free_port(), free_port()
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.ca),
            "privateKey": str(key),
            "httpPort": self.http,
            "tlsPort": self.tls,
            "certificateValidityPeriod": validity,
            **external,
        }
        file = folder / "pebble.json"
        file.write_text(json.dumps({"pebble": config}))
        names = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-management", f"127.0.0.1:{free_port()}"]
        names += ["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]
        self.names = Process("names", folder, names, {})
        command = ["pebble", "-config", str(file), "-dnsserver", f"127.0.0.1:{self.dns}"]
        env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(bad_nonces), "PEBBLE_AUTHZREUSE": "0"}
        self.process = Process("pebble", folder, command, env)

    def start(self) -> None:
        self.names.start()
        self.process.start()
        until(lambda: self.process.must_run() and self.names.must_run() and self.root(), "pebble")

    def root(self) -> str:
        """What clients of its certificates trust."""
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urllib.request.urlopen(f"https://localhost:{self.management}/roots/0", context=context) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def stop(self) -> None:
        self.process.kill()
        self.names.kill()

    def tables(self, more: str = "", https: str = "") -> str:
        """The listener and the table of a gateway that it signs for."""
        return f"""
[listen.https]
address = "127.0.0.1:{self.tls}"
tls = "main"
{https}
[tls.main]
acme = {{ domains = ["site.test", "www.site.test"], contact = "ops@site.test", cache = "{self.folder / "cache"}", \
directory = "https://localhost:{self.port}/dir", ca = "{self.ca}"{more} }}
"""

    def shown(self, name: str = "site.test") -> bytes:
        """The certificate that a client of this name is shown, and believes; nothing while there is none."""
        context = ssl.create_default_context(cadata=self.root())
        try:
            with context.wrap_socket(connect(("127.0.0.1", self.tls)), server_hostname=name) as conn:
                return conn.getpeercert(binary_form=True) or b""
        except OSError:
            return b""

    def kept(self) -> list[Path]:
        """The account and the certificate, once both are there: a certificate is shown before it is kept."""
        files = sorted((self.folder / "cache").glob("*/*"))
        return files if [file.name for file in files] == ["account.json", "main.pem"] else []


PebbleMaker = Callable[..., Pebble]


@pytest.fixture
def new_pebble(tmp_path: Path) -> Iterator[PebbleMaker]:
    made: list[Pebble] = []

    def make(**more: object) -> Pebble:
        pebble = Pebble(tmp_path / f"pebble{len(made)}", **more)  # type: ignore[arg-type]
        made.append(pebble)
        pebble.start()
        return pebble

    yield make
    for pebble in made:
        pebble.stop()


def metric(gateway: Gateway, name: str) -> float:
    lines = gateway.internal("GET", "/metrics").body.decode().splitlines()
    found = [line.rsplit(" ", 1)[1] for line in lines if line.rsplit(" ", 1)[0] == name]
    return float(found[0]) if found else 0


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_a_certificate_is_ordered_and_kept_over_a_restart(
    new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site, challenge: str
) -> None:
    pebble = new_pebble()
    http = ("127.0.0.1", pebble.http)
    gateway = new_gateway(site, more=pebble.tables(f', challenge = "{challenge}"'), http=http)
    first = until(pebble.shown, "a certificate", 60)
    assert pebble.shown("www.site.test") == first
    names = x509.load_der_x509_certificate(first).extensions.get_extension_for_oid(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME
    )
    assert sorted(names.value.get_values_for_type(x509.DNSName)) == ["site.test", "www.site.test"]
    assert metric(gateway, ISSUED) == 1
    # What was there to be looked at is not there any more.
    assert gateway.get("/.well-known/acme-challenge/x").status == 404
    kept = until(pebble.kept, "the files")
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}
    account = kept[0].read_text()

    gateway.kill()
    gateway.start()
    assert pebble.shown() == first
    assert metric(gateway, ISSUED) == 0

    # Another certificate is had with the same account.
    kept[1].unlink()
    gateway.kill()
    gateway.start()
    assert until(pebble.shown, "another certificate", 60) != first
    assert kept[0].read_text() == account
    checked = gateway.cli("check", "--online")
    assert f"tls.main: https://localhost:{pebble.port}/dir: reached" in (checked.stdout + checked.stderr).decode()


def test_http_goes_to_https_and_yet_answers_who_looks(
    new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site
) -> None:
    pebble = new_pebble()
    plain = f'[listen.plain]\naddress = "127.0.0.1:{pebble.http}"\nredirect_to_https = true\n'
    new_gateway(site, more=plain + pebble.tables(', challenge = "http-01"'))
    until(pebble.shown, "a certificate", 60)
    assert request(("127.0.0.1", pebble.http), target="/").status == 308


def test_a_renewed_certificate_ends_no_stream(
    new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str
) -> None:
    # Two thirds of 12 seconds.
    pebble = new_pebble(validity=12)
    gateway = new_gateway(site, more=pebble.tables(), http=("127.0.0.1", pebble.http))
    first = until(pebble.shown, "a certificate", 60)
    context = ssl.create_default_context(cadata=pebble.root())
    conn = context.wrap_socket(connect(("127.0.0.1", pebble.tls)), server_hostname="site.test")
    conn.sendall(
        f"GET /rooms/{name}/events/ HTTP/1.1\r\nHost: site.test\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    until(lambda: gateway.streams_on(f"room-{name}") == 1, "the stream")
    until(lambda: (now := pebble.shown()) and now != first, "a renewed certificate", 60)
    assert metric(gateway, ISSUED) >= 2
    gateway.publish(f"room-{name}", "after the renewal")
    conn.settimeout(10)
    read = b""
    while b"after the renewal" not in read:
        data = conn.recv(1 << 16)
        assert data, "the stream ended"
        read += data
    conn.close()


def test_a_failure_is_told_and_tried_again_at_a_reload(
    new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site
) -> None:
    pebble = new_pebble()
    # Where it is looked nobody listens.
    gateway = new_gateway(site, more=pebble.tables(', challenge = "http-01"'))
    failed = 'tidegate_acme_orders_total{outcome="challenge"}'
    until(lambda: metric(gateway, failed) == 1, "a failure", 60)
    assert pebble.shown() == b""
    log = gateway.process.log.read_text()
    assert "No new certificate, trying again" in log and "was looked for and is not ours" in log, log
    # Plain pages go on.
    assert gateway.get("/").status == 200
    assert metric(gateway, 'tidegate_tls_handshake_failures_total{reason="no_certificate"}') == 1

    # As somebody who opens the port.
    relay = Process("relay", pebble.folder, forward(pebble.http, gateway.http), {})
    relay.start()
    until(lambda: answers(pebble.http), "the relay")
    gateway.process.signal(signal.SIGHUP)
    try:
        until(pebble.shown, "a certificate", 60)
    finally:
        relay.kill()


def forward(port: int, to: object) -> list[str]:
    """A program that hands on what comes to a port."""
    code = """
import socket, sys, threading
def pump(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    a, _ = listener.accept()
    b = socket.create_connection((sys.argv[2], int(sys.argv[3])))
    for one, other in ((a, b), (b, a)):
        threading.Thread(target=pump, args=(one, other), daemon=True).start()
"""
    host, to_port = to  # type: ignore[misc]
    return [sys.executable, "-c", code, str(port), host, str(to_port)]


def answers(port: int) -> bool:
    try:
        return request(("127.0.0.1", port), target="/").status > 0
    except OSError:
        return False


def test_an_external_account_is_named(new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site) -> None:
    hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    pebble = new_pebble(externalAccountBindingRequired=True, externalAccountMACKeys={"kid-1": hmac})
    account = f', external_account = {{ key_id = "kid-1", hmac = "{hmac}" }}'
    new_gateway(site, more=pebble.tables(account), http=("127.0.0.1", pebble.http))
    until(pebble.shown, "a certificate", 60)


def test_an_authority_that_has_forgotten_us_is_told_anew(
    new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site
) -> None:
    pebble = new_pebble()
    gateway = new_gateway(site, more=pebble.tables(), http=("127.0.0.1", pebble.http))
    until(pebble.shown, "a certificate", 60)
    account, certificate = until(pebble.kept, "the files")
    old = account.read_text()
    # All it knows is in its memory.
    gateway.kill()
    pebble.stop()
    certificate.unlink()
    pebble.start()
    gateway.start()
    until(lambda: metric(gateway, 'tidegate_acme_orders_total{outcome="refused"}') == 1, "a refusal", 60)
    gateway.process.signal(signal.SIGHUP)
    until(pebble.shown, "a certificate", 60)
    assert account.read_text() != old


def test_no_account_is_made_that_could_not_be_kept(
    new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site
) -> None:
    pebble = new_pebble()
    # Nothing is there, and nothing can be: as where a file system is mounted only to be read.
    tables = pebble.tables().replace(str(pebble.folder / "cache"), "/proc/acme")
    gateway = new_gateway(site, more=tables, http=("127.0.0.1", pebble.http))
    failed = 'tidegate_acme_orders_total{outcome="internal"}'
    for tries in range(1, 4):
        until(lambda: metric(gateway, failed) == tries, f"{tries} failures", 60)
        gateway.process.signal(signal.SIGHUP)
    log = gateway.process.log.read_text()
    assert "/proc/acme" in log and "cannot be read or written" in log, log
    assert "accounts in memory" not in pebble.process.log.read_text()


def test_an_authority_that_knows_none_of_its_nonces_is_asked_in_two_orders(
    new_pebble: PebbleMaker, new_gateway: GatewayMaker, site: Site
) -> None:
    pebble = new_pebble(bad_nonces=100)
    gateway = new_gateway(site, more=pebble.tables(), http=("127.0.0.1", pebble.http))
    until(lambda: metric(gateway, 'tidegate_acme_orders_total{outcome="refused"}') == 1, "a refusal", 60)
    # Three times each.
    assert pebble.process.log.read_text().count("POST /sign-me-up") == 6
