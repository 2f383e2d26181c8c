"""The internal listener: wrong input gets a clear answer, and nothing of it is taken."""

import json

import pytest

from conftest import GatewayMaker
from harness import Gateway
from wire import Answer, exchange

JSON = {"Content-Type": "application/json"}


def problem(answer: Answer, status: int) -> dict:
    """The answer as RFC 9457 wants it."""
    assert answer.status == status, answer
    assert answer.header("Content-Type") == "application/problem+json"
    document = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= set(document)
    assert document["status"] == status
    return document


@pytest.fixture(autouse=True)
def nothing_is_published(gateway: Gateway):
    """Whatever a test here does, the log of the shared gateway stays as it was."""
    before = gateway.publish("watch", "before")["id"]
    yield
    after = gateway.publish("watch", "after")["id"]
    assert place(after) == place(before) + 1, "something was published"


def place(event_id: str) -> int:
    return int(event_id.rsplit("-", 1)[1])


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"channel":"a",}', b"\xff\xfe", b'{"channel":"a","data":"\xff"}']
)
def test_what_is_no_json_gets_400(gateway: Gateway, body: bytes) -> None:
    problem(gateway.post_event(body), 400)


FIELDS = [
    # event, pointer of the wrong field, a word that detail or hint must contain
    ({"chanel": "a", "data": ""}, "/chanel", "channel"),
    ({"channel": "a", "data": "", "evnt": "x"}, "/evnt", "event"),
    ({"channel": "a", "data": "", "keep": "lst"}, "/keep", "last"),
    ({"channel": "a b", "data": ""}, "/channel", ""),
    ({"channel": "", "data": ""}, "/channel", ""),
    ({"channel": "a,b", "data": ""}, "/channel", ""),
    ({"channel": "a" * 201, "data": ""}, "/channel", "200"),
    ({"channel": "ä", "data": ""}, "/channel", ""),
    ({"channel": "a\nb", "data": ""}, "/channel", ""),
    ({"channel": 5, "data": ""}, "/channel", ""),
    ({"channels": ["a", "b c"], "data": ""}, "/channels/1", ""),
    ({"channels": "a", "data": ""}, "/channels", ""),
    ({"channels": [], "data": ""}, "/channels", ""),
    ({"channel": "a", "channels": ["b"], "data": ""}, None, "channel"),
    ({"data": ""}, None, "channel"),
    ({"channel": "a"}, None, "data"),
    ({"channel": "a", "data": "", "event": "a\nb"}, "/event", ""),
    ({"channel": "a", "data": "", "event": "a\rb"}, "/event", ""),
    ({"channel": "a", "data": "", "event": "a\0b"}, "/event", ""),
    ({"channel": "a", "data": "", "event": 5}, "/event", ""),
    ({"channel": "a", "data": "", "id": "a\nb"}, "/id", ""),
    ({"channel": "a", "data": "", "id": "a\rb"}, "/id", ""),
    ({"channel": "a", "data": "", "id": "a\0b"}, "/id", ""),
    ({"channel": "a", "data": "", "retry": "soon"}, "/retry", ""),
    ({"channel": "a", "data": "", "retry": -1}, "/retry", ""),
    ({"channel": "a", "data": "", "close": "yes"}, "/close", ""),
    ([{"channel": "a", "data": ""}, {"channel": "a", "data": "", "event": "a\nb"}], "/1/event", ""),
    ([{"channel": "a", "data": ""}, 5], "/1", ""),
    ("text", "", ""),
    (5, "", ""),
]


@pytest.mark.parametrize("event, pointer, word", FIELDS, ids=lambda value: repr(value)[:50])
def test_a_wrong_field_gets_422_with_its_pointer(
    gateway: Gateway, event: object, pointer: str | None, word: str
) -> None:
    document = problem(gateway.post_event(event), 422)
    if pointer is not None:
        assert document["pointer"] == pointer
    assert word in document["detail"] + document.get("hint", "")


def test_a_name_that_is_nearly_right_is_suggested(gateway: Gateway) -> None:
    document = problem(gateway.post_event({"channel": "a", "dat": "x"}), 422)
    assert document["hint"] == 'did you mean "data"?'


@pytest.mark.parametrize("event", ["a%0Ab", "a%0Db", "a%00b"])
def test_a_line_end_in_the_query_gets_422_too(gateway: Gateway, event: str) -> None:
    problem(gateway.internal("POST", f"/v1/channels/a/events?event={event}", b"x"), 422)


@pytest.mark.parametrize("channel", ["a%20b", "a%0Ab", "%C3%A4", "a,b", "a" * 201])
def test_a_channel_outside_of_the_grammar_in_the_path_gets_422(gateway: Gateway, channel: str) -> None:
    problem(gateway.internal("POST", f"/v1/channels/{channel}/events", b"x"), 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_content_type_gets_415(gateway: Gateway, kind: str) -> None:
    problem(gateway.internal("POST", "/v1/events", b'{"channel":"a","data":"x"}', {"Content-Type": kind}), 415)


def test_an_event_above_max_event_gets_413(gateway: Gateway) -> None:
    problem(gateway.post_event({"channel": "a", "data": "x" * (256 * 1024 + 1)}), 413)
    big = b"x" * (256 * 1024 + 1)
    problem(gateway.internal("POST", "/v1/channels/a/events", big, {"Content-Type": "text/plain"}), 413)


def test_a_body_above_the_limit_gets_413(gateway: Gateway) -> None:
    batch = [{"channel": "a", "data": "x" * 200_000}] * 60
    problem(gateway.post_event(batch), 413)


@pytest.mark.parametrize("target", ["/v1/nothing", "/v2/events", "/v1/events/"])
def test_an_unknown_path_gets_404(gateway: Gateway, target: str) -> None:
    problem(gateway.internal("POST", target, b"{}", JSON), 404)


def test_an_unknown_method_gets_405_with_allow(gateway: Gateway) -> None:
    answer = gateway.internal("PUT", "/v1/events", b"{}", JSON)
    problem(answer, 405)
    assert "POST" in (answer.header("Allow") or "")


AMBIGUOUS = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"X-One: 1\nContent-Length: 0\r\n\r\n",
    b"Content-Length : 0\r\n\r\n",
]


@pytest.mark.parametrize("rest", AMBIGUOUS)
def test_ambiguous_messages_are_refused_here_as_well(gateway: Gateway, rest: bytes) -> None:
    data = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n" + rest
    answer, closed = exchange(gateway.internal_address, data)
    assert answer.status == 400 and closed


# -- who may publish -----------------------------------------------------------------------------

EVENT = {"channel": "billing-7", "data": "x"}
BROWSERS = [
    {"Origin": "http://localhost:3000"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize("headers", BROWSERS)
def test_without_tokens_no_web_page_can_publish(gateway: Gateway, headers: dict[str, str]) -> None:
    problem(gateway.post_event(EVENT, headers), 403)


@pytest.mark.parametrize("host", ["evil.test", "site.test", "127.0.0.1.evil.test", "10.0.0.1"])
def test_without_tokens_no_host_but_loopback_is_answered(gateway: Gateway, host: str) -> None:
    body = json.dumps(EVENT).encode()
    answer = gateway.internal("POST", "/v1/events", body, JSON, host=host)
    assert answer.status in (403, 421)


@pytest.fixture(scope="module")
def guarded(shared_gateways: GatewayMaker) -> Gateway:
    """A gateway with tokens; nobody needs a site to publish."""
    return shared_gateways(
        "127.0.0.1:1",
        publish="""tokens = [
            { name = "django", secret = "${TEST_TOKEN}" },
            { name = "django-next", secret = "second-secret-of-the-rotation" },
            { name = "billing", secret = "billing-secret-for-tests", channels = ["billing-*", "invoices"] },
        ]""",
        env={"TEST_TOKEN": "first-secret-of-the-tests"},
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("token", ["first-secret-of-the-tests", "second-secret-of-the-rotation"])
def test_each_token_may_publish(guarded: Gateway, token: str) -> None:
    assert guarded.post_event(EVENT, bearer(token)).status == 200


WRONG = [
    {},
    bearer("wrong"),
    bearer(""),
    bearer("first-secret-of-the-test"),
    bearer("first-secret-of-the-tests2"),
    bearer("${TEST_TOKEN}"),
    {"Authorization": "Basic Zmlyc3Q6c2VjcmV0"},
    {"Authorization": "first-secret-of-the-tests"},
]


@pytest.mark.parametrize("headers", WRONG)
@pytest.mark.parametrize("target", ["/v1/events", "/v1/channels/billing-7/events"])
def test_without_a_good_token_it_is_401(guarded: Gateway, headers: dict[str, str], target: str) -> None:
    answer = guarded.internal("POST", target, json.dumps(EVENT).encode(), JSON | headers)
    problem(answer, 401)
    assert (answer.header("WWW-Authenticate") or "").startswith("Bearer")


def test_reading_needs_a_token_too_but_for_health_and_metrics(guarded: Gateway) -> None:
    for target in ("/v1/channels", "/v1/stats"):
        problem(guarded.internal("GET", target), 401)
        assert guarded.internal("GET", target, headers=bearer("first-secret-of-the-tests")).status == 200
    for target in ("/healthz", "/readyz", "/metrics"):
        assert guarded.internal("GET", target).status == 200


def test_a_token_for_some_channels_gets_403_for_others(guarded: Gateway) -> None:
    token = bearer("billing-secret-for-tests")
    for channel in ("billing-7", "billing-", "invoices"):
        assert guarded.post_event({"channel": channel, "data": "x"}, token).status == 200
    for channel in ("user-42", "billing", "Billing-7", "invoices-2", "xbilling-7"):
        problem(guarded.post_event({"channel": channel, "data": "x"}, token), 403)
    problem(guarded.post_event({"channels": ["billing-7", "user-42"], "data": "x"}, token), 403)
    answer = guarded.internal("POST", "/v1/channels/user-42/events", b"x", token)
    problem(answer, 403)


def test_a_batch_with_one_forbidden_channel_is_not_taken_at_all(guarded: Gateway) -> None:
    token = bearer("billing-secret-for-tests")
    place_of = lambda: place(guarded.post_event(EVENT, token).json()["id"])  # noqa: E731
    before = place_of()
    batch = [EVENT, {"channel": "user-42", "data": "x"}]
    problem(guarded.post_event(batch, token), 403)
    assert place_of() == before + 1
