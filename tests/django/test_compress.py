"""Pages, files and streams through a gateway that compresses."""

import gzip
import zlib
from pathlib import Path

import pytest

from browser import Page
from conftest import GatewayMaker, SiteMaker, TabOpener
from harness import Gateway, Site, until
from wire import Reader, connect

GZIP = {"Accept-Encoding": "gzip"}
CSS = "".join(f".a{n % 100} {{ color: #123456 }}\n" for n in range(20_000))


@pytest.fixture(scope="module")
def site(shared_sites: SiteMaker) -> Site:
    return shared_sites()


@pytest.fixture(scope="module")
def gate(folder: Path, site: Site, shared_gateways: GatewayMaker) -> Gateway:
    static = folder / "compressed-static"
    static.mkdir()
    (static / "long.css").write_text(CSS)
    more = '[compress]\nmin_size = "64B"\ntypes = ["text/*", "application/json", "application/octet-stream"]'
    routes = f"""
[[route]]
path = "/static/<path:file>"
static = {{ root = "{static}" }}
[[route]]
path = "/rooms/<slug:room>/events/"
sse = {{ channels = ["room-{{room}}"], public = true }}
[[route]]
path = "/<path:rest>"
proxy = "django"
"""
    return shared_gateways(site, more=more, routes=routes)


def test_a_page_of_django_is_compressed_for_whoever_takes_it(gate: Gateway) -> None:
    plain = gate.get("/live/", headers={})
    answer = gate.get("/live/", headers=GZIP)
    assert answer.header("Content-Encoding") == "gzip" and "Accept-Encoding" in ", ".join(answer.all("Vary"))
    assert gzip.decompress(answer.body) == plain.body
    assert len(answer.body) < len(plain.body) and plain.header("Content-Encoding") is None
    head = gate.request("HEAD", "/live/", headers=GZIP)
    assert head.header("Content-Encoding") == "gzip" and head.header("Content-Length") is None


def test_an_answer_with_a_cookie_is_left_alone(gate: Gateway) -> None:
    answer = gate.get("/login/", headers=GZIP)
    assert answer.all("Set-Cookie") and answer.header("Content-Encoding") is None


def test_a_long_answer_without_a_length_is_whole(gate: Gateway) -> None:
    answer = gate.get("/download/3000000/", headers=GZIP)
    assert answer.complete and answer.header("Content-Length") is None
    assert len(gzip.decompress(answer.body)) == 3_000_000


def test_a_file_is_compressed_and_known_again(gate: Gateway) -> None:
    answer = gate.get("/static/long.css", headers=GZIP)
    assert gzip.decompress(answer.body).decode() == CSS
    tag = answer.header("ETag")
    assert tag is not None and tag.startswith('W/"')
    again = gate.get("/static/long.css", headers={**GZIP, "If-None-Match": tag})
    assert (again.status, again.header("ETag")) == (304, tag)


def test_a_streamed_page_arrives_as_it_is_written(gate: Gateway, site: Site, name: str) -> None:
    conn = connect(gate.http)
    lines = "Host: site.test\r\nAccept-Encoding: gzip"
    conn.sendall(f"GET /stream/{name}/?type=text/plain HTTP/1.1\r\n{lines}\r\n\r\n".encode())
    reader = Reader(conn)
    assert reader.head().header("Content-Encoding") == "gzip"
    read = zlib.decompressobj(wbits=31)
    text = b""
    while text != b"data: first\n\n":
        size = reader.until(b"\r\n")
        assert size is not None and int(size, 16)
        text += read.decompress(reader.exactly(int(size, 16)) or b"")
        reader.exactly(2)
    site.open_gate(name)
    rest = b""
    while (size := reader.until(b"\r\n")) and int(size, 16):
        rest += reader.exactly(int(size, 16)) or b""
        reader.exactly(2)
    assert text + read.decompress(rest) == b"data: first\n\nevent: done\ndata: last\n\n" and read.eof
    conn.close()


def test_an_event_stream_of_django_passes_as_it_is(gate: Gateway, site: Site, name: str) -> None:
    site.open_gate(name)
    answer = gate.get(f"/stream/{name}/", headers=GZIP)
    assert answer.header("Content-Encoding") is None and answer.body.startswith(b"data: first\n\n")


def test_a_browser_shows_the_page_and_its_stream(gate: Gateway, open_tab: TabOpener, name: str) -> None:
    page = open_tab(gate, f"/live/?url=/rooms/{name}/events/")
    until(lambda: page.states[-1:] == [Page.OPEN], "an open EventSource")
    gate.publish(f"room-{name}", "hello")
    until(lambda: page.data == ["hello"], "the event")
    script = "const e = performance.getEntriesByType('navigation')[0]; return [e.encodedBodySize, e.decodedBodySize]"
    encoded, decoded = page.run(script)
    assert 0 < encoded < decoded
