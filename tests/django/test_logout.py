"""Logging out, with Django's own views: what was opened with the session ends with it, in every tab and at once."""

import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

from browser import Page
from conftest import GatewayMaker, TabOpener
from harness import Gateway, Site, cookie_header, cookies_of, log_in, post_form, until
from streams import Listeners, Stream
from wire import Answer

HOST = "site.test"


@pytest.fixture
def quick(site: Site, new_gateway: GatewayMaker) -> Gateway:
    """`retry` is short, so that a reconnect is not waited for."""
    return new_gateway(site, sse='retry = "100ms..200ms"')


@pytest.fixture
def nobody_is_logged_in(driver: Chrome, quick: Gateway) -> Iterator[None]:
    yield
    for host in ("localhost", "127.0.0.1"):
        driver.get(f"http://{host}:{quick.http[1]}/")
        driver.delete_all_cookies()


def events_of(name: str) -> str:
    return f"/session/events/?name={name}"


def get(gateway: Gateway, target: str, cookies: dict[str, str]) -> Answer:
    return gateway.get(target, headers={"Cookie": cookie_header(cookies)}, timeout=5)


def open_stream(listeners: Listeners, gateway: Gateway, target: str, cookies: dict[str, str]) -> Stream:
    stream = listeners.open(gateway.http, target, headers={"Cookie": cookie_header(cookies)})
    listeners.until_open(stream)
    return stream


def log_in_tab(open_tab: TabOpener, gateway: Gateway, user: str, host: str, target: str) -> Page:
    """Log in as a person does, and go to that page."""
    tab = open_tab(gateway, "/login/", host)
    driver = tab.driver
    driver.find_element("name", "username").send_keys(user)
    driver.find_element("name", "password").send_keys(user)
    driver.find_element("tag name", "button").click()
    until(lambda: f"Hello {user}" in driver.page_source, "the page after the login")
    driver.get(f"http://{host}:{gateway.http[1]}{target}")
    return tab


# -- in the browser ---------------------------------------------------------------------------


@pytest.mark.usefixtures("nobody_is_logged_in")
def test_logging_out_in_one_tab_ends_the_stream_of_the_other_within_a_second(
    quick: Gateway, open_tab: TabOpener, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = f"/mine/?url={quote(events_of(name))}"
    mine = log_in_tab(open_tab, quick, "anna", "localhost", page)
    other = log_in_tab(open_tab, quick, "ben", "127.0.0.1", page)
    second = open_tab(quick, "/mine/")
    until(lambda: mine.window("opens") == other.window("opens") == 1, "the streams of both users")
    assert quick.publish(f"{name}-anna", "hello anna")["streams"] == 1
    until(lambda: mine.window("seen") == ["hello anna"], "her event")

    second.driver.switch_to.window(second.handle)
    second.driver.find_element("tag name", "button").click()
    until(lambda: mine.window("endedAt"), "the end of the stream in her other tab")
    # The clocks of two tabs are one; the click notes its time before the form is sent.
    took = mine.window("endedAt") - int(mine.run("return localStorage.getItem('clicked')"))
    with capsys.disabled():
        print(f"\nlogout: the other tab's stream ended {took} ms after the click")
    assert 0 <= took < 1000
    until(lambda: mine.window("source.readyState") == Page.CLOSED, "the EventSource to be refused")
    assert mine.window("opens") == 1
    # Another user's stream does not even notice.
    assert quick.publish(f"{name}-anna", "to nobody")["streams"] == 0
    assert quick.publish(f"{name}-ben", "hello ben")["streams"] == 1
    until(lambda: other.window("seen") == ["hello ben"], "his event")
    assert other.window("opens") == 1 and other.window("endedAt") == 0
    assert mine.window("seen") == ["hello anna"]


# -- byte for byte ----------------------------------------------------------------------------


def test_a_logout_ends_all_streams_of_the_session_and_no_other(
    quick: Gateway, listeners: Listeners, name: str
) -> None:
    phone, laptop, ben = (log_in(quick.http, user, host=HOST) for user in ("anna", "anna", "ben"))
    hers = [open_stream(listeners, quick, events_of(name), laptop) for _ in range(3)]
    others = [open_stream(listeners, quick, events_of(name), cookies) for cookies in (phone, ben)]
    form = laptop | cookies_of(get(quick, "/mine/", laptop))
    before = time.monotonic()
    assert post_form(quick.http, "/logout/", form, {}, HOST).status == 302
    listeners.until_ended(*hers)
    assert time.monotonic() - before < 1
    # The reconnect is asked anew, and a stranger is refused.
    assert get(quick, events_of(name), laptop).status == 401
    for user in ("anna", "ben"):
        assert quick.publish(f"{name}-{user}", user)["streams"] == 1
    listeners.until_data("anna", [others[0]])
    listeners.until_data("ben", [others[1]])
    assert not any(stream.ended for stream in others)


def test_a_new_session_key_ends_what_was_opened_with_the_old_one(
    quick: Gateway, listeners: Listeners, name: str
) -> None:
    old = log_in(quick.http, "anna", host=HOST)
    stream = open_stream(listeners, quick, events_of(name), old)
    answer = get(quick, "/session/cycle/", old)
    new = old | cookies_of(answer)
    assert answer.status == 200 and new["sessionid"] != old["sessionid"]
    listeners.until_ended(stream)
    assert get(quick, events_of(name), old).status == 401
    again = listeners.open(
        quick.http, events_of(name), headers={"Cookie": cookie_header(new)}, last_event_id=stream.last_id
    )
    listeners.until_open(again)
    quick.publish(f"{name}-anna", "with the new key")
    listeners.until_data("with the new key", [again])
    assert again.data == ["with the new key"]


def test_a_login_ends_what_the_visitor_had_opened_before(quick: Gateway, listeners: Listeners, name: str) -> None:
    visitor = cookies_of(quick.get("/session/save/", host=HOST))
    assert visitor["sessionid"]
    stream = open_stream(listeners, quick, f"/ask/{name}/?channel={name}", visitor)
    form = visitor | cookies_of(get(quick, "/login/", visitor))
    answer = post_form(quick.http, "/login/", form, {"username": "ben", "password": "ben"}, HOST)
    assert answer.status == 302 and cookies_of(answer)["sessionid"] != visitor["sessionid"]
    listeners.until_ended(stream)


def test_a_cookie_that_is_sent_again_with_its_old_value_ends_nothing(
    quick: Gateway, listeners: Listeners, name: str
) -> None:
    """What SESSION_SAVE_EVERY_REQUEST does."""
    cookies = log_in(quick.http, "anna", host=HOST)
    stream = open_stream(listeners, quick, events_of(name), cookies)
    for _ in range(5):
        answer = get(quick, "/session/save/", cookies)
        assert cookies_of(answer)["sessionid"] == cookies["sessionid"]
    assert quick.publish(f"{name}-anna", "still here")["streams"] == 1
    listeners.until_data("still here", [stream])
    assert not stream.ended


def test_a_stranger_cannot_end_the_streams_of_a_session_he_does_not_have(
    quick: Gateway, listeners: Listeners, name: str
) -> None:
    """Django deletes an unknown session's cookie too; only streams with that very value may end by it."""
    cookies = log_in(quick.http, "anna", host=HOST)
    stream = open_stream(listeners, quick, events_of(name), cookies)
    for guess in ("", "x", cookies["sessionid"][:-1], cookies["sessionid"].upper(), cookies["sessionid"] + "x"):
        get(quick, "/session/events/", {"sessionid": guess})
        get(quick, "/mine/", {"sessionid": guess})
    assert quick.publish(f"{name}-anna", "still here")["streams"] == 1
    listeners.until_data("still here", [stream])


def test_an_answer_to_another_name_of_cookie_ends_nothing(quick: Gateway, listeners: Listeners, name: str) -> None:
    cookies = log_in(quick.http, "anna", host=HOST)
    stream = open_stream(listeners, quick, events_of(name), cookies)
    answer = get(quick, f"/asked/{name}/?cookie=sweet", cookies)
    assert cookies_of(answer) == {"flavour": "sweet"}
    assert quick.publish(f"{name}-anna", "still here")["streams"] == 1
    listeners.until_data("still here", [stream])
