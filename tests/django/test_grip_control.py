"""The control port: POST /publish/, who may, and what becomes of items that come twice or out of order."""

import base64
import json
import time

import jwt
import pytest

from conftest import Listeners
from grip_backend import Backend, stream
from grip_fixtures import FrontMaker, Seen
from grip_fronts import Front, Tidegate, sent
from streams import Stream
from test_grip_streams import until_body
from wire import Reader, chunked, connect, head_bytes, request

JSON = ("Content-Type", "application/json")


def good(channel: str = "nobody", content: str = "x") -> bytes:
    return json.dumps({"items": [sent(channel, content)]}).encode()


@pytest.fixture
def opened(front: Front, backend: Backend, listeners: Listeners, name: str) -> Stream:
    """An open stream on the channel `name`, and never asked again."""
    backend.on(f"/{name}", stream(name))
    return front.open(listeners, f"/{name}")


@pytest.mark.parametrize("target", ["/publish/", "/publish"])
@pytest.mark.parametrize(
    "accept, media, text",
    [
        (None, "text/plain", "Published\n"),
        ("*/*", "text/plain", "Published\n"),
        ("text/plain", "text/plain", "Published\n"),
        ("application/json", "application/json", '{"message":"Published"}\n'),
    ],
)
def test_what_is_fine_is_published(front: Front, target: str, accept: str | None, media: str, text: str) -> None:
    answer = front.post(target, good(), [("Accept", accept)] if accept else [])
    assert (answer.status, answer.header("Content-Type")) == (200, media)
    if media == "text/plain":
        assert answer.text == text
    else:
        assert answer.json() == json.loads(text)


def test_any_content_type_will_do(front: Front) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        assert front.post("/publish/", good(), [("Content-Type", kind)]).status == 200


BAD = [
    b"",
    b"{",
    b"nonsense",
    b"[]",
    b"{}",
    b'{"items": 5}',
    b'{"items": [5]}',
    b'{"items": [{}]}',
    b'{"items": [{"channel": "a"}]}',
    b'{"items": [{"channel": 5, "http-stream": {"content": "x"}}]}',
    b'{"items": [{"http-stream": {"content": "x"}}]}',
    b'{"items": [{"channel": "a", "http-stream": {}}]}',
    b'{"items": [{"channel": "a", "http-stream": "x"}]}',
    b'{"items": [{"channel": "a", "http-stream": {"content": 5}}]}',
    b'{"items": [{"channel": "a", "http-stream": {"content-bin": 5}}]}',
    b'{"items": [{"channel": "a", "http-stream": {"action": "jump"}}]}',
    b'{"items": [{"channel": "a", "id": 5, "http-stream": {"content": "x"}}]}',
    b'{"items": [{"channel": "a", "prev-id": 5, "http-stream": {"content": "x"}}]}',
    b'{"items": [{"channel": "a", "http-response": {"body": 5}}]}',
    b'{"items": [{"channel": "a", "http-response": {"code": -1, "body": ""}}]}',
    b'{"items": [{"channel": "a", "http-response": {"code": 1000, "body": ""}}]}',
]


@pytest.mark.parametrize("body", BAD, ids=lambda body: body.decode()[:70])
def test_what_cannot_be_read_gets_400_and_one_line(front: Front, body: bytes) -> None:
    answer = front.post("/publish/", body)
    assert answer.status == 400, answer
    assert answer.header("Content-Type") == "text/plain"
    assert answer.text.count("\n") == 1 and answer.text.endswith("\n")


LENIENT = {
    "a code that is no number": b'{"items": [{"channel": "a", "http-response": {"code": "many", "body": ""}}]}',
    "only formats that nobody knows": b'{"items": [{"channel": "a", "formats": {"made-up": {}}}]}',
}


@pytest.mark.parametrize("what", LENIENT)
def test_a_mistake_that_pushpin_lets_pass(front: Front, seen: Seen, what: str) -> None:
    seen(f"an item with {what}", front.post("/publish/", LENIENT[what]).status, tidegate=400, pushpin=200)


def test_one_bad_item_and_nothing_of_the_batch_is_published(
    front: Front, listeners: Listeners, opened: Stream, name: str
) -> None:
    assert front.items(sent(name, "[a]"), {"channel": name}, sent(name, "[b]")).status == 400
    front.publish(sent(name, "[end]"))
    until_body(listeners, opened, "[end]")
    assert opened.body == b"[end]"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_gets_405(front: Front, method: str) -> None:
    answer = request(front.control, method, "/publish/", host=front.control_host, body=b"")
    assert (answer.status, answer.header("Allow")) == (405, "POST")


def test_nothing_acceptable_gets_406(front: Front) -> None:
    assert front.post("/publish/", good(), [("Accept", "image/png")]).status == 406


def test_other_paths(front: Front) -> None:
    assert front.post("/nothing/", good()).status == 404
    # Many ask this for a health check.
    assert request(front.control, "GET", "/", host=front.control_host).status == 200


def test_a_body_without_a_length(front: Front, listeners: Listeners, opened: Stream, name: str, seen: Seen) -> None:
    with connect(front.control) as conn:
        head = head_bytes("POST", "/publish/", front.control_host, [JSON, ("Transfer-Encoding", "chunked")])
        conn.sendall(head + chunked([good(name, "[x]")]))
        status = Reader(conn).answer().status
    seen("a chunked body on the control port", status, tidegate=200, pushpin=411)
    if status == 200:
        until_body(listeners, opened, "[x]")


def test_a_connection_is_kept(front: Front, listeners: Listeners, opened: Stream, name: str, seen: Seen) -> None:
    answers = 0
    with connect(front.control) as conn:
        reader = Reader(conn)
        for number in range(3):
            body = good(name, f"[{number}]")
            try:
                conn.sendall(
                    head_bytes("POST", "/publish/", front.control_host, [("Content-Length", f"{len(body)}")]) + body
                )
                answers += reader.answer().status == 200
            except ConnectionError:
                break
    seen("publishes over one connection", "any number" if answers == 3 else answers, tidegate="any number", pushpin=1)


def test_a_large_batch(front: Front, listeners: Listeners, opened: Stream, name: str) -> None:
    front.publish(*(sent(name, f"[{number}:{'x' * 1000}]") for number in range(500)))
    listeners.until(lambda: b"[499:" in opened.body or opened.ended, "the last item", timeout=20)
    numbers = [int(part.partition(b":")[0]) for part in opened.body.split(b"[")[1:]]
    # Pushpin keeps a hundred for each connection and drops the rest; here nobody is slow.
    assert numbers == sorted(numbers) and (front.kind == "pushpin" or numbers == list(range(500)))


def test_a_body_over_the_limit(front: Front) -> None:
    assert front.post("/publish/", good(content="x" * 20_000_000)).status == 400


def test_the_forms_of_an_item(front: Front, listeners: Listeners, opened: Stream, name: str) -> None:
    front.publish(
        {"channel": name, "formats": {"http-stream": {"content": "[nested]"}, "made-up": {"x": 1}}, "other": 1},
        {"channel": name, "http-stream": {"content-bin": base64.b64encode(b"[\0\xff]").decode()}},
        {"channel": name, "ws-message": {"content": "[only for WebSockets]"}},
        {"channel": name, "http-stream": {"action": "send", "content": "[said]"}, "ws-message": {"content": "x"}},
        {"channel": name, "http-stream": {"content": ""}},
        {"channel": name, "http-stream": {"content": "[ä€]"}, "meta": {}, "size": 7},
    )
    until_body(listeners, opened, "[nested]".encode() + b"[\0\xff]" + "[said][ä€]".encode())


def test_channel_names_may_hold_what_headers_can(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    channel = f"{name}/a b%20:@!=()[]{{}}"
    backend.on(f"/{name}", stream(channel))
    opened = front.open(listeners, f"/{name}")
    front.publish(sent(channel, "[x]"))
    until_body(listeners, opened, "[x]")


# Twice, and out of order.


def test_an_item_that_comes_twice_is_given_once(front: Front, listeners: Listeners, opened: Stream, name: str) -> None:
    """A publisher that saw its connection break sends the same once more."""
    for _ in range(3):
        front.publish(sent(name, "[a]", id="1"))
    front.publish(sent(name, "[b]", id="2"), sent(name, "[b]", id="2"), sent(name, "[c]", id="3"))
    # Without an id nothing is known to be the same.
    front.publish(sent(name, "[d]"), sent(name, "[d]"))
    until_body(listeners, opened, "[d][d]")
    assert opened.body == b"[a][b][c][d][d]"


def test_ids_are_those_of_one_channel(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    backend.on(f"/{name}", stream(f"{name}-1, {name}-2"))
    opened = front.open(listeners, f"/{name}")
    front.publish(sent(f"{name}-1", "[a]", id="1"), sent(f"{name}-2", "[a]", id="1"))
    until_body(listeners, opened, "[a][a]")


def test_another_item_with_the_same_id(
    front: Front, listeners: Listeners, opened: Stream, name: str, seen: Seen
) -> None:
    front.publish(sent(name, "[a]", id="1"), sent(name, "[b]", id="1"), sent(name, "[end]"))
    until_body(listeners, opened, "[end]")
    what = "is given" if b"[b]" in opened.body else "is swallowed"
    seen("another item with an id seen a moment ago", what, tidegate="is given", pushpin="is swallowed")


def test_items_out_of_order_are_put_in_order(front: Front, listeners: Listeners, opened: Stream, name: str) -> None:
    front.publish(sent(name, "[1]", id="1"))
    for number in (4, 3, 5, 2):
        front.publish(sent(name, f"[{number}]", id=f"{number}", prev_id=f"{number - 1}"))
    until_body(listeners, opened, "[1][2][3][4][5]")


def test_an_item_waits_five_seconds_for_the_one_before_it(
    front: Front, listeners: Listeners, opened: Stream, name: str
) -> None:
    front.publish(sent(name, "[1]", id="1"))
    until_body(listeners, opened, "[1]")
    begun = time.monotonic()
    front.publish(sent(name, "[3]", id="3", prev_id="2"), sent(name, "[any]", id="x", prev_id="w", no_seq=True))
    until_body(listeners, opened, "[any]")
    assert opened.body == b"[1][any]"
    until_body(listeners, opened, "[3]")
    assert 3 < time.monotonic() - begun < 9


# Who may.

ISS, KEY = "the-project", "a key that is long enough for HS256"


def bearer(value: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {value}")]


def token(key: str = KEY, iss: str = ISS, lifetime: int = 3600) -> str:
    """As pubcontrol makes it."""
    return jwt.encode({"iss": iss, "exp": int(time.time()) + lifetime}, key)


def test_without_tokens_whatever_is_sent_for_one_is_ignored(front: Front) -> None:
    for value in ("Bearer x", f"Bearer {token()}", "Basic YTpi", "nonsense"):
        assert front.post("/publish/", good(), [("Authorization", value)]).status == 200, value


@pytest.fixture
def guarded(new_front: FrontMaker, kind: str) -> Front:
    if kind == "pushpin":
        pytest.skip("whoever reaches Pushpin's port may publish")
    secret = 'tokens = [{ name = "other", secret = "a-token-of-the-internal-api-000" }]'
    return new_front(key=KEY, iss=ISS, publish=secret)


def test_a_guarded_port_takes_what_pubcontrol_sends(guarded: Front) -> None:
    for value in (token(), KEY, "a-token-of-the-internal-api-000"):
        assert guarded.post("/publish/", good(), bearer(value)).status == 200, value


def test_a_guarded_port_refuses_the_rest(guarded: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    backend.on(f"/{name}", stream(name))
    opened = guarded.open(listeners, f"/{name}")
    bad = [
        token("another key, also long enough......"),
        token(lifetime=-10),
        jwt.encode({"iss": ISS}, KEY),
        KEY[:-1],
        "",
        "x",
    ]
    unsigned = jwt.encode({"iss": ISS, "exp": int(time.time()) + 60}, "", algorithm="none")
    for headers in ([], [("Authorization", "Basic YTpi")], *(bearer(value) for value in [*bad, unsigned])):
        answer = guarded.post("/publish/", good(name, "[forged]"), headers)
        assert answer.status in (401, 403), (headers, answer)
    assert guarded.post("/recover/", b"").status in (401, 403)
    assert guarded.post("/publish/", good(name, "[good]"), bearer(token())).status == 200
    until_body(listeners, opened, "[good]")
    assert opened.body == b"[good]"


def test_a_page_of_another_origin_cannot_publish(front: Front, seen: Seen) -> None:
    """Any page open on a developer's machine can post to loopback."""
    status = front.post("/publish/", good(), [("Origin", "http://evil.test"), ("Content-Type", "text/plain")]).status
    seen(
        "a browser's request to the control port",
        "refused" if status == 403 else status,
        tidegate="refused",
        pushpin=200,
    )


def test_every_internal_listener_takes_items(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    if not isinstance(front, Tidegate):
        pytest.skip("Pushpin has one")
    backend.on(f"/{name}", stream(name))
    opened = front.open(listeners, f"/{name}")
    assert front.gateway.internal("POST", "/publish/", good(name, "[x]")).status == 200
    until_body(listeners, opened, "[x]")


def test_a_public_listener_has_no_control_port(front: Front) -> None:
    assert request(front.http, "POST", "/publish/", body=good()).status == 404
