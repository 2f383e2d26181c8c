"""What the gateway writes, read by three parsers that know nothing of each other: each gives back what was published.

    ENCODER_SEED=7   repeat the events of a failing run
"""

import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from selenium.webdriver import Chrome
from sseclient import SSEClient

from conftest import TabOpener
from harness import Gateway, room, until
from streams import Listeners, Parser, Stream

COUNT = 400
LINE_ENDS = ["\n", "\r", "\r\n", "\n\r", "\r\r\n", "\n\n"]
PIECES = [
    *("", " ", "  ", "\t", ":", ": ", " :"),
    *("data: x", "data:", "id: 1", "event: forged", "retry: 1", "id", ":comment"),
    *("\ufeff", "\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1e", "\0", "\x7f"),
    *("\u200b", "\ud7ff", "\ufffd"),
    *("äöü", "€", "😀", "👩\u200d👩\u200d👧", "e\u0301", "\u202eabc", "日本語", "a\ufffe", "\U0010ffff", "plain text", "0"),
]
NAMES = ["tick", "two words", " a space before", "a space after ", "a:colon", ":", "data", "id", "Ünïcödé", "😀"]
NAMES += ["\ufeff", "__proto__", "toString", "a\tb", "\u2028", "x" * 1000, "message", "event: x", "null"]


@dataclass(frozen=True)
class Expected:
    id: str | None  # None: the gateway's own
    type: str
    data: str


def text(dice: random.Random) -> str:
    """Lines of odd pieces, with odd line ends between them and perhaps after the last."""
    lines = ["".join(dice.choices(PIECES, k=dice.randint(0, 4))) for _ in range(dice.randint(1, 5))]
    return "".join(line + dice.choice(LINE_ENDS) for line in lines[:-1]) + lines[-1] + dice.choice(["", *LINE_ENDS])


def events(dice: random.Random, name: str) -> Iterator[tuple[dict[str, object], Expected]]:
    """What is published, and what every parser has to make of it."""
    fixed = ["", "\n", "\r\n", " ", ":", "\ufeff", "\ufefffirst", "x" * 200_000, ("y" * 60_000 + "\n") * 3, "\r" * 500]
    for number in range(COUNT):
        data = fixed[number] if number < len(fixed) else text(dice)
        fields: dict[str, object] = {"data": data}
        own_id = None
        if dice.random() < 0.5:
            # No control characters, and no blank at an end: the rest is the publisher's.
            odd = "".join(dice.choices(["ä", ":", " ", "€", "😀", "data: ", "-", "\u2028x", "0", "%00", '"'], k=3))
            fields["id"] = own_id = f"{name} {number} {odd}."
        kind = dice.choice(NAMES) if dice.random() < 0.7 else None
        if kind:
            fields["event"] = kind
        yield fields, Expected(own_id, kind or "message", re.sub("\r\n|\r", "\n", data))


class Keeping(Parser):
    """Keeps the bytes for another parser."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = bytearray()

    def feed(self, data: bytes) -> None:
        self.raw += data
        super().feed(data)


def publish(gateway: Gateway, channel: str, fields: dict[str, object], dice: random.Random) -> str:
    """As JSON with or without escapes, or as a body that is the data; the id of the answer."""
    if dice.random() < 0.3:
        query = urlencode({key: value for key, value in fields.items() if key != "data"})
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        body = str(fields["data"]).encode()
        answer = gateway.internal("POST", f"/v1/channels/{channel}/events?{query}", body, headers)
    else:
        document = json.dumps({"channel": channel, **fields}, ensure_ascii=dice.random() < 0.5)
        answer = gateway.post_event(document.encode())
    assert answer.status == 200, (fields, answer)
    return answer.json()["id"]


LISTEN = """
window.got = [];
window.isOpen = false;
const source = new EventSource(arguments[0]);
source.onopen = () => { window.isOpen = true; };
for (const name of new Set([...arguments[1], "message", "last"]))
  source.addEventListener(name, (event) => window.got.push([event.lastEventId, event.type, event.data]));
"""


@dataclass
class Published:
    seed: int
    expected: list[tuple[str, str, str]]
    stream: Stream
    raw: bytes
    browser: list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def published(gateway: Gateway, driver: Chrome) -> Iterator[Published]:
    """Hundreds of events, as they arrived at a raw client and at Chromium's EventSource."""
    seed = int(os.environ.get("ENCODER_SEED") or random.randrange(1_000_000))
    dice, listeners, name = random.Random(seed), Listeners(), f"encoder-{seed}"
    stream = listeners.open(gateway.http, room(name), asleep=True)
    stream.parser = Keeping()
    listeners.wake(stream)
    listeners.until_open(stream)
    driver.switch_to.new_window("tab")
    driver.get(f"http://localhost:{gateway.http[1]}/")
    driver.execute_script(LISTEN, room(name), NAMES)
    until(lambda: driver.execute_script("return window.isOpen"), "the EventSource to be open")
    expected = []
    for fields, event in events(dice, name):
        event_id = publish(gateway, f"room-{name}", fields, dice)
        assert event.id in (None, event_id)
        expected.append((event_id, event.type, event.data))
    expected.append((gateway.publish(f"room-{name}", "end", event="last")["id"], "last", "end"))
    listeners.until(lambda: stream.events and stream.events[-1].type == "last", "the last event")
    script = "return window.got.length && window.got.at(-1)[1]"
    until(lambda: driver.execute_script(script) == "last", "the last event in the browser")
    got = [tuple(event) for event in driver.execute_script("return window.got")]
    assert isinstance(stream.parser, Keeping)
    yield Published(seed, expected, stream, bytes(stream.parser.raw), got)
    driver.close()
    driver.switch_to.window(driver.window_handles[0])
    listeners.stop()


def same(got: list[tuple[str, str, str]], published: Published) -> None:
    for number, (one, other) in enumerate(zip(got, published.expected, strict=False)):
        assert one == other, f"ENCODER_SEED={published.seed}: event {number}"
    assert len(got) == len(published.expected), f"ENCODER_SEED={published.seed}"


def test_chromium_gets_what_was_published(published: Published) -> None:
    same(published.browser, published)


def test_an_independent_parser_gets_what_was_published(published: Published) -> None:
    """sseclient-py, fed in parts that are cut anywhere."""
    dice = random.Random(published.seed)
    cuts = sorted({0, len(published.raw), *(dice.randrange(len(published.raw)) for _ in range(2000))})
    parts = [published.raw[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
    same([(event.id, event.event, event.data) for event in SSEClient(parts).events()], published)


def test_our_own_parser_gets_what_was_published(published: Published) -> None:
    same([(event.id, event.type, event.data) for event in published.stream.events], published)


def test_every_line_on_the_wire_is_a_field_or_a_comment(published: Published) -> None:
    """Nothing relies on a parser ignoring what it does not know, and lines end in one way."""
    assert b"\r" not in published.raw
    for line in published.raw.decode().split("\n"):
        assert re.match(r"$|:|(data|event|id|retry): ", line), line[:100]


def test_data_that_is_no_string_arrives_as_compact_json(
    gateway: Gateway, listeners: Listeners, stream: Stream, name: str, open_tab: TabOpener
) -> None:
    values = [None, True, 0, -1.5, [], {}, [1, "a\nb"], {"z": 1, "a": {"ä": "\r\n\u2028"}}, {"": [[]]}]
    page = open_tab(gateway, f"/live/?url={room(name)}")
    until(lambda: page.states[-1] == page.OPEN, "the EventSource to be open")
    for value in values:
        gateway.publish(f"room-{name}", value)
    gateway.publish(f"room-{name}", "end")
    listeners.until_data("end", [stream])
    until(lambda: page.data and page.data[-1] == "end", "the events in the browser")
    assert page.data == stream.data
    assert [json.loads(data) for data in stream.data[:-1]] == values
    assert all(re.search(r'[:,] |\n', data) is None for data in stream.data[:-1])
