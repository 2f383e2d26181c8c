#!/usr/bin/env python3
"""What a thousand listeners cost the other visitors of a site with ONE sync worker.

    tests/django/.venv/bin/python tests/bench/one_worker.py [--streams 1000] [--rounds 10] [--requests 500]

Measures the time of an ordinary Django page through the gateway, once with no stream open and once with a thousand
of them, in turns, so that whatever else the machine does falls on both. Every stream is opened by an ask, whose time is
taken from gunicorn's access log: how long the worker was busy with it. Prints numbers and judges nothing; the wanted
ratio is at most 1.10. The gateway is TIDEGATE_BIN, else the one built last: take a release build.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "django"))

from harness import Gateway, Site, prepare_database, raise_open_files, until
from streams import Listeners
from wire import Reader, connect, head_bytes

CHANNEL = "news"


def page_times(gateway: Gateway, count: int) -> list[float]:
    """Milliseconds of so many pages, one after the other on one connection, as one visitor would load them."""
    page = head_bytes("GET", "/", "site.test")
    times = []
    with connect(gateway.http) as conn:
        reader = Reader(conn)
        for _ in range(count):
            start = time.perf_counter()
            conn.sendall(page)
            answer = reader.answer()
            times.append((time.perf_counter() - start) * 1000)
            assert answer.status == 200 and answer.complete
    return times


def ask_times(site: Site) -> list[float]:
    """Milliseconds that the worker was busy with each ask."""
    lines = [line.split() for line in site.process.log.read_text().splitlines() if line.startswith("access GET /ask/")]
    return [int(microseconds) / 1000 for *_, microseconds in lines]


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def show(what: str, times: list[float]) -> None:
    print(f"{what:<28}{statistics.median(times):>10.3f}{p99(times):>10.3f}   {len(times)} samples")


def measure(gateway: Gateway, site: Site, streams: int, rounds: int, requests: int) -> None:
    page_times(gateway, requests)  # for warmth
    quiet: list[float] = []
    busy: list[float] = []
    listeners = Listeners()
    for _ in range(rounds):
        quiet += page_times(gateway, requests)
        opened = [listeners.open(gateway.http, f"/ask/bench/?channel={CHANNEL}&user={n}") for n in range(streams)]
        listeners.until_open(*opened)
        until(lambda: gateway.streams_on(CHANNEL) == streams, f"{streams} streams")
        busy += page_times(gateway, requests)
        assert gateway.publish(CHANNEL, "all there")["streams"] == streams
        listeners.until_data("all there", opened)
        listeners.close(*opened)
        until(lambda: gateway.streams_on(CHANNEL) == 0, "no stream")
    listeners.stop()
    print(f"{'milliseconds':<28}{'median':>10}{'p99':>10}")
    show("a page, no stream open", quiet)
    show(f"a page, {streams} streams open", busy)
    medians, tails = statistics.median(busy) / statistics.median(quiet), p99(busy) / p99(quiet)
    print(f"{'ratio':<28}{medians:>10.3f}{tails:>10.3f}")
    show("an ask, at the worker", ask_times(site))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=500, help="pages in each half of a round")
    options = parser.parse_args()
    raise_open_files()
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    site = Site(folder / "site", prepare_database(folder / "database"), "unix")
    gateway = Gateway(folder / "gateway", site.server)
    try:
        site.start()
        gateway.start()
        measure(gateway, site, options.streams, options.rounds, options.requests)
    finally:
        gateway.stop()
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
