"""What a client sees when gunicorn is slow, dies, is gone, or comes back."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Site, free_port, until
from http2 import Http2, Reset
from wire import Answer, chunked, head_bytes, send


@pytest.fixture(params=["unix", "tcp"])
def own_pair(request: pytest.FixtureRequest, new_site: SiteMaker, new_gateway: GatewayMaker) -> tuple[Gateway, Site]:
    """A site that may be killed, and a gateway in front of it."""
    site = new_site(request.param)
    return new_gateway(site), site


def in_background(call: Callable[[], Answer]) -> Callable[[], Answer]:
    """Start a request now; calling what is returned waits for its answer."""
    future = ThreadPoolExecutor(1).submit(call)
    return lambda: future.result(30)


@pytest.mark.parametrize("how", ["chunked", "length"])
def test_an_upstream_that_dies_in_the_body_breaks_the_answer(own_pair: tuple[Gateway, Site], how: str) -> None:
    gateway, _ = own_pair
    answer = gateway.get(f"/dies/{how}/")
    assert answer.status == 200 and not answer.complete
    # Neither framing may look whole: chunked without its last chunk, or fewer bytes than announced.
    assert answer.header("Transfer-Encoding") == "chunked" or int(answer.header("Content-Length") or 0) == 1000
    assert b"the first half".startswith(answer.body)


@pytest.mark.parametrize("how", ["chunked", "length"])
def test_over_http2_too(own_pair: tuple[Gateway, Site], how: str) -> None:
    gateway, _ = own_pair
    with Http2(gateway.http) as conn, pytest.raises((Reset, ConnectionError)):
        conn.request("GET", f"/dies/{how}/")


def test_the_site_goes_on_after_its_worker_died(own_pair: tuple[Gateway, Site]) -> None:
    gateway, _ = own_pair
    gateway.get("/dies/chunked/")
    assert gateway.get("/").status == 200


def test_a_post_whose_worker_died_is_answered_502_and_not_sent_again(own_pair: tuple[Gateway, Site], name: str) -> None:
    gateway, site = own_pair
    assert gateway.request("POST", f"/dies/before/?{name}", body=b"order one book").status == 502
    assert len(site.journal(name)) == 1


def test_a_get_whose_worker_died_is_sent_again(own_pair: tuple[Gateway, Site], name: str) -> None:
    gateway, site = own_pair
    # Whoever comes first kills the worker; whoever comes later gets a page.
    site.script(name, kill="")
    answer = in_background(lambda: gateway.get(f"/asked/{name}/"))
    until(lambda: site.journal(name), "the request to reach Django")
    site.script(name, body="here")
    assert (answer().status, answer().text) == (200, "here")
    assert len(site.journal(name)) >= 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_made_while_gunicorn_is_down_waits_for_it(
    own_pair: tuple[Gateway, Site], name: str, method: str
) -> None:
    gateway, site = own_pair
    site.kill()
    body = b"sent once" if method == "POST" else None
    answer = in_background(lambda: gateway.request(method, f"/echo/{name}/", body=body))
    site.start()
    assert answer().status == 200
    assert answer().json()["body"] == ("sent once" if body else "")
    assert len(site.journal(name)) == 1


def test_a_chunked_post_made_while_gunicorn_is_down_arrives_whole(own_pair: tuple[Gateway, Site]) -> None:
    gateway, site = own_pair
    site.kill()
    data = head_bytes("POST", "/upload/", "site.test", {"Transfer-Encoding": "chunked"}) + chunked([b"x" * 100_000])
    answer = in_background(lambda: send(gateway.http, data))
    site.start()
    assert answer().json()["length"] == 100_000


def test_a_page_is_found_through_five_restarts(own_pair: tuple[Gateway, Site]) -> None:
    gateway, site = own_pair
    stop = threading.Event()

    def visit(seen: list[int]) -> None:
        while not stop.is_set():
            seen.append(gateway.get("/").status)

    pages: list[list[int]] = [[], [], []]
    visitors = [ThreadPoolExecutor(1).submit(visit, seen) for seen in pages]
    for _ in range(5):
        site.restart()
        before = [len(seen) for seen in pages]
        # One request is not sent more than five times, so none must meet with every restart.
        until(
            lambda before=before: all(len(seen) > count for seen, count in zip(pages, before, strict=True)),
            "a page for each",
        )
    stop.set()
    for visitor in visitors:
        visitor.result(30)
    assert {status for seen in pages for status in seen} == {200}


def test_over_kept_connections_every_post_arrives_once(
    new_site: SiteMaker, new_gateway: GatewayMaker, name: str
) -> None:
    # The threaded worker keeps connections open, which the sync worker never does.
    site = new_site(threads=4)
    gateway = new_gateway(site)
    for number in range(300):
        assert gateway.request("POST", f"/echo/{name}/{number}/", body=b"x").status == 200
    assert [seen["path"] for seen in site.journal(name)] == [f"/echo/{name}/{number}/" for number in range(300)]


@pytest.mark.parametrize("bind", ["unix", "tcp"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_upstream_that_does_not_come_back_gets_502(
    new_gateway: GatewayMaker, folder: Path, name: str, bind: str, method: str
) -> None:
    nobody = f"unix:{folder}/{name}.sock" if bind == "unix" else f"127.0.0.1:{free_port()}"
    gateway = new_gateway(nobody, upstream='retry_for = "300ms"')
    assert gateway.request(method, "/", body=b"" if method == "POST" else None).status == 502
    assert gateway.ready(), "the gateway itself is well"


def test_an_upstream_that_does_not_answer_in_time_gets_504(
    new_site: SiteMaker, new_gateway: GatewayMaker, name: str
) -> None:
    site = new_site()
    gateway = new_gateway(site, upstream='response_timeout = "300ms"')
    assert gateway.get(f"/gate/{name}/").status == 504
    site.open_gate(name)
    until(lambda: gateway.get("/").status == 200, "the worker to be free again")


def test_an_error_of_the_gateway_tells_nothing_about_the_inside(
    new_gateway: GatewayMaker, folder: Path, name: str
) -> None:
    gateway = new_gateway(f"unix:{folder}/{name}.sock", upstream='retry_for = "0s"')
    answer = gateway.get("/secret-path/")
    assert answer.status == 502
    assert str(folder) not in answer.text and "secret-path" not in answer.text
