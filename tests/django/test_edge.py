"""What the gateway does before and after Django: a prefix, a login, headers, redirects, pages, maintenance."""

import base64
from pathlib import Path

import pytest

from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Site, run_cli, until
from streams import Listeners

BROWSER = {"Accept": "text/html"}


def hashed(name: str, password: str) -> str:
    """The line of a user, as an operator makes it."""
    done = run_cli("hash-password", name, stdin=f"{password}\n".encode())
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def login(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


ROUTES = """
[[route]]
path = "/api/<path:rest>"
proxy = {{ to = "django", strip = "/api" }}
basic_auth = {{ realm = "staging", users = ["{user}"] }}
[[route]]
path = "/me/events/"
sse = {{ ask = "django" }}
[[route]]
path = "/ask/<slug:name>/"
sse = {{ ask = "django" }}
[[route]]
path = "/before/<path:rest>"
redirect = {{ to = "/api/{{rest}}", status = 302 }}
[[route]]
path = "/<path:rest>"
proxy = "django"
"""

MORE = """
[headers]
set = {{ Referrer-Policy = "no-referrer", X-Robots-Tag = "none" }}
[errors]
pages = {{ 502 = "{folder}/502.html" }}
maintenance = {{ when_file = "{folder}/on", page = "{folder}/502.html", retry_after = "1s" }}
"""


@pytest.fixture
def edge(new_site: SiteMaker, new_gateway: GatewayMaker, tmp_path: Path) -> tuple[Gateway, Site, Path]:
    """A site that speaks for itself, below a prefix that it knows of."""
    (tmp_path / "502.html").write_text("<p>soon</p>")
    site = new_site(env={"SITE_SECURITY": "1", "SITE_SCRIPT_NAME": "/api"})
    routes = ROUTES.format(user=hashed("ann", "s€cret"))
    more = MORE.format(folder=tmp_path)
    return new_gateway(site, routes=routes, more=more, upstream='retry_for = "0s"'), site, tmp_path


def test_a_site_below_a_prefix_and_behind_a_login(edge: tuple[Gateway, Site, Path]) -> None:
    gateway, site, _ = edge
    refused = gateway.get("/api/echo/")
    assert refused.status == 401
    assert refused.header("www-authenticate") == 'Basic realm="staging", charset="UTF-8"'
    assert gateway.get("/api/echo/", headers=login("ann", "secret")).status == 401
    assert not site.journal("/echo/")

    seen = gateway.get("/api/echo/?a=1", headers=login("ann", "s€cret")).json()
    assert seen["meta"]["PATH_INFO"] == "/echo/"
    # What Django makes links of.
    assert seen["full_path"] == "/api/echo/?a=1"
    assert "HTTP_AUTHORIZATION" not in seen["meta"]


def test_what_django_says_of_its_answers_stays(edge: tuple[Gateway, Site, Path]) -> None:
    gateway, _, _ = edge
    page = gateway.get("/")
    assert page.header("referrer-policy") == "same-origin"
    assert page.header("x-content-type-options") == "nosniff"
    assert page.header("x-robots-tag") == "none"
    own = gateway.get("/before/echo/?a=1")
    assert (own.status, own.header("location")) == (302, "/api/echo/?a=1")
    assert own.header("referrer-policy") == "no-referrer"


def test_browsers_are_shown_a_page_while_gunicorn_is_away(edge: tuple[Gateway, Site, Path]) -> None:
    gateway, site, _ = edge
    # A page of Django's is left alone.
    assert b"soon" not in gateway.get("/nowhere/", headers=BROWSER).body
    site.kill()
    shown = gateway.get("/", headers=BROWSER)
    assert (shown.status, shown.body) == (502, b"<p>soon</p>")
    assert b"request id: " in gateway.get("/").body


def test_maintenance_keeps_requests_from_django_and_listeners_in_their_places(
    edge: tuple[Gateway, Site, Path], listeners: Listeners
) -> None:
    gateway, site, folder = edge
    site.script("kept", channel="kept")
    stream = listeners.open(gateway.http, "/ask/kept/")
    listeners.until_open(stream)
    (folder / "on").touch()
    until(lambda: gateway.get("/").status == 503, "maintenance")
    before = len(site.journal())
    shown = gateway.get("/api/echo/", headers=BROWSER)
    assert (shown.status, shown.body, shown.header("retry-after")) == (503, b"<p>soon</p>", "1")
    away = gateway.get("/ask/kept/", headers={"Accept": "text/event-stream"})
    assert (away.status, away.header("content-type")) == (200, "text/event-stream")
    assert away.body.startswith(b"retry:")
    assert len(site.journal()) == before
    gateway.publish("kept", "still here")
    listeners.until_data("still here", [stream])
    (folder / "on").unlink()
    until(lambda: gateway.get("/").status == 200, "the end of maintenance")
