"""What Django is sent: signed, with the features, and with nothing that a client says in the proxy's name."""

import base64
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from conftest import Listeners
from grip_backend import Asked, Backend, link, plain, stream
from grip_fixtures import FrontMaker
from grip_fronts import Front, Tidegate, sent
from test_grip_streams import until_body
from wire import request

KEY = "a key that is long enough for HS256"


def signature(asked: Asked) -> str:
    assert len(asked.all("Grip-Sig")) == 1, asked
    return asked.all("Grip-Sig")[0]


def verified(asked: Asked, key: object, iss: str, algorithm: str = "HS256") -> None:
    """As gripcontrol does, and that nothing more is said that could make it fail."""
    value = signature(asked)
    assert jwt.get_unverified_header(value) == {"typ": "JWT", "alg": algorithm}
    claims = jwt.decode(value, key, algorithms=[algorithm], options={"require": ["iss", "exp"]})
    assert set(claims) == {"iss", "exp"} and claims["iss"] == iss
    assert 60 < claims["exp"] - time.time() <= 3605


@pytest.mark.parametrize("method, body", [("GET", None), ("POST", b"x"), ("PUT", b""), ("HEAD", None)])
def test_every_request_is_signed(front: Front, backend: Backend, name: str, method: str, body: bytes | None) -> None:
    """Also when nobody has configured a key: without it django-eventstream takes the worker for good."""
    backend.on(f"/{name}", plain("ok"))
    assert request(front.http, method, f"/{name}", body=body).status == 200
    (asked,) = backend.asked(f"/{name}")
    claims = jwt.decode(signature(asked), options={"verify_signature": False})
    assert set(claims) == {"iss", "exp"} and claims["iss"] == "pushpin"


def test_the_configured_key_and_issuer_sign(new_front: FrontMaker, backend: Backend, name: str) -> None:
    front = new_front(key=KEY, iss="us")
    backend.on(f"/{name}", plain("ok"))
    front.get(f"/{name}")
    verified(backend.asked(f"/{name}")[0], KEY, "us")


def test_a_key_of_bytes_signs(new_front: FrontMaker, backend: Backend, name: str) -> None:
    key = bytes(range(32))
    front = new_front(key="base64:" + base64.b64encode(key).decode(), iss="us")
    backend.on(f"/{name}", plain("ok"))
    front.get(f"/{name}")
    verified(backend.asked(f"/{name}")[0], key, "us")


@pytest.mark.parametrize("how", ["${file:%s}", "file:%s"])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_private_key_signs(
    new_front: FrontMaker, kind: str, backend: Backend, folder: Path, name: str, algorithm: str, how: str
) -> None:
    if kind == "pushpin":
        pytest.skip("since 1.38")
    key = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
    file = folder / f"{name}.pem"
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(*pem))
    front = new_front(key=how % file, iss="us")
    backend.on(f"/{name}", plain("ok"))
    front.get(f"/{name}")
    verified(backend.asked(f"/{name}")[0], key.public_key(), "us", algorithm)


def test_the_features_are_listed_as_django_grip_splits_them(front: Front, backend: Backend, name: str) -> None:
    backend.on(f"/{name}", plain("ok"))
    front.get(f"/{name}")
    (asked,) = backend.asked(f"/{name}")
    assert len(asked.all("Grip-Feature")) == 1
    features = set(asked.all("Grip-Feature")[0].split(", "))
    filters = {f"filter:{name}" for name in ("skip-self", "skip-users", "require-sub", "build-id", "var-subst")}
    assert {"status", "link:next", *filters} <= features
    more = features - {"status", "link:next", *filters}
    assert more <= ({"session"} if front.kind == "pushpin" else {"link:gone"})


def test_a_client_cannot_speak_for_the_proxy(front: Front, backend: Backend, name: str) -> None:
    backend.on(f"/{name}", plain("ok"))
    forged = jwt.encode({"iss": "pushpin", "exp": int(time.time()) + 60}, "a key that is not the proxy's, but long")
    headers = {
        "Grip-Sig": forged,
        "grip-last": "a; last-id=1",
        "GRIP-Feature": "everything",
        "Grip-Hold": "stream",
        "Grip-Session-Id": "x",
        "Grip-Made-Up": "y",
        "X-Own": "kept",
    }
    front.get(f"/{name}", headers=headers)
    (asked,) = backend.asked(f"/{name}")
    assert signature(asked) != forged and "everything" not in asked.all("Grip-Feature")[0]
    assert {key.lower() for key, _ in asked.headers if key.lower().startswith("grip-")} == {"grip-sig", "grip-feature"}
    assert asked.header("X-Own") == "kept" and asked.header("Host") == "site.test"


def test_a_link_request_has_nothing_of_the_client(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    first = stream(f"{name}; prev-id=1, {name}-2, {name}-3; prev-id=x%20y", link(f"/{name}-next?a=b"), body="[open]")
    backend.on(f"/{name}", first)
    backend.on(f"/{name}-next", stream(name, body="[next]"))
    headers = {
        "Cookie": "sessionid=1",
        "Authorization": "Bearer x",
        "User-Agent": "browser",
        "X-Own": "1",
        "Accept-Language": "de",
        "Referer": "http://site.test/",
        "Last-Event-ID": "5",
        "X-Forwarded-For": "9.9.9.9",
    }
    opened = front.open(listeners, f"/{name}", headers=headers)
    until_body(listeners, opened, "[open]")
    front.publish(sent(f"{name}-2", action="hint"))
    until_body(listeners, opened, "[next]")
    asked = backend.asked(f"/{name}-next")[0]
    assert (asked.method, asked.target, asked.body) == ("GET", f"/{name}-next?a=b", b"")
    assert asked.header("Host") == "site.test"
    assert asked.last == {name: "1", f"{name}-3": "x%20y"}
    assert len(asked.all("Grip-Sig")) == 1 and len(asked.all("Grip-Feature")) == 1
    for header in headers:
        assert not [value for value in asked.all(header) if value in headers.values()], (header, asked)
    known = {
        "host",
        "grip-sig",
        "grip-feature",
        "grip-last",
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
    }
    ours = {key.lower() for key, _ in asked.headers} - known
    # The gateway's own, which say nothing of the client.
    assert ours <= (
        {
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-real-ip",
            "x-request-id",
            "sse-cursor",
        }
        if front.kind == "tidegate"
        else set()
    ), asked.headers
    assert not [value for _, value in asked.headers if "9.9.9.9" in value]


def test_a_gateway_without_grip_sends_none(
    new_front: FrontMaker, kind: str, backend: Backend, listeners: Listeners, name: str
) -> None:
    """And passes a hold on as any answer, without its instructions."""
    if kind == "pushpin":
        pytest.skip("it speaks nothing else")
    front = new_front()
    assert isinstance(front, Tidegate)
    text = front.gateway.config.read_text()
    front.stop()
    front.gateway.config.write_text(text.replace("grip = true", ""))
    front.gateway.start()
    backend.on(f"/{name}", stream(name, body="whole"))
    answer = front.get(f"/{name}")
    (asked,) = backend.asked(f"/{name}")
    assert not [key for key, _ in asked.headers if key.lower().startswith("grip-")]
    assert answer.body == b"whole"


def test_the_prefix_is_the_gateways_alone(
    new_front: FrontMaker, backend: Backend, listeners: Listeners, name: str
) -> None:
    """Two sites behind one gateway, whose channels have the same names: neither backend nor Grip-Last knows of it."""
    front = new_front(prefix="one-")
    meta = f'id_format="%({name})s"'
    instructed = [("Grip-Set-Meta", meta), link(f"/{name}-next")]
    backend.on(f"/{name}", stream(f"{name}; prev-id=1; filter=build-id, {name}-k; filter=require-sub", *instructed))
    backend.on(
        f"/{name}-next",
        stream(f"{name}; prev-id=3; filter=build-id, {name}-k; filter=require-sub", *instructed, body="[3]"),
    )
    opened = front.open(listeners, f"/{name}")
    front.publish(sent(name, "[not this one]", id="2", prev_id="1"))
    front.publish(sent(f"one-{name}", "[%I]", id="2", prev_id="1", filters=["build-id"]))
    until_body(listeners, opened, "[2]")
    front.publish(sent(f"one-{name}-k", "[kick]", meta={"require_sub": name}))
    until_body(listeners, opened, "[kick]")
    front.publish(sent(f"one-{name}-k", action="hint"))
    until_body(listeners, opened, "[3]")
    assert backend.asked(f"/{name}-next")[-1].last == {name: "2"}
    assert opened.body == b"[2][kick][3]"
