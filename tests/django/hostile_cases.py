"""Hostile requests over HTTP/1.1 as they go over the wire: what they are, and what may become of them."""

from dataclasses import dataclass

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: site.test\r\n\r\n"
BEHIND = b"GET /behind HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """`name` says what is odd.

    `status`: what Tidegate answers; then nothing reaches the backend, and the connection ends. Else `reaches`: what of
    it reaches the backend, and how: the request line, the client's fields, the body. `never`: a field and its value that must not be there, whatever else is.
    """

    name: str
    raw: bytes
    status: int = 0
    reaches: tuple[str, list[str], bytes] | None = None
    never: tuple[str, str] | None = None

    def __str__(self) -> str:
        return self.name


def refused(name: str, raw: str, status: int = 400) -> Case:
    return Case(name, raw.encode("latin-1"), status)


def clear(
    name: str, raw: str, line: str, fields: list[str], body: str = "", never: tuple[str, str] | None = None
) -> Case:
    """One that is odd and can be read in one way only: it may be refused, or rewritten."""
    return Case(name, raw.encode("latin-1"), reaches=(line, fields, body.encode("latin-1")), never=never)


def post(*fields: str, body: str = "", version: str = "1.1") -> str:
    return "\r\n".join([f"POST /p HTTP/{version}", "Host: site.test", *fields, "", body])


def get(*fields: str, target: str = "/g", method: str = "GET", host: str | None = "site.test") -> str:
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *hosts, *fields, "", ""])


CHUNKED, LENGTH = "Transfer-Encoding: chunked", "Content-Length: 3"
EMPTY = "0\r\n\r\n"
# Whoever reads the body by its length takes the hidden request for body; whoever reads chunks, for a request.
BY_CHUNKS = EMPTY + HIDDEN.decode()
# And the other way round.
BY_LENGTH = f"{len(HIDDEN):x}\r\n{HIDDEN.decode()}\r\n0\r\n\r\n"
POST, POSTED = "POST /p HTTP/1.1", "host: site.test"

LENGTHS = [
    refused("two equal lengths", post(LENGTH, LENGTH, body="abc")),
    refused(
        "two lengths that differ", post("Content-Length: 0", f"Content-Length: {len(HIDDEN)}", body=HIDDEN.decode())
    ),
    refused("a list of equal lengths", post("Content-Length: 3, 3", body="abc")),
    refused("a list of lengths that differ", post(f"Content-Length: 0, {len(HIDDEN)}", body=HIDDEN.decode())),
    refused("a length with a comma behind", post("Content-Length: 3,", body="abc")),
    refused("a length with a plus", post("Content-Length: +3", body="abc")),
    refused("a length with a minus", post("Content-Length: -3", body="abc")),
    refused("a length of minus nought", post("Content-Length: -0")),
    refused("a hexadecimal length", post("Content-Length: 0x3", body="abc")),
    refused("an octal length", post("Content-Length: 0o3", body="abc")),
    refused("a length with an underscore", post("Content-Length: 1_0", body="0123456789")),
    refused("a length with a point", post("Content-Length: 3.0", body="abc")),
    refused("a length with an exponent", post("Content-Length: 3e0", body="abc")),
    refused("a length with a space inside", post("Content-Length: 3 3", body="abc")),
    refused("a length with a parameter", post("Content-Length: 3;a=b", body="abc")),
    refused("a length with a vertical tab", post("Content-Length: \x0b3", body="abc")),
    refused("a length with a form feed", post("Content-Length: 3\x0c", body="abc")),
    refused("a length with a NUL", post("Content-Length: 3\x00", body="abc")),
    refused("a length in quotes", post('Content-Length: "3"', body="abc")),
    refused("a length of other digits", post("Content-Length: \xd9\xa3", body="abc")),
    refused("a length of no-break space", post("Content-Length: \xa03", body="abc")),
    refused("an empty length", post("Content-Length:")),
    refused("a length of blanks", post("Content-Length:  \t")),
    refused("a length of 2^63", post("Content-Length: 9223372036854775808", body="abc")),
    refused("a length of 2^64 and 3", post("Content-Length: 18446744073709551619", body="abc")),
    refused("a length of 2^32 and 3 with an overflow", post("Content-Length: 99999999999999999999999999", body="abc")),
    refused("a length that is folded", post("Content-Length:\r\n 3", body="abc")),
    refused("a space before the colon of a length", post("Content-Length : 3", body="abc")),
    clear(
        "a length with noughts before",
        post("Content-Length: 0003", body="abc"),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
    clear(
        "a length with blanks around",
        post("Content-Length: \t 3 \t", body="abc"),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
    clear("a length of nought", post("Content-Length: 0"), POST, [POSTED, "content-length: 0"]),
    clear("a GET with a body", get(LENGTH) + "abc", "GET /g HTTP/1.1", [POSTED, "content-length: 3"], "abc"),
    clear("a POST without a length", post(), POST, [POSTED]),
]

CODINGS = [
    refused("CL.TE", post(f"Content-Length: {len(BY_CHUNKS)}", CHUNKED, body=BY_CHUNKS)),
    refused("TE.CL", post("Content-Length: 4", CHUNKED, body=BY_LENGTH)),
    refused("TE.CL, the other order", post(CHUNKED, "Content-Length: 4", body=BY_LENGTH)),
    refused("0.CL with chunks", post("Content-Length: 0", CHUNKED, body=EMPTY)),
    refused("chunked twice", post(CHUNKED, CHUNKED, body=BY_CHUNKS)),
    refused("chunked, then identity", post(CHUNKED, "Transfer-Encoding: identity", body=BY_CHUNKS)),
    refused("identity, then chunked", post("Transfer-Encoding: identity", CHUNKED, body=BY_CHUNKS)),
    refused("chunked and a coding nobody knows", post(CHUNKED, "Transfer-Encoding: cow", body=BY_CHUNKS)),
    *(
        refused(f"the coding {value!r}", post(f"Transfer-Encoding: {value}", body=BY_CHUNKS))
        for value in [
            *(
                "chunked, chunked",
                "gzip, chunked",
                "chunked, gzip",
                "chunked, identity",
                "identity, chunked",
                "identity",
            ),
            *("xchunked", "chunkedx", '"chunked"', "'chunked'", "chunked;q=1", ", chunked", "chunked,", "chunked,,"),
            *("\x0bchunked", "chunked\x0b", "\x00chunked", "chunked\x00", "\x0cchunked", "\xa0chunked", "chunk\xadd"),
            *("", " ", "cow", "deflate", "trailers", "chun ked", "chunked chunked", "chunked\x7f"),
        ]
    ),
    refused("a coding beside a length", post(LENGTH, "Transfer-Encoding: identity", body="abc")),
    refused("a coding nobody knows beside a length", post(LENGTH, "Transfer-Encoding: cow", body="abc")),
    refused("a space before the colon of a coding", post("Transfer-Encoding : chunked", body=BY_CHUNKS)),
    refused("a tab before the colon of a coding", post("Transfer-Encoding\t: chunked", body=BY_CHUNKS)),
    refused("a vertical tab before the colon of a coding", post("Transfer-Encoding\x0b: chunked", body=BY_CHUNKS)),
    refused("a space in the name of a coding", post("Transfer Encoding: chunked", body=BY_CHUNKS)),
    refused("a space before the name of a coding", post("X: y", " Transfer-Encoding: chunked", body=BY_CHUNKS)),
    refused("a coding that is folded", post("Transfer-Encoding:\r\n chunked", body=BY_CHUNKS)),
    refused("a coding behind a bare LF", post("X: y\nTransfer-Encoding: chunked", body=BY_CHUNKS)),
    refused("a coding behind a bare CR", post("X: y\rTransfer-Encoding: chunked", body=BY_CHUNKS)),
    refused("a coding behind a NUL", post("X: y\x00Transfer-Encoding: chunked", body=BY_CHUNKS)),
    refused("chunked in HTTP/1.0", post(CHUNKED, body=BY_CHUNKS, version="1.0")),
    refused("chunked in HTTP/1.0 that is kept", post(CHUNKED, "Connection: keep-alive", body=BY_CHUNKS, version="1.0")),
    clear(
        "Chunked in other letters",
        post("transfer-ENCODING:\tChUnKeD", body="3\r\nabc\r\n0\r\n\r\n"),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
    clear(
        "a GET in chunks",
        get(CHUNKED) + "3\r\nabc\r\n0\r\n\r\n",
        "GET /g HTTP/1.1",
        [POSTED, "content-length: 3"],
        "abc",
    ),
    clear(
        "chunks that Connection names",
        post(CHUNKED, "Connection: Transfer-Encoding", body="3\r\nabc\r\n0\r\n\r\n"),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
    clear(
        "a length that Connection names",
        post(LENGTH, "Connection: Content-Length", body="abc"),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
]


def chunks(name: str, body: str) -> Case:
    return refused(name, post(CHUNKED, body=body))


CHUNKS = [
    chunks("a bare LF behind a size", "3\nabc\r\n0\r\n\r\n"),
    chunks("a bare CR behind a size", "3\rabc\r\n0\r\n\r\n"),
    chunks("a bare LF behind data", "3\r\nabc\n0\r\n\r\n"),
    chunks("no line end behind data", "3\r\nabc0\r\n\r\n"),
    chunks("any two bytes behind data", "3\r\nabcXX0\r\n\r\n"),
    chunks("a bare LF at the end", "3\r\nabc\r\n0\n\n"),
    chunks("a bare LF as the last line", "3\r\nabc\r\n0\r\n\n"),
    chunks("a size that is too small", "2\r\nabc\r\n0\r\n\r\n"),
    chunks("a size with a plus", "+3\r\nabc\r\n0\r\n\r\n"),
    chunks("a size with a minus", "-3\r\nabc\r\n0\r\n\r\n"),
    chunks("a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"),
    chunks("a size with an underscore", "0_3\r\nabc\r\n0\r\n\r\n"),
    chunks("a size with a space before", " 3\r\nabc\r\n0\r\n\r\n"),
    chunks("a size with a space behind", "3 \r\nabc\r\n0\r\n\r\n"),
    chunks("a size with a tab behind", "3\t\r\nabc\r\n0\r\n\r\n"),
    chunks("a size of 2^64 and 3", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
    chunks("a size of 2^64 - 1", "ffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    chunks("a size with a NUL", "3\x00\r\nabc\r\n0\r\n\r\n"),
    chunks("a size of letters", "xyz\r\nabc\r\n0\r\n\r\n"),
    chunks("no size", "\r\nabc\r\n0\r\n\r\n"),
    chunks("only an extension", ";a=b\r\nabc\r\n0\r\n\r\n"),
    chunks("a bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n"),
    chunks("a bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
    chunks("a bare LF in a quoted extension", '3;a="\n"\r\nabc\r\n0\r\n\r\n'),
    chunks("a line end in a quoted extension", '3;a="\r\n"\r\nabc\r\n0\r\n\r\n'),
    chunks("a NUL in an extension", "3;a\x00\r\nabc\r\n0\r\n\r\n"),
    chunks("an extension without end", "3;" + "a" * 70_000 + "\r\nabc\r\n0\r\n\r\n"),
    chunks("a trailer that names the length", "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"),
    chunks("a trailer that names the coding", "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    chunks("a trailer that names the host", "3\r\nabc\r\n0\r\nHost: evil.test\r\n\r\n"),
    chunks("a trailer with a bare LF", "3\r\nabc\r\n0\r\nX: y\n\r\n"),
    chunks("a trailer that is folded", "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"),
    chunks("a trailer with a space before the colon", "3\r\nabc\r\n0\r\nX : y\r\n\r\n"),
    chunks("a trailer without a colon", "3\r\nabc\r\n0\r\nX\r\n\r\n"),
    chunks("a trailer without a name", "3\r\nabc\r\n0\r\n: y\r\n\r\n"),
    chunks("trailers without end", "3\r\nabc\r\n0\r\n" + "X: y\r\n" * 20_000 + "\r\n"),
    clear(
        "an extension",
        post(CHUNKED, body='3;a="b;c"\r\nabc\r\n0;d\r\n\r\n'),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
    clear(
        "a size with noughts before",
        post(CHUNKED, body="0003\r\nabc\r\n000\r\n\r\n"),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
    clear(
        "a trailer",
        post(CHUNKED, "Trailer: X-Forwarded-For", body="3\r\nabc\r\n0\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"),
        POST,
        [POSTED, "content-length: 3"],
        "abc",
    ),
]

HEADS = [
    refused("a bare LF behind the request line", "GET /g HTTP/1.1\nHost: site.test\r\n\r\n"),
    refused("bare LFs everywhere", "GET /g HTTP/1.1\nHost: site.test\n\n"),
    refused("a bare LF behind a field", "GET /g HTTP/1.1\r\nHost: site.test\nX: y\r\n\r\n"),
    refused("a bare LF as the last line", "GET /g HTTP/1.1\r\nHost: site.test\r\n\n"),
    refused("a bare CR behind a field", "GET /g HTTP/1.1\r\nHost: site.test\rX: y\r\n\r\n"),
    refused("two CRs behind a field", "GET /g HTTP/1.1\r\nHost: site.test\r\r\nX: y\r\n\r\n"),
    refused("a bare CR in a value", get("X: a\rb")),
    refused("a bare CR in a name", get("X\ra: b")),
    refused("a bare CR before the last line", "GET /g HTTP/1.1\r\nHost: site.test\r\n\r\r\n"),
    refused("a folded line", get("X: a\r\n b")),
    refused("a folded line with a tab", get("X: a\r\n\tb")),
    refused("a folded line of blanks", get("X: a\r\n ")),
    refused("a first line that is folded", "GET /g HTTP/1.1\r\n X: y\r\nHost: site.test\r\n\r\n"),
    refused("a folded host", "GET /g HTTP/1.1\r\nHost:\r\n site.test\r\n\r\n"),
    refused("a space before a colon", get("X : y")),
    refused("a tab before a colon", get("X\t: y")),
    refused("a name of nothing", get(": y")),
    refused("a name of nothing in the middle", "GET /g HTTP/1.1\r\nHost: site.test\r\n: \r\nX-Dropped: y\r\n\r\n"),
    refused("a line without a colon", get("X")),
    refused("a NUL in a value", get("X: a\x00b")),
    refused("a NUL in a name", get("X\x00: y")),
    refused("an escape in a value", get("X: a\x1b[2J")),
    refused("a DEL in a value", get("X: a\x7fb")),
    refused("a byte above ASCII in a name", get("X\xe9: y")),
    refused("a bracket in a name", get("X(y): z")),
    refused("a space in a name", get("X y: z")),
    refused("two empty lines before", "\r\n\r\n" + get()),
    refused("a bare LF before", "\n" + get()),
    refused("a space before the method", " " + get()),
    refused("a byte order mark before the method", "\xef\xbb\xbf" + get()),
    refused("a method of no token", get(method="G@T")),
    refused("a method with a NUL", get(method="GE\x00T")),
    refused("a method with a line end", get(method="GET\r\n")),
    refused("two spaces behind the method", get(method="GET ")),
    refused("a tab behind the method", "GET\t/g HTTP/1.1\r\nHost: site.test\r\n\r\n"),
    refused("two spaces before the version", get(target="/g ")),
    refused("a space behind the version", "GET /g HTTP/1.1 \r\nHost: site.test\r\n\r\n"),
    refused("HTTP/0.9", "GET /g\r\n"),
    refused("HTTP/0.9 with a head", "GET /g\r\nHost: site.test\r\n\r\n"),
    *(
        refused(f"the version {version}", f"GET /g {version}\r\nHost: site.test\r\n\r\n")
        for version in [
            *(
                "HTTP/0.9",
                "HTTP/1.2",
                "HTTP/1.9",
                "HTTP/2.0",
                "HTTP/3.0",
                "HTTP/11.1",
                "HTTP/1.10",
                "HTTP/01.1",
                "HTTP/1",
            ),
            *("http/1.1", "HTTP/1,1", "HTTPS/1.1", "HTTP 1.1", "HTTP/1.1x", "XHTTP/1.1", "HTTP/", "1.1"),
        ]
    ),
    refused("the preface of HTTP/2 behind a request line", "PRI * HTTP/2.0\r\nHost: site.test\r\n\r\n"),
    refused("TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    clear("one empty line before", "\r\n" + get(), "GET /g HTTP/1.1", [POSTED]),
    clear("a method in small letters", get(method="get"), "get /g HTTP/1.1", [POSTED]),
    clear("a method nobody knows", get(method="PURGE-IT!"), "PURGE-IT! /g HTTP/1.1", [POSTED]),
    clear("bytes above ASCII in a value", get("X: \xc3\xa9"), "GET /g HTTP/1.1", [POSTED, "x: \xc3\xa9"]),
    clear("a value of nothing", get("X:"), "GET /g HTTP/1.1", [POSTED, "x: "]),
    clear("no space behind a colon", get("X:y"), "GET /g HTTP/1.1", [POSTED, "x: y"]),
]

HOSTS = [
    refused("no host", get(host=None)),
    refused("no host in HTTP/1.0", "GET /g HTTP/1.0\r\n\r\n"),
    refused("an empty host", get(host="")),
    refused("two hosts", get("Host: evil.test")),
    refused("the same host twice", get("Host: site.test")),
    refused("a host with a space before the colon", "GET /g HTTP/1.1\r\nHost : site.test\r\n\r\n"),
    *(
        refused(f"the host {host!r}", get(host=host))
        for host in [
            *("site.test, evil.test", "site.test evil.test", "site.test/evil", "site.test?evil", "site.test#evil"),
            *(
                "user@site.test",
                "site.test@evil.test",
                "site.test:",
                "site.test:80:80",
                "site.test:80a",
                "site.test:99999",
            ),
            *(
                "http://site.test",
                "site.test\\evil",
                "site..test",
                ".site.test",
                "[::1",
                "::1",
                "site.test%00",
                "s\xefte.test",
            ),
            *('"site.test"', "<script>", "site.test;evil", "*"),
        ]
        if host != "site.test:"
    ),
    refused("a host that is not served", get(host="evil.test"), 421),
    refused("an absolute target of another host", get(target="http://evil.test/g")),
    refused("an absolute target of another port", get(target="http://site.test:81/g")),
    refused("an absolute target with a user", get(target="http://user@site.test/g")),
    refused("an absolute target without a host header", get(target="http://site.test/g", host=None)),
    clear("an absolute target that agrees", get(target="http://site.test/g?a=b"), "GET /g?a=b HTTP/1.1", [POSTED]),
    clear("an absolute target without a path", get(target="http://site.test"), "GET / HTTP/1.1", [POSTED]),
    clear("a host with a port", get(host="site.test:8080"), "GET /g HTTP/1.1", ["host: site.test:8080"]),
    clear("a host in capitals", get(host="SITE.test"), "GET /g HTTP/1.1", ["host: SITE.test"]),
]

TARGETS = [
    refused("an asterisk", get(method="OPTIONS", target="*")),
    refused("an asterisk for GET", get(target="*")),
    refused("CONNECT", get(method="CONNECT", target="site.test:80"), 405),
    refused("CONNECT of a path", get(method="CONNECT", target="/g"), 405),
    refused("TRACE", get("Cookie: secret=1", method="TRACE"), 405),
    refused("an authority as target", get(target="site.test:80")),
    refused("a target without a slash", get(target="g")),
    refused("a query as target", get(target="?a=b")),
    refused("a target with a space", get(target="/a b")),
    refused("a target with a tab", get(target="/a\tb")),
    refused("a target with a NUL", get(target="/a\x00b")),
    refused("a target with a DEL", get(target="/a\x7fb")),
    refused("a target with a bare CR", get(target="/a\rb")),
    refused("a target with a bare LF", get(target="/a\nb")),
    refused("a fragment", get(target="/a#b")),
    refused("a fragment with a query", get(target="/a#/../?b")),
    *(
        refused(f"the path {path}", get(target=path))
        for path in [
            *(
                "/a/../admin/",
                "/a/%2e%2e/admin/",
                "/a/.%2E/admin/",
                "/a/%2e./admin/",
                "/..",
                "/../admin/",
                "/./admin/",
                "/%2e/admin/",
            ),
            *("/a%2f..%2fadmin/", "/a%2F%2e%2e%2Fadmin/", "/a\\..\\admin/", "/a%5c..%5cadmin/", "/a/..%5cadmin/"),
            *("/admin/%00", "/a%0d%0aX:y", "/a%0a", "/a%7f", "/a%09", "/a%zz", "/a%2", "/a%", "/a%u002e"),
            *("/a%c0%af..%c0%afadmin/", "/%c0%2e%c0%2e/admin/", "/a%e0%80%af", "/a%ff", "/a%ed%a0%80"),
        ]
    ),
    clear("a query with two question marks", get(target="/g?a?b?c=/../x"), "GET /g?a?b?c=/../x HTTP/1.1", [POSTED]),
    clear("a query with line ends escaped", get(target="/g?a=%0d%0ab"), "GET /g?a=%0d%0ab HTTP/1.1", [POSTED]),
    clear("slashes", get(target="//evil.test/g"), "GET //evil.test/g HTTP/1.1", [POSTED]),
    clear("a double encoding", get(target="/a%252e%252e/b"), "GET /a%252e%252e/b HTTP/1.1", [POSTED]),
    clear("a parameter in a path", get(target="/a;b=c/d"), "GET /a;b=c/d HTTP/1.1", [POSTED]),
]


def only_ours(field: str) -> tuple[str, str] | None:
    """What of a field only a proxy may say; a client may propose the id of its request, and expect what it likes."""
    name, _, value = field.partition(": ")
    return None if name in ("Connection", "Expect", "Upgrade", "X-Request-ID") else (name, value)


NAMES = [
    clear(f"the field {field}", get(field), "GET /g HTTP/1.1", [POSTED], never=only_ours(field))
    for field in [
        *(
            "X_Forwarded_For: 9.9.9.9",
            "X-Forwarded_Proto: https",
            "SCRIPT_NAME: /x",
            "CONTENT_LENGTH: 3",
            "Transfer_Encoding: chunked",
        ),
        *("HTTP_HOST: evil.test", "REMOTE_USER: root", "_: x", "Proxy: http://evil.test", "X-Forwarded-Prefix: /x"),
        *("X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1"),
        *("X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl", "X-Forwarded-Scheme: https", "X-Scheme: https"),
        *(
            "X-Real-IP: 9.9.9.9",
            "Forwarded: for=9.9.9.9",
            "X-Request-ID: x",
            "X-Sendfile: /etc/passwd",
            "X-Accel-Redirect: /x",
        ),
        *(
            "SSE-Ask: 1",
            "Grip-Sig: x",
            "Keep-Alive: timeout=9",
            "TE: trailers",
            "Trailer: X",
            "Proxy-Connection: close",
        ),
        *(
            "Proxy-Authorization: x",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
            "Expect: 200-maybe",
            "Connection: X-Forwarded-For",
        ),
        *("Connection: Host", "Connection: X-Forwarded-Proto, X-Real-IP", "Upgrade: h2c", "Upgrade: TLS/1.0"),
    ]
] + [
    clear(
        "h2c",
        get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        "GET /g HTTP/1.1",
        [POSTED],
    ),
    clear(
        "a field that Connection names",
        get("Connection: X-Secret", "X-Secret: 1"),
        "GET /g HTTP/1.1",
        [POSTED],
        never=("X-Secret", "1"),
    ),
]

FAMILIES = {
    "lengths": LENGTHS,
    "codings": CODINGS,
    "chunks": CHUNKS,
    "heads": HEADS,
    "hosts": HOSTS,
    "targets": TARGETS,
    "names": NAMES,
}
