"""The subcommands that ask or are a running gateway, as an operator types them."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import GatewayMaker
from harness import TIMEOUT, Gateway, Process, Site, free_port, gateway_binary, run_cli, spelled, until
from streams import Listeners

# -- publish -------------------------------------------------------------------------------------


def test_publish_reaches_a_stream(gateway: Gateway, listeners: Listeners, name: str) -> None:
    stream = listeners.open(gateway.http, f"/rooms/{name}/events/")
    listeners.until_open(stream)
    done = gateway.cli("publish", f"room-{name}", "hello", "-e", "tick", "--id", f"{name}-1", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"id": f"{name}-1", "streams": 1}
    assert gateway.cli("publish", f"room-{name}", "-", stdin=b"from\nstdin").returncode == 0
    assert gateway.cli("publish", f"room-{name}", "bye", "--close").returncode == 0
    listeners.until_ended(stream)
    assert [(event.type, event.data) for event in stream.events] == [
        ("tick", "hello"),
        ("message", "from\nstdin"),
        ("message", "bye"),
    ]
    assert stream.ids[0] == f"{name}-1"


def test_publish_finds_the_listener_by_url_as_well(gateway: Gateway) -> None:
    address = spelled(gateway.internal_address)
    assert run_cli("publish", "news", "hi", "--internal", f"http://{address}").returncode == 0


def test_publish_over_a_unix_socket(new_gateway: GatewayMaker, folder: Path, name: str) -> None:
    socket = f"{folder}/{name}.sock"
    gateway = new_gateway("127.0.0.1:1", internal=socket)
    assert gateway.cli("publish", "news", "hi").returncode == 0
    assert run_cli("publish", "news", "hi", "--internal", f"unix:{socket}").returncode == 0


def test_publish_to_nobody_is_69(tmp_path: Path) -> None:
    assert run_cli("publish", "news", "hi", "--internal", f"http://127.0.0.1:{free_port()}").returncode == 69


def test_publish_with_a_wrong_token_is_77_and_finds_the_right_one_in_the_file(new_gateway: GatewayMaker) -> None:
    gateway = new_gateway("127.0.0.1:1", publish='tokens = [{ name = "a", secret = "the-only-token-here" }]')
    assert gateway.cli("publish", "news", "hi").returncode == 0
    assert gateway.cli("publish", "news", "hi", "--token", "wrong").returncode == 77


@pytest.mark.parametrize("arguments", [["a b", "hi"], ["news", "hi", "-e", "a\nb"], ["news", "hi", "--id", "a\rb"]])
def test_publish_refuses_what_cannot_be_sent(gateway: Gateway, arguments: list[str]) -> None:
    assert gateway.cli("publish", *arguments).returncode == 2


# -- tail ----------------------------------------------------------------------------------------


Tail = Callable[..., Process]


@pytest.fixture
def tail(folder: Path) -> Iterator[Tail]:
    running: list[Process] = []

    def start(name: str, *arguments: str) -> Process:
        process = Process(f"tail-{name}", folder, [gateway_binary(), "tail", *arguments], {})
        running.append(process)
        process.start()
        return process

    yield start
    for process in running:
        process.kill()


def test_tail_shows_the_events_of_its_channels(gateway: Gateway, tail: Tail, name: str) -> None:
    process = tail(name, f"room-{name}", "-c", str(gateway.config))

    def shown_after_a_publish() -> bool:
        gateway.publish(f"other-{name}", "not asked for")
        gateway.publish(f"room-{name}", "hello\nthere", event="tick")
        return process.must_run() and "hello" in process.log.read_text()

    until(shown_after_a_publish, "an event on the tail")
    line = next(line for line in process.log.read_text().splitlines() if "hello" in line)
    assert f"room-{name}" in line and "tick" in line and "hello\\nthere" in line
    assert "not asked for" not in process.log.read_text()


def test_tail_of_everything_as_json(gateway: Gateway, tail: Tail, name: str) -> None:
    process = tail(name, "--all", "--json", "-c", str(gateway.config))

    def shown_after_a_publish() -> bool:
        gateway.publish(f"room-{name}", {"n": 1})
        return process.must_run() and f"room-{name}" in process.log.read_text()

    until(shown_after_a_publish, "an event on the tail")
    line = next(line for line in process.log.read_text().splitlines() if f"room-{name}" in line)
    event = json.loads(line)
    assert (event["channels"], event["data"]) == ([f"room-{name}"], '{"n":1}')


def test_tail_of_a_url_is_a_stream_like_any_other(gateway: Gateway, tail: Tail, name: str) -> None:
    process = tail(name, f"http://127.0.0.1:{gateway.http[1]}/rooms/{name}/events/", "--json")
    until(lambda: gateway.streams_on(f"room-{name}") == 1, "the tail on its channel")
    gateway.publish(f"room-{name}", "hello")
    until(lambda: process.must_run() and "hello" in process.log.read_text(), "the event on the tail")


# -- top -----------------------------------------------------------------------------------------


def test_top_shows_once_what_goes_on(gateway: Gateway, listeners: Listeners, name: str) -> None:
    streams = [listeners.open(gateway.http, f"/rooms/{name}/events/") for _ in range(3)]
    listeners.until_open(*streams)
    told = json.loads(gateway.cli("top", "--json", "--interval", "100ms").stdout)
    assert told["streams"] >= 3 and told["upstreams"][0]["name"] == "django"
    assert next(channel for channel in told["list"] if channel["name"] == f"room-{name}")["streams"] == 3
    table = gateway.cli("top", "--interval", "100ms")
    assert table.returncode == 0 and f"room-{name}" in table.stdout.decode()
    assert b"\x1b" not in table.stdout, "this is no terminal"
    assert gateway.cli("top", "--interval", "1ms").returncode == 2
    assert run_cli("top", "--once", "--internal", f"http://127.0.0.1:{free_port()}").returncode == 69


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM, None], ids=["SIGINT", "SIGTERM", "the gateway ends"])
def test_top_leaves_the_terminal_as_it_was(new_gateway: GatewayMaker, ends: signal.Signals | None) -> None:
    gateway = new_gateway("127.0.0.1:1")
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 30, 0, 0))
    command = [gateway_binary(), "top", "--interval", "100ms", "-c", str(gateway.config)]
    process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=subprocess.DEVNULL)
    os.close(inside)
    try:
        shown = b""
        # The second time it was drawn anew.
        while shown.count(b"\x1b[H") < 2:
            shown += os.read(terminal, 1 << 16)
        assert shown.startswith(b"\x1b[?1049h")
        lines = shown.split(b"\x1b[H")[1].split(b"\x1b[K")
        assert len(lines) <= 11 and all(len(line.strip()) <= 30 for line in lines[:-1])
        if ends is None:
            gateway.kill()
        else:
            process.send_signal(ends)
        assert (process.wait(TIMEOUT) == 0) == (ends is not None)
        while not shown.endswith(b"\x1b[?25h\x1b[?1049l"):
            shown += os.read(terminal, 1 << 16)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


# -- channels, kick ------------------------------------------------------------------------------


def test_channels_tells_what_is_there(gateway: Gateway, name: str) -> None:
    last = gateway.publish(f"list-{name}", "x")["id"]
    gateway.publish(f"other-{name}", "x")
    shown = gateway.cli("channels", f"list-{name}*")
    assert (shown.returncode, shown.stdout.decode()) == (0, f"list-{name} 0 1 0.017 {last}\n")
    told = json.loads(gateway.cli("channels", "--json", f"list-{name}").stdout)
    assert told["channels"] == [{"name": f"list-{name}", "streams": 0, "events": 1, "last_id": last, "rate": 0.017}]
    assert gateway.cli("channels", "a b").returncode == 2


def test_kick_ends_the_streams_of_a_channel_or_one(gateway: Gateway, listeners: Listeners, name: str) -> None:
    streams = [listeners.open(gateway.http, f"/rooms/{name}/events/") for _ in range(3)]
    listeners.until_open(*streams)
    present = gateway.internal("GET", f"/v1/channels/room-{name}/streams").json()["streams"]
    done = gateway.cli("kick", "stream", present[0]["id"])
    assert (done.returncode, done.stderr.decode()) == (0, "Ended streams: 1\n")
    until(lambda: gateway.streams_on(f"room-{name}") == 2, "one stream less")
    assert json.loads(gateway.cli("kick", "channel", f"room-{name}", "--json").stdout) == {"ended": 2}
    listeners.until_ended(*streams)
    assert json.loads(gateway.cli("kick", "user", f"nobody-{name}", "--json").stdout) == {"ended": 0}
    assert gateway.cli("kick", "stream", "x").returncode == 2


# -- run -------------------------------------------------------------------------------------------


def test_health_asks_the_gateway_whatever_is_wrong_in_its_file_by_now(new_gateway: GatewayMaker, site: Site) -> None:
    gateway = new_gateway(site)
    assert gateway.cli("health").returncode == 0
    good = gateway.config.read_text()
    for text in (good.replace("[sse]", "[sse]\nheartbeet = 1"), good.replace("[sse]", "[sse]\nheartbeat = ")):
        gateway.config.write_text(text)
        assert gateway.cli("check").returncode == 78
        assert gateway.cli("health").returncode == 0
    # Where it is must be known, though.
    gateway.config.write_text(good.replace('role = "internal"', 'role = "public"'))
    assert gateway.cli("health").returncode == 78
    gateway.config.write_text(good)
    gateway.process.kill()
    assert gateway.cli("health").returncode == 69


def test_sigterm_ends_the_streams_tells_them_to_come_back_and_exits_0(
    new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway("127.0.0.1:1", server='drain = "5s"\ndrain_spread = "200ms"')
    streams = [listeners.open(gateway.http, f"/rooms/{name}/events/") for _ in range(50)]
    listeners.until_open(*streams)
    gateway.publish(f"room-{name}", "last")
    listeners.until_data("last", streams)
    gateway.process.signal(signal.SIGTERM)
    listeners.until_ended(*streams)
    assert all(stream.complete and stream.data == ["last"] for stream in streams)
    assert gateway.process.popen is not None
    try:
        assert gateway.process.popen.wait(15) == 0
    except subprocess.TimeoutExpired:
        pytest.fail("still running")
