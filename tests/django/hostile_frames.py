"""Hostile requests over HTTP/2, frame by frame: what they are, and what may become of them."""

from dataclasses import dataclass

from frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PRIORITISED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    Fields,
    block,
    frame,
    head,
    request,
    setting,
    window,
)
from hostile_cases import HIDDEN

SMUGGLED = "x\r\n\r\n" + HIDDEN.decode()


@dataclass(frozen=True)
class Case:
    """`name` says what is odd about the request on stream 1.

    `reaches`: as for a case over HTTP/1.1; without it nothing may reach the backend.
    """

    name: str
    frames: bytes
    reaches: tuple[str, list[str], bytes] | None = None
    never: tuple[str, str] | None = None

    def __str__(self) -> str:
        return self.name


def refused(name: str, fields: Fields, body: bytes | None = None) -> Case:
    return Case(name, message(fields, body))


def clear(name: str, fields: Fields, line: str, reach: list[str], body: bytes | None = None) -> Case:
    return Case(name, message(fields, body), (line, reach, body or b""))


def message(fields: Fields, body: bytes | None) -> bytes:
    if body is None:
        return request(1, fields)
    return request(1, fields, end=0) + frame(DATA, END_STREAM, 1, body)


def get(*more: tuple[str, str], **pseudo: str | None) -> list[tuple[str, str]]:
    return [*head(**pseudo), *more]  # type: ignore[arg-type]


def post(*more: tuple[str, str], **pseudo: str | None) -> list[tuple[str, str]]:
    return get(*more, path="/p", method="POST", **pseudo)


def without(left_out: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in head() if name != left_out]


GET, POST, HOST = "GET /g HTTP/1.1", "POST /p HTTP/1.1", "host: site.test"

PSEUDO = [
    *(
        refused(f"the path {path!r}", get(path=path))
        for path in [
            *("", "g", "?a=b", "*", "/a b", "/a\tb", "/a\0b", "/a\rb", "/a\nb", "/a#b", "/a\x7fb", " /a"),
            *("http://evil.test/g", "site.test:80", "/a/../admin/", "/a/%2e%2e/admin/", "/a%2f..%2fadmin/", "/a%00"),
            *("/a\\..\\admin/", "/a%5c..%5cadmin/", "/%c0%ae%c0%ae/", f"/ HTTP/1.1\r\nHost: a\r\nX: {SMUGGLED}"),
        ]
    ),
    *(
        refused(f"the method {method!r}", get(method=method))
        for method in ["", "GET ", "GET /admin", "G\0T", "GET / HTTP/1.1\r\nX: ", "G(T", "GET\t", "TRACE"]
    ),
    *(
        refused(f"the authority {host!r}", get(authority=host))
        for host in [
            *(
                "",
                "a b",
                "site.test/a",
                "site.test?a",
                "user@site.test",
                "site.test\r\nX: y",
                "site.test\0",
                "site.test:a",
            ),
            *("site.test, evil.test", "evil.test", "site.test:80:80", "[::1", "site.test#a", "site.test\\a"),
        ]
    ),
    *(refused(f"the scheme {scheme!r}", get(scheme=scheme)) for scheme in ["", "http\r\nX: y", "ht tp", "http://a/?"]),
    refused("no method", without(":method")),
    refused("no path", without(":path")),
    refused("no scheme", without(":scheme")),
    refused("no authority and no host", without(":authority")),
    refused("two methods", [(":method", "GET"), *get(method="POST")]),
    refused("two paths", [(":path", "/admin/"), *get()]),
    refused("two authorities", [(":authority", "evil.test"), *get()]),
    refused("a pseudo-header nobody knows", [(":x", "y"), *get()]),
    refused("a pseudo-header of an answer", [(":status", "200"), *get()]),
    refused("a pseudo-header behind a field", [("x", "y"), *get()]),
    refused("a pseudo-header behind a field, twice", [*get(("x", "y")), (":path", "/admin/")]),
    refused("another host", get(("host", "evil.test"))),
    refused("two hosts", get(("host", "site.test"), ("host", "evil.test"))),
    refused("CONNECT", [(":method", "CONNECT"), (":authority", "site.test:80")]),
    refused("an extended CONNECT", [(":protocol", "websocket"), *get(method="CONNECT")]),
    clear("a scheme that is not so", get(scheme="https"), GET, [HOST]),
    clear("a host that agrees", get(("host", "site.test")), GET, [HOST]),
    clear("a host in place of the authority", [*without(":authority"), ("host", "site.test")], GET, [HOST]),
]

FIELDS = [
    *(
        refused(f"the value {value!r}", get(("x", value)))
        for value in [SMUGGLED, "a\r\nx-forwarded-proto: https", "a\rb", "a\nb", "a\0b", "\n", "a\x7f", "a\x1b[2J"]
    ),
    *(
        refused(f"the name {name!r}", get((name, "y")))
        for name in [
            "",
            "X-Upper",
            "x y",
            "x ",
            " x",
            "x:",
            "x\r\ny",
            "x\0",
            "x\n",
            "x\xe9",
            "content-length: 5\r\nx",
            "x(y)",
        ]
    ),
    *(
        refused(f"{name}: {value}", get((name, value)))
        for name, value in [
            *(("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("connection", "x-secret")),
            *(("connection", "close"), ("upgrade", "h2c"), ("keep-alive", "timeout=9"), ("proxy-connection", "close")),
            *(("te", "gzip"), ("te", "trailers, chunked")),
        ]
    ),
    refused("transfer-encoding with a body", post(("transfer-encoding", "chunked")), b"0\r\n\r\n" + HIDDEN),
    refused("a cookie crumb with a line end", get(("cookie", "a=1"), ("cookie", f"b={SMUGGLED}"))),
    *(
        Case(f"the field {name}", message(get((name, "9.9.9.9")), None), (GET, [HOST], b""), (name, "9.9.9.9"))
        for name in [
            *(
                "x_forwarded_for",
                "x-forwarded_for",
                "script_name",
                "content_length",
                "transfer_encoding",
                "remote_user",
            ),
            *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-ssl", "x-real-ip", "forwarded"),
            *("proxy", "sse-ask", "http2-settings", "trailer", "expect"),
        ]
    ),
    clear("te: trailers", get(("te", "trailers")), GET, [HOST]),
]

BODIES = [
    refused("a length without a body", post(("content-length", "5"))),
    refused("a body that is shorter than it says", post(("content-length", "5")), b"abc"),
    refused("a body that is longer than it says", post(("content-length", "3")), b"abcde"),
    refused("a body where there is none", post(("content-length", "0")), HIDDEN),
    refused("two lengths", post(("content-length", "0"), ("content-length", str(len(HIDDEN)))), HIDDEN),
    *(
        refused(f"the length {length!r}", post(("content-length", length)), b"abc")
        for length in ["+3", "-3", "0x3", "3, 3", "", "3 3", "18446744073709551619", "abc"]
    ),
    Case(
        "a length that its trailers name",
        request(1, post(), end=0) + frame(DATA, 0, 1, b"abc") + request(1, [("content-length", "5")]),
        (POST, [HOST, "content-length: 3"], b"abc"),
    ),
    Case(
        "trailers with a line end",
        request(1, post(), end=0) + frame(DATA, 0, 1, b"abc") + request(1, [("x", SMUGGLED)]),
    ),
    Case(
        "trailers with a path",
        request(1, post(), end=0) + frame(DATA, 0, 1, b"abc") + request(1, [(":path", "/admin/")]),
    ),
    Case(
        "trailers that end nothing",
        request(1, post(), end=0) + frame(DATA, 0, 1, b"abc") + request(1, [("x", "y")], end=0),
    ),
    clear(
        "a request as a body",
        post(("content-length", str(len(HIDDEN)))),
        POST,
        [HOST, f"content-length: {len(HIDDEN)}"],
        HIDDEN,
    ),
    clear("a body without a length", post(), POST, [HOST, "content-length: 3"], b"abc"),
    Case(
        "a body of padding too",
        request(1, post(), end=0) + frame(DATA, PADDED, 1, b"\x02abc\0\0") + frame(DATA, END_STREAM, 1),
        (POST, [HOST, "content-length: 3"], b"abc"),
    ),
]

FAMILIES = {"pseudo": PSEUDO, "fields": FIELDS, "bodies": BODIES}

# What is an error of the whole connection (RFC 9113): it gets a GOAWAY, and no request of it is served that was not good.
BROKEN: dict[str, bytes] = {
    "a stream of even number": request(2),
    "a request on no stream": request(0),
    "a stream opened before": request(5) + request(3),
    "data on no stream": frame(DATA, 0, 0, b"abc"),
    "data on a stream that is not open": frame(DATA, 0, 1, b"abc"),
    "a window that overflows": window(0, (1 << 31) - 1) + window(0, (1 << 31) - 1),
    "a window of nothing": window(0, 0),
    "a window of a stream that is not open": window(9, 1),
    "a reset of a stream that is not open": frame(RST_STREAM, 0, 9, b"\0\0\0\x08"),
    "a CONTINUATION of nothing": frame(CONTINUATION, END_HEADERS, 1, block(head())),
    "a ping within a head": frame(HEADERS, END_STREAM, 1, block(head())) + frame(PING, 0, 0, b"12345678"),
    "another stream within a head": frame(HEADERS, END_STREAM, 1, block(head())) + request(3),
    "a promise of a client": frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + block(head())),
    "a frame that is too large": frame(DATA, 0, 1, b"x" * 20_000),
    "padding beyond the frame": request(1, post(), end=0) + frame(DATA, PADDED, 1, b"\xffabc"),
    "padding beyond the head": frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + block(head())),
    "settings of a stream": frame(SETTINGS, 0, 1, setting(4, 1)),
    "settings that are cut off": frame(SETTINGS, 0, 0, b"\0\4\0"),
    "a first window beyond all": frame(SETTINGS, 0, 0, setting(4, 1 << 31)),
    "a frame size beyond all": frame(SETTINGS, 0, 0, setting(5, 1 << 24)),
    "an answer to settings with settings": frame(SETTINGS, 1, 0, setting(4, 1)),
    "a short ping": frame(PING, 0, 0, b"1234"),
    "a field of no table": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\x0f"),
    "a number without end": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" + b"\x80" * 40 + b"\x01"),
    "a text beyond the head": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x7f\xff\xff\x7fx"),
    "a table that is too large": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\xff\x0f" + block(head())),
    "HTTP/1.1 behind the preface": b"GET /hidden HTTP/1.1\r\nHost: site.test\r\n\r\n" * 400,
}

# What is an error of one stream, or of none: a good request behind it is answered all the same.
BORNE: dict[str, bytes] = {
    "a stream that depends on itself": frame(
        HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, b"\0\0\0\x01\x10" + block(head())
    ),
    "priorities in a circle": b"".join(
        frame(PRIORITY, 0, stream, parent.to_bytes(4) + b"\x10") for stream, parent in [(3, 5), (5, 7), (7, 3)]
    ),
    "a kind of frame nobody knows": frame(0xFA, 0xFF, 1, b"x" * 100),
    "settings nobody knows": frame(SETTINGS, 0, 0, setting(0xFAFA, 1)),
    "a window of a stream that overflows": request(1, post(), end=0) + window(1, (1 << 31) - 1),
}
