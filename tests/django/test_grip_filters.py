"""Filters: what reaches whom, and how ids are put into it."""

import pytest

from conftest import Listeners
from grip_backend import Backend, Reply, link, plain, stream
from grip_fixtures import Seen
from grip_fronts import Front, sent
from streams import Stream
from test_grip_streams import until_body


def opened_with(
    front: Front, backend: Backend, listeners: Listeners, name: str, channels: str, meta: str = "", body: str = ""
) -> Stream:
    headers = [("Grip-Set-Meta", meta)] if meta else []
    backend.on(f"/{name}", stream(channels, *headers, link(f"/{name}-next"), body=body))
    # Pushpin asks the first one's link after a second; it says the same again.
    backend.on(f"/{name}-next", stream(channels, *headers, link(f"/{name}-next")))
    return front.open(listeners, f"/{name}")


@pytest.mark.parametrize(
    "skipped, arrives",
    [("7", False), ("3,7", False), ("3, 7 ,9", False), ("77", True), ("3,70", True), ("", True)],
)
def test_skip_users(
    front: Front, backend: Backend, listeners: Listeners, name: str, skipped: str, arrives: bool
) -> None:
    opened = opened_with(front, backend, listeners, name, f"{name}; filter=skip-users", 'user="7"')
    front.publish(sent(name, "[it]", meta={"skip_users": skipped}), sent(name, "[end]"))
    until_body(listeners, opened, "[end]")
    assert (b"[it]" in opened.body) == arrives


def test_skip_self(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    opened = opened_with(front, backend, listeners, name, f"{name}; filter=skip-self", 'user="7"')
    front.publish(sent(name, "[own]", meta={"sender": "7"}), sent(name, "[other]", meta={"sender": "8"}))
    until_body(listeners, opened, "[other]")
    assert b"[own]" not in opened.body


def test_require_sub(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    opened = opened_with(front, backend, listeners, name, f"{name}; filter=require-sub, {name}-on")
    front.publish(
        sent(name, "[not]", meta={"require_sub": f"{name}-off"}),
        sent(name, "[it]", meta={"require_sub": f"{name}-on"}),
        sent(name, action="close", meta={"require_sub": f"{name}-off"}),
        sent(name, "[still open]"),
        sent(name, action="close", meta={"require_sub": f"{name}-on"}),
    )
    listeners.until_ended(opened)
    assert opened.complete and opened.body == b"[it][still open]"


def test_without_the_filter_the_meta_of_an_item_means_nothing(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    opened = opened_with(front, backend, listeners, name, name, 'user="7"')
    front.publish(sent(name, "[it]", meta={"skip_users": "7", "sender": "7", "require_sub": "none"}))
    until_body(listeners, opened, "[it]")


def test_var_subst(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    meta = r'user="7", greeting="hi, \"you\" \\"'
    opened = opened_with(front, backend, listeners, name, f"{name}; filter=var-subst", meta)
    front.publish(sent(name, "[%(user)s: %(greeting)s 100%%]"))
    until_body(listeners, opened, r'[7: hi, "you" \ 100%]')


# build-id: an item may hold `%I` where its id is to stand, in the form that the subscription's `id_format` gives it.


def test_build_id(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    channels = f"{name}-a; prev-id=1; filter=build-id, {name}-b; prev-id=5; filter=build-id"
    meta = f'id_format="a:%({name}-a)s,b:%({name}-b)s"'
    opened = opened_with(front, backend, listeners, name, channels, meta, body="[100%% %(text)I]")
    until_body(listeners, opened, "[100% text]")
    built = {"filters": ["build-id"]}
    front.publish(sent(f"{name}-a", "[%I 100%% %(x)I]", id="2", prev_id="1", **built))
    front.publish(sent(f"{name}-b", "[%I]", id="6", prev_id="5", **built))
    front.publish(sent(f"{name}-a", "[%I]", id="3", prev_id="2", **built))
    until_body(listeners, opened, "[a:2,b:5 100% x][a:2,b:6][a:3,b:6]")


def test_build_id_in_hex(front: Front, backend: Backend, listeners: Listeners, name: str) -> None:
    meta = f'id_format="%({name})s", id_encoding=hex'
    opened = opened_with(front, backend, listeners, name, f"{name}; prev-id=1; filter=build-id", meta)
    front.publish(sent(name, "[%I]", id="no", prev_id="1", filters=["build-id"]))
    until_body(listeners, opened, "[6e6f]")


def test_an_item_that_is_filtered_out_moves_the_place_all_the_same(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    channels = f"{name}; prev-id=1; filter=build-id; filter=skip-users"
    opened = opened_with(front, backend, listeners, name, channels, f'id_format="%({name})s", user="7"')
    built = {"filters": ["build-id"]}
    front.publish(
        sent(name, "[%I]", id="2", prev_id="1", meta={"skip_users": "7"}, **built),
        sent(name, "[%I]", id="3", prev_id="2", **built),
    )
    until_body(listeners, opened, "[3]")
    assert b"[2]" not in opened.body


def test_an_id_with_percent_signs_in_a_body(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    """As django-eventstream replays the events of a channel `a b`."""
    channels, meta = f"{name}; prev-id=1; filter=build-id", f'id_format="a%%20b:%({name})s"'
    backend.on(f"/{name}-next", stream(channels, ("Grip-Set-Meta", meta), link(f"/{name}-next")))
    backend.on(f"/{name}", stream(channels, ("Grip-Set-Meta", meta), link(f"/{name}-next"), body="[a%20b:1 100%%]"))
    opened = front.open(listeners, f"/{name}")
    listeners.until(lambda: opened.ended or b"]" in opened.body, "a body, or the end")
    what = "arrives" if opened.body == b"[a%20b:1 100%]" else "ends the stream"
    seen("a replayed id with `%20` in it", what, tidegate="arrives", pushpin="ends the stream")
    if what == "arrives":
        front.publish(sent(name, "[%I]", id="2", prev_id="1", filters=["build-id"]))
        until_body(listeners, opened, "[a%20b:2]")


def test_what_a_link_gives_goes_through_the_filters(
    front: Front, backend: Backend, listeners: Listeners, name: str
) -> None:
    channels, meta = f"{name}; prev-id=1; filter=build-id", f'id_format="%({name})s"'
    paged: Reply = plain(
        "[page 50%%]", ("Grip-Link", f"</{name}-2>; rel=next"), ("Grip-Channel", channels), ("Grip-Set-Meta", meta)
    )
    backend.on(f"/{name}", paged)
    backend.on(f"/{name}-2", stream(channels, ("Grip-Set-Meta", meta), link(f"/{name}-2"), body="[held 60%%]"))
    opened = front.open(listeners, f"/{name}")
    until_body(listeners, opened, "[page 50%][held 60%]")


def test_content_filters_that_are_not_those_of_the_channel(
    front: Front, backend: Backend, listeners: Listeners, name: str, seen: Seen
) -> None:
    opened = opened_with(front, backend, listeners, name, name)
    front.publish(sent(name, "[%I]", filters=["build-id"]), sent(name, "[end]"))
    listeners.until(lambda: opened.ended or b"[end]" in opened.body, "the end of it")
    what = "is dropped" if opened.body == b"[end]" else "ends the stream" if opened.ended else repr(opened.body)
    seen("an item whose content filters are not the channel's", what, tidegate="is dropped", pushpin="ends the stream")
