"""What a broken or hostile upstream may answer: the bytes, and what a client may be told."""

from dataclasses import dataclass

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@dataclass(frozen=True)
class Case:
    """An answer to a GET, or to a HEAD.

    `body`: what a client may be given of it as a whole answer. Without it there has to be an error, or an answer that
    visibly breaks off. `ends`: the backend closes behind it.
    """

    name: str
    raw: bytes
    body: bytes | None = None
    ends: bool = False
    method: str = "GET"

    def __str__(self) -> str:
        return self.name


def answer(*fields: str, body: str = "fine", status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *fields, "", body]).encode("latin-1")


FOUR, CHUNKED = "Content-Length: 4", "Transfer-Encoding: chunked"
CHUNKS = "4\r\nfine\r\n0\r\n\r\n"


def bad(name: str, raw: bytes, ends: bool = True) -> Case:
    return Case(name, raw, None, ends)


FRAMING = [
    bad("two lengths that differ", answer("Content-Length: 4", "Content-Length: 2")),
    bad("a list of lengths that differ", answer("Content-Length: 4, 2")),
    Case("two equal lengths", answer(FOUR, FOUR), b"fine"),
    bad("a length and chunks", answer(FOUR, CHUNKED, body=CHUNKS)),
    bad("chunks and a length", answer(CHUNKED, FOUR, body=CHUNKS)),
    bad("chunked twice", answer(CHUNKED, CHUNKED, body=CHUNKS)),
    bad("chunked, then another coding", answer("Transfer-Encoding: chunked, gzip", body=CHUNKS)),
    bad("another coding, then chunked", answer("Transfer-Encoding: gzip, chunked", body=CHUNKS)),
    bad("a coding nobody knows", answer("Transfer-Encoding: cow", body=CHUNKS)),
    bad("the coding identity beside a length", answer("Transfer-Encoding: identity", FOUR)),
    bad("a coding with a vertical tab", answer("Transfer-Encoding: \x0bchunked", body=CHUNKS)),
    *(
        bad(f"the length {length!r}", answer(f"Content-Length: {length}"))
        for length in ["+4", "-4", "0x4", "4_0", "", "4 4", "4.0", "9223372036854775808", "18446744073709551620", "abc"]
    ),
    bad("a length that is longer than the body", answer("Content-Length: 1000")),
    bad("chunks that are cut off in the data", answer(CHUNKED, body="a\r\nfine")),
    bad("chunks that are cut off behind the data", answer(CHUNKED, body="4\r\nfine\r\n")),
    bad("chunks that are cut off before the last line", answer(CHUNKED, body="4\r\nfine\r\n0\r\n")),
    *(
        bad(f"the chunks {body!r}", answer(CHUNKED, body=body))
        for body in [
            *(
                "4\nfine\r\n0\r\n\r\n",
                "4\r\nfine\n0\r\n\r\n",
                "4\r\nfine0\r\n\r\n",
                "3\r\nfine\r\n0\r\n\r\n",
                "xyz\r\nfine\r\n0\r\n\r\n",
            ),
            *(
                "+4\r\nfine\r\n0\r\n\r\n",
                "-4\r\nfine\r\n0\r\n\r\n",
                "0x4\r\nfine\r\n0\r\n\r\n",
                "10000000000000004\r\nfine\r\n0\r\n\r\n",
            ),
            *(
                "\r\nfine\r\n0\r\n\r\n",
                "4;a\nb\r\nfine\r\n0\r\n\r\n",
                "4\r\nfine\r\n0\r\n\n",
                "4;\0\r\nfine\r\n0\r\n\r\n",
            ),
        ]
    ),
]

HEADS = [
    bad("no HTTP", b"fine"),
    bad("lines that are no HTTP", b"fine\r\n\r\nfine"),
    bad("nothing", b""),
    bad("a line end and nothing", b"\r\n\r\n"),
    bad("half a status line", b"HTTP/1.1 200"),
    bad("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    *(
        bad(f"the status line {line!r}", answer(FOUR, status=line))
        for line in [
            *(
                "HTTP/2.0 200 OK",
                "HTTP/0.9 200 OK",
                "HTTP/1.1 99 OK",
                "HTTP/1.1 1000 OK",
                "HTTP/1.1 2x0 OK",
                "HTTP/1.1 OK",
            ),
            *(
                "http/1.1 200 OK",
                "HTTP/1.1  200 OK",
                "HTTP/1.1\t200 OK",
                "ICY 200 OK",
                "HTTP/1.1 -20 OK",
                "HTTP/1.1 000 OK",
            ),
        ]
    ),
    *(
        bad(f"the field {field!r}", answer(field, FOUR))
        for field in [
            "X : y",
            "X\t: y",
            ": y",
            "X",
            "X: a\r\n b",
            "X: a\0b",
            "X: a\rSet-Cookie: b=1",
            "X\0: y",
            "X y: z",
            "X: a\x1bb",
        ]
    ),
    bad("bare line feeds", answer(FOUR).replace(b"\r\n", b"\n")),
    bad("a bare line feed behind a field", answer("X: y\nSet-Cookie: a=1", FOUR)),
    bad("a head of half a megabyte", answer("X: " + "y" * 500_000, FOUR)),
    bad("a head of a thousand long fields", answer(*[f"X{n}: " + "y" * 500 for n in range(1000)], FOUR)),
    bad("switching protocols unasked", b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + POISON),
    bad("a thousand early hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000 + b"HTTP/1.1 200 O"),
    Case("an early hint", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(FOUR), b"fine"),
]

BEHIND = [
    Case("an answer behind the answer", answer(FOUR) + POISON, b"fine"),
    Case("an answer behind the chunks", answer(CHUNKED, body=CHUNKS) + POISON, b"fine"),
    Case("bytes behind the answer", answer(FOUR) + b"more", b"fine"),
    Case("an answer behind no body", answer("Content-Length: 0", body="") + POISON, b""),
    Case("a 204 with a body", answer(FOUR, status="HTTP/1.1 204 No Content") + POISON, b""),
    Case("a 204 with chunks", answer(CHUNKED, body=CHUNKS, status="HTTP/1.1 204 No Content") + POISON, b""),
    Case("a 304 with a body", answer(FOUR, status="HTTP/1.1 304 Not Modified") + POISON, b""),
    Case("an answer to HEAD with a body", answer(FOUR) + POISON, b"", method="HEAD"),
    Case("an answer to HEAD with chunks", answer(CHUNKED, body=CHUNKS) + POISON, b"", method="HEAD"),
    Case("an answer to HEAD and another", answer(FOUR, body="") + POISON, b"", method="HEAD"),
]

FAMILIES = {"framing": FRAMING, "heads": HEADS, "behind": BEHIND}
