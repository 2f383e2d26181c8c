"""What stands in front of the gateway, or holds its sockets: haproxy, systemd, and a machine without descriptors left."""

import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import GatewayMaker
from harness import HERE, Gateway, Process, Site, free_port, room, run_cli, spelled, until
from streams import Listeners
from wire import TIMEOUT, Answer, Reader, connect, head_bytes, request

TRUST = '[trust]\nproxies = ["127.0.0.1"]\n'
# The client that is told from the proxy, which connects from 127.0.0.1.
CLIENT = "127.0.0.2"


def connect_from(source: str, address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, TIMEOUT, source_address=(source, 0))


def ask_from(source: str, address: tuple[str, int], target: str) -> Answer:
    with connect_from(source, address) as conn:
        conn.sendall(head_bytes("GET", target, "site.test"))
        return Reader(conn).answer()


def metric(gateway: Gateway, name: str) -> float:
    lines = gateway.internal("GET", "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


class Haproxy:
    """One port for each version of the header. It is in `mode tcp`: what passes is as the client sent it."""

    def __init__(self, folder: Path, gateway: tuple[str, int]) -> None:
        folder.mkdir()
        self.ports = {"v1": free_port(), "v2": free_port()}
        options = {"v1": "send-proxy", "v2": "send-proxy-v2 proxy-v2-options unique-id,crc32c"}
        sections = [
            f"""
listen {version}
  bind 127.0.0.1:{port}
  unique-id-format %[uuid()]
  server gateway {spelled(gateway)} {options[version]} check check-send-proxy inter 100ms
"""
            for version, port in self.ports.items()
        ]
        timeouts = "".join(f"  timeout {what} 60s\n" for what in ("connect", "client", "server"))
        config = folder / "haproxy.cfg"
        config.write_text(f"global\n  maxconn 100\ndefaults\n  mode tcp\n{timeouts}{''.join(sections)}")
        self.process = Process("haproxy", folder, ["/usr/sbin/haproxy", "-db", "-f", str(config)], {})

    def address(self, version: str) -> tuple[str, int]:
        return ("127.0.0.1", self.ports[version])

    def start(self) -> None:
        self.process.start()

        def listens() -> bool:
            try:
                for version in self.ports:
                    connect(self.address(version)).close()
            except OSError:
                return False
            return self.process.must_run()

        until(listens, "haproxy to listen")


@pytest.fixture(scope="module")
def behind(shared_gateways: GatewayMaker, site: Site, folder: Path) -> Iterator[tuple[Gateway, Haproxy]]:
    """A gateway that speaks the PROXY protocol, and haproxy before it."""
    gateway = shared_gateways(site, start=False, more=TRUST, sse="per_ip = 1")
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("[listen.http]", "[listen.http]\nproxy_protocol = true"))
    gateway.start()
    haproxy = Haproxy(folder / "haproxy", gateway.http)  # type: ignore[arg-type]
    haproxy.start()
    yield gateway, haproxy
    haproxy.process.kill()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_django_is_told_of_the_client_before_haproxy(behind: tuple[Gateway, Haproxy], version: str) -> None:
    _, haproxy = behind
    for source in (CLIENT, "127.0.0.3"):
        meta = ask_from(source, haproxy.address(version), "/echo/").json()["meta"]
        assert (meta["HTTP_X_FORWARDED_FOR"], meta["HTTP_X_REAL_IP"]) == (source, source)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_stream_through_haproxy_is_one_of_the_clients_own(
    behind: tuple[Gateway, Haproxy], version: str, name: str
) -> None:
    gateway, haproxy = behind
    address = haproxy.address(version)
    with connect_from(CLIENT, address) as conn:
        conn.sendall(head_bytes("GET", room(name), "site.test", {"Accept": "text/event-stream"}))
        reader = Reader(conn)
        assert reader.head().status == 200
        assert ask_from(CLIENT, address, room(name)).status == 429
        gateway.publish(f"room-{name}", "through")
        assert reader.until(b"data: through\n") is not None
    until(lambda: gateway.streams_on(f"room-{name}") == 0, "the stream to end")


def test_health_checks_of_haproxy_are_no_mistake(behind: tuple[Gateway, Haproxy]) -> None:
    gateway, _ = behind
    accepted = "tidegate_connections_accepted_total"
    before = metric(gateway, accepted)
    looks = itertools.count(1)
    # Each look is a connection too.
    until(lambda: metric(gateway, accepted) - next(looks) >= before + 6, "some checks")
    assert metric(gateway, 'tidegate_connections_refused_total{reason="header"}') == 0
    assert "Connections refused" not in gateway.process.log.read_text()


def test_who_comes_past_haproxy_is_not_let_in(behind: tuple[Gateway, Haproxy]) -> None:
    gateway, _ = behind
    refused = 'tidegate_connections_refused_total{reason="untrusted"}'
    before = metric(gateway, refused)
    with pytest.raises(ConnectionError):
        ask_from(CLIENT, gateway.http, "/echo/")  # type: ignore[arg-type]
    until(lambda: metric(gateway, refused) == before + 1, "the refusal to be counted")


# What systemd does for a service.


class Notified:
    """The socket that a service tells how it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(TIMEOUT)
        self.socket.bind(str(path))

    def until(self, line: str) -> list[str]:
        """Wait until it says this; all it said up to then."""
        said: list[str] = []
        while line not in said:
            said += self.socket.recv(4096).decode().splitlines()
        return said


def listening_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(64)
    return listener


def activated(gateway: Gateway, name: str, sockets: dict[str, list[socket.socket]]) -> None:
    """From its next start on, the gateway's public listener is what `sockets` has under this name."""
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace(f'"{spelled(gateway.http)}"', f'"systemd:{name}"'))
    passed = [(name, one.fileno()) for name, several in sockets.items() for one in several]
    words = [f"{name}={number}" for name, number in passed]
    gateway.process.command = [sys.executable, str(HERE / "activate.py"), *words, "--", *gateway.process.command]
    gateway.process.pass_fds = tuple(number for _, number in passed)


def test_systemd_holds_the_sockets_and_is_told_how_the_gateway_is(
    new_gateway: GatewayMaker, site: Site, folder: Path
) -> None:
    systemd = Notified(folder / "notify.sock")
    env = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "200000"}
    gateway = new_gateway(site, start=False, env=env)
    path = folder / "passed.sock"
    tcp, spare = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    unix = listening_unix(path)
    activated(gateway, "web", {"web": [tcp, unix], "spare": [spare]})
    gateway.start()
    assert systemd.until("READY=1") == ["READY=1"]
    addresses = (tcp.getsockname(), str(path))
    for address in addresses:
        assert request(address, target="/echo/").status == 200
    log = gateway.process.log.read_text()
    assert "Sockets of systemd are not used" in log and "spare" in log
    for _ in range(5):
        systemd.until("WATCHDOG=1")
    assert gateway.process.stop() == 0
    assert "STOPPING=1" in systemd.until("STOPPING=1")
    # Nobody serves, and nobody notices but by waiting: the sockets are not the gateway's to remove.
    waiting = [connect(address) for address in addresses]
    for conn in waiting:
        conn.sendall(head_bytes("GET", "/echo/", "site.test"))
    gateway.start()
    for conn in waiting:
        assert Reader(conn).answer().status == 200
        conn.close()


def test_systemd_is_told_of_a_reload_and_of_its_end_however_it_ends(
    new_gateway: GatewayMaker, site: Site, folder: Path
) -> None:
    systemd = Notified(folder / "reloads.sock")
    gateway = new_gateway(site, start=False, env={"NOTIFY_SOCKET": str(systemd.path)})
    gateway.start()
    assert systemd.until("READY=1") == ["READY=1"]
    assert gateway.process.popen is not None
    good = gateway.config.read_text()
    for text in (good, good.replace("[sse]", "[sse]\nheartbeat = '16s'"), good.replace("[sse]", "[sse]\nheartbeet = 1")):
        gateway.config.write_text(text)
        before = time.monotonic_ns() // 1000
        gateway.process.popen.send_signal(signal.SIGHUP)
        begin, when, ready = systemd.until("READY=1")
        assert (begin, ready) == ("RELOADING=1", "READY=1")
        name, _, microseconds = when.partition("=")
        assert name == "MONOTONIC_USEC" and before <= int(microseconds) <= time.monotonic_ns() // 1000
    gateway.config.write_text(good)
    assert gateway.cli("reload").returncode == 0
    systemd.socket.setblocking(False)
    # Both are there already: the command ends after them.
    assert systemd.until("READY=1")[0] == "RELOADING=1"
    systemd.socket.settimeout(TIMEOUT)
    # A file that nobody ever writes: the reload is under way when the end comes.
    gateway.config.unlink()
    os.mkfifo(gateway.config)
    gateway.process.popen.send_signal(signal.SIGHUP)
    systemd.until("RELOADING=1")
    assert gateway.process.stop() == 0
    assert systemd.until("STOPPING=1")[-2:] == ["READY=1", "STOPPING=1"]


def test_a_socket_that_systemd_did_not_pass_is_named(new_gateway: GatewayMaker, site: Site) -> None:
    gateway = new_gateway(site, start=False)
    tcp = socket.create_server(("127.0.0.1", 0))
    activated(gateway, "http", {"web": [tcp]})
    ended = run_cli("run", "-c", str(gateway.config))
    assert ended.returncode == 1 and b"systemd has passed no socket" in ended.stderr
    gateway.process.start()
    assert gateway.process.popen is not None and gateway.process.popen.wait(TIMEOUT) == 1
    assert "systemd has passed no socket of this name (there are: web)" in gateway.process.log.read_text()


def test_a_socket_that_is_connected_is_nothing_to_listen_on(new_gateway: GatewayMaker, site: Site) -> None:
    gateway = new_gateway(site, start=False)
    one, other = socket.socketpair()
    with one, other:
        activated(gateway, "web", {"web": [one]})
        gateway.process.start()
        assert gateway.process.popen is not None and gateway.process.popen.wait(TIMEOUT) == 1
    assert "what systemd has passed is no listening stream socket" in gateway.process.log.read_text()


# Descriptors run out.


def limit_open_files(gateway: Gateway, most: int) -> None:
    gateway.process.command = ["/bin/sh", "-c", f'ulimit -n {most} && exec "$@"', "sh", *gateway.process.command]


def cpu_seconds(gateway: Gateway) -> float:
    assert gateway.process.popen is not None
    fields = Path(f"/proc/{gateway.process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_descriptors_streams_live_on_and_accepting_begins_again(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, start=False)
    limit_open_files(gateway, 200)
    gateway.start()
    streams = [listeners.open(gateway.http, room(name)) for _ in range(30)]
    listeners.until_open(*streams)
    with connect(gateway.internal_address) as publisher:
        reader = Reader(publisher)
        target = f"/v1/channels/room-{name}/events"

        def publish(data: str) -> None:
            fields = {"Content-Length": str(len(data)), "Content-Type": "text/plain"}
            head = head_bytes("POST", target, "localhost", fields)
            publisher.sendall(head + data.encode())
            assert reader.answer().status == 200

        publish("before")
        # The internal listener takes more than there are descriptors; the kernel completes the others.
        idle = [connect(gateway.internal_address) for _ in range(250)]
        until(lambda: "Accepting pauses" in gateway.process.log.read_text(), "the end of the descriptors")
        publish("meanwhile")
        listeners.until_data("meanwhile", streams)
        before = cpu_seconds(gateway)
        time.sleep(1)
        assert cpu_seconds(gateway) - before < 0.3
        publish("after")
        listeners.until_data("after", streams)
        for conn in idle:
            conn.close()
    until(gateway.ready, "accepting to begin again")
    later = listeners.open(gateway.http, room(name))
    listeners.until_open(later)
    assert gateway.get("/echo/").status == 200
    assert not any(stream.ended for stream in streams)
    assert metric(gateway, "tidegate_accept_pauses_total") > 0


def test_clients_leave_descriptors_for_django(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, start=False)
    limit_open_files(gateway, 200)
    gateway.start()
    # As many clients as there may be, with so few descriptors: 64.
    with connect(gateway.http) as page:
        page.sendall(head_bytes("GET", "/echo/", "site.test"))
        reader = Reader(page)
        assert reader.answer().status == 200
        streams = [listeners.open(gateway.http, room(name)) for _ in range(63)]
        listeners.until_open(*streams)
        more = connect(gateway.http)
        more.sendall(head_bytes("GET", "/echo/", "site.test"))
        page.sendall(head_bytes("GET", "/echo/", "site.test"))
        assert reader.answer().status == 200
        more.settimeout(0.3)
        with pytest.raises(TimeoutError):
            more.recv(1)
        more.settimeout(TIMEOUT)
        listeners.close(streams[0])
        assert Reader(more).answer().status == 200
        more.close()
    assert "Accepting pauses" not in gateway.process.log.read_text()
