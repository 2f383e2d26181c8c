"""A real EventSource in a real browser: the one client that gives up for good when it is answered wrongly."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

from browser import Page
from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Site, numbers, until
from relay import Relay

PageOpener = Callable[[Gateway | tuple[str, int], str], Page]


@pytest.fixture
def open_page(driver: Chrome) -> Iterator[PageOpener]:
    """Opens the page whose EventSource has this URL."""
    pages: list[Page] = []

    def opener(where: Gateway | tuple[str, int], url: str) -> Page:
        address = where.http if isinstance(where, Gateway) else where
        page = Page(driver, f"http://localhost:{address[1]}/live/?url={quote(url)}")
        pages.append(page)
        return page

    yield opener
    for page in pages:
        page.close()


@pytest.fixture
def own(new_site: SiteMaker, new_gateway: GatewayMaker) -> tuple[Gateway, Site]:
    """A site that may be killed. `retry` is short, so that a reconnect is not waited for."""
    site = new_site("tcp")
    return new_gateway(site, sse='retry = "100ms..200ms"'), site


def urls(name: str) -> list[str]:
    """The two kinds of stream on the same channel."""
    return [f"/rooms/{name}/events/", f"/ask/{name}/?channel=room-{name}"]


def publish_all(gateway: Gateway, channel: str, data: list[str]) -> None:
    for text in data:
        gateway.publish(channel, text, event="tick" if text.endswith("0") else None)


def until_seen(page: Page, data: str) -> None:
    until(lambda: data in page.data, f"the event {data!r} in the browser")


def until_open(*pages: Page) -> None:
    until(lambda: all(page.states[-1] == Page.OPEN for page in pages), f"{len(pages)} open EventSources")


def test_a_page_opens_a_stream_and_sees_every_event_exactly_once(
    gateway: Gateway, open_page: PageOpener, name: str
) -> None:
    pages = [open_page(gateway, url) for url in urls(name)]
    until_open(*pages)
    sent = numbers("event", 50)
    publish_all(gateway, f"room-{name}", sent)
    for page in pages:
        until_seen(page, sent[-1])
        assert page.data == sent
        assert len({event["id"] for event in page.seen}) == 50
        assert page.window("opens") == 1 and page.window("errors") == 0
        assert page.states == [Page.CONNECTING, Page.OPEN]


def test_a_page_survives_restarts_of_gunicorn_and_misses_nothing(
    own: tuple[Gateway, Site], open_page: PageOpener, name: str
) -> None:
    gateway, site = own
    pages = [open_page(gateway, url) for url in urls(name)]
    until_open(*pages)
    sent = numbers("event", 60)
    for part in (sent[:20], sent[20:40], sent[40:]):
        publish_all(gateway, f"room-{name}", part[:10])
        site.kill()
        publish_all(gateway, f"room-{name}", part[10:])
        site.start()
    for page in pages:
        until_seen(page, sent[-1])
        assert page.data == sent
        assert Page.CLOSED not in page.states
        assert page.window("errors") == 0, "it did not even have to reconnect"


def test_an_event_source_opened_while_gunicorn_is_down_does_not_give_up(
    own: tuple[Gateway, Site], open_page: PageOpener, name: str
) -> None:
    gateway, site = own
    page = open_page(gateway, f"/ask/{name}/?channel=room-{name}")
    until_open(page)
    site.kill()
    # The page is there already; its script opens a second EventSource in place of the first.
    page.driver.execute_script(
        """
        window.late = [];
        window.lateStates = [];
        const source = new EventSource(arguments[0]);
        source.onopen = source.onerror = () => window.lateStates.push(source.readyState);
        source.onmessage = (event) => window.late.push(event.data);
        """,
        f"/ask/{name}-late/?channel=room-{name}",
    )
    until(lambda: Page.OPEN in page.window("lateStates"), "the late EventSource to be open")
    gateway.publish(f"room-{name}", "while gunicorn is down")
    site.start()
    until(lambda: page.window("late") == ["while gunicorn is down"], "the event, once Django has said yes")
    assert page.window("lateStates") == [Page.OPEN]


def test_a_page_whose_gateway_restarts_comes_back_and_is_told_to_reset(
    own: tuple[Gateway, Site], open_page: PageOpener, name: str
) -> None:
    gateway, _ = own
    page = open_page(gateway, f"/rooms/{name}/events/")
    until_open(page)
    publish_all(gateway, f"room-{name}", ["before"])
    until_seen(page, "before")
    gateway.kill()
    until(lambda: Page.CONNECTING in page.states[1:], "the page to notice")
    gateway.start()
    # The memory of the old log is gone with it, and the page is told so, once.
    until(lambda: page.window("resets"), "the reset")
    publish_all(gateway, f"room-{name}", ["after"])
    until_seen(page, "after")
    assert page.data == ["before", "after"]
    assert len(page.window("resets")) == 1
    assert Page.CLOSED not in page.states


@pytest.mark.parametrize("kind", [0, 1], ids=["public", "ask"])
def test_a_page_that_lost_its_connection_resumes_without_loss(
    own: tuple[Gateway, Site], open_page: PageOpener, name: str, kind: int
) -> None:
    gateway, _ = own
    relay = Relay(gateway.http)
    page = open_page(relay.address, urls(name)[kind])
    sent = numbers("event", 90)
    for part in (sent[:30], sent[30:60], sent[60:]):
        until_open(page)
        publish_all(gateway, f"room-{name}", part[:15])
        relay.cut()
        publish_all(gateway, f"room-{name}", part[15:])
        until(lambda: page.states[-1] == Page.CONNECTING, "the page to notice")
        relay.mend()
    until_seen(page, sent[-1])
    relay.cut()
    assert page.data == sent
    assert page.window("resets") == [] and page.window("opens") == 4
    assert Page.CLOSED not in page.states


def test_after_close_the_event_source_stops_and_does_not_come_back(
    own: tuple[Gateway, Site], open_page: PageOpener, name: str
) -> None:
    gateway, _ = own
    page = open_page(gateway, f"/rooms/{name}/events/")
    until_open(page)
    gateway.publish(f"room-{name}", "step")
    gateway.publish(f"room-{name}", "finished", event="done", close=True)
    until(lambda: page.states[-1] == Page.CLOSED, "the EventSource to be told by 204 that there is no more")
    assert [(event["type"], event["data"]) for event in page.seen] == [("message", "step"), ("done", "finished")]
    assert page.window("opens") == 1


def test_a_refusal_closes_the_event_source(gateway: Gateway, open_page: PageOpener, name: str) -> None:
    page = open_page(gateway, f"/ask/{name}/?status=403")
    until(lambda: page.states[-1] == Page.CLOSED, "the EventSource to give up")
    assert page.window("opens") == 0


def test_a_user_who_logged_in_hears_what_is_meant_for_him(
    gateway: Gateway, driver: Chrome, open_page: PageOpener
) -> None:
    page = open_page(gateway, "/me/events/")
    until(lambda: page.states[-1] == Page.CLOSED, "the refusal of a stranger")
    driver.get(f"http://localhost:{gateway.http[1]}/login/")
    driver.find_element("name", "username").send_keys("ben")
    driver.find_element("name", "password").send_keys("ben")
    driver.find_element("tag name", "button").click()
    until(lambda: "Hello ben" in driver.page_source, "the page after the login")
    page = open_page(gateway, "/me/events/")
    until_open(page)
    assert gateway.publish("user-1", "for anna")["streams"] == 0
    assert gateway.publish("user-2", "for ben")["streams"] == 1
    until_seen(page, "for ben")
    assert page.data == ["for ben"]


def test_an_event_published_by_a_view_reaches_the_page_that_caused_it(
    gateway: Gateway, open_page: PageOpener, name: str
) -> None:
    page = open_page(gateway, f"/ask/{name}/?channel=room-{name}")
    until_open(page)
    page.driver.execute_script(f"fetch('/publish/?channel=room-{name}&data=hello', {{method: 'POST'}})")
    until_seen(page, "hello")


LISTEN_ELSEWHERE = """
window.elsewhere = [];
const source = new EventSource(arguments[0], { withCredentials: true });
source.onopen = () => window.elsewhere.push("open");
source.onerror = () => window.elsewhere.push(source.readyState === EventSource.CLOSED ? "closed" : "lost");
source.onmessage = (event) => window.elsewhere.push(event.data);
source.addEventListener("beat", () => { window.beats = (window.beats || 0) + 1; });
"""

READ_ELSEWHERE = """
const [url, done] = arguments;
fetch(url, { credentials: "include", headers: { "Last-Event-ID": "x", "X-CSRFToken": "y" } })
    .then((answer) => done([answer.status, answer.headers.get("SSE-Stream")]), () => done("refused"));
"""


def test_a_listed_page_of_another_origin_hears_its_user_and_no_other_page_does(
    gateway: Gateway, site: Site, new_gateway: GatewayMaker, driver: Chrome, open_page: PageOpener, name: str
) -> None:
    cors = f'cors = {{ origins = ["http://localhost:{gateway.http[1]}"], credentials = true }}'
    other = new_gateway(site, sse=f'{cors}\nheartbeat = "50ms"\nheartbeat_event = "beat"')
    driver.get(f"http://localhost:{gateway.http[1]}/")
    driver.delete_all_cookies()
    driver.get(f"http://localhost:{gateway.http[1]}/login/")
    driver.find_element("name", "username").send_keys("ben")
    driver.find_element("name", "password").send_keys("ben")
    driver.find_element("tag name", "button").click()
    until(lambda: "Hello ben" in driver.page_source, "the page after the login")
    page = open_page(gateway, f"/rooms/{name}/events/")
    until_open(page)
    # Another port is another origin of the same site, so the session's cookie goes along.
    page.driver.execute_script(LISTEN_ELSEWHERE, f"http://localhost:{other.http[1]}/me/events/")
    until(lambda: page.window("elsewhere") == ["open"], "the stream of the other origin")
    other.publish("user-2", "for ben")
    until(lambda: page.window("elsewhere") == ["open", "for ben"], "the event of the other origin")
    until(lambda: page.window("beats"), "a heartbeat that a script can hear")
    # What no simple request may send is asked for first, and a refusal can be read.
    page.driver.set_script_timeout(20)
    read = page.driver.execute_async_script(READ_ELSEWHERE, f"http://localhost:{other.http[1]}/me/events/")
    assert read[0] == 200 and len(read[1]) == 32
    refusal = f"http://localhost:{other.http[1]}/ask/{name}/?status=403"
    assert page.driver.execute_async_script(READ_ELSEWHERE, refusal) == [403, None]
    # The same page under another name is a stranger.
    page.driver.get(f"http://127.0.0.1:{gateway.http[1]}/live/?url=/rooms/{name}/events/")
    page.driver.execute_script(LISTEN_ELSEWHERE, f"http://localhost:{other.http[1]}/rooms/{name}/events/")
    until(lambda: page.window("elsewhere") == ["closed"], "the browser to refuse the stranger")
    assert page.driver.execute_async_script(READ_ELSEWHERE, refusal) == "refused"
