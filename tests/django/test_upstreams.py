"""Several gunicorns behind one gateway, some of which are away or stuck; and gunicorn behind TLS."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Site, run_cli, until
from redis_project import metric
from test_tls import write_certificate

REQUESTS_AT_ONCE = 4


@pytest.fixture
def two_sites(new_site: SiteMaker) -> tuple[Site, Site]:
    return new_site("tcp"), new_site("unix")


def both(sites: tuple[Site, Site]) -> str:
    return '", "'.join(site.server for site in sites)


def servers_up(gateway: Gateway) -> int:
    return metric(gateway, 'upstream_servers_up{upstream="django"}')


class Load:
    """Pages asked for by several clients until the end of the block; their statuses."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.goes_on = True
        self.statuses: list[int] = []
        self.pool = ThreadPoolExecutor(REQUESTS_AT_ONCE)

    def ask(self) -> None:
        while self.goes_on:
            self.statuses.append(self.gateway.get("/echo/").status)

    def __enter__(self) -> "Load":
        self.clients = [self.pool.submit(self.ask) for _ in range(REQUESTS_AT_ONCE)]
        return self

    def __exit__(self, *_: object) -> None:
        self.goes_on = False
        for client in self.clients:
            client.result(30)

    def more(self, count: int = 50) -> None:
        """Wait until so many more were answered."""
        target = len(self.statuses) + count
        until(lambda: len(self.statuses) >= target, "more answers")


@pytest.mark.parametrize("balance", ["least-busy", "round-robin"])
def test_a_gunicorn_that_is_killed_fails_no_page_and_comes_back(
    new_gateway: GatewayMaker, two_sites: tuple[Site, Site], balance: str
) -> None:
    # Nobody waits a second for a server to come back, so only the other one can have answered.
    gateway = new_gateway(both(two_sites), upstream=f'balance = "{balance}"\nretry_for = "1s"')
    with Load(gateway) as load:
        for site in two_sites:
            load.more()
            site.kill()
            load.more()
            site.start()
            asked = len(site.journal("/echo/"))
            until(lambda site=site, asked=asked: len(site.journal("/echo/")) > asked, "it to be asked again")
            until(lambda: servers_up(gateway) == 2, "both to be up")
    assert set(load.statuses) == {200}


def test_clients_of_a_gunicorn_that_is_killed_move_and_move_back(
    new_gateway: GatewayMaker, two_sites: tuple[Site, Site], name: str
) -> None:
    gateway = new_gateway(both(two_sites), upstream='balance = "client-ip"\nretry_for = "1s"')

    def asked(what: str) -> list[int]:
        for _ in range(4):
            assert gateway.get(f"/echo/?{name}-{what}.").status == 200
        return [len(site.journal(f"{name}-{what}.")) for site in two_sites]

    before = asked("before")
    home = two_sites[before.index(4)]
    home.kill()
    assert asked("moved") == before[::-1]
    home.start()
    until(lambda: gateway.get().status == 200 and servers_up(gateway) == 2, "the trial")
    assert asked("back") == before


def test_a_form_is_sent_to_a_server_that_is_there_and_once(
    new_gateway: GatewayMaker, two_sites: tuple[Site, Site], name: str
) -> None:
    gateway = new_gateway(both(two_sites), upstream='balance = "round-robin"\nretry_for = "0s"')
    away, there = two_sites
    assert gateway.get("/").status == 200 and gateway.get("/").status == 200
    away.kill()
    for number in range(10):
        answer = gateway.request("POST", f"/echo/?{name}-{number}.", body=b"order one book")
        assert answer.status == 200 and answer.json()["body"] == "order one book"
        assert len(there.journal(f"{name}-{number}.")) == 1
    assert servers_up(gateway) == 1
    log = gateway.process.log.read_text()
    assert log.count("Server is out") == 1 and away.server in log


def test_a_gunicorn_that_is_stuck_is_found_by_its_checks(
    new_gateway: GatewayMaker, two_sites: tuple[Site, Site], name: str
) -> None:
    health = 'health = { path = "/", every = "50ms", timeout = "300ms", fails = 2 }'
    gateway = new_gateway(both(two_sites), upstream=f'balance = "round-robin"\n{health}')
    assert servers_up(gateway) == 2
    with ThreadPoolExecutor(1) as background:
        waiting = background.submit(gateway.get, f"/gate/{name}/")
        until(lambda: servers_up(gateway) == 1, "the stuck one to be out")
        (stuck,) = (site for site in two_sites if site.journal(f"/gate/{name}/"))
        for number in range(6):
            assert gateway.get(f"/echo/?{name}-{number}").status == 200
        assert not stuck.journal(f"/echo/?{name}")
        stuck.open_gate(name)
        assert waiting.result(30).status == 200
    until(lambda: servers_up(gateway) == 2, "it to be back")


@pytest.fixture
def secure_site(new_site: SiteMaker, tmp_path: Path) -> Site:
    # With threads, for the sync worker closes after each answer.
    return new_site("tcp", threads=4, certificate=write_certificate(tmp_path))


def trusted(site: Site, name: str) -> str:
    assert site.certificate
    return f'tls = {{ ca = "{site.certificate[0]}"{name} }}'


NAME = ', name = "site.test"'


def test_gunicorn_behind_https(new_gateway: GatewayMaker, secure_site: Site) -> None:
    gateway = new_gateway(secure_site, upstream=trusted(secure_site, NAME))
    for number in range(5):
        body = bytes([48 + number]) * 100_000
        echo = gateway.request("POST" if number == 3 else "GET", "/echo/", body=body).json()
        # The visitor came by http, whatever the way behind the gateway is.
        assert (echo["host"], echo["is_secure"], echo["length"]) == ("site.test", False, 100_000)
    assert len(gateway.get("/download/1000000/").body) == 1_000_000
    # Python sends its tickets after the handshake; they are no reason for a new connection.
    assert metric(gateway, 'upstream_connects_total{upstream="django"}') == 1


def test_a_stream_is_asked_for_behind_https(new_gateway: GatewayMaker, secure_site: Site, name: str) -> None:
    gateway = new_gateway(secure_site, upstream=trusted(secure_site, NAME))
    answer = gateway.get(f"/ask/{name}/?status=403", headers={"Accept": "text/event-stream"})
    assert answer.status == 403


def test_a_certificate_for_another_name_is_told_and_nothing_is_sent(
    new_gateway: GatewayMaker, secure_site: Site, name: str
) -> None:
    gateway = new_gateway(secure_site, upstream=trusted(secure_site, ""))
    assert gateway.get(f"/echo/?{name}").status == 502
    assert not secure_site.journal(name)
    assert "its certificate is for another name" in gateway.process.log.read_text()


def test_check_shakes_hands(new_gateway: GatewayMaker, secure_site: Site) -> None:
    good = new_gateway(secure_site, start=False, upstream=trusted(secure_site, NAME))
    checked = run_cli("check", "--online", "-c", str(good.config))
    assert checked.returncode == 0, checked
    bad = new_gateway(secure_site, start=False, upstream=trusted(secure_site, ""))
    checked = run_cli("check", "--online", "-c", str(bad.config))
    assert checked.returncode == 69 and b"its certificate is for another name" in checked.stderr, checked
