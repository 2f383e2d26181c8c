"""The console in a real browser: what it shows, what it does, and what no other page can do."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome, Keys

from browser import Page
from conftest import GatewayMaker
from console import Console
from harness import Gateway, room, until
from streams import Listeners, Stream

FOREIGN = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"

ConsoleOpener = Callable[..., Console]


@pytest.fixture
def open_console(driver: Chrome) -> Iterator[ConsoleOpener]:
    """Opens the console of a gateway, and at the end sees that its policy had nothing to refuse."""
    opened: list[Console] = []

    def opener(gateway: Gateway, host: str = "localhost") -> Console:
        opened.append(Console(driver, gateway, host))
        return opened[-1]

    yield opener
    complaints = [line for console in opened for line in console.complaints()]
    for console in opened:
        console.close()
    assert complaints == []


@pytest.fixture
def console(gateway: Gateway, open_console: ConsoleOpener) -> Console:
    """The console of the gateway of the run."""
    opened = open_console(gateway)
    opened.until_says("state", "Ready")
    return opened


@pytest.fixture(scope="module")
def guarded(shared_gateways: GatewayMaker) -> Gateway:
    """A gateway with tokens, and nothing behind it."""
    return shared_gateways(
        "127.0.0.1:1",
        publish="""tokens = [
            { name = "all", secret = "token-for-everything" },
            { name = "some", secret = "token-for-rooms", channels = ["room-*"] },
        ]""",
    )


def bearer(token: str = "token-for-everything") -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def history(gateway: Gateway, channel: str, headers: dict[str, str] | None = None) -> list[str]:
    answer = gateway.internal("GET", f"/v1/channels/{quote(channel, safe='')}/events", headers=headers or {})
    return [event["data"] for event in answer.json()["events"]]


# -- what it shows -------------------------------------------------------------------------------


def test_a_stream_that_is_open_is_listed_with_its_channel(
    gateway: Gateway, console: Console, stream: Stream, name: str
) -> None:
    channel = f"room-{name}"
    gateway.publish(channel, "before")
    console.submit("channels-form", match=channel)
    console.submit("streams-form", channel=channel)
    until(lambda: [row[:3] for row in console.rows("channel-list")] == [[channel, "1", "1"]], "the channel")
    listed = [[channel, "/rooms/<slug:room>/events/", "127.0.0.1"]]
    until(lambda: [row[2:5] for row in console.rows("stream-list")] == listed, "the stream")
    assert console.rows("stream-list")[0][0] == (stream.answer and stream.answer.header("SSE-Stream"))
    assert int(console.text("n-streams").replace(",", "")) >= 1
    assert [row[0] for row in console.rows("upstream-list")] == ["django"]
    # The numbers go on by themselves, without a row losing the focus it has.
    console.run("document.querySelector('#stream-list button').focus()")
    gateway.publish(channel, "after")
    until(lambda: console.rows("channel-list")[0][2] == "2", "the next look")
    assert console.run("return document.activeElement === document.querySelector('#stream-list button')")
    until(lambda: console.text("n-published") not in ("–", "0.0"), "events a second")


def test_streams_are_found_by_their_user(
    gateway: Gateway, console: Console, listeners: Listeners, name: str
) -> None:
    both = [
        listeners.open(gateway.http, f"/ask/{name}/?channel=room-{name}&user={user}-{name}") for user in ("anna", "ben")
    ]
    listeners.until_open(*both)
    console.submit("streams-form", user=f"ben-{name}")
    until(lambda: [row[1] for row in console.rows("stream-list")] == [f"ben-{name}"], "the stream of one user")
    console.submit("streams-form", user=f"nobody-{name}")
    until(lambda: console.text("streams-note") == "0 listed.", "no stream")
    # A filter that is none is said to be none, and the rest goes on.
    console.submit("streams-form", channel="a b")
    console.until_says("streams-note", "channel")
    console.until_says("state", "Ready")


def test_the_tap_shows_what_is_published_while_it_is_open(gateway: Gateway, console: Console, name: str) -> None:
    console.submit("tap-form", channel=f"room-{name}*")
    console.until_says("tap-note", "Listening to")
    gateway.publish(f"other-{name}", "not wanted")
    gateway.publish(f"room-{name}/a", "one\ntwo", event="say")
    gateway.publish(f"room-{name}", "three")
    until(lambda: console.data("tap-list") == ["three", "one\ntwo"], "both events, the newest first")
    assert f"room-{name}/a  say" in console.events("tap-list")[1][0]
    console.click("tap-stop")
    console.until_says("tap-note", "Stopped after 2 events")
    gateway.publish(f"room-{name}", "four")
    # Its slot is free again, and the next tap begins anew.
    console.submit("tap-form", channel=f"room-{name}")
    console.until_says("tap-note", "0 events so far")
    gateway.publish(f"room-{name}", "five")
    until(lambda: console.data("tap-list") == ["five"], "the event of the second tap")


def test_the_list_of_the_tap_ends_somewhere(gateway: Gateway, console: Console, name: str) -> None:
    console.submit("tap-form", channel=f"room-{name}")
    console.until_says("tap-note", "Listening to")
    for part in range(5):
        gateway.post_event([{"channel": f"room-{name}", "data": f"{part}-{number}"} for number in range(100)])
        # A tap that lags further behind than history goes misses something.
        console.until_says("tap-note", f"{part + 1}00 events so far")
    gateway.publish(f"room-{name}", "x" * 5000)
    console.until_says("tap-note", "501 events so far")
    data = console.data("tap-list")
    assert len(data) == 200 and data[1] == "4-99" and data[-1] == "3-1"
    assert data[0] == "x" * 4000 + "… (1,000 characters more)"


def test_the_history_of_a_channel_is_read_page_by_page(gateway: Gateway, console: Console, name: str) -> None:
    channel = f"room-{name}/events"
    gateway.post_event([{"channel": channel, "data": str(number)} for number in range(250)])
    console.submit("history-form", channel=channel)
    until(lambda: console.data("history-list") == [str(number) for number in range(200)], "the first page")
    console.click("history-next")
    until(lambda: console.data("history-list") == [str(number) for number in range(200, 250)], "the second page")
    assert console.run("return document.getElementById('history-next').disabled")
    console.submit("history-form", channel="no channel")
    console.until_says("history-note", "A field is wrong")
    assert console.data("history-list") == []


HIDE = """
Object.defineProperty(document, "hidden", { value: arguments[0], configurable: true });
document.dispatchEvent(new Event("visibilitychange"));
"""


def test_a_page_that_nobody_sees_pauses_until_somebody_does(
    gateway: Gateway, console: Console, name: str
) -> None:
    console.submit("channels-form", match=f"room-{name}")
    console.run(HIDE, True)
    until(lambda: console.run("return document.body.dataset.looking") == "false", "the end of the look under way")
    console.until_says("state", "Paused")
    gateway.publish(f"room-{name}", "meanwhile")
    assert console.rows("channel-list") == [] and console.text("state") == "Paused"
    console.run(HIDE, False)
    console.until_says("state", "Ready")
    until(lambda: len(console.rows("channel-list")) == 1, "the next look")


# -- what it does --------------------------------------------------------------------------------


def test_a_kick_ends_a_stream_once_it_is_confirmed(
    gateway: Gateway, console: Console, listeners: Listeners, stream: Stream, name: str
) -> None:
    other = listeners.open(gateway.http, f"/ask/{name}/?channel=room-{name}&user=42-{name}")
    third = listeners.open(gateway.http, room(name))
    listeners.until_open(other, third)
    console.submit("streams-form", channel=f"room-{name}")
    until(lambda: len(console.rows("stream-list")) == 3, "three streams")
    assert stream.answer is not None and other.answer is not None
    label = f"Kick: {stream.answer.header('SSE-Stream')}"
    console.press(label)
    assert "Browsers come back" in console.text("confirm-text")
    console.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(lambda: not console.is_shown("confirm"), "the question to be gone")
    console.press(label)
    console.click("confirm-yes")
    listeners.until_ended(stream)
    console.until_says("said", "Ended streams: 1")
    assert not other.ended and not third.ended
    console.press(f"Kick user: {other.answer.header('SSE-Stream')}")
    console.click("confirm-yes")
    listeners.until_ended(other)
    assert not third.ended
    console.submit("channels-form", match=f"room-{name}")
    until(lambda: len(console.rows("channel-list")) == 1, "the channel")
    console.press(f"Kick: room-{name}")
    console.click("confirm-yes")
    listeners.until_ended(third)


def test_an_event_is_published_and_its_channel_ended(
    gateway: Gateway, console: Console, listeners: Listeners, stream: Stream, name: str
) -> None:
    console.submit("publish-form", channel=f"room-{name}", event="say", data=" a test ")
    listeners.until_data(" a test ", [stream])
    assert stream.events[-1].type == "say"
    console.until_says("said", "open streams: 1")
    assert history(gateway, f"room-{name}") == [" a test "]
    console.driver.find_element("css selector", "#publish-form [name=keep]").click()
    console.submit("publish-form", data="it only passes")
    listeners.until_data("it only passes", [stream])
    assert history(gateway, f"room-{name}") == [" a test "]
    console.submit("channels-form", match=f"room-{name}")
    until(lambda: len(console.rows("channel-list")) == 1, "the channel")
    console.press(f"End: room-{name}")
    assert "forget its history" in console.text("confirm-text")
    console.click("confirm-yes")
    listeners.until_ended(stream)
    assert history(gateway, f"room-{name}") == []


def test_a_reload_says_what_is_in_force_and_what_is_wrong(
    new_gateway: GatewayMaker, open_console: ConsoleOpener
) -> None:
    own = new_gateway("127.0.0.1:1")
    console = open_console(own)
    text = own.config.read_text()
    for replaced, said in [
        (text, "Nothing has changed"),
        (text.replace("[limits]", '[limits]\nbody = "1MiB"'), "In force now: limits"),
        (text.replace("[limits]", '[limits]\nbodi = "1MiB"'), 'did you mean "body"?'),
    ]:
        own.config.write_text(replaced)
        console.click("reload")
        console.click("confirm-yes")
        console.until_says("said", said)


# -- what is foreign -----------------------------------------------------------------------------


def test_what_others_wrote_is_text_wherever_it_is_shown(
    gateway: Gateway, console: Console, listeners: Listeners, name: str
) -> None:
    channel = f"room-{name}"
    opened = listeners.open(gateway.http, f"/ask/{name}/?channel={channel}&user={quote(FOREIGN)}")
    listeners.until_open(opened)
    console.submit("streams-form", channel=channel)
    until(lambda: [row[1] for row in console.rows("stream-list")] == [FOREIGN], "the user")
    console.submit("tap-form", channel=channel)
    console.until_says("tap-note", "Listening to")
    gateway.publish(channel, FOREIGN, event=FOREIGN, id=f"{FOREIGN}{name}")
    gateway.publish(channel, "a\r\nevent: event\ndata: b\u2028c\0")
    until(lambda: console.data("tap-list") == ["a\nevent: event\ndata: b\u2028c\0", FOREIGN], "the events")
    console.submit("history-form", channel=channel)
    until(lambda: len(console.data("history-list")) == 2, "the history")
    console.submit("channels-form", match=channel)
    until(lambda: len(console.rows("channel-list")) == 1, "the channel")
    console.press(f"Kick user: {opened.answer and opened.answer.header('SSE-Stream')}")
    assert FOREIGN in console.text("confirm-text")
    assert console.data("history-list")[0] == FOREIGN
    assert f"{FOREIGN}  {FOREIGN}{name}" in console.events("history-list")[0][0]
    assert console.window("hacked") is None
    assert console.run("return document.querySelectorAll('img, main script').length") == 0


PARSE = """
try { document.body.innerHTML = arguments[0]; } catch (error) { return error.name; }
return "it is in";
"""
INLINE = """
const node = document.createElement("p");
try { node.setAttribute("onclick", "window.hacked = 1"); } catch {}
document.body.append(node);
node.click();
return window.hacked;
"""


def test_its_policy_lets_no_text_become_a_script(gateway: Gateway, driver: Chrome) -> None:
    console = Console(driver, gateway)
    assert console.run(PARSE, FOREIGN) == "TypeError"
    assert console.run(INLINE) is None
    assert any("Content Security Policy" in line or "Trusted" in line for line in console.complaints())
    console.close()


# -- tokens --------------------------------------------------------------------------------------


def use_token(console: Console, token: str) -> None:
    until(lambda: console.is_shown("token"), "the page to ask for a token")
    console.submit("token-form", token=token)


def test_where_there_are_tokens_it_asks_for_one_and_keeps_it_for_its_tab(
    guarded: Gateway, open_console: ConsoleOpener, name: str
) -> None:
    console = open_console(guarded)
    use_token(console, "a-wrong-one")
    console.until_says("token-text", "not known here")
    use_token(console, "token-for-everything")
    console.until_says("state", "Ready")
    assert not console.is_shown("token")
    console.submit("publish-form", channel=f"room-{name}", data="hello")
    console.until_says("said", "Published")
    assert history(guarded, f"room-{name}", bearer()) == ["hello"]
    console.submit("tap-form", channel=f"room-{name}")
    console.until_says("tap-note", "Listening to")
    guarded.post_event({"channel": f"room-{name}", "data": "tapped"}, bearer())
    until(lambda: console.data("tap-list") == ["tapped"], "the event")
    console.reload()
    console.until_says("state", "Ready")
    stored = "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
    of_tab, of_all_tabs, cookies = console.run(stored)
    # The cookies of other tests' sites are here as well: they know no ports.
    assert (of_tab, of_all_tabs) == (["token-for-everything"], []) and "everything" not in cookies
    # Another tab is another person, as far as the page knows.
    other = open_console(guarded)
    until(lambda: other.is_shown("token"), "the other tab to be asked as well")
    console.click("forget")
    until(lambda: console.is_shown("token"), "the page to ask for a token")
    assert console.run(stored)[0] == []


def test_a_token_for_some_channels_sees_those_and_is_told_the_rest(
    guarded: Gateway, open_console: ConsoleOpener, listeners: Listeners, name: str
) -> None:
    opened = listeners.open(guarded.http, room(name))
    listeners.until_open(opened)
    guarded.post_event({"channel": f"secret-{name}", "data": "x"}, bearer())
    console = open_console(guarded)
    use_token(console, "token-for-rooms")
    console.until_says("streams-note", "This token is good for some channels")
    assert not console.is_shown("reload")
    until(lambda: console.rows("channel-list"), "the channels")
    names = [row[0] for row in console.rows("channel-list")]
    assert f"room-{name}" in names and f"secret-{name}" not in names
    console.until_says("state", "Ready")
    console.submit("streams-form", channel=f"room-{name}")
    until(lambda: len(console.rows("stream-list")) == 1, "who is on the channel")
    hidden = "return [...document.querySelectorAll('#stream-list button')].map((button) => button.checkVisibility())"
    assert console.run(hidden) == [False, False]
    console.submit("streams-form", channel=f"secret-{name}")
    console.until_says("streams-note", "not good for")
    console.submit("history-form", channel=f"secret-{name}")
    console.until_says("history-note", "not good for")
    console.press(f"Kick: room-{name}")
    console.click("confirm-yes")
    listeners.until_ended(opened)


# -- other pages ---------------------------------------------------------------------------------

# Every way in which a page can have a browser send something: with and without leave to read the answer.
CALLS = """
const [base, channel, done] = arguments;
const event = JSON.stringify({ channel, data: "forged" });
const json = { "Content-Type": "application/json" };
const tries = [
    fetch(`${base}/v1/stats`),
    fetch(`${base}/v1/stats`, { mode: "no-cors" }),
    fetch(`${base}/v1/events`, { method: "POST", body: event }),
    fetch(`${base}/v1/events`, { method: "POST", body: event, mode: "no-cors" }),
    fetch(`${base}/v1/events`, { method: "POST", body: event, headers: json }),
    fetch(`${base}/v1/channels/${channel}/events`, { method: "POST", body: "forged", mode: "no-cors" }),
    fetch(`${base}/v1/channels/${channel}`, { method: "DELETE" }),
    fetch(`${base}/v1/kick`, { method: "POST", body: JSON.stringify({ channel }), mode: "no-cors" }),
    fetch(`${base}/v1/stats`, { headers: { Authorization: "Bearer token-for-everything" } }),
];
const send = navigator.sendBeacon(`${base}/v1/channels/${channel}/events`, "forged");
const opened = new Promise((resolve) => {
    const source = new EventSource(`${base}/v1/tap`);
    source.onopen = () => resolve("open");
    source.onerror = () => { source.close(); resolve("refused"); };
});
const told = (promise) => promise.then((answer) => answer.type === "opaque" ? "nothing" : answer.status, () => "refused");
Promise.all([...tries.map(told), opened]).then(done);
"""

SUBMIT = """
const form = Object.assign(document.createElement("form"), { method: "POST", action: arguments[0], enctype: "text/plain" });
document.body.append(form);
form.submit();
"""

FRAME = """
const [url, done] = arguments;
const frame = document.createElement("iframe");
frame.onload = () => { try { done(frame.contentDocument === null ? "foreign" : "ours"); } catch (error) { done(error.name); } };
frame.src = url;
document.body.append(frame);
"""


def refused(gateway: Gateway) -> int:
    """Requests that the internal listener has answered with 4xx."""
    lines = gateway.internal("GET", "/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith('tidegate_internal_requests_total{status="4xx"}')]
    return int(counted[0].split()[1]) if counted else 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_of_another_port_can_do_nothing(
    gateway: Gateway, driver: Chrome, stream: Stream, name: str, host: str
) -> None:
    channel = f"room-{name}"
    gateway.publish(channel, "ours")
    # The same machine, another port: the same site, another origin.
    page = Page(driver, f"http://localhost:{gateway.http[1]}/live/?url={quote(room(name))}")
    driver.set_script_timeout(20)
    base = f"http://{host}:{gateway.internal_address[1]}"
    before = refused(gateway)
    told: list[Any] = driver.execute_async_script(CALLS, base, channel)
    assert set(told) <= {"nothing", "refused"}, told
    # Not the browser alone has refused: most of these have been sent.
    assert refused(gateway) - before >= 8
    assert history(gateway, channel) == ["ours"]
    assert not stream.ended and stream.data == ["ours"]
    driver.get_log("browser")
    driver.execute_async_script(FRAME, f"{base}/")
    refusals = [entry["message"] for entry in driver.get_log("browser")]
    assert any("frame-ancestors" in line or "X-Frame-Options" in line for line in refusals), refusals
    driver.execute_script(SUBMIT, f"{base}/v1/channels/{channel}/events")
    until(lambda: "This is not allowed" in driver.page_source, "the refusal of the form")
    assert history(gateway, channel) == ["ours"]
    page.close()


def test_a_link_on_another_page_leads_to_the_console_and_it_works(
    gateway: Gateway, driver: Chrome, open_console: ConsoleOpener
) -> None:
    page = Page(driver, f"http://localhost:{gateway.http[1]}/live/?url=/x")
    driver.execute_script(f"location.href = 'http://127.0.0.1:{gateway.internal_address[1]}/'")
    until(lambda: driver.title == "Tidegate", "the console")
    until(lambda: "Ready" in driver.find_element("id", "state").text, "its first look")
    driver.find_element("link text", "OpenAPI").click()
    until(lambda: '"openapi"' in driver.page_source, "the document behind its link")
    # As if it were typed.
    driver.get(f"http://localhost:{gateway.internal_address[1]}/metrics")
    assert "tidegate_streams_open" in driver.page_source
    driver.get(f"http://localhost:{gateway.internal_address[1]}/v1/stats")
    assert "This is not allowed" in driver.page_source
    page.close()


# -- how it looks --------------------------------------------------------------------------------


def test_it_fits_a_narrow_screen_and_the_dark(gateway: Gateway, console: Console, stream: Stream) -> None:
    until(lambda: console.rows("stream-list"), "a stream")
    driver = console.driver
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        width = console.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= 360 and width[1] == 360, width
        grounds = []
        for scheme in ("light", "dark"):
            features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
            grounds.append(console.run("return getComputedStyle(document.body).backgroundColor"))
        assert grounds == ["rgb(255, 255, 255)", "rgb(18, 24, 28)"]
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
