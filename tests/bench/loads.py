"""The load generator, as the rows use it: each function is one load on one server, and returns its numbers."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from processes import Failed, Session
from servers import Server

# What the kernel and the server still have to do after the last connect.
SETTLE = 1.0

Numbers = dict[str, float]


class Load(Session):
    """One run of `tidegate-bench load`."""

    def __init__(self, server: Server, *arguments: object) -> None:
        machine = server.machine
        # On two cores a second worker and the load have to share.
        cores = machine.load_cores if not machine.load_cores & server.cores else server.cores
        command = [str(machine.bench), "load", *map(str, arguments)]
        super().__init__(command, cores, server.folder / f"load-{time.monotonic_ns()}.log", talks=True)

    def said(self, state: str, seconds: float = 300) -> dict[str, Any]:
        line = self.line(seconds)
        if not line:
            self.popen.wait()
            raise Failed(self.last_words())
        said = json.loads(line)
        assert said["state"] == state, said
        return said


@contextlib.contextmanager
def running(server: Server, *arguments: object) -> Iterator[Load]:
    load = Load(server, *arguments)
    try:
        yield load
    finally:
        load.kill()


def hold(server: Server, streams: int, channels: int, *more: object) -> Numbers:
    """Bytes of the server's memory for each stream that is held."""
    before = server.memory()
    arguments = ("hold", "--url", server.stream_url, "-n", streams, "--channels", channels)
    with running(server, *arguments, *server.open_options, *more) as load:
        held = load.said("held")
        time.sleep(SETTLE)
        after = server.memory()
        load.popen.stdin.close()
        gone = load.said("left")["disconnected"]
    if gone:
        raise Failed(f"{gone} streams were closed while they were held")
    return {
        "bytes": (after - before) / held["streams"],
        "held_connects": held["connects_per_s"],
        "flaw_failed": held["failed"],
    }


def churn(server: Server, url: str, streams: int) -> Numbers:
    with running(server, "churn", "--url", url, "-n", streams, "--channels", 1, *server.open_options) as load:
        done = load.said("done")
    return {"connects": done["connects_per_s"], "load_busy": done["busy"], "flaw_failed": done["failed"]}


def fanout(server: Server, streams: int, channels: int, publishers: int, seconds: float, *more: object) -> Numbers:
    arguments = (
        *("fanout", "--url", server.stream_url, *server.open_options),
        *("--publish", server.publish_url, *server.publish_options),
        *("-n", streams, "--channels", channels, "--publishers", publishers, "--seconds", seconds, "--wait", *more),
    )
    with running(server, *arguments) as load:
        failed = load.said("open")["failed"]
        time.sleep(SETTLE)
        before = server.cpu()
        load.tell()
        done = load.said("done")
        cpu = server.cpu() - before
        load.let_go()
    return {
        "deliveries": done["deliveries_per_s"],
        "publishes": done["publishes_per_s"],
        "cpu_per_million": cpu / max(done["deliveries"], 1) * 1e6,
        "cpu_per_publish_us": cpu / max(done["publishes"], 1) * 1e6,
        "deliveries_per_cpu": done["deliveries"] / max(cpu, 0.01),
        "delivery_p50": done["delivery"]["p50_ms"],
        "delivery_p99": done["delivery"]["p99_ms"],
        "last_p50": done["last"]["p50_ms"],
        "last_p99": done["last"]["p99_ms"],
        "load_busy": done["busy"],
        "flaw_failed": failed,
        **{f"flaw_{name}": done[name] for name in ("lost", "duplicated", "disordered", "disconnected")},
    }


def proxy(server: Server, path: str, length: int, seconds: float, rate: float = 0, connections: int = 64) -> Numbers:
    """At full load, and then, if there is a rate, at that."""
    arguments = ("proxy", "--url", f"{server.public}{path}", "--connections", connections, "--seconds", seconds)
    before = server.cpu()
    with running(server, *arguments, "--length", length) as load:
        done = load.said("done")
    cpu = server.cpu() - before
    numbers = {
        "requests": done["requests_per_s"],
        "p50": done["answer"]["p50_ms"],
        "p99": done["answer"]["p99_ms"],
        "cpu_us": cpu / max(done["requests"], 1) * 1e6,
        "requests_per_cpu": done["requests"] / max(cpu, 0.01),
        "load_busy": done["busy"],
    }
    if rate:
        before = server.cpu()
        with running(server, *arguments, "--length", length, "--rate", rate) as load:
            done = load.said("done")
        cpu = server.cpu() - before
        if done["requests_per_s"] < rate * 0.98:
            raise Failed(f"{done['requests_per_s']:.0f} requests/s where {rate:.0f} were wanted")
        numbers["rate_cpu_us"] = cpu / max(done["requests"], 1) * 1e6
        numbers |= {f"rate_{name}": done["answer"][f"{name}_ms"] for name in ("p50", "p99")}
    return numbers


def handshakes(server: Server, seconds: float, *more: object) -> Numbers:
    """A small page, each time over a new connection."""
    arguments = ("--url", f"{server.public}/small", "--length", 64, "--seconds", seconds)
    before = server.cpu()
    with running(server, "handshakes", *arguments, *more) as load:
        done = load.said("done")
    cpu = server.cpu() - before
    if done["failed"]:
        raise Failed(f"{done['failed']} of {done['connections']} connections failed: {done['failure']}")
    return {
        "connects": done["connects_per_s"],
        "full": done["full"],
        "resumed": done["resumed"],
        "p50": done["answer"]["p50_ms"],
        "p99": done["answer"]["p99_ms"],
        "cpu_us": cpu / max(done["good"], 1) * 1e6,
        "load_busy": done["busy"],
    }
