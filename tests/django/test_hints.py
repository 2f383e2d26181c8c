"""What the log tells an operator who has forgotten a line, for what goes wrong then says nothing by itself."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest

from conftest import GatewayMaker
from grip_backend import Backend
from harness import Gateway, Site, until
from streams import Listeners
from wire import Answer

ITEM = json.dumps({"items": [{"channel": "c", "http-stream": {"content": "x"}}]}).encode()
BY_ITSELF = "Django streams by itself"


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.stop()


Maker = Callable[..., Gateway]


@pytest.fixture
def front(folder: Path, backend: Backend, name: str) -> Iterator[Maker]:
    made: list[Gateway] = []

    def make(**more: str) -> Gateway:
        made.append(Gateway(folder / f"{name}-{len(made)}", backend.server, **more))
        made[-1].start()
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


def told(gateway: Gateway) -> str:
    return gateway.process.log.read_text()


def publish(gateway: Gateway, bearer: str = "") -> Answer:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return gateway.internal("POST", "/publish/", body=ITEM, headers=headers)


def test_django_that_has_another_key_is_told_by_its_first_publish(front: Maker) -> None:
    gateway = front(upstream='grip = { key = "the-key-of-the-gateway-is-this-one" }')
    good = jwt.encode({"iss": "pushpin", "exp": 4102444800}, "the-key-of-the-gateway-is-this-one", "HS256")
    for bearer in ("", good, "the-key-of-the-gateway-is-this-one"):
        assert publish(gateway, bearer).status == 200
    assert "another key" not in told(gateway)
    assert publish(gateway, "changeme").status == 200
    until(lambda: "Items signed with another key than Grip-Sig" in told(gateway), "the hint")


def test_items_where_nobody_is_held_are_told(front: Maker) -> None:
    gateway = front()
    assert publish(gateway).status == 200
    until(lambda: "no upstream has `grip`" in told(gateway), "the hint")


def test_a_file_with_which_nobody_can_publish_is_told(front: Maker) -> None:
    gateway = front(upstream="grip = true")
    assert "Nobody can publish" not in told(gateway)
    text = gateway.config.read_text()
    gateway.stop()
    gateway.config.write_text(text.replace('role = "internal"', 'role = "public"'))
    gateway.process.start()
    until(lambda: gateway.process.must_run() and "Nobody can publish" in told(gateway), "the hint")


@pytest.mark.parametrize("grip", [True, False])
def test_a_stream_that_passes_through_is_told_once(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str, grip: bool
) -> None:
    gateway = new_gateway(site, upstream="grip = true" if grip else "")
    assert gateway.get("/").status == 200
    assert BY_ITSELF not in told(gateway)
    for number in range(2):
        stream = listeners.open(gateway.http, f"/stream/{name}-{number}/")
        listeners.until(lambda: stream.data == ["first"], "the first part")
        site.open_gate(f"{name}-{number}")
        listeners.until_ended(stream)
    until(lambda: BY_ITSELF in told(gateway), "the hint")
    line = next(line for line in told(gateway).splitlines() if BY_ITSELF in line)
    assert f"/stream/{name}-0/" in line and ("GripMiddleware" in line) == grip
    assert told(gateway).count(BY_ITSELF) == 1
