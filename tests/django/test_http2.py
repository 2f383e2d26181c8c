"""HTTP/2 by prior knowledge on the plain port."""

import hashlib

import pytest

from harness import Gateway, Site, until
from http2 import Http2, Reset
from streams import Parser


def test_pages_come_over_http2(pair: tuple[Gateway, Site]) -> None:
    gateway, _ = pair
    with Http2(gateway.http) as conn:
        for number in range(3):
            answer = conn.request("GET", f"/echo/{number}/?q=1")
            assert answer.status == 200
            echo = answer.json()
            assert echo["full_path"] == f"/echo/{number}/?q=1"
            assert echo["meta"]["HTTP_HOST"] == "site.test"
            assert echo["meta"]["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
            # Of the connection between gateway and Django nothing is told to the client.
            assert answer.header("Connection") is None and answer.header("Transfer-Encoding") is None


@pytest.mark.parametrize("size", [1, 65_536, 3_000_001])
def test_an_upload_over_http2_arrives_whole_with_a_length(pair: tuple[Gateway, Site], size: int) -> None:
    gateway, _ = pair
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    with Http2(gateway.http) as conn:
        arrived = conn.request("POST", "/upload/", parts=[body[at : at + 9973] for at in range(0, size, 9973)]).json()
    assert (arrived["length"], arrived["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert arrived["content_length"] == str(size) and arrived["transfer_encoding"] is None


def test_a_post_without_a_body_over_http2_reaches_django(gateway: Gateway) -> None:
    with Http2(gateway.http) as conn:
        echo = conn.request("POST", "/echo/").json()
    assert (echo["method"], echo["length"]) == ("POST", 0)


def test_a_large_download_over_http2_arrives_whole(gateway: Gateway) -> None:
    with Http2(gateway.http) as conn:
        answer = conn.request("GET", "/download/5000000/")
    assert len(answer.body) == 5_000_000
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256((bytes(range(256)) * 19_532)[:5_000_000]).digest()


def test_cookies_in_crumbs_are_one_header_for_django(gateway: Gateway) -> None:
    with Http2(gateway.http) as conn:
        echo = conn.request("GET", "/echo/", headers=[("cookie", "a=1"), ("cookie", "b=2")]).json()
    assert echo["cookies"] == {"a": "1", "b": "2"}


def test_the_header_contract_holds_over_http2(pair: tuple[Gateway, Site]) -> None:
    gateway, _ = pair
    forged = ["script_name", "x_forwarded_proto", "x-forwarded-for", "x-forwarded-ssl", "proxy", "sse-ask", "forwarded"]
    with Http2(gateway.http) as conn:
        echo = conn.request("GET", "/echo/", headers=[(header, "forged") for header in forged]).json()
    assert "forged" not in echo["meta"].values()
    assert echo["meta"]["HTTP_X_FORWARDED_PROTO"] == "http" and not echo["is_secure"]


def test_another_host_gets_421_over_http2(gateway: Gateway, site: Site, name: str) -> None:
    with Http2(gateway.http) as conn:
        assert conn.request("GET", f"/echo/{name}/", host="evil.test").status == 421
    assert site.journal(name) == []


MALFORMED = [
    ("transfer-encoding", "chunked"),
    ("connection", "close"),
    ("content-length", "3"),
    ("host", "evil.test"),
    ("X-Upper", "1"),
    ("x-line", "a\r\nx-forwarded-proto: https"),
    ("x-line", "a\nb"),
    ("x-nul", "a\0b"),
    ("x name", "1"),
    ("x-colon:", "1"),
]


@pytest.mark.parametrize("header", MALFORMED, ids=repr)
def test_a_malformed_request_over_http2_never_reaches_django(
    pair: tuple[Gateway, Site], name: str, header: tuple[str, str]
) -> None:
    gateway, site = pair
    with Http2(gateway.http, careless=True) as conn:
        try:
            answer = conn.request("POST", f"/echo/{name}/", headers=[header], parts=[b"hello"])
            assert 400 <= answer.status < 500
        except (Reset, ConnectionError):
            pass  # as RFC 9113 has it, 8.1.1
    assert site.journal(name) == []


def test_a_stream_over_http2_gets_its_events(gateway: Gateway, name: str) -> None:
    with Http2(gateway.http) as conn:
        parser = Parser()
        number = conn.send("GET", f"/ask/{name}/?channel={name}", headers={"accept": "text/event-stream"})
        # The place it starts from comes first, and no event is needed for it.
        while not parser.last_id:
            conn.listen_once(number, parser)
        for data in ("one", "two"):
            assert gateway.publish(name, data)["streams"] == 1
        while len(parser.events) < 2:
            conn.listen_once(number, parser)
    assert [event.data for event in parser.events] == ["one", "two"]


def test_a_stream_and_a_page_share_a_connection(gateway: Gateway, name: str) -> None:
    with Http2(gateway.http) as conn:
        number = conn.send("GET", f"/rooms/{name}/events/")
        parser = Parser()
        while not parser.last_id:
            conn.listen_once(number, parser)
        assert conn.request("GET", "/echo/").status == 200
        gateway.publish(f"room-{name}", "hi")
        while not parser.events:
            conn.listen_once(number, parser)


def test_a_client_that_leaves_over_http2_is_noticed(gateway: Gateway, name: str) -> None:
    with Http2(gateway.http) as conn:
        number, parser = conn.send("GET", f"/rooms/{name}/events/"), Parser()
        while not parser.last_id:
            conn.listen_once(number, parser)
        assert gateway.streams_on(f"room-{name}") == 1
        conn.h2.reset_stream(number)
        conn.flush()
        until(lambda: gateway.streams_on(f"room-{name}") == 0, "the stream to be gone", timeout=5)
