"""Views that stream and know of no gateway, recorded: one request to Django, whoever reloads the page or opens another."""

from collections.abc import Iterable

import pytest

from conftest import GatewayMaker, SiteMaker
from harness import ROUTES, Gateway, Site, cookie_header, log_in, until
from streams import Listeners, Stream

RECORDED = """
[[route]]
path = "/recorded/<path:rest>"
proxy = { to = "django", record = {} }

[[route]]
path = "/shared/<path:rest>"
proxy = { to = "django", record = { per = "all" } }
"""


def token(user: str, numbers: Iterable[int]) -> list[str]:
    return [f"{user}-{number}" for number in numbers]


@pytest.fixture(scope="module")
def site(shared_sites: SiteMaker) -> Site:
    """Two streams at once and a login are more than one sync worker can do."""
    return shared_sites("unix", threads=8)


@pytest.fixture(scope="module")
def gateway(shared_gateways: GatewayMaker, site: Site) -> Gateway:
    return shared_gateways(site, routes=RECORDED + ROUTES)


@pytest.fixture(scope="module")
def anna(gateway: Gateway) -> dict[str, str]:
    return {"Cookie": cookie_header(log_in(gateway.http, "anna"))}


@pytest.fixture(scope="module")
def ben(gateway: Gateway) -> dict[str, str]:
    return {"Cookie": cookie_header(log_in(gateway.http, "ben"))}


def opened(listeners: Listeners, gateway: Gateway, target: str, events: int, **more: object) -> Stream:
    stream = listeners.open(gateway.http, target, **more)  # type: ignore[arg-type]
    listeners.until(lambda: len(stream.events) >= events, f"{events} events")
    return stream


@pytest.mark.parametrize("query", ["", "?ids"])
def test_a_page_reload_in_the_middle_of_an_answer_loses_and_doubles_nothing(
    gateway: Gateway, site: Site, listeners: Listeners, name: str, anna: dict[str, str], query: str
) -> None:
    target = f"/recorded/{name}/{query}"
    first = opened(listeners, gateway, target, 3, headers=anna)
    assert first.data == token("anna", range(1, 4))
    assert (first.last_id == "3") == bool(query), "the view's own ids are kept"
    listeners.close(first)
    site.open_gate(name)
    again = listeners.open(gateway.http, target, headers=anna, last_event_id=first.last_id)
    listeners.until_ended(again)
    assert again.complete and again.data == [*token("anna", range(4, 7)), ""] and not again.resets
    fresh = listeners.open(gateway.http, target, headers=anna)
    listeners.until_ended(fresh)
    assert fresh.data == [*token("anna", range(1, 7)), ""], "a page without an id gets all of it"
    stopped = gateway.get(target, headers=[*anna.items(), ("Last-Event-ID", again.last_id)])
    assert stopped.status == 204, "an EventSource that has seen all stops"
    assert len(site.journal(f"/recorded/{name}/")) == 1


def test_the_view_does_not_see_a_hundred_tabs(
    gateway: Gateway, site: Site, listeners: Listeners, name: str, anna: dict[str, str]
) -> None:
    target = f"/recorded/{name}/"
    streams = [listeners.open(gateway.http, target, headers=anna) for _ in range(100)]
    listeners.until_open(*streams)
    site.open_gate(name)
    listeners.until_ended(*streams)
    assert all(stream.data == [*token("anna", range(1, 7)), ""] for stream in streams)
    assert len(site.journal(target)) == 1


def test_another_user_has_a_recording_of_his_own_and_nobody_else_has_any(
    gateway: Gateway, site: Site, listeners: Listeners, name: str, anna: dict[str, str], ben: dict[str, str]
) -> None:
    target = f"/recorded/{name}/"
    first = opened(listeners, gateway, target, 3, headers=anna)
    second = opened(listeners, gateway, target, 3, headers=ben)
    assert (first.data, second.data) == (token("anna", range(1, 4)), token("ben", range(1, 4)))
    # An id of hers leads him nowhere but to his own.
    third = opened(listeners, gateway, target, 1, headers=ben, last_event_id=first.last_id)
    assert not any("anna" in data for data in third.data)
    for headers in ({}, {"Cookie": "sessionid=forged"}):
        answer = gateway.get(target, headers=[*headers.items(), ("Last-Event-ID", first.last_id)])
        assert answer.status == 302 and b"anna" not in answer.body
    site.open_gate(name)


def test_with_one_recording_for_all_everybody_is_still_asked_for(
    gateway: Gateway, site: Site, listeners: Listeners, name: str, anna: dict[str, str], ben: dict[str, str]
) -> None:
    target = f"/shared/{name}/"
    first = opened(listeners, gateway, target, 3, headers=anna)
    second = opened(listeners, gateway, target, 3, headers=ben)
    assert second.data == token("anna", range(1, 4)), "what the first viewer was told"
    assert gateway.get(target).status == 302
    assert len(site.journal(target)) == 3
    site.open_gate(name)
    listeners.until_ended(first, second)
    assert first.data == second.data


def test_a_worker_that_is_killed_is_asked_again_for_the_rest(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    # One sync worker, as small sites have it.
    site = new_site()
    gateway = new_gateway(site, routes=RECORDED + ROUTES)
    anna = {"Cookie": cookie_header(log_in(gateway.http, "anna"))}
    site.open_gate(name)
    target = f"/recorded/{name}/?ids&dies"
    stream = listeners.open(gateway.http, target, headers=anna)
    listeners.until_ended(stream)
    assert stream.complete and stream.data == [*token("anna", range(1, 7)), ""] and not stream.resets
    first, second = site.journal(f"/recorded/{name}/")
    assert "Last-Event-Id" not in first["headers"] and second["headers"]["Last-Event-Id"] == "3"
    until(lambda: gateway.get("/").status == 200, "the worker to be free again")
