"""The file is read anew while everything goes on; and the end of a gateway, after which everybody goes to another."""

import heapq
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from conftest import GatewayMaker, SiteMaker
from harness import ROUTES, Gateway, Site, keep_alive, room, run_cli, spelled, until
from streams import Listeners, Stream
from wire import head_bytes

STREAMS, RELOADS = 1000, 200
DRAINED, SPREAD, AT_ONCE = 2000, 10, 4
ASK = "/ask/room/?channel=room-live&user=7"


def metric(gateway: Gateway, name: str) -> float:
    lines = gateway.internal("GET", "/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"tidegate_{name}"))


def hang_up(gateway: Gateway) -> None:
    """SIGHUP, and wait until the file was read."""
    before = metric(gateway, "reloads_total")
    assert gateway.process.popen is not None
    gateway.process.popen.send_signal(signal.SIGHUP)
    until(lambda: metric(gateway, "reloads_total") > before, "the reload")


class Visitors:
    """Threads that ask for pages, each on one connection for a while, until they are stopped."""

    def __init__(self, gateway: Gateway, count: int) -> None:
        self.gateway = gateway
        self.good = 0
        self.failed: list[object] = []
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        page = head_bytes("GET", "/", "site.test")
        form = head_bytes("POST", "/echo/", "site.test", [("Content-Length", "5")]) + b"a=b&c"
        while not self._stopped.is_set():
            try:
                answers = keep_alive(self.gateway.http, [page, form] * 5)
            except OSError as error:
                self.failed.append(error)
                continue
            self.failed += [answer for answer in answers if answer.status != 200 or not answer.complete]
            self.good += len(answers)
            self._stopped.wait(0.02)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def test_two_hundred_reloads_close_no_stream_fail_no_request_and_leave_nothing_in_memory(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners
) -> None:
    site = new_site("tcp")
    gateway = new_gateway(site)
    streams = [listeners.open(gateway.http, ASK if number % 2 else room("live")) for number in range(STREAMS)]
    listeners.until_open(*streams)
    first = gateway.config.read_text()

    def changed(number: int) -> str:
        """Other routes, limits, tokens' rates, and each second time another upstream."""
        return (
            first.replace("[sse]", f"[sse]\nheartbeat = '{16 + number % 7}s'")
            .replace("[limits]", f"[limits]\nbody = '{11 + number}MiB'\nkeepalive = '{70 + number}s'")
            .replace("[publish]", f"[publish]\nmax_event = '{200 + number}KiB'")
            .replace("[upstream.django]", f"[upstream.django]\nresponse_timeout = '{60 + number // 2}s'")
        )

    def reload(number: int) -> None:
        gateway.config.write_text(changed(number))
        if number % 2:
            hang_up(gateway)
        else:
            done = gateway.cli("reload")
            assert done.returncode == 0, done
            assert b"Changed: " in done.stderr and b"route" in done.stderr, done

    visitors = Visitors(gateway, 3)
    # What is allocated once is there after these.
    for number in range(20):
        reload(number)
    before = gateway.resident_bytes()
    for number in range(20, 20 + RELOADS):
        reload(number)
        gateway.publish("room-live", f"event {number}")
    after = gateway.resident_bytes()
    visitors.stop()
    listeners.until_data(f"event {RELOADS + 19}", streams)
    print(
        f"{RELOADS} reloads under {STREAMS} streams: {visitors.good} requests, {len(visitors.failed)} failed; "
        f"resident {before >> 10} KiB before, {after >> 10} KiB after"
    )
    assert not visitors.failed and visitors.good > RELOADS
    expected = [f"event {number}" for number in range(20, 20 + RELOADS)]
    for stream in streams:
        assert not stream.ended and stream.data == expected and not stream.resets
    assert metric(gateway, "reloads_total{outcome=\"changed\"}") == RELOADS + 20
    # No stream would ask again, so nobody has the upstreams that were. One that a request had at the last reload goes with
    # this.
    hang_up(gateway)
    assert metric(gateway, "upstreams_retired") == 0
    assert after < before * 1.1 + (4 << 20)


def test_mistakes_are_told_all_of_them_and_change_nothing(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(new_site())
    stream = listeners.open(gateway.http, room(name))
    listeners.until_open(stream)
    good = gateway.config.read_text()
    gateway.config.write_text(good.replace("[limits]", "[limits]\nbody = 'much'").replace("[sse]", "[sse]\nheartbeet = 1"))
    checked = gateway.cli("check")
    assert checked.returncode == 78 and checked.stderr.count(b"\n") == 3
    # Once the command reads the file itself, and once the gateway does; both say what `check` says.
    internal = f"http://{spelled(gateway.internal_address)}"
    told = run_cli("reload", "--internal", internal)
    assert told.returncode == 78 and told.stdout == b""
    assert told.stderr.splitlines()[:2] == checked.stderr.splitlines()[:2]
    assert gateway.cli("reload").stderr == checked.stderr
    as_json = run_cli("reload", "--internal", internal, "--json")
    assert as_json.returncode == 78
    problems = json.loads(as_json.stdout)["problems"]
    assert [problem["key"] for problem in problems] == ["sse.heartbeet", "limits.body"]
    hang_up(gateway)
    assert metric(gateway, 'reloads_total{outcome="refused"}') == 3
    log = gateway.process.log.read_text()
    for problem in problems:
        assert log.count(f"line={problem['line']} column={problem['column']} key={json.dumps(problem['key'])}") == 3
    gateway.publish(f"room-{name}", "as before")
    listeners.until_data("as before", [stream])
    gateway.config.unlink()
    gone = run_cli("reload", "--internal", internal)
    assert gone.returncode == 78 and b"cannot be read" in gone.stderr
    gateway.config.write_text(good)
    same = gateway.cli("reload")
    assert (same.returncode, same.stderr) == (0, b"Nothing has changed\n")


def test_what_a_file_names_is_read_anew_and_what_needs_a_restart_is_said(
    new_site: SiteMaker, new_gateway: GatewayMaker
) -> None:
    gateway = new_gateway(new_site(), publish="tokens = [{ name = 'a', secret = '${file:SECRET}' }]", start=False)
    secret = gateway.folder / "secret"
    text = gateway.config.read_text().replace("file:SECRET", f"file:{secret}")
    gateway.config.write_text(text)
    secret.write_text("first\n")
    gateway.start()
    stream = "/rooms/a/events/"
    assert gateway.request("HEAD", stream).status == 200
    # The command shows the token of the file, which the gateway does not know yet: the old one must be given.
    secret.write_text("second\n")
    refused = gateway.cli("reload")
    assert refused.returncode == 77, refused
    done = gateway.cli("reload", "--token", "first")
    assert (done.returncode, done.stderr) == (0, b"Changed: publish.tokens\n")
    text = text.replace("[listen.http]", "[listen.more]\naddress = '127.0.0.1:1'\n[listen.http]\nhttp2 = false")
    gateway.config.write_text(text.replace("[server]", "[server]\nworkers = 7\ndrain = '3s'"))
    done = gateway.cli("reload", "--json")
    assert done.returncode == 0, done
    assert json.loads(done.stdout) == {
        "changed": ["server.drain", "server.drain_spread"],
        "restart": ["listen.more", "listen.http.http2", "server.workers"],
    }
    assert " DEBUG " not in gateway.process.log.read_text()
    gateway.config.write_text(f"{text}\n[log]\nlevel = 'debug'")
    assert b"log.level" in gateway.cli("reload").stderr
    refused = gateway.get("/", headers=[("Content-Length", "1"), ("Content-Length", "2")])
    assert refused.status == 400
    until(lambda: " DEBUG " in gateway.process.log.read_text(), "what is of the new level")
    assert "Restart needed" in gateway.process.log.read_text()


class Timed(Listeners):
    """Notes when each stream ended."""

    def __init__(self) -> None:
        self.ended_at: dict[Stream, float] = {}
        super().__init__()

    def _forget(self, stream: Stream) -> None:
        self.ended_at.setdefault(stream, time.monotonic())
        super()._forget(stream)


def histogram(title: str, times: list[float], start: float, end: float) -> list[int]:
    counts = Counter(int(at - start) for at in times)
    buckets = [counts[second] for second in range(int(end - start) + 1)]
    print(title)
    for second, count in enumerate(buckets):
        print(f"  {second:3} s {count:5} {'#' * (count // 5)}")
    return buckets


def test_a_drain_of_two_thousand_streams_spreads_them_and_their_asks(
    new_site: SiteMaker, new_gateway: GatewayMaker
) -> None:
    site = new_site("tcp", threads=8)
    routes = ROUTES.replace('sse = { ask = "django" }', f'sse = {{ ask = {{ to = "django", at_once = {AT_ONCE} }} }}')
    one, other = (
        new_gateway(site, server=f"drain_spread = '{SPREAD}s'", sse="retry = '2s..6s'", routes=routes) for _ in range(2)
    )
    listeners = Timed()
    try:
        drained(site, one, other, listeners)
    finally:
        listeners.stop()


def drained(site: Site, one: Gateway, other: Gateway, listeners: Timed) -> None:
    streams = [listeners.open(one.http, ASK) for _ in range(DRAINED)]
    listeners.until(lambda: all(stream.is_open for stream in streams), f"{DRAINED} open streams", 120)
    until(lambda: one.streams_on("room-live") == DRAINED, "all on the channel", 120)
    sent: list[tuple[str, float]] = []
    asked_before = len(site.journal("/ask/room/"))
    assert one.process.popen is not None
    one.process.popen.send_signal(signal.SIGTERM)
    start = time.monotonic()
    came_back, back_at = come_back(streams, listeners, other, lambda: publish(one, sent))
    assert one.process.popen.wait(20) == 0
    listeners.until(lambda: all(stream.is_open for stream in came_back), "all of them open again", 120)

    ends = histogram("ends, each second", [listeners.ended_at[stream] for stream in streams], start, start + SPREAD)
    returns = histogram("reconnects, each second", back_at, start, max(back_at))
    asks = site.journal("/ask/room/")[asked_before:]
    most = max(ask["at_once"] for ask in asks)
    print(f"{len(sent)} events meanwhile; {len(asks)} asks, at most {most} at once (at_once = {AT_ONCE})")
    # Evenly over the window: twice and half of the average is far off for 200 of each.
    assert sum(ends) == DRAINED and all(100 < count < 300 for count in ends[:SPREAD])
    assert max(returns) < 1.6 * DRAINED / SPREAD
    assert len({stream.parser.retry for stream in streams}) > DRAINED / 4, "each has a pause of its own"
    assert len(asks) == DRAINED and most <= AT_ONCE
    texts = [text for text, _ in sent]
    for stream in streams:
        assert stream.complete and stream.data == texts[: len(stream.data)], stream
        # What was answered before it ended; a moment is left for the end to come to this process.
        owed = sum(at < listeners.ended_at[stream] - 1 for _, at in sent)
        assert len(stream.data) >= owed


def publish(gateway: Gateway, sent: list[tuple[str, float]]) -> None:
    text = f"event {len(sent)}"
    try:
        gateway.publish("room-live", text)
    except OSError:
        return
    sent.append((text, time.monotonic()))


def come_back(
    streams: list[Stream], listeners: Timed, towards: Gateway, meanwhile: Callable[[], None]
) -> tuple[list[Stream], list[float]]:
    """Has each stream, once it has ended and waited for its `retry`, come to another gateway, as a browser does."""
    waiting: list[tuple[float, int]] = []
    known: set[int] = set()
    came_back: list[Stream] = []
    back_at: list[float] = []
    next_event = 0.0
    deadline = time.monotonic() + 90
    while len(came_back) < len(streams):
        assert time.monotonic() < deadline, f"{len(came_back)} came back"
        for number, stream in enumerate(streams):
            if number not in known and stream.ended and stream in listeners.ended_at:
                known.add(number)
                assert stream.parser.retry is not None
                heapq.heappush(waiting, (listeners.ended_at[stream] + stream.parser.retry / 1000, number))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, number = heapq.heappop(waiting)
            back_at.append(time.monotonic())
            came_back.append(listeners.open(towards.http, ASK, last_event_id=streams[number].last_id))
        if now >= next_event and len(known) < len(streams):
            next_event = now + 0.2
            meanwhile()
        time.sleep(0.01)
    return came_back, back_at
