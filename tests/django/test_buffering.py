"""Slow clients do not slow the others: no upload and no download holds the one sync worker."""

import pytest

from conftest import GatewayMaker, SiteMaker
from slow import Load, compare, worker_times


@pytest.mark.timeout(300)
def test_forty_slow_clients_cost_the_other_visitors_nothing(new_site: SiteMaker, new_gateway: GatewayMaker) -> None:
    site = new_site()
    gateway = new_gateway(site)
    load = Load()
    # For longer, and to the end of the bodies: tests/bench/slow_clients.py.
    _, busy = compare(gateway, load, rounds=3, seconds=4)
    # How much the pages cost is printed. A worker that waits for one of them would be gone for minutes.
    assert max(busy.times) < 1000
    uploads, downloads = worker_times(site, "POST /upload/"), worker_times(site, "GET /download/")
    assert len(uploads) == 3 * load.uploads and len(downloads) == 3 * load.downloads
    assert max(uploads + downloads) < 2000


def test_the_room_is_given_back(new_site: SiteMaker, new_gateway: GatewayMaker) -> None:
    gateway = new_gateway(new_site(), upstream='buffer_request = "64KiB"\nbuffer_response = "64KiB"')
    compare(gateway, Load(uploads=5, downloads=5, size=3_000_000), rounds=1, seconds=1)
    metrics = gateway.internal("GET", "/metrics").text
    for name in ("memory", "files"):
        assert f"\ntidegate_buffers_{name}_bytes 0\n" in metrics
    # A download that the sockets took as fast as it came needs no file, an upload of that length always does.
    assert '\ntidegate_buffers_spilled_total{body="request"} 5\n' in metrics
