"""Tokens: what real Django signs and what PyJWT makes opens a stream, and nothing that was changed does."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from unittest.mock import patch

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core import signing

from conftest import GatewayMaker
from harness import HERE, Gateway, Site
from streams import Listeners, Stream
from wire import Answer

if not settings.configured:
    settings.configure()

KEY = "the site's own key: ä, with $ and \" in it"
SECRET = "a secret of more than 32 bytes for HS256"
PAIRS = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
ALGORITHMS = ["HS256", *PAIRS]


def pem(algorithm: str) -> str:
    key = PAIRS[algorithm].public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def route(path: str, **keys: Any) -> str:
    # What JSON writes of a string or a list of them, TOML reads as the same.
    table = ", ".join(f"{name} = {json.dumps(value)}" for name, value in keys.items())
    return f'[[route]]\npath = "{path}"\nsse = {{ token = {{ {table} }} }}\n'


@pytest.fixture(scope="module")
def live(shared_gateways: GatewayMaker, site: Site) -> Gateway:
    """A gateway with a route for each kind of token."""
    key = KEY.replace("$", "$$")
    routes = [
        route("/signed/", kind="django-signed", key=key),
        route("/salted/", kind="django-signed", key=key, salt="another: salt"),
        route("/short/", kind="django-signed", key=key, max_age="3s", **{"from": ["bearer", "query:t"]}),
        route("/for-us/", kind="jwt", alg="HS256", key=SECRET, audience="us", issuer="site"),
        *(route(f"/{alg}/", kind="jwt", alg=alg, key=SECRET if alg == "HS256" else pem(alg)) for alg in ALGORITHMS),
    ]
    return shared_gateways(site, routes="\n".join(routes))


def signed(payload: object, *, key: str = KEY, salt: str = "sse", ago: float = 0, compress: bool = False) -> str:
    with patch.object(time, "time", return_value=time.time() - ago):
        return signing.dumps(payload, key=key, salt=salt, compress=compress)


def claimed(name: str, algorithm: str = "HS256", **claims: Any) -> str:
    key = SECRET if algorithm == "HS256" else PAIRS[algorithm]
    claims = {"channels": [name], "exp": int(time.time()) + 60} | claims
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm=algorithm)


def opened(live: Gateway, listeners: Listeners, target: str, **more: Any) -> Stream:
    stream = listeners.open(live.http, target, **more)
    listeners.until_open(stream)
    return stream


def must_be_refused(live: Gateway, target: str) -> Answer:
    # A stream would run into the timeout.
    answer = live.get(target, timeout=5)
    assert answer.status == 401, answer
    assert answer.header("WWW-Authenticate") == 'Bearer error="invalid_token"'
    return answer


# -- django.core.signing ------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("user", [None, 42, "zoë"])
def test_what_django_signs_opens_its_channels(
    live: Gateway, site: Site, listeners: Listeners, name: str, compress: bool, user: object
) -> None:
    channels = [name, *(f"{name}-{number}" for number in range(30))]
    token = signed({"channels": channels, "user": user, "more": {"a": [1.5]}}, compress=compress)
    assert token.startswith(".") == compress
    by_query = opened(live, listeners, f"/signed/?token={token}")
    by_bearer = opened(live, listeners, "/signed/", headers={"Authorization": f"Bearer {token}"})
    for channel in (channels[0], channels[-1]):
        assert live.publish(channel, channel)["streams"] == 2
    assert live.publish(f"{name}-30", "of nobody")["streams"] == 0
    listeners.until_data(channels[-1], [by_query, by_bearer])
    assert by_query.data == by_bearer.data == [channels[0], channels[-1]]
    assert site.journal("/signed/") == [], "no request to Django"


def test_key_and_salt_must_be_those_of_the_route(live: Gateway, listeners: Listeners, name: str) -> None:
    payload = {"channels": [name]}
    salted = signed(payload, salt="another: salt")
    opened(live, listeners, f"/salted/?token={salted}")
    for target, token in [
        ("/signed/", salted),
        ("/salted/", signed(payload)),
        ("/signed/", signed(payload, key="another key")),
        ("/signed/", signed(payload, salt="django.core.signing")),
        # Signed with the same key and salt, but not by dumps.
        ("/signed/", signing.Signer(key=KEY, salt="sse").sign_object(payload)),
        ("/signed/", signing.TimestampSigner(key=KEY, salt="sse").sign("text")),
    ]:
        must_be_refused(live, f"{target}?token={token}")


def test_a_token_is_as_old_as_django_takes_it_for(live: Gateway, listeners: Listeners, name: str) -> None:
    payload = {"channels": [name]}
    opened(live, listeners, f"/signed/?token={signed(payload, ago=3590)}")
    must_be_refused(live, f"/signed/?token={signed(payload, ago=3601)}")
    must_be_refused(live, f"/short/?t={signed(payload, ago=5)}")
    # A stream ends with its token.
    stream = opened(live, listeners, f"/short/?t={signed(payload)}")
    live.publish(name, "in time")
    listeners.until_ended(stream)
    assert stream.data == ["in time"]


@pytest.mark.parametrize("compress", [False, True])
def test_the_gateway_refuses_whatever_django_refuses(live: Gateway, name: str, compress: bool) -> None:
    token = signed({"channels": [name] * 5}, compress=compress)
    assert signing.loads(token, key=KEY, salt="sse", max_age=3600)
    for at in range(len(token)):
        for changed in (token[:at] + token[at + 1 :], token[:at] + "-A"[token[at] == "-"] + token[at + 1 :]):
            with pytest.raises(signing.BadSignature):
                signing.loads(changed, key=KEY, salt="sse", max_age=3600)
            must_be_refused(live, f"/signed/?token={changed}")


def test_the_tokens_of_the_other_tests_are_djangos_and_pyjwts() -> None:
    made = json.loads((HERE / "tokens.json").read_text())
    with patch.object(time, "time", return_value=made["made"] + 1):
        for token in made["django"]:
            assert signing.loads(token["token"], key=token["key"], salt=token["salt"], max_age=60)
    for algorithm, token in made["jwt"].items():
        assert jwt.decode(token["token"], token["key"], algorithms=[algorithm])["sub"] == "42"


# -- JWT ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_jwt_of_its_algorithm_opens_its_channels(
    live: Gateway, site: Site, listeners: Listeners, name: str, algorithm: str
) -> None:
    token = claimed(name, algorithm, sub="42", iat=int(time.time()), nbf=int(time.time()), jti="1")
    stream = opened(live, listeners, f"/{algorithm}/", headers={"Authorization": f"Bearer {token}"})
    assert live.publish(name, "hi")["streams"] == 1
    listeners.until_data("hi", [stream])
    assert site.journal(f"/{algorithm}/") == []
    for other in ALGORITHMS:
        if other != algorithm:
            must_be_refused(live, f"/{other}/?token={token}")
    head, payload, signature = token.split(".")
    middle = len(signature) // 2
    changed = signature[:middle] + "-A"[signature[middle] == "-"] + signature[middle + 1 :]
    for bad in (f"{head}.{payload}.", f"{head}.{payload}", f"{head}.{payload}.{changed}", f"{token}.{payload}"):
        must_be_refused(live, f"/{algorithm}/?token={bad}")


def test_the_times_of_a_jwt_count(live: Gateway, listeners: Listeners, name: str) -> None:
    now = time.time()
    stream = opened(live, listeners, f"/HS256/?token={claimed(name, exp=now + 1.5)}")
    listeners.until_ended(stream)
    for claims in [
        {"exp": now - 1},
        {"exp": None},
        {"exp": str(now + 60)},
        {"nbf": now + 3600},
        {"aud": "somebody"},
    ]:
        # PyJWT converts no text, and would not sign some of these.
        claims = {"channels": [name], "exp": now + 60} | claims
        must_be_refused(live, f"/HS256/?token={forged({'alg': 'HS256'}, claims, SECRET)}")


def test_audience_and_issuer_must_be_those_of_the_route(live: Gateway, listeners: Listeners, name: str) -> None:
    for audience in ("us", ["them", "us"]):
        opened(live, listeners, f"/for-us/?token={claimed(name, aud=audience, iss='site')}")
    for claims in [{}, {"aud": "us"}, {"iss": "site"}, {"aud": "them", "iss": "site"}, {"aud": "us", "iss": "them"}]:
        must_be_refused(live, f"/for-us/?token={claimed(name, **claims)}")


def test_no_algorithm_and_a_public_key_as_a_secret_are_refused(live: Gateway, name: str) -> None:
    claims = {"channels": [name], "exp": time.time() + 60}
    unsigned = jwt.encode(claims, None, algorithm="none")
    for algorithm in ALGORITHMS:
        must_be_refused(live, f"/{algorithm}/?token={unsigned}")
    for algorithm in PAIRS:
        for secret in (pem(algorithm), pem(algorithm).strip()):
            for alg in ("HS256", algorithm):
                token = forged({"alg": alg, "typ": "JWT"}, claims, secret)
                must_be_refused(live, f"/{algorithm}/?token={token}")
    must_be_refused(live, f"/HS256/?token={forged({'alg': 'HS256', 'crit': ['b64'], 'b64': True}, claims, SECRET)}")


def forged(header: dict[str, Any], claims: dict[str, Any], secret: str) -> str:
    """A JWT with an HMAC, whatever its header says."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    message = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    return f"{message}.{encoded(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))}"


# -- secrets ------------------------------------------------------------------------------------


def test_what_is_shown_and_logged_has_no_key_and_no_token(live: Gateway, name: str) -> None:
    token = signed({"channels": ["not a channel"]})
    must_be_refused(live, f"/signed/?token={token}")
    shown = live.cli("show").stdout.decode()
    assert shown.count('key = "***"') == 5
    log = live.process.log.read_text()
    assert "Token cannot be read" in log, "the site signed it, so the site is told"
    for secret in (KEY, KEY[:20], SECRET, token, *token.split(":")[::2]):
        assert secret not in shown and secret not in log
