"""Who is not granted a channel hears no byte of it, whatever he sends."""

import base64
import hashlib
import hmac
import json
import time
from urllib.parse import quote

import pytest
from django.conf import settings
from django.core import signing

from conftest import GatewayMaker, SiteMaker
from harness import ROUTES, Gateway, Site, cookie_header, cookies_of, log_in, post_form
from intruders import DRAIN, Intruders, in_history
from streams import Listeners

KEY = "the key of the site and the gateway"
MORE_ROUTES = (
    """
[[route]]
path = "/copy/<path:rest>"
sse = { ask = "django" }

[[route]]
path = "/str/<str:room>/events/"
sse = { channels = ["room-{room}"], public = true }

[[route]]
path = "/files/<path:file>/events/"
sse = { channels = ["files/open/{file}"], public = true }
"""
    + ROUTES
)


@pytest.fixture
def intruders(site: Site, new_gateway: GatewayMaker, listeners: Listeners) -> Intruders:
    return Intruders(new_gateway(site, server=DRAIN, sse="per_ip = 10000", routes=MORE_ROUTES), listeners)


@pytest.fixture
def marker(name: str) -> str:
    return f"marker-of-{name}"


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_heard_is_found(intruders: Intruders, name: str, marker: str, version: int) -> None:
    """Without this the tests below could pass because they do not look, or not to the end."""
    get = intruders.get if version == 1 else intruders.get_by_http2
    assert get(f"/rooms/{name}/events/").status == 200
    with pytest.raises(AssertionError, match=marker):
        intruders.hear_nothing_of(marker, [f"room-{name}"])


# -- paths ------------------------------------------------------------------------------------

# Ways to write a slash, or to make one reader see one where another does not.
SLASHES = ["/", "%2F", "%2f", "%252F", "%25252F", "%5C", "%255C", "\\", "//", "/./", ";/", ";%2F", "%00/", "%2F%00"]
SLASHES += ["%EF%BC%8F", "／", "%E2%88%95", "∕", "%E2%81%84", "%C0%AF", "%E0%80%AF", "%u002F", "%c1%9c", "/%2e/", "%3B/"]
ENDS = ["", ".", "..", "%2E", "%20", "%00", ";", "%3B", "%0A", "%0D%0A", "?", "%3F", "%23", "/.", "%E3%80%82", ","]
DOTS = ["..", "%2e%2e", "%2E%2E", ".%2e", "%252e%252e", "..;", "..%00", "%c0%ae%c0%ae", "．．", "‥"]


def test_no_spelling_of_a_path_reaches_another_channel_of_a_public_route(
    intruders: Intruders, name: str, marker: str
) -> None:
    forbidden = [f"room-{name}/private", f"files/secret-{name}", f"secret-{name}"]
    in_history(intruders.gateway, marker, forbidden)
    for route in ("rooms", "str"):
        for slash in SLASHES:
            intruders.get(f"/{route}/{name}{slash}private/events/", {"Last-Event-ID": "0-0"})
        for end in ENDS:
            intruders.get(f"/{route}/{name}%2Fprivate{end}/events/")
            intruders.get(f"/{route}/secret-{name}{end}/events/")
        for other in (f"../secret-{name}", f"{{room}}-{name}", f"{name},secret-{name}", f'["secret-{name}"]', "*"):
            intruders.get(f"/{route}/{quote(other)}/events/")
            intruders.get(f"/{route}/{other}/events/")
    for dots in DOTS:
        for slash in ("/", "%2F", "%252F", "%5C"):
            intruders.get(f"/files/{dots}{slash}secret-{name}/events/")
            intruders.get(f"/files/x{slash}{dots}{slash}{dots}{slash}secret-{name}/events/")
    for query in ("room=secret-{}", "channel=secret-{}", 'channels=["secret-{}"]', "file=../secret-{}"):
        intruders.get(f"/rooms/{name}/events/?{quote(query.format(name), safe='=')}")
    intruders.get(f"http://site.test/rooms/{name}%2Fprivate/events/")
    intruders.get(f"/rooms/{name}/events/#/../../secret-{name}")
    intruders.hear_nothing_of(marker, forbidden)


def test_no_spelling_of_a_path_makes_a_view_name_a_second_channel(
    intruders: Intruders, site: Site, name: str, marker: str
) -> None:
    secret = f"secret-{name}"
    in_history(intruders.gateway, marker, [secret])
    asked = len(site.journal("/copy/"))
    lines = ("%0A", "%0D", "%0D%0ASSE-Channel:%20", "%0ASSE-Channel:%20")
    for between in (",", ",%20", "%2C", "%20", "%00", ";", *lines):
        intruders.get(f"/copy/x{between}{secret}")
    for slash in SLASHES:
        intruders.get(f"/copy/x{slash}..{slash}{secret}")
        intruders.get(f"/copy/..{slash}..{slash}{secret}")
    for whole in (f'["{secret}"]', f'"{secret}"', f"{{{secret}}}", f"\u2028{secret}", "*", f"\u560a{secret}"):
        intruders.get(f"/copy/{quote(whole)}")
    assert len(site.journal("/copy/")) > asked, "none of them reached the view"
    intruders.hear_nothing_of(marker, [secret])


# -- Last-Event-ID ----------------------------------------------------------------------------


def test_no_last_event_id_brings_back_an_event_of_another_channel(
    intruders: Intruders, listeners: Listeners, name: str, marker: str
) -> None:
    gateway, secret = intruders.gateway, f"secret-{name}"
    first, own, last = in_history(gateway, marker, [secret])
    epoch, _, number = first.rpartition("-")
    below = f"{epoch}-{int(number) - 1}"
    places = [first, own, last, below, f"{epoch}-0", f"{epoch}-1", f"{epoch}--1", f"{epoch}-{number}0"]
    places += [f"{epoch}-18446744073709551616", f"0123456789-{number}", f"{epoch.upper()}-{number}"]
    places += [f"{epoch}-+{number}", f"{epoch}-0{number}", f"{first},{own}", "x" * 10_240, "-", "0", "*", "%00", "a\tb"]
    places += ["ä", "\ufeff", f"{secret}", f"{secret}:{first}", f"{{{secret}}}", "null"]
    for route in (f"/rooms/{name}/events/", f"/copy/{name}", "/two/{0}-a/{0}-b/events/".format(name)):
        for place in places:
            spelled = place.encode().decode("latin-1")
            intruders.get(route, {"Last-Event-ID": spelled})
            # An ask passes the query on, and gunicorn takes no line that long.
            if len(place) < 4000 or route.startswith("/rooms/"):
                for key in ("lastEventId", "last-event-id"):
                    intruders.get(f"{route}?{key}={quote(place)}")
        intruders.get(route, [("Last-Event-ID", own), ("Last-Event-ID", first)])
        intruders.get(f"{route}?lastEventId={quote(own)}&last-event-id={first}&Last-Event-ID={first}")
    # A reset, and never an error: each of them is a stream that goes on.
    refused = {each.label: each.status for each in intruders.all if each.status != 200}
    assert not refused
    intruders.hear_nothing_of(marker, [secret])


# -- headers ----------------------------------------------------------------------------------


def forged(secret: str, user: str) -> list[tuple[str, str]]:
    names = ["SSE-Channel", "sse-channel", "SSE-CHANNEL", "sSe-cHaNnEl", "SSE_Channel", "sse_channel"]
    names += ["HTTP_SSE_CHANNEL", "SSE-Channel-", "X-SSE-Channel", "X-Repeated-Channels", "Grip-Channel"]
    lists = ["SSE-Channels", "sse-channels", "SSE_Channels", "SSE_CHANNELS", "sSe-ChAnNeLs"]
    users = ["SSE-User", "sse-user", "SSE_User", "SSE_USER", "sSe-UsEr", "Remote-User", "REMOTE_USER"]
    return [
        *((key, secret) for key in names),
        *((key, json.dumps([secret])) for key in lists),
        *((key, user) for key in users),
        ("SSE-Replay", "full"),
        ("SSE-Ask", "1"),
        ("Grip-Hold", "stream"),
    ]


def test_no_header_of_the_client_grants_a_channel_or_makes_him_another_user(
    intruders: Intruders, name: str, marker: str
) -> None:
    secret, user = f"secret-{name}", f"victim-{name}"
    in_history(intruders.gateway, marker, [secret])
    lines = forged(secret, user)
    for target in (f"/copy/{name}", f"/rooms/{name}/events/", f"/ask/{name}/?channel=own-{name}&user=intruder"):
        for line in lines:
            intruders.get(target, [line])
            intruders.get(target, [line, line, ("Connection", f"keep-alive, {line[0]}")])
        intruders.get(target, lines)
        for raw in (f"SSE-Channel : {secret}", f"X: 1\r\n SSE-Channel: {secret}", f"X: 1\nSSE-Channel: {secret}"):
            head = f"GET {target} HTTP/1.1\r\nHost: site.test\r\n{raw}\r\n\r\n"
            intruders.send(f"{target} {raw!r}", head.encode())
    assert any(each.status == 200 for each in intruders.all)
    intruders.hear_nothing_of(marker, [secret], user)


def test_no_header_grants_a_channel_over_http2_either(intruders: Intruders, name: str, marker: str) -> None:
    secret, user = f"secret-{name}", f"victim-{name}"
    in_history(intruders.gateway, marker, [secret])
    target = f"/copy/{name}"
    lines = [(key.lower(), value) for key, value in forged(secret, user)]
    for line in [*lines, ("SSE-Channel", secret), (" sse-channel", secret), ("sse-channel ", secret)]:
        intruders.get_by_http2(target, [line])
    intruders.get_by_http2(target, lines)
    intruders.get_by_http2(target, [("x", f"1\r\nsse-channel: {secret}"), ("x\r\nsse-channel", secret)])
    assert any(each.status == 200 for each in intruders.all)
    intruders.hear_nothing_of(marker, [secret], user)


# -- sessions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", ["0s", "10m"])
def test_a_stale_session_hears_nothing_with_and_without_a_cache_of_asks(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str, marker: str, cache: str
) -> None:
    uncached = 'path = "/session/events/"\nsse = { ask = "django" }'
    assert uncached in ROUTES
    cached = uncached.replace('"django"', f'{{ to = "django", cache = "{cache}" }}')
    routes = ROUTES.replace(uncached, cached)
    gateway = new_gateway(site, server=DRAIN, sse="per_ip = 10000", routes=routes)
    intruders, hers = Intruders(gateway, listeners), f"{name}-anna"
    in_history(gateway, marker, [hers])
    target = f"/session/events/?name={name}"
    anna, ben = log_in(gateway.http, "anna"), log_in(gateway.http, "ben")
    before = len(site.journal(target))
    for _ in range(3):
        listeners.until_open(listeners.open(gateway.http, target, headers={"Cookie": cookie_header(anna)}))
    assert len(site.journal(target)) - before == (3 if cache == "0s" else 1)

    form = anna | cookies_of(gateway.get("/mine/", headers={"Cookie": cookie_header(anna)}))
    assert post_form(gateway.http, "/logout/", form, {}, "site.test").status == 302
    stale, his = f"sessionid={anna['sessionid']}", f"sessionid={ben['sessionid']}"
    doubled = [f"{stale}; {stale}", f"x=1; {stale}", f"{his}; {stale}", f"sessionid=; {stale}"]
    for cookie in (stale, cookie_header(anna), *doubled):
        intruder = intruders.get(target, {"Cookie": cookie})
        assert intruder.status == 401, cookie
        assert intruders.get(target, {"Cookie": cookie, "Last-Event-ID": "0-0"}).status == 401
    # Equal requests share an answer, others do not.
    assert intruders.get(target).status == 401
    for cookie in (his, f"{stale}; {his}"):
        assert intruders.get(target, {"Cookie": cookie}).status == 200
    intruders.hear_nothing_of(marker, [hers])


# -- tokens -----------------------------------------------------------------------------------


def signed(channels: list[str], key: str = KEY, salt: str = "sse", **more: object) -> str:
    """What a Django site makes of it."""
    if not settings.configured:
        settings.configure()
    return signing.dumps({"channels": channels, **more}, key=key, salt=salt)


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def jwt(channels: list[str], key: str = KEY, alg: str = "HS256", **claims: object) -> str:
    payload = {"channels": channels, "exp": int(time.time()) + 600, **claims}
    text = f"{encoded({'alg': alg, 'typ': 'JWT'})}.{encoded(payload)}"
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}.get(alg)
    mac = hmac.new(key.encode(), text.encode(), digest).digest() if digest else b""
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def forged_tokens(kind: str, own: str, secret: str) -> list[str]:
    if kind == "django-signed":
        good, other = signed([own]), signed([secret], key="another key")
        payload, *rest = good.split(":")
        return [
            *(other, signed([secret], salt="another salt"), signed([secret], key=KEY[:-1])),
            ":".join([other.split(":")[0], *rest]),
            ":".join([encoded({"channels": [secret]}), *rest]),
            *(f"{payload}:{encoded({'channels': [secret]})}:{rest[-1]}", other.rpartition(":")[0], other + ":"),
            jwt([secret], alg="none"),
        ]
    good, payload = jwt([own]), encoded({"channels": [secret], "exp": int(time.time()) + 600})
    head, _, mac = good.split(".")
    return [
        *(jwt([secret], key="another key"), jwt([secret], key=""), jwt([secret], exp=int(time.time()) - 1)),
        *(jwt([secret], alg=alg) for alg in ("none", "None", "NONE", "HS512", "RS256", "ES256", "")),
        *(f"{head}.{payload}.{mac}", f"{head}.{payload}.", f"{head}.{payload}", f".{payload}.{mac}"),
        f"{encoded({'alg': 'HS256', 'jwk': {'kty': 'oct', 'k': 'AA'}})}.{payload}.{mac}",
        signed([secret], key="another key"),
    ]


@pytest.mark.parametrize("kind", ["django-signed", "jwt"])
def test_a_token_of_one_channel_opens_no_other(
    site: Site, new_gateway: GatewayMaker, listeners: Listeners, name: str, marker: str, kind: str
) -> None:
    what = 'salt = "sse", max_age = "1h"' if kind == "django-signed" else 'alg = "HS256"'
    token = f'{{ kind = "{kind}", key = "{KEY}", {what}, from = ["query:token", "bearer"] }}'
    route = f'[[route]]\npath = "/live/"\nsse = {{ token = {token} }}\n'
    gateway = new_gateway(site, server=DRAIN, sse="per_ip = 10000", routes=route + ROUTES)
    intruders, own, secret, user = Intruders(gateway, listeners), f"own-{name}", f"secret-{name}", f"victim-{name}"
    first, by_publisher, _ = in_history(gateway, marker, [secret])
    make = signed if kind == "django-signed" else jwt
    good = make([own], user="intruder")
    # The way in is open, or what follows would prove nothing.
    assert intruders.get(f"/live/?token={quote(good)}").status == 200
    assert intruders.get("/live/", {"Authorization": f"Bearer {good}"}).status == 200
    listed = quote(json.dumps([secret]))
    for extra in (f"channel={secret}", f"channels={listed}", f"user={user}", f"lastEventId={first}"):
        assert intruders.get(f"/live/?token={quote(good)}&{extra}").status == 200
    for place in (first, by_publisher):
        assert intruders.get(f"/live/?token={quote(good)}", {"Last-Event-ID": place}).status == 200
    for line in forged(secret, user):
        intruders.get(f"/live/?token={quote(good)}", [line])
    for bad in forged_tokens(kind, own, secret):
        assert intruders.get(f"/live/?token={quote(bad)}", label=f"query {bad}").status == 401
        assert intruders.get("/live/", {"Authorization": f"Bearer {bad}"}, label=f"bearer {bad}").status == 401
        # Two tokens: whichever counts, the bad one grants nothing.
        intruders.get(f"/live/?token={quote(good)}&token={quote(bad)}")
        intruders.get(f"/live/?token={quote(bad)}&token={quote(good)}")
        intruders.get(f"/live/?token={quote(good)}", {"Authorization": f"Bearer {bad}"})
    intruders.hear_nothing_of(marker, [secret], user)


# -- recordings -------------------------------------------------------------------------------


def recorder(new_site: SiteMaker, new_gateway: GatewayMaker, record: str) -> tuple[Gateway, Site]:
    """A threaded site, for its views hold a worker as long as they talk."""
    site = new_site("unix", threads=16)
    route = f'[[route]]\npath = "/whispered/<slug:name>/"\nproxy = {{ to = "django", record = {record} }}\n'
    return new_gateway(site, server=DRAIN, sse="per_ip = 10000", routes=route + ROUTES), site


OTHERS = [{}, {"Cookie": "viewer=ben"}, {"Cookie": "viewer=anna2"}, {"Cookie": "viewer=Anna"}, {"Cookie": "other=anna"}]
OTHERS += [{"Cookie": "viewer="}, {"Cookie": "viewer=ben; viewer2=anna"}, {"Authorization": "Bearer anna"}]
OTHERS += [{"Cookie": "viewer=ben", "Authorization": "viewer=anna"}, {"X-Cookie": "viewer=anna"}]


def test_a_viewer_with_other_credentials_sees_nothing_of_a_recording(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway, site = recorder(new_site, new_gateway, '{ replay = "all", linger = "60s" }')
    intruders, target = Intruders(gateway, listeners), f"/whispered/{name}/"
    hers = listeners.open(gateway.http, target, headers={"Cookie": "viewer=anna"})
    listeners.until_data("secret of <anna>", [hers])
    for headers in OTHERS:
        for place in ("", hers.last_id, "0-0"):
            for key in ("lastEventId", "last-event-id"):
                intruders.get(f"{target}?{key}={quote(place)}", headers)
            intruders.get(target, headers | ({"Last-Event-ID": place} if place else {}))
    # She herself shares it: the site was asked once for her.
    again = listeners.open(gateway.http, target, headers={"Cookie": "viewer=anna"})
    listeners.until_data("secret of <anna>", [again])
    site.open_gate(name)
    listeners.until_data("last of <anna>", [hers, again])
    intruders.hear_nothing_of("of <anna>", [])
    cookies = [line["headers"].get("Cookie") for line in site.journal(target)]
    assert cookies.count("viewer=anna") == 1


def test_whoever_joins_a_shared_recording_is_checked_first(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway, _ = recorder(new_site, new_gateway, '{ replay = "all", linger = "60s", per = "all" }')
    intruders, target = Intruders(gateway, listeners), f"/whispered/{name}/"
    first = listeners.open(gateway.http, target, headers={"Cookie": "viewer=anna"})
    listeners.until_data("secret of <anna>", [first])
    for headers in ({}, {"Cookie": "other=anna"}, {"Authorization": "Bearer anna"}, {"Last-Event-ID": first.last_id}):
        assert intruders.get(target, headers).status == 403
        assert intruders.get(f"{target}?lastEventId={first.last_id}", headers).status == 403
    # Who may see the page may hear what is shared.
    second = listeners.open(gateway.http, target, headers={"Cookie": "viewer=ben"})
    listeners.until_data("secret of <anna>", [second])
    intruders.hear_nothing_of("of <anna>", [])
