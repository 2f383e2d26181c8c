"""Ordinary requests: what Django gets and what the client gets back."""

import hashlib
import time
from pathlib import Path

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site, cookie_header, keep_alive, log_in
from wire import Answer, Reader, chunked, connect, exchange, head_bytes, send

PIECE = bytes(range(256)) * 256


def test_a_page_comes_through_as_django_wrote_it(pair: tuple[Gateway, Site]) -> None:
    gateway, _ = pair
    answer = gateway.get("/")
    assert answer.status == 200 and answer.complete
    assert "Hello stranger" in answer.text
    assert answer.header("Content-Type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_method_path_query_and_body_reach_django_unchanged(gateway: Gateway, method: str) -> None:
    target = "/echo/caf%C3%A9/a%20b/?q=1&q=2&empty=&slash=%2F"
    echo = gateway.request(method, target, body=b"\x00\xff body").json()
    assert echo["method"] == method
    assert echo["full_path"] == target
    assert echo["body"] == "\x00ÿ body"


def test_head_answers_the_head_alone(gateway: Gateway, name: str) -> None:
    head, get = keep_alive_pair(gateway, f"/echo/{name}/")
    assert head.status == get.status == 200
    assert head.header("X-Echo") == "yes" and head.body == b""
    # The next answer on the connection is read from its first byte on, so no body was sent after the head.
    assert get.json()["method"] == "GET"


def keep_alive_pair(gateway: Gateway, target: str) -> tuple[Answer, Answer]:
    with connect(gateway.http) as conn:
        reader = Reader(conn)
        conn.sendall(head_bytes("HEAD", target, "site.test"))
        head = reader.answer("HEAD")
        conn.sendall(head_bytes("GET", target, "site.test"))
        return head, reader.answer()


@pytest.mark.parametrize("status", [204, 304, 404, 500, 503])
def test_a_status_of_django_is_passed_on(gateway: Gateway, status: int) -> None:
    answer = gateway.get(f"/status/{status}/")
    assert answer.status == status and answer.complete
    assert answer.body == (b"" if status in (204, 304) else f"status {status}".encode())


def test_a_connection_serves_many_requests(gateway: Gateway) -> None:
    answers = keep_alive(gateway.http, [head_bytes("GET", f"/echo/{n}/", "site.test") for n in range(20)])
    assert [answer.json()["path"] for answer in answers] == [f"/echo/{n}/" for n in range(20)]


def test_requests_sent_all_at_once_are_answered_in_order(gateway: Gateway) -> None:
    with connect(gateway.http) as conn:
        conn.sendall(b"".join(head_bytes("GET", f"/echo/{n}/", "site.test") for n in range(5)))
        reader = Reader(conn)
        assert [reader.answer().json()["path"] for _ in range(5)] == [f"/echo/{n}/" for n in range(5)]


def test_the_gateway_listens_on_a_unix_socket_too(
    site: Site, new_gateway: GatewayMaker, folder: Path, name: str
) -> None:
    gateway = new_gateway(site, http=str(folder / f"{name}.sock"), internal=str(folder / f"{name}-internal.sock"))
    assert gateway.get("/echo/").status == 200


# -- hosts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.test", "site.test.evil.test", "evil.test:80", "10.0.0.1"])
def test_a_host_that_is_not_ours_gets_421_and_never_reaches_django(
    gateway: Gateway, site: Site, name: str, host: str
) -> None:
    assert gateway.get(f"/echo/{name}/", host=host).status == 421
    assert site.journal(name) == []


@pytest.mark.parametrize("host", ["site.test", "SITE.test", "site.test:8080", "localhost", "127.0.0.1:80"])
def test_our_hosts_are_known_with_any_port_and_in_any_case(gateway: Gateway, host: str) -> None:
    assert gateway.get("/echo/", host=host).json()["meta"]["HTTP_HOST"] == host


# -- uploads ---------------------------------------------------------------------------------


def digest_of(size: int) -> tuple[bytes, str]:
    body = (PIECE * (size // len(PIECE) + 1))[:size]
    return body, hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001, 9_000_000])
def test_an_upload_with_a_length_arrives_whole(pair: tuple[Gateway, Site], size: int) -> None:
    gateway, _ = pair
    body, digest = digest_of(size)
    arrived = gateway.request("POST", "/upload/", body=body).json()
    assert (arrived["length"], arrived["sha256"]) == (size, digest)
    assert arrived["content_length"] == str(size)


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001])
def test_a_chunked_upload_arrives_whole_with_a_length(pair: tuple[Gateway, Site], size: int) -> None:
    gateway, _ = pair
    body, digest = digest_of(size)
    # Chunks of many sizes, none a divisor of a buffer's.
    step = 9973
    data = head_bytes("POST", "/upload/", "site.test", {"Transfer-Encoding": "chunked"})
    data += chunked(body[at : at + step] for at in range(0, size, step))
    arrived = send(gateway.http, data).json()
    assert (arrived["length"], arrived["sha256"]) == (size, digest)
    assert arrived["content_length"] == str(size) and arrived["transfer_encoding"] is None


def test_a_slow_chunked_upload_does_not_hold_the_worker(gateway: Gateway) -> None:
    with connect(gateway.http) as conn:
        conn.sendall(head_bytes("POST", "/upload/", "site.test", {"Transfer-Encoding": "chunked"}) + b"3\r\nabc\r\n")
        assert gateway.get("/").status == 200, "a page while the upload is under way"
        conn.sendall(b"3\r\ndef\r\n0\r\n\r\n")
        assert Reader(conn).answer().json()["length"] == 6


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(gateway: Gateway) -> None:
    with connect(gateway.http) as conn:
        conn.sendall(head_bytes("POST", "/upload/", "site.test", {"Content-Length": "5", "Expect": "100-continue"}))
        reader = Reader(conn)
        assert reader.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        conn.sendall(b"hello")
        assert reader.answer().json()["length"] == 5


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_above_the_limit_gets_413(site: Site, new_gateway: GatewayMaker, name: str, framing: str) -> None:
    gateway = new_gateway(site, limits='body = "64KiB"')
    target, body = f"/upload/?{name}", b"x" * 65_537
    if framing == "length":
        answer = gateway.request("POST", target, body=body)
    else:
        head = head_bytes("POST", target, "site.test", {"Transfer-Encoding": "chunked"})
        answer = send(gateway.http, head + chunked([body]))
    assert answer.status == 413
    assert site.journal(name) == []
    assert gateway.request("POST", target, body=body[1:]).json()["length"] == 65_536


def test_a_413_comes_before_the_body_is_sent(gateway: Gateway) -> None:
    with connect(gateway.http) as conn:
        conn.sendall(head_bytes("POST", "/upload/", "site.test", {"Content-Length": str(1 << 40)}))
        assert Reader(conn).answer().status == 413


def test_a_head_above_the_limit_gets_431(gateway: Gateway, site: Site, name: str) -> None:
    answer, closed = exchange(gateway.http, head_bytes("GET", f"/echo/{name}/", "site.test", {"X-Big": "x" * 40_000}))
    assert answer.status == 431 and closed
    assert site.journal(name) == []


# -- downloads -------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?length"])
@pytest.mark.parametrize("size", [0, 1, 65_536, 20_000_003])
def test_a_download_arrives_whole(pair: tuple[Gateway, Site], size: int, query: str) -> None:
    gateway, _ = pair
    _, digest = digest_of(size)
    answer = gateway.get(f"/download/{size}/{query}")
    assert answer.complete
    assert (len(answer.body), hashlib.sha256(answer.body).hexdigest()) == (size, digest)
    if query:
        assert answer.header("Content-Length") == str(size)


def test_an_http_1_0_client_gets_no_chunks(gateway: Gateway) -> None:
    with connect(gateway.http) as conn:
        conn.sendall(b"GET /download/100000/ HTTP/1.0\r\nHost: site.test\r\n\r\n")
        answer = Reader(conn).answer()
    assert answer.header("Transfer-Encoding") is None
    assert len(answer.body) == 100_000


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
def test_a_streaming_view_is_passed_through_as_it_writes(gateway: Gateway, site: Site, name: str, kind: str) -> None:
    with connect(gateway.http) as conn:
        conn.sendall(head_bytes("GET", f"/stream/{name}/?type={kind}", "site.test"))
        reader = Reader(conn)
        answer = reader.head()
        assert answer.status == 200 and answer.header("Content-Type") == kind
        # The view waits at its gate now, so what is read here did not wait for the end of the view.
        first = reader.until(b"data: first\n\n")
        assert first is not None
        site.open_gate(name)
        assert reader.until(b"event: done\ndata: last\n\n") is not None


def test_an_answer_that_nobody_reads_any_more_frees_the_worker(gateway: Gateway, name: str) -> None:
    conn = connect(gateway.http)
    conn.sendall(head_bytes("GET", "/download/200000000/", "site.test"))
    assert Reader(conn).head().status == 200
    conn.close()
    assert gateway.get("/").status == 200


def test_the_cookie_of_a_login_works_and_set_cookie_lines_stay_apart(gateway: Gateway) -> None:
    form = gateway.get("/login/")
    assert len(form.all("Set-Cookie")) == 1
    cookies = log_in(gateway.http, "anna")
    assert {"csrftoken", "sessionid"} <= set(cookies)
    assert "Hello anna" in gateway.get("/", headers={"Cookie": cookie_header(cookies)}).text


def test_a_slow_page_is_waited_for(gateway: Gateway) -> None:
    start = time.monotonic()
    assert gateway.get("/slow/300/").text == "slow"
    assert time.monotonic() - start >= 0.3
