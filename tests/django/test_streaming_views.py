"""Views that stream, as Django teams have them today, behind the gateway without a changed line: passed through event
by event, or recorded. Each makes its next event when the test lets it; see site/testsite/streaming.py."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Site, until
from streaming import ROUTES, AsgiSite, SyncSite, View, logged_in
from streams import Listeners, Stream

# A generator under WSGI, an iterator() of django-sse (with one line more), an async generator under ASGI.
KINDS = ["generator", "streamed", "async"]
QUERIES = ["last=4", "last=4&ids", "", "ids"]
VIEWERS = 1000
HARD = ["ä€😀", "first\n\nthird", " blank before", "😀\nä", "last"]

SiteOf = Callable[[str], Site]
_numbers = itertools.count()


def sites(folder: Path, database: Path) -> Iterator[SiteOf]:
    made: list[Site] = []

    def make(kind: str) -> Site:
        made.append((AsgiSite if kind == "async" else SyncSite)(folder / f"views{next(_numbers)}", database))
        made[-1].start()
        return made[-1]

    yield make
    for site in made:
        site.stop()


new_views = pytest.fixture(name="new_views")(sites)
shared_views = pytest.fixture(name="shared_views", scope="module")(sites)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fronts(shared_views: SiteOf, shared_gateways: GatewayMaker) -> Callable[[str], tuple[Site, Gateway]]:
    """A site and the gateway in front of it: one for the views under WSGI, one for those under ASGI."""
    made: dict[bool, tuple[Site, Gateway]] = {}

    def front(kind: str) -> tuple[Site, Gateway]:
        if (kind == "async") not in made:
            site = shared_views(kind)
            made[kind == "async"] = site, shared_gateways(site, routes=ROUTES)
        return made[kind == "async"]

    return front


@pytest.fixture
def views(fronts: Callable[[str], tuple[Site, Gateway]], name: str) -> Iterator[Callable[[str, str], View]]:
    """Makes a view of a kind; whatever it holds is let go at the end."""
    made: list[View] = []

    def make(kind: str, query: str = "") -> View:
        made.append(View(*fronts(kind), kind, query, f"{name}-{len(made)}"))
        return made[-1]

    yield make
    for view in made:
        view.stop()


def ticks(numbers: Iterable[int], user: str = "anna") -> list[str]:
    return [f"{user}-{number}" for number in numbers]


def watch(listeners: Listeners, view: View, route: str, headers: dict[str, str], last_id: str | None = None) -> Stream:
    return listeners.open(view.gateway.http, view.at(route), headers=headers, last_event_id=last_id)


def until_told(listeners: Listeners, data: list[str], *streams: Stream) -> None:
    listeners.until(lambda: all(stream.data == data for stream in streams), f"{data} on {len(streams)} streams")


# -- passed through --------------------------------------------------------------------------


@pytest.mark.parametrize("query", QUERIES)
def test_what_passes_through_arrives_before_the_next_event_is_made(
    views: Callable[[str, str], View], listeners: Listeners, kind: str, query: str
) -> None:
    view = views(kind, query)
    stream = watch(listeners, view, "passed", {})
    for number in range(1, 5):
        view.let(number)
        seen = ticks(range(1, number + 1), "anybody")
        listeners.until(lambda seen=seen: stream.data[: len(seen)] == seen, f"event {number}")
    if view.is_endless:
        assert not stream.ended
        view.stop()
    listeners.until_ended(stream)
    assert stream.complete and stream.data == [*ticks(range(1, 5), "anybody"), *["over"] * (not view.is_endless)]
    assert [event.id for event in stream.events[:4]] == (["1", "2", "3", "4"] if view.has_ids else [""] * 4)
    assert len(view.requests()) == 1


def test_a_head_that_the_view_streams_to_stands_in_nobodys_way(
    new_site: SiteMaker, new_gateway: GatewayMaker, name: str
) -> None:
    """gunicorn sends the head, throws away what the view goes on to say, and reads no other request meanwhile."""
    site = new_site(threads=2)
    gateway = new_gateway(site, routes=ROUTES, upstream='response_timeout = "5s"')
    view = View(site, gateway, "generator", "", name)
    view.let(1)
    answer = gateway.request("HEAD", view.at("passed"))
    assert (answer.status, answer.header("Content-Type")) == (200, "text/event-stream")
    assert [gateway.get("/").status for _ in range(5)] == [200] * 5
    view.stop()


# -- recorded --------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["per-user", "per-all"])
def test_a_head_holds_no_worker_where_streams_are_recorded(
    new_site: SiteMaker, new_gateway: GatewayMaker, name: str, route: str
) -> None:
    site = new_site(threads=2)
    gateway = new_gateway(site, routes=ROUTES, upstream='response_timeout = "5s"')
    view = View(site, gateway, "generator", "", name)
    # It speaks again and again, and so finds out.
    view.let(*range(1, 1000))
    for _ in range(5):
        answer = gateway.request("HEAD", view.at(route))
        assert (answer.status, answer.header("Content-Type"), answer.body) == (200, "text/event-stream", b"")
    assert gateway.get("/").status == 200
    assert {request["method"] for request in view.requests()} == {"GET"}
    view.stop()


@pytest.mark.parametrize("query", QUERIES)
def test_a_recording_is_shared_from_its_start_and_resumed(
    views: Callable[[str, str], View], listeners: Listeners, kind: str, query: str
) -> None:
    view = views(kind, query)
    anna = logged_in(view.gateway, "anna")
    first = watch(listeners, view, "per-user", anna)
    view.let(1)
    until_told(listeners, ticks([1]), first)
    second = watch(listeners, view, "per-user", anna)
    until_told(listeners, ticks([1]), second)
    view.let(2)
    until_told(listeners, ticks([1, 2]), first, second)
    assert not view.has_ids or first.ids == ["1", "2"], "the view's own ids are kept"
    listeners.close(first)
    view.let(3)
    again = watch(listeners, view, "per-user", anna, first.last_id)
    until_told(listeners, ticks([3]), again)
    view.let(4)
    if view.is_endless:
        until_told(listeners, ticks(range(1, 5)), second)
        view.stop()
    listeners.until_ended(second, again)
    end = ["over"] * (not view.is_endless)
    assert second.complete and second.data == [*ticks(range(1, 5)), *end]
    assert again.complete and again.data == [*ticks([3, 4]), *end]
    answer = view.gateway.get(view.at("per-user"), headers=[*anna.items(), ("Last-Event-ID", again.last_id)])
    assert answer.status == 204, "an EventSource that has seen all stops"
    assert len(view.requests()) == 1


@pytest.mark.parametrize("query", ["last=4&ids", ""])
def test_everybody_who_joins_is_asked_for_and_403_is_all_that_others_see(
    views: Callable[[str, str], View], listeners: Listeners, kind: str, query: str
) -> None:
    view = views(kind, query)
    anna, ben = logged_in(view.gateway, "anna"), logged_in(view.gateway, "ben")
    first = watch(listeners, view, "per-all", anna)
    view.let(1)
    until_told(listeners, ticks([1]), first)
    for more in ({}, {"Last-Event-ID": first.last_id}):
        answer = view.gateway.get(view.at("per-all"), headers=ben | more)
        assert answer.status == 403 and b"anna" not in answer.body and answer.header("SSE-Stream") is None
    joined = watch(listeners, view, "per-all", {})
    until_told(listeners, ticks([1]), joined)
    view.let(2)
    until_told(listeners, ticks([1, 2]), first, joined)
    assert len(view.requests()) == 4, "one that is read, and three that only let in or not"
    view.let(3, 4)
    view.stop()
    listeners.until_ended(first, joined)
    assert first.data == joined.data


@pytest.mark.parametrize("query", ["last=4&ids", "last=4"])
def test_viewers_do_not_see_the_server_die(
    new_views: SiteOf, new_gateway: GatewayMaker, listeners: Listeners, name: str, kind: str, query: str
) -> None:
    site = new_views(kind)
    view = View(site, new_gateway(site, routes=ROUTES), kind, query, name)
    anna = logged_in(view.gateway, "anna")
    first = watch(listeners, view, "per-user", anna)
    view.let(1, 2)
    until_told(listeners, ticks([1, 2]), first)
    site.kill()
    second = watch(listeners, view, "per-user", anna)
    until_told(listeners, ticks([1, 2]), second)
    site.start()
    view.let(3, 4)
    listeners.until_ended(first, second)
    rest = [*ticks([3, 4]), "over"]
    if not view.has_ids:
        # It begins anew, and says so.
        rest = ['{"reason":"restarted"}', *ticks([1, 2]), *rest]
    assert first.complete and first.data == second.data == [*ticks([1, 2]), *rest]
    asked = [request["headers"].get("Last-Event-Id") for request in view.requests()]
    assert len(asked) == 2 and asked[0] is None
    assert not view.has_ids or asked[1] == "2"


@pytest.mark.parametrize("query", ["last=4&ids&raises", "last=4&raises"])
def test_a_view_that_fails_in_its_stream_has_broken_off(
    views: Callable[[str, str], View], listeners: Listeners, kind: str, query: str
) -> None:
    view = views(kind, query)
    view.let(1, 2, 3, 4)
    passed = watch(listeners, view, "passed", {})
    listeners.until_ended(passed)
    assert passed.data == ticks([1, 2], "anybody") and not passed.complete
    stream = watch(listeners, view, "per-user", {})
    listeners.until_ended(stream)
    begun_anew = [] if view.has_ids else ['{"reason":"restarted"}', *ticks([1, 2], "anybody")]
    assert stream.data == [*ticks([1, 2], "anybody"), *begun_anew, *ticks([3, 4], "anybody"), "over"]


def test_a_comment_at_its_beginning_lets_a_view_under_wsgi_be_joined_before_its_first_event(
    views: Callable[[str, str], View], listeners: Listeners
) -> None:
    view = views("generator", "last=1&hello")
    streams = [watch(listeners, view, route, {}) for route in ("per-user", "per-user", "passed")]
    listeners.until_answered(*streams)
    view.let(1)
    listeners.until_ended(*streams)
    assert all(stream.data == ["anybody-1", "over"] for stream in streams)


# -- what is hard to read --------------------------------------------------------------------


@pytest.mark.parametrize("route", ["passed", "per-user"])
@pytest.mark.parametrize("ids", ["", "&ids"])
@pytest.mark.parametrize("ends", ["lf", "cr", "crlf"])
def test_bytes_that_are_cut_anywhere_are_the_same_events(
    views: Callable[[str, str], View], listeners: Listeners, ends: str, ids: str, route: str
) -> None:
    for size in (1, 2, 3, 5, 4096):
        view = views("cut", f"ends={ends}&cut={size}{ids}")
        stream = watch(listeners, view, route, {})
        listeners.until_ended(stream)
        # The last event has no blank line, so it is none: as in a browser.
        assert stream.complete and stream.data == HARD, size
        assert {event.type for event in stream.events} == {"tick"}
        assert not ids or stream.ids == ["1", "2", "3", "4", "5"]


# -- django-sse as it is ---------------------------------------------------------------------


@pytest.mark.parametrize("route", ["passed", "per-user"])
def test_an_iterator_of_django_sse_that_ends_comes_at_its_end(
    views: Callable[[str, str], View], listeners: Listeners, route: str
) -> None:
    view = views("joined", "last=3&ids")
    stream = watch(listeners, view, route, {})
    until(view.requests, "the request to reach Django")
    view.let(1, 2, 3)
    listeners.until_ended(stream)
    assert stream.complete and stream.data == [*ticks([1, 2, 3], "anybody"), "over"]
    assert stream.ids[:3] == ["1", "2", "3"] and stream.answer is not None
    if route == "passed":
        assert stream.answer.header("Content-Length"), "Django's HttpResponse has joined it"
    else:
        again = view.gateway.get(view.at(route), headers={"Last-Event-ID": stream.last_id})
        assert again.status == 204


def test_an_endless_iterator_of_django_sse_never_answers_without_the_line(
    fronts: Callable[[str], tuple[Site, Gateway]], new_gateway: GatewayMaker, name: str
) -> None:
    site, _ = fronts("joined")
    view = View(site, new_gateway(site, routes=ROUTES, upstream='response_timeout = "300ms"'), "joined", "", name)
    view.let(1, 2, 3)
    assert view.gateway.get(view.at("per-user")).status == 504
    view.stop()


# -- answers to POST -------------------------------------------------------------------------


def test_an_answer_to_a_post_goes_on_without_its_page_and_is_its_senders_alone(
    views: Callable[[str, str], View], listeners: Listeners
) -> None:
    view = views("answer", "")
    anna, ben = (logged_in(view.gateway, user) for user in ("anna", "ben"))
    target = view.at("per-user")
    view.let(1)
    first = listeners.open(view.gateway.http, target, method="POST", headers=anna, body=b"why is it so")
    until_told(listeners, ["anna:why"], first)
    listeners.close(first)
    view.let(2, 3)
    for headers in (ben, {}):
        asked = view.gateway.get(target, headers=headers | {"Last-Event-ID": first.last_id})
        assert asked.status == 405 and b"anna" not in asked.body, "the view, which takes POSTs only"
    again = watch(listeners, view, "per-user", anna, first.last_id)
    until_told(listeners, ["anna:is", "anna:it"], again)
    view.let(4)
    listeners.until_ended(again)
    assert again.complete and again.data == ["anna:is", "anna:it", "anna:so", "over"] and not again.resets
    over = view.gateway.get(target, headers=anna | {"Last-Event-ID": again.last_id})
    assert over.status == 204, "a page that has seen all of it stops"
    assert [request["method"] for request in view.requests()] == ["POST", "GET", "GET"]


# -- the numbers -----------------------------------------------------------------------------


def test_a_thousand_viewers_are_one_request_and_one_worker_and_outlive_gunicorn(
    new_views: SiteOf, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_views("generator")
    view = View(site, new_gateway(site, routes=ROUTES), "generator", "ids", name)
    anna = logged_in(view.gateway, "anna")
    view.let(1)
    streams = [watch(listeners, view, "per-user", anna) for _ in range(VIEWERS)]
    until_told(listeners, ticks([1]), *streams)
    assert len(view.requests()) == 1
    for _ in range(10):
        assert view.gateway.get("/").status == 200, "the second of two sync workers is free"
    view.let(2)
    until_told(listeners, ticks([1, 2]), *streams)
    site.kill()
    assert view.gateway.internal("GET", "/healthz").status == 200
    late = watch(listeners, view, "per-user", anna)
    until_told(listeners, ticks([1, 2]), late)
    site.start()
    view.let(3)
    streams.append(late)
    until_told(listeners, ticks([1, 2, 3]), *streams)
    assert not any(stream.ended for stream in streams)
    assert len(view.requests()) == 2, "and one more after the kill"
    assert view.gateway.get("/").status == 200
    view.stop()
    listeners.until_ended(*streams)
    assert all(stream.complete and not stream.resets for stream in streams)


def test_viewers_who_come_before_the_first_event_wait_for_it_and_hold_no_worker(
    new_views: SiteOf, new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    site = new_views("generator")
    view = View(site, new_gateway(site, routes=ROUTES), "generator", "", name)
    first = watch(listeners, view, "per-user", {})
    until(view.requests, "the request to reach Django")
    streams = [watch(listeners, view, "per-user", {}) for _ in range(50)]
    # The first leaves, and another one asks: the worker finds that out when it speaks.
    listeners.close(first)
    until(lambda: len(view.requests()) == 2, "another request")
    view.let(1)
    until_told(listeners, ticks([1], "anybody"), *streams)
    assert len(view.requests()) == 2
    view.let(2)
    until(lambda: view.gateway.get("/").status == 200, "a worker to be free")
    view.stop()


def test_two_users_are_two_requests_and_not_one_byte_of_each_others(
    views: Callable[[str, str], View], listeners: Listeners
) -> None:
    view = views("generator", "last=3&ids&ben")
    users = {user: logged_in(view.gateway, user) for user in ("anna", "ben")}
    view.let(1)
    streams = {}
    for user, headers in users.items():
        streams[user] = [watch(listeners, view, "per-user", headers) for _ in range(100)]
        until_told(listeners, ticks([1], user), *streams[user])
    assert len(view.requests()) == 2
    view.let(2, 3)
    for user, other in (("anna", "ben"), ("ben", "anna")):
        listeners.until_ended(*streams[user])
        assert all(stream.data == [*ticks([1, 2, 3], user), "over"] for stream in streams[user])
        # An id of the other's leads nowhere but to one's own; and this is every byte that there is.
        for last_id in ("", "1", streams[other][0].last_id):
            more = {"Last-Event-ID": last_id} if last_id else {}
            answer = view.gateway.get(view.at("per-user"), headers=users[user] | more)
            assert other.encode() not in answer.body and other not in str(answer.headers)
    assert len(view.requests()) == 2
