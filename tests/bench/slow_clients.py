#!/usr/bin/env python3
"""What slow uploads and slow downloads cost the other visitors of a site with ONE sync worker.

    tests/django/.venv/bin/python tests/bench/slow_clients.py [--clients 20] [--rounds 1] [--seconds 260]

Measures the time of an ordinary Django page through the gateway with no slow client, and with so many that upload and
as many that download 5 MB at 20 KB/s, which takes 250 seconds. Prints numbers and judges nothing; the wanted ratios are
at most 1.10. With `--unbuffered` the gateway passes bodies on as they come, to see what that would cost: a page then
waits for its turn, and the run fails when one has waited for too long. The gateway is TIDEGATE_BIN, else the one built
last: take a release build.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "django"))

from harness import Gateway, Site, prepare_database
from slow import Load, compare, worker_times

UNBUFFERED = "buffer_request = false\nbuffer_response = false"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20, help="of each kind")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=260, help="of each half of a round")
    parser.add_argument("--unbuffered", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    site = Site(folder / "site", prepare_database(folder / "database"), "unix")
    gateway = Gateway(folder / "gateway", site.server, upstream=UNBUFFERED if options.unbuffered else "")
    try:
        site.start()
        gateway.start()
        load = Load(uploads=options.clients, downloads=options.clients)
        compare(gateway, load, options.rounds, options.seconds)
        for what in ("POST /upload/", "GET /download/"):
            times = worker_times(site, what)
            print(f"{what} held the worker for {max(times):.1f} ms at most, {len(times)} times")
    finally:
        gateway.stop()
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
