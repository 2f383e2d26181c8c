"""Tricks with paths: what the route sees and what Django sees is the same path, or the request is refused."""

from urllib.parse import unquote

import pytest

from conftest import GatewayMaker
from harness import Gateway, Site
from http2 import Http2
from wire import head_bytes, send

# Only what is below this is anybody's business; the rest of the site must not be reachable, nor a channel of others.
ROUTES = """
[[route]]
path = "/echo/open/<path:rest>"
proxy = "django"

[[route]]
path = "/rooms/<slug:room>/events/"
sse = { channels = ["room-{room}"], public = true }
"""

TRICKS = [
    *(
        "/echo/open/../admin/",
        "/echo/open/%2e%2e/admin/",
        "/echo/open/.%2e/admin/",
        "/echo/open/%2E%2E/admin/",
        "/echo/./open/x/",
    ),
    *(
        "/echo/open/..%2fadmin/",
        "/echo/open/%2e%2e%2fadmin/",
        "/echo/open/..%5cadmin/",
        "/echo/open/..\\admin/",
        "/echo/open%2f..%2fadmin/",
    ),
    *(
        "/echo/open/..;/admin/",
        "/echo/open/;/../admin/",
        "/echo/open/x;/../../admin/",
        "/echo/open;x=y/admin/",
        "/echo/open;/admin/",
    ),
    *(
        "//echo/open/x/",
        "/echo//open/x/",
        "/echo/open//x/",
        "/echo/open///admin/",
        "//evil.test/echo/open/x/",
        "/%2fecho/open/x/",
    ),
    *(
        "/echo/open/%c0%ae%c0%ae/admin/",
        "/echo/open/%c0%af../admin/",
        "/echo/open/%e0%80%ae/",
        "/echo/open/%ff/",
        "/echo/open/%ed%a0%80/",
    ),
    *(
        "/echo/open/%00",
        "/echo/open/x%00.html",
        "/echo/open/%0d%0aX:%20y/",
        "/echo/open/%0a",
        "/echo/open/%7f",
        "/echo/open/%09",
    ),
    *(
        "/echo/open/%252e%252e/admin/",
        "/echo/open/%25%32%65/",
        "/echo/open/%2",
        "/echo/open/%",
        "/echo/open/%zz",
        "/echo/open/%u002e/",
    ),
    *(
        "/echo/open/?x=/../../admin/",
        "/echo/open/x?a?b",
        "/echo/open/x%3fy=z",
        "/echo/open/x%23y",
        "/echo/open/x?y%00z",
    ),
    *(
        "/ECHO/open/x/",
        "/echo/Open/x/",
        "/echo/open",
        "/echo/openx/",
        "/echo/%6fpen/x/",
        "/%65cho/open/x/",
        "/echo%2fopen/x/",
    ),
    *(
        "/admin/echo/",
        "/echo/",
        "/",
        "/echo/open/../../echo/open/x/",
        "/echo/open/ü/",
        "/echo/open/%c3%bc/",
        "/echo/open/\u2025/admin/",
    ),
    *(
        "/echo/open/x#/../../admin/",
        "/echo/open/x%20y",
        "/echo/open/x y",
        "/echo/open/...//",
        "/echo/open/.../x/",
        "/echo/open/.hidden",
    ),
]


@pytest.fixture(scope="module")
def narrow(shared_gateways: GatewayMaker, site: Site) -> Gateway:
    return shared_gateways(site, routes=ROUTES)


def reached(site: Site, before: int) -> list[str]:
    return [seen["path"] for seen in site.journal()[before:]]


def must_be_open(seen: list[str], status: int, target: str) -> None:
    """`seen` is what Django took for the path; nothing, or the very one that the route was found by."""
    if seen:
        assert status == 200 and len(seen) == 1
        path = seen[0].partition("?")[0]
        asked = target.partition("?")[0].partition("#")[0]
        assert unquote(path) == unquote(asked)
        assert unquote(path).startswith("/echo/open/")
        assert ".." not in unquote(path).replace("\\", "/").split("/")
    else:
        assert status in (400, 404)


@pytest.mark.parametrize("target", TRICKS)
def test_django_sees_the_path_of_the_route_or_nothing(narrow: Gateway, site: Site, target: str) -> None:
    raw = target.encode()
    before = len(site.journal())
    answer = send(narrow.http, head_bytes("GET", raw.decode("latin-1"), "site.test", [("Connection", "close")]))
    must_be_open(reached(site, before), answer.status, target)
    before = len(site.journal())
    with Http2(narrow.http, careless=True) as conn:
        status = 400
        try:
            status = conn.request("GET", target).status
        except Exception as error:  # noqa: BLE001  (a reset is a refusal too, however the library says so)
            assert "eset" in repr(error) or "losed" in repr(error) or "erminated" in repr(error), error
    must_be_open(reached(site, before), status, target)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/rooms/a%2fb/events/",
            "/rooms/a/../b/events/",
            "/rooms/%2e%2e/events/",
            "/rooms/a%00/events/",
            "/rooms/a%0ab/events/",
        ),
        *(
            "/rooms/a,b/events/",
            "/rooms/a%2cb/events/",
            "/rooms/a;b/events/",
            "/rooms/a//events/",
            "/rooms//events/",
            "/rooms/%c3%bc/events/",
        ),
    ],
)
def test_no_trick_opens_the_stream_of_another_channel(narrow: Gateway, target: str) -> None:
    assert narrow.get(target, headers={"Accept": "text/event-stream"}).status in (400, 404)
