"""The header contract (docs/configuration.md), seen from Django's side over TCP and over a unix socket."""

from collections.abc import Sequence

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site
from streams import Listeners
from wire import exchange, request, send

Pair = tuple[Gateway, Site]


def echo(gateway: Gateway, headers: Sequence[tuple[str, str]], target: str = "/echo/") -> dict:
    """What Django made of a request with these headers."""
    answer = gateway.get(target, headers=headers)
    assert answer.status == 200, answer
    return answer.json()


def test_gunicorn_itself_believes_these_headers(pair: Pair) -> None:
    """Without this the tests below could pass for another reason than the gateway."""
    _, site = pair
    forged = {"SCRIPT_NAME": "/info", "X_FORWARDED_PROTO": "https", "Proxy": "http://evil.test"}
    answer = request(site.address, target="/info/admin/echo/", headers=forged).json()
    assert answer["meta"]["SCRIPT_NAME"] == "/info"
    assert answer["meta"]["HTTP_X_FORWARDED_PROTO"] == "https" and answer["is_secure"]
    assert answer["meta"]["HTTP_PROXY"] == "http://evil.test"


def test_script_name_does_not_lead_to_another_view(pair: Pair) -> None:
    gateway, _ = pair
    answer = gateway.get("/info/admin/echo/", headers={"SCRIPT_NAME": "/info"})
    assert answer.status == 404, "no such path for Django"
    assert echo(gateway, [("SCRIPT_NAME", "/echo"), ("PATH_INFO", "/admin/")])["meta"]["SCRIPT_NAME"] == ""


UNDERSCORES = [
    "X_FORWARDED_PROTO",
    "X_Forwarded_For",
    "X_FORWARDED-FOR",
    "X_Real_IP",
    "REMOTE_USER",
    "PATH_INFO",
    "CONTENT_LENGTH",
    "Content_Type",
    "a_b",
    "_",
]


@pytest.mark.parametrize("header", UNDERSCORES)
def test_no_name_with_an_underscore_reaches_django(pair: Pair, header: str) -> None:
    gateway, _ = pair
    answer = echo(gateway, [(header, "forged")])
    assert "forged" not in answer["meta"].values()
    assert not answer["is_secure"]


REMOVED = [
    "Forwarded",
    "X-Forwarded-Ssl",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Prefix",
    "X-Scheme",
    "X-Sendfile",
    "X-Accel-Redirect",
    "X-Accel-Buffering",
    "SSE-Ask",
    "SSE-Channel",
    "SSE-Stream",
    "SSE-Anything",
    "Grip-Sig",
    "Grip-Channel",
    "Proxy",
    # Hop by hop:
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "TE",
    "Trailer",
]


@pytest.mark.parametrize("header", REMOVED)
def test_django_never_sees(pair: Pair, header: str) -> None:
    gateway, _ = pair
    answer = echo(gateway, [(header, "forged"), (header.lower(), "forged again")])
    assert not [key for key, value in answer["meta"].items() if "forged" in value]


def test_django_is_told_where_the_request_came_from(pair: Pair) -> None:
    gateway, _ = pair
    port = str(gateway.http[1])
    answer = gateway.get("/echo/", host=f"site.test:{port}").json()
    meta = answer["meta"]
    assert meta["HTTP_HOST"] == meta["HTTP_X_FORWARDED_HOST"] == f"site.test:{port}"
    assert meta["HTTP_X_FORWARDED_FOR"] == meta["HTTP_X_REAL_IP"] == "127.0.0.1"
    assert meta["HTTP_X_FORWARDED_PROTO"] == "http" and not answer["is_secure"]
    assert meta["HTTP_X_FORWARDED_PORT"] == port
    assert meta["HTTP_X_REQUEST_ID"]


OURS = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "X-Request-ID"]


@pytest.mark.parametrize("header", OURS)
@pytest.mark.parametrize("connection", [None, "named"])
def test_a_client_can_neither_set_nor_remove(pair: Pair, header: str, connection: str | None) -> None:
    gateway, _ = pair
    headers = [(header, "6.6.6.6"), (header.lower(), "https"), (header.upper(), "evil.test")]
    if connection:
        # The hop-by-hop trick: named in Connection, a header of the proxy's own may get lost.
        headers.append(("Connection", header))
    answer = echo(gateway, headers)
    value = answer["meta"]["HTTP_" + header.upper().replace("-", "_")]
    assert value and not any(forged in value for forged in ("6.6.6.6", "https", "evil.test"))
    assert not answer["is_secure"]


def test_every_request_has_an_id_of_its_own(gateway: Gateway) -> None:
    assert len({echo(gateway, [])["meta"]["HTTP_X_REQUEST_ID"] for _ in range(5)}) == 5


def test_django_is_told_the_place_in_the_log(pair: Pair, listeners: Listeners, name: str) -> None:
    gateway, _ = pair
    gateway.publish(f"room-{name}", "on the page already")
    cursor = echo(gateway, [("SSE-Cursor", "forged")])["meta"]["HTTP_SSE_CURSOR"]
    gateway.publish(f"room-{name}", "between page and stream")
    stream = listeners.open(gateway.http, f"/rooms/{name}/events/?last-event-id={cursor}")
    listeners.until_data("between page and stream", [stream])
    assert stream.data == ["between page and stream"]


def test_what_connection_names_is_removed(pair: Pair) -> None:
    gateway, _ = pair
    answer = echo(gateway, [("Connection", "X-One, x-two"), ("X-One", "1"), ("X-Two", "2"), ("X-Three", "3")])
    assert "HTTP_X_ONE" not in answer["meta"] and "HTTP_X_TWO" not in answer["meta"]
    assert answer["meta"]["HTTP_X_THREE"] == "3"


@pytest.mark.parametrize("names", ["Host", "Content-Length", "Cookie, Host"])
def test_naming_what_a_request_needs_does_not_break_it(pair: Pair, names: str) -> None:
    gateway, _ = pair
    answer = gateway.request("POST", "/echo/", headers={"Connection": names}, body=b"hello")
    # Refusing is right too; a request with another host or another body than sent is not.
    assert answer.status == 400 or (answer.json()["host"], answer.json()["body"]) == ("site.test", "hello")


def test_other_headers_reach_django_as_they_are(pair: Pair) -> None:
    gateway, _ = pair
    sent = {
        "Accept": "text/html;q=0.9, */*",
        "Accept-Language": "de, en;q=0.5",
        "Authorization": "Bearer abc.def",
        "Cookie": "a=1; b=2",
        "If-None-Match": 'W/"abc"',
        "Origin": "https://app.example.com",
        "Range": "bytes=0-5",
        "User-Agent": "tests/1.0 (x; y)",
        "X-CSRFToken": "t",
        "X-Requested-With": "XMLHttpRequest",
        "X-Empty": "",
        "X-Latin": "caf\xe9",
    }
    meta = echo(gateway, list(sent.items()))["meta"]
    for header, value in sent.items():
        assert meta["HTTP_" + header.upper().replace("-", "_")] == value


def test_a_trusted_peer_hands_on_the_chain_and_nobody_else_does(site: Site, new_gateway: GatewayMaker) -> None:
    gateway = new_gateway(site, more='[trust]\nproxies = ["127.0.0.1/32"]')
    answer = echo(gateway, [("X-Forwarded-For", "6.6.6.6, 192.0.2.7"), ("X_Forwarded_For", "7.7.7.7")])
    # 192.0.2.7 is what the trusted peer saw; what that one said before is its own claim.
    assert answer["meta"]["HTTP_X_FORWARDED_FOR"].endswith("192.0.2.7, 127.0.0.1")
    assert answer["meta"]["HTTP_X_REAL_IP"] == "192.0.2.7"
    assert "7.7.7.7" not in answer["meta"].values()


def test_an_absolute_target_cannot_name_another_host(pair: Pair, name: str) -> None:
    gateway, site = pair
    answer = gateway.get(f"http://evil.test/echo/{name}/", host="site.test")
    assert answer.status in (400, 421)
    assert site.journal(name) == []


# -- ambiguous messages ----------------------------------------------------------------------

SMUGGLED = b"GET /echo/smuggled-%s/ HTTP/1.1\r\nHost: site.test\r\n\r\n"

# Each is the whole of a request after its request line. {s} stands for a second request, which must never be run, and
# {n} for its length.
CHUNKED = b"Host: site.test\r\nTransfer-Encoding: chunked\r\n\r\n"
AMBIGUOUS = {
    "two different lengths": b"Host: site.test\r\nContent-Length: 0\r\nContent-Length: {n}\r\n\r\n{s}",
    "two equal lengths": b"Host: site.test\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": b"Host: site.test\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a length and chunked": b"Host: site.test\r\nContent-Length: {n}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{s}",
    "chunked and a length": b"Host: site.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n{s}",
    "a length with a sign": b"Host: site.test\r\nContent-Length: +5\r\n\r\nhello",
    "a length in hexadecimal": b"Host: site.test\r\nContent-Length: 0x5\r\n\r\nhello",
    "a length with an underscore": b"Host: site.test\r\nContent-Length: 1_0\r\n\r\nhellohello",
    "a negative length": b"Host: site.test\r\nContent-Length: -1\r\n\r\n{s}",
    "a length beyond 64 bits": b"Host: site.test\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    "an empty length": b"Host: site.test\r\nContent-Length: \r\n\r\n{s}",
    "chunked that is not last": b"Host: site.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{s}",
    "an unknown transfer coding": b"Host: site.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{s}",
    "chunked twice": b"Host: site.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{s}",
    "a vertical tab before chunked": b"Host: site.test\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{s}",
    "bare LF everywhere": b"Host: site.test\nX-One: 1\n\n",
    "bare LF after one header": b"Host: site.test\r\nX-One: 1\nX-Two: 2\r\n\r\n",
    "bare LF at the end of the head": b"Host: site.test\r\n\n",
    "bare CR in a value": b"Host: site.test\r\nX-One: 1\rX-Two: 2\r\n\r\n",
    "a folded line": b"Host: site.test\r\nX-One: 1\r\n 2\r\n\r\n",
    "a line folded with a tab": b"Host: site.test\r\nX-One: 1\r\n\tX-Two: 2\r\n\r\n",
    "a folded first line": b" Host: evil.test\r\nHost: site.test\r\n\r\n",
    "a space before the colon": b"Host: site.test\r\nX-One : 1\r\n\r\n",
    "a space before the colon of a length": b"Host: site.test\r\nContent-Length : 5\r\n\r\nhello",
    "a tab before the colon": b"Host: site.test\r\nX-One\t: 1\r\n\r\n",
    "a header without a name": b"Host: site.test\r\n: 1\r\n\r\n",
    "a header without a colon": b"Host: site.test\r\nX-One\r\n\r\n",
    "NUL in a value": b"Host: site.test\r\nX-One: a\x00b\r\n\r\n",
    "NUL in a name": b"Host: site.test\r\nX-\x00One: 1\r\n\r\n",
    "two hosts": b"Host: site.test\r\nHost: evil.test\r\n\r\n",
    "bare LF after a chunk's size": CHUNKED + b"5\nhello\r\n0\r\n\r\n{s}",
    "a chunk longer than its size": CHUNKED + b"5\r\nhelloXX0\r\n\r\n{s}",
    "a chunk size with a sign": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n{s}",
    "a chunk size beyond 64 bits": CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n{s}",
}


@pytest.mark.parametrize("message", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_message_gets_400_a_close_and_never_reaches_django(pair: Pair, name: str, message: bytes) -> None:
    gateway, site = pair
    smuggled = SMUGGLED % name.encode()
    rest = message.replace(b"{s}", smuggled).replace(b"{n}", b"%d" % len(smuggled))
    answer, closed = exchange(gateway.http, f"POST /echo/{name}/ HTTP/1.1\r\n".encode() + rest)
    assert answer.status == 400
    assert closed, "the connection stays open after a message whose end is anybody's guess"
    assert site.journal(name) == []


def test_a_request_without_a_host_gets_400(gateway: Gateway, site: Site, name: str) -> None:
    assert send(gateway.http, f"GET /echo/{name}/ HTTP/1.1\r\n\r\n".encode()).status == 400
    assert site.journal(name) == []


REQUEST_LINES = {
    "three spaces": b"GET  /echo/{}/ HTTP/1.1",
    "a tab": b"GET\t/echo/{}/\tHTTP/1.1",
    "a space in the path": b"GET /echo/{}/ x HTTP/1.1",
    "a control byte in the path": b"GET /echo/{}/\x01 HTTP/1.1",
    "an unknown version": b"GET /echo/{}/ HTTP/1.2.3",
    "lower case": b"GET /echo/{}/ http/1.1",
    "bare LF": b"GET /echo/{}/ HTTP/1.1\nX: 1",
}


@pytest.mark.parametrize("line", REQUEST_LINES.values(), ids=REQUEST_LINES.keys())
def test_a_malformed_request_line_gets_an_error_and_never_reaches_django(pair: Pair, name: str, line: bytes) -> None:
    gateway, site = pair
    data = line.replace(b"{}", name.encode()) + b"\r\nHost: site.test\r\n\r\n"
    answer, closed = exchange(gateway.http, data)
    assert 400 <= answer.status < 600 and closed
    assert site.journal(name) == []
