"""Redis itself: every way to it, and what becomes of streams while it is away."""

import json
import subprocess
from pathlib import Path

import pytest

import redis
from conftest import GatewayMaker, SiteMaker
from harness import Gateway, Process, Site, free_port, until
from redis_project import (
    PASSWORD,
    ROUTES,
    USER,
    Server,
    ServerMaker,
    call,
    listening,
    metric,
    project_on,
    rule,
    until_connected,
)
from streams import Listeners


def send(server: Server, channel: str, data: str) -> int:
    with server.client() as publisher:
        return publisher.publish(channel, json.dumps(["e", data]))


@pytest.mark.parametrize("way", ["tcp", "user", "socket", "tls", "user-socket", "user-tls"])
def test_every_way_leads_to_redis(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners, way: str
) -> None:
    server = new_redis(password="sec/ret@word")
    # Of a password only the percent sign needs an escape.
    user = f"{USER}:{PASSWORD.replace('%', '%25')}"
    url = {
        "tcp": f"redis://:sec/ret@word@127.0.0.1:{server.port}/2",
        "user": f"redis://{user}@localhost:{server.port}",
        "socket": f"unix://:sec/ret@word@{server.socket}?db=1",
        "tls": f"rediss://:sec/ret@word@127.0.0.1:{server.tls_port}",
        "user-socket": f"redis+unix://{user}@{server.socket}",
        "user-tls": f"rediss://{user}@127.0.0.1:{server.tls_port}/0",
    }[way]
    if way.endswith("tls") and not server.speaks_tls():
        pytest.skip("this redis-server is built without TLS")
    more = listening(url, rule("sse", "django-sse"))
    gateway = new_gateway(site, routes=ROUTES, more=more, env={"SSL_CERT_FILE": str(server.certificate)})
    until_connected(gateway)
    stream = listeners.open(gateway.http, "/sse/sse/")
    listeners.until_open(stream)
    assert send(server, "sse", way) == 1
    listeners.until_data(way, [stream])
    shown = gateway.cli("show").stdout.decode()
    assert "sec/ret@word" not in shown + gateway.process.log.read_text() and ":***@" in shown
    server.kill()
    until(lambda: metric(gateway, "redis_connected") == 0, "the loss to be noticed")


def test_a_certificate_nobody_trusts_is_no_connection(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site
) -> None:
    server = new_redis()
    if not server.speaks_tls():
        pytest.skip("this redis-server is built without TLS")
    gateway = new_gateway(site, more=listening(f"rediss://127.0.0.1:{server.tls_port}", rule("a", "django-sse")))
    until(lambda: "Redis is away" in gateway.process.log.read_text(), "the warning")
    assert metric(gateway, "redis_connected") == 0


def test_check_dials_redis(redis_server: Server, new_gateway: GatewayMaker, site: Site) -> None:
    for url, code, told in [
        (redis_server.url, 0, "reached"),
        (f"redis://{USER}:wrong@127.0.0.1:{redis_server.port}", 69, "authentication failed"),
        (f"redis://127.0.0.1:{free_port()}", 69, "refused"),
    ]:
        gateway = new_gateway(site, start=False, more=listening(url))
        checked = gateway.cli("check", "--online")
        line = next(line for line in checked.stderr.decode().splitlines() if line.startswith("redis: "))
        assert (checked.returncode, told in line, "wrong@" in line) == (code, True, False), line


def test_check_says_what_redis_does_not_let_be_heard(redis_server: Server, new_gateway: GatewayMaker, site: Site) -> None:
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "+@all", "resetchannels", "&news")
    for channel, code in [("news", 0), ("sse", 69)]:
        url = f"redis://narrow:pw@127.0.0.1:{redis_server.port}"
        gateway = new_gateway(site, start=False, more=listening(url, rule(channel, "django-sse")))
        assert gateway.cli("check", "--online").returncode == code


def test_one_connection_hears_everything(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners
) -> None:
    server = new_redis()
    rules = [rule(f"c{number}", "django-sse") for number in range(20)] + [rule("p*", "django-sse")]
    gateway = new_gateway(site, routes=ROUTES, more=listening(server.url, *rules))
    until_connected(gateway)
    with server.client() as observer:
        subscribed = [one for one in observer.client_list() if int(one["sub"]) or int(one["psub"])]
    assert [(one["sub"], one["psub"]) for one in subscribed] == [("20", "1")]


def test_an_outage_is_one_reset_for_each_stream_on_its_channels(
    new_redis: ServerMaker, new_site: SiteMaker, new_gateway: GatewayMaker, listeners: Listeners
) -> None:
    server = new_redis()
    project = project_on(new_site, server)
    rules = rule("sse", "django-sse", "news"), rule("room-*", "django-sse"), rule("push", "json", "user-{id}")
    two = '''
[[route]]
path = "/two/"
sse = { channels = ["news", "user-1", "other"], public = true }
'''
    more = listening(server.url, *rules)
    gateway = new_gateway(project, routes=two + ROUTES, more=more, sse='heartbeat = "200ms"')
    until_connected(gateway)
    paths = ["/sse/news/", "/two/", "/sse/room-1/", "/sse/user-7/"]
    streams = [listeners.open(gateway.http, path) for path in paths]
    listeners.until_open(*streams)
    call(gateway, "/send/", "e", "before")
    listeners.until_data("before", streams[:2])
    place = streams[0].last_id
    leaver = listeners.open(gateway.http, "/sse/user-3/")
    listeners.until_open(leaver)
    quiet_place = leaver.last_id
    listeners.close(leaver)

    server.kill()
    until(lambda: metric(gateway, "redis_connected") == 0, "the loss to be noticed")
    beats = [stream.parser.comments for stream in streams]
    listeners.until(
        lambda: all(stream.parser.comments > beat + 1 for stream, beat in zip(streams, beats, strict=True)),
        "heartbeats while Redis is away",
    )
    assert not any(stream.resets or stream.ended for stream in streams)
    assert gateway.get("/").status == 200 and gateway.ready()

    server.start()
    until_connected(gateway)
    call(gateway, "/send/", "e", "after")
    listeners.until_data("after", streams[:2])
    listeners.until(lambda: all(stream.resets for stream in streams), "a reset for each")
    for stream in streams:
        assert stream.resets == ['{"reason":"redis"}'], stream
    assert [event.data for event in streams[0].events] == ["before", '{"reason":"redis"}', "after"]
    # Who comes back from before is told as well, also on a channel of which the log holds nothing.
    for path, last in [("/sse/news/", place), ("/sse/user-3/", quiet_place)]:
        back = listeners.open(gateway.http, path, last_event_id=last)
        listeners.until(lambda back=back: back.resets, "a reset")
        assert back.resets == ['{"reason":"redis"}']
    # And who comes back from after is not.
    resumed = listeners.open(gateway.http, "/sse/news/", last_event_id=streams[0].ids[1])
    listeners.until_data("after", [resumed])
    assert not resumed.resets
    assert metric(gateway, "redis_reconnects_total") == 1
    log = gateway.process.log.read_text()
    assert (log.count("Redis is away"), log.count("Redis is back")) == (1, 1)


def test_channels_of_no_rule_are_in_no_doubt(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners
) -> None:
    server = new_redis()
    gateway = new_gateway(site, routes=ROUTES, more=listening(server.url, rule("push", "json", "user-{id}")))
    until_connected(gateway)
    other = listeners.open(gateway.http, "/sse/other/")
    user = listeners.open(gateway.http, "/sse/user-1/")
    listeners.until_open(other, user)
    server.kill()
    until(lambda: metric(gateway, "redis_connected") == 0, "the loss to be noticed")
    server.start()
    listeners.until(lambda: user.resets, "the reset")
    gateway.publish("other", "still here")
    listeners.until_data("still here", [other])
    assert other.data == ["still here"]


def test_redis_may_come_later(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners
) -> None:
    server = new_redis(start=False)
    gateway = new_gateway(site, routes=ROUTES, more=listening(server.url, rule("sse", "django-sse")))
    until(lambda: "Redis is away" in gateway.process.log.read_text(), "the warning")
    server.start()
    until_connected(gateway)
    stream = listeners.open(gateway.http, "/sse/sse/")
    listeners.until_open(stream)
    send(server, "sse", "there")
    listeners.until_data("there", [stream])
    assert stream.data == ["there"]


def sentinel_of(server: Server, folder: Path, *lines: str) -> Process:
    """A sentinel that is started, and looks after this server alone."""
    place = folder / f"sentinel{server.port}"
    place.mkdir()
    file = place / "sentinel.conf"
    file.write_text("\n".join(["bind 127.0.0.1", f"dir {place}", *lines, ""]))
    sentinel = Process("sentinel", place, ["redis-server", str(file), "--sentinel"], {})
    sentinel.start()
    return sentinel


def test_a_sentinel_knows_the_master_and_the_next_one(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners, folder: Path
) -> None:
    master, replica = new_redis(), new_redis()
    follower = replica.client()
    follower.replicaof("127.0.0.1", master.port)
    until(lambda: follower.info("replication")["master_link_status"] == "up", "the replica")
    port = free_port()
    sentinel = sentinel_of(
        master,
        folder,
        f"port {port}",
        f"sentinel monitor mymaster 127.0.0.1 {master.port} 1",
        "sentinel down-after-milliseconds mymaster 500",
    )
    try:
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/mymaster"
        gateway = new_gateway(site, routes=ROUTES, more=listening(url, rule("sse", "django-sse")))
        until_connected(gateway)
        stream = listeners.open(gateway.http, "/sse/sse/")
        listeners.until_open(stream)
        send(master, "sse", "before")
        listeners.until_data("before", [stream])
        asked = redis.Redis(port=port)
        until(lambda: asked.sentinel_master("mymaster")["num-slaves"] == 1, "the sentinel to know the replica")
        master.kill()
        until(lambda: follower.info("replication")["role"] == "master", "the replica to be the master", 60)
        until(lambda: metric(gateway, "redis_reconnects_total") == 1, "the gateway to be on the new one", 60)
        send(replica, "sse", "after")
        listeners.until_data("after", [stream])
        assert stream.data == ["before", '{"reason":"redis"}', "after"]
    finally:
        sentinel.kill()


def test_a_sentinel_is_asked_over_tls_for_a_master_over_tls(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners, folder: Path
) -> None:
    server = new_redis()
    if not server.speaks_tls():
        pytest.skip("this redis-server is built without TLS")
    port = free_port()
    key = server.certificate.with_name("key.pem")
    sentinel = sentinel_of(
        server,
        folder,
        *("port 0", f"tls-port {port}", "tls-auth-clients no", "tls-replication yes"),
        *(f"tls-cert-file {server.certificate}", f"tls-key-file {key}", f"tls-ca-cert-file {server.certificate}"),
        f"sentinel monitor mymaster 127.0.0.1 {server.tls_port} 1",
    )
    try:
        url = f"rediss+sentinel://{USER}:{PASSWORD.replace('%', '%25')}@127.0.0.1:{port}/mymaster"
        more = listening(url, rule("sse", "django-sse"))
        gateway = new_gateway(site, routes=ROUTES, more=more, env={"SSL_CERT_FILE": str(server.certificate)})
        until_connected(gateway)
        stream = listeners.open(gateway.http, "/sse/sse/")
        listeners.until_open(stream)
        assert send(server, "sse", "sealed") == 1
        listeners.until_data("sealed", [stream])
    finally:
        sentinel.kill()


def test_any_node_of_a_cluster_will_do(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners
) -> None:
    nodes = [new_redis(cluster=True) for _ in range(2)]
    with nodes[0].client() as client:
        client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[1].port, nodes[1].bus_port)
    away = free_port()
    url = f"redis://127.0.0.1:{away},127.0.0.1:{nodes[1].port}"
    gateway = new_gateway(site, routes=ROUTES, more=listening(url, rule("sse", "django-sse")))
    until_connected(gateway)
    stream = listeners.open(gateway.http, "/sse/sse/")
    listeners.until_open(stream)

    def arrives() -> bool:
        """The nodes need a moment until they know each other."""
        send(nodes[0], "sse", "from the other node")
        return bool(stream.events)

    until(arrives, "what was published on the other node")
    assert set(stream.data) == {"from the other node"}


def test_a_mistake_in_the_file_never_tells_the_password(new_gateway: GatewayMaker, site: Site) -> None:
    gateway = new_gateway(site, start=False, more=listening("redis://ann:hidden@host:port"))
    checked: subprocess.CompletedProcess[bytes] = gateway.cli("check")
    assert checked.returncode == 78 and b"a port is a number" in checked.stderr
    assert b"hidden" not in checked.stderr + checked.stdout


def test_twenty_thousand_messages_at_once_are_all_delivered(
    new_redis: ServerMaker, new_gateway: GatewayMaker, site: Site, listeners: Listeners
) -> None:
    """Far more than is taken from the socket before it is published, and than history keeps."""
    server = new_redis()
    # Nobody reads here while they are published, which is not what this is about.
    more = listening(server.url, rule("sse", "django-sse"))
    gateway: Gateway = new_gateway(site, routes=ROUTES, more=more, sse='client_buffer = "8MiB"')
    until_connected(gateway)
    stream = listeners.open(gateway.http, "/sse/sse/")
    listeners.until_open(stream)
    count = 20_000
    with server.client() as publisher, publisher.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.publish("sse", json.dumps(["e", str(number)]))
        pipeline.execute()
    listeners.until_data(str(count - 1), [stream])
    assert stream.data == [str(number) for number in range(count)]
