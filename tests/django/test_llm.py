"""An answer of a language model, token by token over one request: nothing waits, nothing is lost, and it ends.

    LLM_SECONDS=60   how long the model talks (5 s)
"""

import json
import os
import statistics
import threading
import time

import pytest

from browser import Page
from conftest import GatewayMaker, TabOpener
from harness import Gateway, Site, room, until
from streams import Listeners, Stream
from wire import Reader, connect, head_bytes

SECONDS = float(os.environ.get("LLM_SECONDS", "5"))
RATE = 100
TOKENS = int(SECONDS * RATE)


def token(number: int) -> str:
    """Such as models make them: most begin with a space, some are line ends."""
    return "\n" if number % 17 == 16 else f" t{number}"


class Model(threading.Thread):
    """Sends a line for each token, and the next one only when the listener has it."""

    def __init__(self, gateway: Gateway, channel: str, listeners: Listeners, listener: Stream) -> None:
        super().__init__(daemon=True)
        self.channel, self.listeners, self.listener = channel, listeners, listener
        self.conn = connect(gateway.internal_address)
        self.waits: list[float] = []
        self.late = 0
        self.failure: BaseException | None = None
        self.answer: dict[str, object] = {}

    def line(self, **event: object) -> None:
        data = json.dumps({"channel": self.channel, **event}).encode() + b"\n"
        self.conn.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def run(self) -> None:
        try:
            with self.conn:
                self.talk()
        except BaseException as failure:
            self.failure = failure

    def talk(self) -> None:
        fields = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
        self.conn.sendall(head_bytes("POST", "/v1/events", "localhost", fields))
        begin = time.monotonic()
        for number in range(TOKENS):
            due = begin + number / RATE
            # The pace of the model, and not a wait for anything.
            time.sleep(max(0.0, due - time.monotonic()))
            sent_at = time.monotonic()
            self.line(data=token(number))
            self.listeners.until(lambda: len(self.listener.events) > number, f"token {number} without a next line")
            self.waits.append(time.monotonic() - sent_at)
            self.late += self.waits[-1] > 1 / RATE
        self.line(event="done", data="", close=True)
        self.conn.sendall(b"0\r\n\r\n")
        answer = Reader(self.conn).answer()
        assert answer.status == 200, answer
        self.answer = answer.json()

    def sent(self, count: int) -> bool:
        if self.failure:
            raise self.failure
        return len(self.waits) >= count


@pytest.mark.timeout(120 + 2 * SECONDS)
def test_each_token_is_on_the_wire_before_the_next_and_a_reloaded_page_loses_and_doubles_none(
    site: Site,
    new_gateway: GatewayMaker,
    listeners: Listeners,
    open_tab: TabOpener,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gateway = new_gateway(site, sse=f'retry = "100ms..200ms"\nhistory = {{ events = {TOKENS + 10}, age = "10m" }}')
    listener = listeners.open(gateway.http, room(name))
    listeners.until_open(listener)
    page = open_tab(gateway, f"/tokens/?url={room(name)}")
    until(lambda: page.window("opens") == 1, "the page's stream")
    model = Model(gateway, f"room-{name}", listeners, listener)
    model.start()
    for part in (1, 2):
        until(lambda part=part: model.sent(TOKENS * part // 3), "a third of the answer", timeout=20 + SECONDS)
        page.reload()
        until(lambda: page.window("opens") == 1, "the stream of the reloaded page")
    until(lambda: model.sent(TOKENS), "the whole answer", timeout=20 + SECONDS)
    model.join()
    assert model.failure is None, model.failure

    sent = [token(number) for number in range(TOKENS)]
    listeners.until_ended(listener)
    assert listener.complete and listener.data == [*sent, ""]
    assert model.answer == {"published": TOKENS + 1, "last_id": listener.last_id}
    until(lambda: page.window("source.readyState") == Page.CLOSED, "the EventSource to be told by 204 to stop")
    assert page.run("return sessionStorage.getItem('text')") == "".join(sent)
    ids = page.run("return sessionStorage.getItem('ids')").split()
    assert ids == listener.ids, "each token once, and in order"
    assert page.window("resets") == 0 and page.window("opens") == 1

    with capsys.disabled():
        median, longest = statistics.median(model.waits) * 1000, max(model.waits) * 1000
        print(f"\nllm: {TOKENS} tokens, median {median:.2f} ms, longest {longest:.1f} ms, {model.late} above 10 ms")
    assert statistics.median(model.waits) < 1 / RATE


def test_a_page_that_is_loaded_after_the_end_gets_the_rest_and_stops_for_good(
    site: Site, new_gateway: GatewayMaker, open_tab: TabOpener, name: str
) -> None:
    gateway = new_gateway(site, sse='retry = "100ms..200ms"')
    page = open_tab(gateway, f"/tokens/?url={room(name)}")
    until(lambda: page.window("opens") == 1, "the page's stream")
    gateway.publish(f"room-{name}", "one")
    until(lambda: page.run("return sessionStorage.getItem('text')") == "one", "the first token")
    page.run("window.source.close()")
    until(lambda: gateway.streams_on(f"room-{name}") == 0, "the page to be gone")
    gateway.publish(f"room-{name}", " two")
    gateway.publish(f"room-{name}", "", event="done", close=True)
    page.reload()
    until(lambda: page.window("source.readyState") == Page.CLOSED, "the EventSource to stop")
    assert page.run("return sessionStorage.getItem('text')") == "one two"
    # What has stopped stays so, even when the channel is opened again: the page that is loaded now is the only one.
    gateway.publish(f"room-{name}", " three")
    page.reload()
    until(lambda: page.run("return sessionStorage.getItem('text')") == "one two three", "the new beginning")
    assert gateway.streams_on(f"room-{name}") == 1
