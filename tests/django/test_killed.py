"""Point 4 of what must be seen: gunicorn is killed five times under 500 open streams, and no listener notices."""

from conftest import GatewayMaker, SiteMaker
from harness import until
from streams import Listeners, Stream


def test_five_kills_of_gunicorn_close_no_stream_and_lose_or_double_no_event(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners
) -> None:
    site = new_site("tcp")
    gateway = new_gateway(site)
    ask, public = "/ask/room/?channel=room-live&user=7", "/rooms/live/events/"
    streams = [listeners.open(gateway.http, ask if number % 2 else public) for number in range(500)]
    listeners.until_open(*streams)
    sent: list[str] = []
    # Each stream with the number of events that were published before it was opened.
    since: dict[Stream, int] = dict.fromkeys(streams, 0)

    def publish(count: int) -> None:
        for _ in range(count):
            sent.append(f"event {len(sent)}")
            gateway.publish("room-live", sent[-1])

    for _ in range(5):
        publish(5)
        site.kill()
        publish(10)
        # A page that opens its EventSource right now must get 200, or it would give up for good.
        newcomers = [listeners.open(gateway.http, target) for target in (ask, public)]
        listeners.until_answered(*newcomers)
        since |= dict.fromkeys(newcomers, len(sent))
        publish(10)
        site.start()
        publish(5)
        assert gateway.get("/").status == 200
        listeners.until_open(*newcomers)
    until(lambda: gateway.streams_on("room-live") == len(since), f"all {len(since)} streams on the channel")
    publish(1)
    listeners.until_data(sent[-1], since)
    assert len(since) == 510 and len(sent) == 151
    for stream, start in since.items():
        assert not stream.ended
        assert stream.data == sent[start:]


def test_a_killed_worker_alone_is_not_noticed_either(
    new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners
) -> None:
    site = new_site()
    gateway = new_gateway(site)
    streams = [listeners.open(gateway.http, "/ask/room/?channel=room-live") for _ in range(20)]
    listeners.until_open(*streams)
    # The view kills its worker in the middle of an ask; the ask is repeated when there is a worker again.
    site.script("victim", kill="")
    victim = listeners.open(gateway.http, "/ask/victim/")
    until(lambda: site.journal("/ask/victim/"), "the ask to reach Django")
    site.script("victim", channel="room-live")
    listeners.until_open(victim)
    until(lambda: gateway.streams_on("room-live") == 21, "21 streams on the channel")
    gateway.publish("room-live", "still here")
    listeners.until_data("still here", [*streams, victim])
