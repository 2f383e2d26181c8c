"""Publishing in all its forms: by a view's answer, by lines over one long request, by the signature of a third party."""

import http.client
import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from conftest import GatewayMaker
from harness import Gateway, Site, room
from streams import Listeners, Stream
from wire import Answer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# -- by a view's answer ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def announcing(shared_gateways: GatewayMaker, site: Site) -> Gateway:
    """A gateway whose upstream may publish by its answers."""
    return shared_gateways(site, upstream="publish = true")


def announce(gateway: Gateway, event: object, status: int = 200) -> Answer:
    answer = gateway.request("POST", f"/announce/?status={status}", body=json.dumps(event).encode())
    assert answer.status == status
    assert answer.header("SSE-Publish") is None
    return answer


@pytest.fixture
def heard(announcing: Gateway, listeners: Listeners, name: str) -> Stream:
    opened = listeners.open(announcing.http, room(name))
    listeners.until_open(opened)
    return opened


def test_a_view_publishes_by_its_answer(announcing: Gateway, listeners: Listeners, heard: Stream, name: str) -> None:
    channel = f"room-{name}"
    announce(announcing, {"channel": channel, "data": {"text": "schön"}})
    announce(announcing, [{"channel": channel, "data": "two"}, {"channel": channel, "data": "three"}], 201)
    listeners.until_data("three", [heard])
    assert [json.loads(heard.data[0]), *heard.data[1:]] == [{"text": "schön"}, "two", "three"]


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_view_that_fails_publishes_nothing(
    announcing: Gateway, listeners: Listeners, heard: Stream, name: str, status: int
) -> None:
    channel = f"room-{name}"
    announce(announcing, {"channel": channel, "data": "never"}, status)
    announcing.publish(channel, "end")
    listeners.until_data("end", [heard])
    assert heard.data == ["end"]


def test_a_mistaken_header_is_told_in_the_log_and_the_answer_passes(
    announcing: Gateway, listeners: Listeners, heard: Stream, name: str
) -> None:
    channel = f"room-{name}"
    answer = announce(announcing, [{"channel": channel, "data": "never"}, {"chanel": channel, "data": "secret"}])
    assert answer.body == b"done"
    announcing.publish(channel, "end")
    listeners.until_data("end", [heard])
    assert heard.data == ["end"]
    lines = announcing.process.log.read_text().splitlines()
    told = next(line for line in lines if "SSE-Publish header cannot be published" in line)
    assert "WARN" in told and "/1/chanel" in told and 'did you mean \\"channel\\"?' in told
    assert "secret" not in told


def test_an_upstream_that_may_not_publish_does_not(
    gateway: Gateway, listeners: Listeners, stream: Stream, name: str
) -> None:
    announce(gateway, {"channel": f"room-{name}", "data": "never"})
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [stream])
    assert stream.data == ["end"]


# -- by lines --------------------------------------------------------------------------------


def test_each_line_is_heard_before_the_next_is_sent(
    gateway: Gateway, listeners: Listeners, stream: Stream, name: str
) -> None:
    sent = []

    def tokens():
        for number in range(50):
            sent.append(f"token {number}")
            yield json.dumps({"channel": f"room-{name}", "data": sent[-1]}).encode() + b"\n"
            listeners.until_data(sent[-1], [stream])

    conn = http.client.HTTPConnection(*gateway.internal_address, timeout=30)
    conn.request("POST", "/v1/events", tokens(), {"Content-Type": "application/x-ndjson"}, encode_chunked=True)
    answer = conn.getresponse()
    document = json.loads(answer.read())
    assert (answer.status, document) == (200, {"published": 50, "last_id": stream.last_id})
    assert stream.data == sent
    conn.close()


def test_a_bad_line_ends_the_request_of_a_client_that_is_still_writing(gateway: Gateway, name: str) -> None:
    good = json.dumps({"channel": f"room-{name}", "data": "x" * 100}).encode() + b"\n"
    lines = [good, good, b"nonsense\n", *[good] * 5000]
    conn = http.client.HTTPConnection(*gateway.internal_address, timeout=30)
    conn.request("POST", "/v1/events", iter(lines), {"Content-Type": "application/x-ndjson"}, encode_chunked=True)
    answer = conn.getresponse()
    document = json.loads(answer.read())
    assert (answer.status, document["line"], document["published"]) == (422, 3, 2)
    conn.close()


# -- by a signature --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(shared_gateways: GatewayMaker) -> Gateway:
    """A gateway into which a shop posts; nobody needs a site for that."""
    return shared_gateways(
        "127.0.0.1:1", publish=f'tokens = [{{ name = "shop", webhook = "{SECRET}", channels = ["room-*"] }}]'
    )


def signed(body: bytes, name: str, when: timedelta = timedelta(), secret: str = SECRET) -> dict[str, str]:
    """The headers as the reference implementation makes them."""
    timestamp = datetime.now(tz=UTC) + when
    return {
        "webhook-id": f"msg_{name}",
        "webhook-timestamp": str(int(timestamp.timestamp())),
        "webhook-signature": Webhook(secret).sign(f"msg_{name}", timestamp, body.decode()),
    }


def test_what_the_reference_implementation_signs_is_published_once(
    shop: Gateway, listeners: Listeners, name: str
) -> None:
    stream = listeners.open(shop.http, room(name))
    listeners.until_open(stream)
    body = json.dumps({"channel": f"room-{name}", "data": "paid: 5 €"}, ensure_ascii=False).encode()
    headers = signed(body, name)
    Webhook(SECRET).verify(body, headers)
    first = shop.post_event(body, headers)
    assert first.status == 200, first
    # The shop has not heard the answer and sends it again, with a new timestamp; then somebody who listened in does.
    for again in (signed(body, name, timedelta(seconds=30)), headers):
        answer = shop.post_event(body, again)
        assert (answer.status, answer.body) == (200, first.body)
        assert answer.header("Idempotency-Replayed") == "true"
    other = json.dumps({"channel": f"room-{name}", "data": "end"}).encode()
    assert shop.post_event(other, signed(other, name)).status == 409
    assert shop.post_event(other, signed(other, name + "-2")).status == 200
    listeners.until_data("end", [stream])
    assert stream.data == ["paid: 5 €", "end"]


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_is_good_for_five_minutes(shop: Gateway, name: str, minutes: int) -> None:
    body = json.dumps({"channel": f"room-{name}", "data": "x"}).encode()
    assert shop.post_event(body, signed(body, name, timedelta(minutes=minutes))).status == 401
    assert shop.post_event(body, signed(body, name, timedelta(minutes=minutes) * 0.8)).status == 200


def test_another_signature_and_another_endpoint_are_refused(shop: Gateway, name: str) -> None:
    body = json.dumps({"channel": f"room-{name}", "data": "x"}).encode()
    wrong = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    assert shop.post_event(body, signed(body, name, secret=wrong)).status == 401
    assert shop.post_event(body + b" ", signed(body, name)).status == 401
    assert shop.internal("GET", "/v1/stats", headers=signed(b"", name)).status == 401
