"""Everything at once, and an oracle: publishes that are lost, come twice or out of order, links that fail, clients that
leave and come back. Each client must be given each event of its channels exactly once and in order.

The backend is what a reliable one is: it has all events, and answers a link by what comes after Grip-Last.
"""

import random
import re
import threading
import time

import pytest

from conftest import Listeners
from grip_backend import Asked, Backend, Reply, link, plain, stream
from grip_fronts import Front, sent
from streams import Stream

CHANNELS = ("a", "b", "c")
EVENTS = 60  # for each channel


class World:
    def __init__(self, front: Front, backend: Backend, name: str, seed: int) -> None:
        self.front, self.name = front, name
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.newest = dict.fromkeys(CHANNELS, 0)
        self.troubled = True
        backend.on(f"/{name}", self.first)
        backend.on(f"/{name}-next", self.recover)

    def chance(self, share: float) -> bool:
        with self.lock:
            return self.troubled and self.random.random() < share

    def first(self, asked: Asked) -> Reply:
        return self.reply({channel: int(asked.query[channel]) for channel in asked.query["on"]})

    def recover(self, asked: Asked) -> Reply:
        if self.chance(0.1):
            return plain("no", status=503)
        return self.reply({channel.rpartition("-")[2]: int(at) for channel, at in asked.last.items()})

    def reply(self, after: dict[str, int]) -> Reply:
        with self.lock:
            newest = {channel: self.newest[channel] for channel in after}
        body = "".join(f"[{c}{n}]" for c, at in after.items() for n in range(at + 1, newest[c] + 1))
        # An event may be published between the reading above and the hold.
        if self.chance(0.3):
            time.sleep(0.02)
        lines = [f"{self.name}-{channel}; prev-id={at}" for channel, at in newest.items()]
        return stream(lines, link(f"/{self.name}-next"), body=body or "[]")

    def publish(self, channel: str) -> None:
        with self.lock:
            self.newest[channel] += 1
            number = self.newest[channel]
        item = sent(f"{self.name}-{channel}", f"[{channel}{number}]", id=f"{number}", prev_id=f"{number - 1}")
        if self.chance(0.06):
            return
        if self.chance(0.2):
            time.sleep(0.03)  # another publisher overtakes it
        for _ in range(2 if self.chance(0.1) else 1):
            self.front.publish(item)

    def publishes(self, channel: str) -> None:
        """One publisher of a channel that has two."""
        for _ in range(EVENTS // 2):
            self.publish(channel)
            time.sleep(0.03)


class Client:
    """One page: it comes back from where it was."""

    def __init__(self, world: World, listeners: Listeners, on: str, at: dict[str, int]) -> None:
        self.world, self.listeners = world, listeners
        self.on, self.begun, self.seen = on, dict(at), {channel: [] for channel in on}
        self.opened: Stream | None = None
        self.read = 0
        self.connect()

    def connect(self) -> None:
        query = "&".join(f"{channel}={self.at(channel)}" for channel in self.on)
        self.opened = self.world.front.open(self.listeners, f"/{self.world.name}?on={self.on}&{query}")
        self.read = 0

    def at(self, channel: str) -> int:
        seen = self.seen[channel]
        return seen[-1] if seen else self.begun[channel]

    def look(self) -> None:
        """Take what has come, as far as it is whole."""
        assert self.opened is not None
        text = self.opened.body.decode()
        for match in re.finditer(r"\[([abc]?)(\d*)\]", text[self.read :]):
            if match[1]:
                self.seen[match[1]].append(int(match[2]))
        self.read = text.rfind("]") + 1

    def leave(self) -> None:
        assert self.opened is not None
        self.listeners.close(self.opened)
        self.look()

    def check(self) -> None:
        for channel, seen in self.seen.items():
            begun = self.begun[channel]
            assert seen == list(range(begun + 1, begun + 1 + len(seen))), f"channel {channel} from {begun}: {seen}"

    def has_all(self) -> bool:
        self.look()
        return all(self.at(channel) == self.world.newest[channel] for channel in self.on)


@pytest.mark.parametrize("seed", [1, 2])
def test_everybody_is_given_everything_once_and_in_order(
    front: Front, backend: Backend, listeners: Listeners, name: str, seed: int
) -> None:
    world, choices = World(front, backend, name, seed), random.Random(seed)
    publishers = [threading.Thread(target=world.publishes, args=[channel]) for channel in CHANNELS * 2]
    for publisher in publishers:
        publisher.start()
    clients: list[Client] = []
    while any(publisher.is_alive() for publisher in publishers):
        if clients and choices.random() < 0.5:
            client = choices.choice(clients)
            client.leave()
            client.check()
            client.connect()
        elif len(clients) < 30:
            on = choices.choice(["a", "b", "ab", "abc", "ca"])
            with world.lock:
                at = {channel: choices.randint(0, world.newest[channel]) for channel in on}
            clients.append(Client(world, listeners, on, at))
        time.sleep(0.03)
    for publisher in publishers:
        publisher.join()
    world.troubled = False
    # What was lost last shows with the next one.
    for channel in CHANNELS:
        world.publish(channel)

    def all_have_all() -> bool:
        for client in clients:
            assert client.opened is not None
            if client.opened.ended:
                # After five failures Pushpin ends a stream; a page comes back.
                client.look()
                client.connect()
        return all([client.has_all() for client in clients])

    deadline = time.monotonic() + 60
    while not all_have_all():
        for client in clients:
            client.check()
        assert time.monotonic() < deadline, [
            (c.on, {ch: c.at(ch) for ch in c.on}, world.newest) for c in clients if not c.has_all()
        ]
        time.sleep(0.05)
    for client in clients:
        client.check()
