"""What a backend's answer may say about holding a stream, in headers or as JSON, and what the client is given then."""

import base64
import gzip
import json
import time

import pytest

from conftest import Listeners
from grip_backend import Asked, Backend, Reply, plain, stream
from grip_fixtures import Seen
from grip_fronts import Front, sent
from streams import Stream
from wire import Answer, Reader, connect, head_bytes


def until_body(listeners: Listeners, opened: Stream, text: str | bytes) -> None:
    wanted = text.encode() if isinstance(text, str) else text
    listeners.until(lambda: wanted in opened.body or opened.ended, f"{wanted!r} in the body")
    assert wanted in opened.body, opened


def instruct(document: object, *headers: tuple[str, str], status: int = 200) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return plain(body, ("Content-Type", "application/grip-instruct"), *headers, status=status)


def answer_of(opened: Stream) -> Answer:
    assert opened.answer is not None
    return opened.answer


def test_a_client_gets_head_and_body_at_once_and_then_what_is_published(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(name, ("X-Kind", "a"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), body="[first]"))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[first]")
    answer = answer_of(opened)
    assert (answer.status, answer.header("X-Kind"), answer.header("Content-Type")) == (200, "a", "text/plain")
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.header("Transfer-Encoding") == "chunked" and not answer.all("Content-Length")
    assert not [key for key, _ in answer.headers if key.lower().startswith("grip-")]
    front.publish(sent(name, "[one]"), sent(name, "[two]"))
    front.publish(sent(name, "[three]"))
    until_body(listeners, opened, "[three]")
    assert opened.body == b"[first][one][two][three]"


def test_the_head_of_an_empty_body_comes_at_once(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(name))
    opened = front.open(listeners, f"/{name}")
    assert opened.status == 200 and opened.body == b""
    front.publish(sent(name, "now"))
    until_body(listeners, opened, "now")


def test_channels_come_in_one_line_or_in_several(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    channels = [f"{name}-{number}" for number in range(5)]
    backend.on(f"/{name}", stream([", ".join(channels[:3]), channels[3], f"{channels[4]}; filter=no-such-filter"]))
    opened = front.open(listeners, f"/{name}")
    front.publish(*(sent(channel, f"[{channel}]") for channel in channels))
    until_body(listeners, opened, f"[{channels[-1]}]")
    assert opened.body.decode() == "".join(f"[{channel}]" for channel in channels)


def test_grip_status_is_the_status_of_the_stream(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(name, ("Grip-Status", "203 Second hand"), body="x"))
    opened = front.open(listeners, f"/{name}")
    assert opened.status == 203
    front.publish(sent(name, "[y]"))
    until_body(listeners, opened, "[y]")


def test_exposed_headers_are_the_only_ones(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    backend.on(f"/{name}", stream(name, ("X-One", "1"), ("X-Two", "2"), ("Grip-Expose-Headers", "x-one"), body="x"))
    answer = answer_of(front.open(listeners, f"/{name}"))
    assert answer.header("X-One") == "1"
    assert answer.header("X-Two") is None and answer.header("Content-Type") is None


def test_an_answer_without_a_hold_is_passed_on_without_its_grip_headers(
    front: Front, backend: Backend, name: str
) -> None:
    backend.on(f"/{name}", plain("whole", ("Grip-Channel", "a"), ("Grip-Made-Up", "b"), ("X-Kind", "c"), status=201))
    answer = front.get(f"/{name}")
    assert (answer.status, answer.body, answer.header("X-Kind")) == (201, b"whole", "c")
    assert not [key for key, _ in answer.headers if key.lower().startswith("grip-")]


def test_an_answer_without_instructions_is_passed_on_as_it_is(front: Front, backend: Backend, name: str) -> None:
    backend.on(f"/{name}", plain("whole", ("X-Kind", "c"), status=404))
    answer = front.get(f"/{name}")
    assert (answer.status, answer.body, answer.header("X-Kind")) == (404, b"whole", "c")


def test_a_hold_without_a_channel_stays_open(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    keep = ("Grip-Keep-Alive", "[still]; timeout=1")
    backend.on(f"/{name}", plain("x", ("Grip-Hold", "stream"), keep))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[still]")
    seen("a hold without a channel", "stays open", tidegate="stays open")


def test_a_closing_item_ends_the_answer_properly(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    backend.on(f"/{name}", stream(name, body="x"))
    opened = front.open(listeners, f"/{name}")
    front.publish(sent(name, "[last]"), sent(name, action="close"))
    listeners.until_ended(opened)
    assert opened.complete and opened.body == b"x[last]"


def test_a_connection_after_a_closed_stream(front: Front, backend: Backend, name: str, seen: Seen) -> None:
    backend.on(f"/{name}", stream(name, body="x"))
    with connect(front.http) as conn:
        conn.sendall(head_bytes("GET", f"/{name}", "site.test"))
        reader = Reader(conn)
        answer = reader.head()
        while b"x" not in reader.buffer:
            assert reader.more()
        front.publish(sent(name, action="close"))
        reader.chunks(answer)
        assert answer.complete
        try:
            conn.sendall(head_bytes("GET", f"/{name}", "site.test"))
            again = reader.head().status == 200
        except ConnectionError:
            again = False
    seen("the connection after a stream has ended", "open" if again else "closed", pushpin="open", tidegate="closed")


def test_a_client_of_http_1_0_reads_to_the_close(front: Front, backend: Backend, name: str) -> None:
    backend.on(f"/{name}", stream(name, body="[first]"))
    with connect(front.http) as conn:
        conn.sendall(f"GET /{name} HTTP/1.0\r\nHost: site.test\r\n\r\n".encode())
        reader = Reader(conn)
        answer = reader.head()
        assert not answer.all("Transfer-Encoding") and not answer.all("Content-Length")
        while b"[first]" not in reader.buffer:
            assert reader.more()
        front.publish(sent(name, "[one]"), sent(name, action="close"))
        while reader.more():
            pass
    assert reader.buffer == b"[first][one]"


def test_a_held_body_is_never_compressed(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    def answer(asked: Asked) -> Reply:
        body, more = b"[first]", []
        if "gzip" in (asked.header("Accept-Encoding") or ""):
            body, more = gzip.compress(body), [("Content-Encoding", "gzip")]
        return stream(name, *more, body=body)

    backend.on(f"/{name}", answer)
    opened = front.open(listeners, f"/{name}", headers={"Accept-Encoding": "gzip"})
    until_body(listeners, opened, "[first]")
    assert answer_of(opened).header("Content-Encoding") is None
    front.publish(sent(name, "[plain]"))
    until_body(listeners, opened, "[plain]")


# Keep-alives.

KEEP_ALIVES = {
    "raw": ("[still here]; timeout=1", b"[still here]"),
    "raw, said": (r"[a\nb]; format=raw; timeout=1", rb"[a\nb]"),
    "cstring": (r"event: k\ndata:\r\n\x41\\\n; format=cstring; timeout=1", b"event: k\ndata:\r\nA\\\n"),
    "base64": (f"{base64.b64encode(b'a;b,c').decode()}; format=base64; timeout=1", b"a;b,c"),
    "parameters first to last": ("[x]; mode=idle; timeout=1; format=raw", b"[x]"),
}


@pytest.mark.parametrize("how", KEEP_ALIVES)
def test_a_keep_alive_is_sent_while_a_stream_is_quiet(
    front: Front, backend: Backend, listeners: Listeners, name: str, how: str
) -> None:
    value, data = KEEP_ALIVES[how]
    backend.on(f"/{name}", stream(name, ("Grip-Keep-Alive", value), body="[first]"))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, b"[first]" + data * 2)


@pytest.mark.parametrize("mode", ["idle", "interval"])
def test_an_item_puts_off_a_keep_alive_only_in_idle_mode(
    front: Front, backend: Backend, listeners: Listeners, name: str, mode: str
) -> None:
    backend.on(f"/{name}", stream(name, ("Grip-Keep-Alive", f"[k]; timeout=2; mode={mode}")))
    opened = front.open(listeners, f"/{name}")
    # Pushpin fires up to a second early, so the items come far more often than that.
    end = time.monotonic() + 4
    while time.monotonic() < end:
        front.publish(sent(name, "."))
        time.sleep(0.2)
    assert (b"[k]" in opened.body) == (mode == "interval"), opened


# JSON in place of headers.


def test_json_says_it_as_well_as_headers(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    document = {
        "hold": {
            "mode": "stream",
            "channels": [{"name": name}, {"name": f"{name}-2", "filters": ["skip-self"]}],
            "keep-alive": {"content": "[k]", "timeout": 1},
            "meta": {"user": "7"},
        },
        "response": {"code": 202, "reason": "Well", "headers": [["X-A", "1"], ["X-A", "2"]], "body": "[first]"},
    }
    backend.on(f"/{name}", instruct(document, ("X-Dropped", "yes")))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[first]")
    answer = answer_of(opened)
    assert (answer.status, answer.all("X-A"), answer.all("X-Dropped")) == (202, ["1", "2"], [])
    assert "grip-instruct" not in (answer.header("Content-Type") or "")
    front.publish(sent(f"{name}-2", "[own]", meta={"sender": "7"}), sent(f"{name}-2", "[other]", meta={"sender": "8"}))
    until_body(listeners, opened, "[other]")
    assert b"[own]" not in opened.body
    until_body(listeners, opened, "[k]")


def test_json_may_hold_bytes(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    body, keep = bytes(range(256)), b"\0\xff"
    document = {
        "hold": {
            "mode": "stream",
            "channels": [{"name": name}],
            "keep-alive": {"content-bin": base64.b64encode(keep).decode(), "timeout": 1},
        },
        "response": {"headers": {"Content-Type": "x/y"}, "body-bin": base64.b64encode(body).decode()},
    }
    backend.on(f"/{name}", instruct(document))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, body + keep)
    front.publish({"channel": name, "http-stream": {"content-bin": base64.b64encode(b"\xfe").decode()}})
    until_body(listeners, opened, b"\xfe")


# Mistakes, and sizes.

MISTAKES = {
    "an unknown mode": plain("secret", ("Grip-Hold", "forever"), ("Grip-Channel", "a")),
    "a timeout that is no number": plain(
        "secret", ("Grip-Hold", "response"), ("Grip-Channel", "a"), ("Grip-Timeout", "soon")
    ),
    "a negative timeout": plain("secret", ("Grip-Hold", "response"), ("Grip-Channel", "a"), ("Grip-Timeout", "-1")),
    "a keep-alive without data": stream("a", ("Grip-Keep-Alive", "; timeout=5"), body="secret"),
    "a keep-alive of an unknown format": stream("a", ("Grip-Keep-Alive", "x; format=morse"), body="secret"),
    "a broken escape": stream("a", ("Grip-Keep-Alive", "x\\; format=cstring"), body="secret"),
    "JSON that is none": instruct(b'{"hold": "secret'),
    "a hold that is no object": instruct({"hold": "secret"}),
    "channels of the wrong type": instruct({"hold": {"mode": "stream", "channels": "secret"}}),
    "JSON with another status": instruct({"hold": {"mode": "stream", "channels": [{"name": "secret"}]}}, status=201),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_instructions_gets_502_without_the_body(
    front: Front, backend: Backend, name: str, mistake: str
) -> None:
    backend.on(f"/{name}", MISTAKES[mistake])
    answer = front.get(f"/{name}")
    assert answer.status == 502, answer
    assert b"secret" not in answer.body
    if front.kind == "pushpin":
        assert answer.text == "Error while proxying to origin.\n"


def heard_of(front: Front, listeners: Listeners, opened: Stream, channels: list[str]) -> int:
    """On how many of these channels the stream is, which is on the first one for sure."""
    front.publish(*(sent(channel, f"[{channel}]") for channel in channels))
    front.publish(sent(channels[0], "[end]"))
    until_body(listeners, opened, "[end]")
    return sum(f"[{channel}]".encode() in opened.body for channel in channels)


@pytest.mark.parametrize("count", [20, 21, 100])
def test_a_stream_may_be_on_many_channels(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen, count: int
) -> None:
    channels = [f"{name}-{number}" for number in range(count)]
    backend.on(f"/{name}", stream(", ".join(channels)))
    opened = front.open(listeners, f"/{name}")
    heard = heard_of(front, listeners, opened, channels)
    seen(
        f"events of {count} channels on one stream", f"{heard} arrive", tidegate=f"{count} arrive", pushpin="20 arrive"
    )


def test_a_stream_on_too_many_channels_is_refused(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    backend.on(f"/{name}", stream(", ".join(f"{name}-{number}" for number in range(101))))
    opened = front.open(listeners, f"/{name}")
    seen("a stream on 101 channels", opened.status, tidegate=502, pushpin=200)


@pytest.mark.parametrize("more", ["", "; prev-id=1; filter=build-id"], ids=["plain", "build-id"])
def test_a_long_body(front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen, more: str) -> None:
    body = b"%%" * 100_000
    meta = ("Grip-Set-Meta", f'id_format="%({name})s"')
    backend.on(f"/{name}", stream(name + more, meta, ("Grip-Link", f"</{name}-next>; rel=next"), body=body))
    backend.on(f"/{name}-next", stream(name + more, meta, ("Grip-Link", f"</{name}-next>; rel=next")))
    opened = front.open(listeners, f"/{name}")
    expected = b"%" * 100_000 if more else body
    listeners.until(lambda: len(opened.body) >= len(expected) or opened.status != 200, "the whole body")
    what = "arrives" if opened.body == expected else f"{opened.status}"
    row = "200 kB of body before the hold" + (", with build-id" if more else "")
    seen(row, what, tidegate="arrives", pushpin="502" if more else "arrives")
