"""What keeps one client from taking everything, and what the operator is told of it."""

from conftest import GatewayMaker
from harness import Gateway, Site, cookie_header, log_in, room, until
from streams import Listeners

HINT = "behind a proxy? name it in trust.proxies"


def hints(gateway: Gateway) -> int:
    return gateway.process.log.read_text().count(HINT)


def test_a_limit_reached_by_a_local_address_hints_at_a_proxy_once_a_minute(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, sse="per_ip = 1")
    listeners.until_open(listeners.open(gateway.http, room(name)))
    for _ in range(3):
        answer = gateway.get(room(name))
        assert answer.status == 429 and answer.header("Retry-After") == "5"
    until(lambda: hints(gateway), "the hint")
    assert hints(gateway) == 1


def test_behind_a_trusted_proxy_there_is_nothing_to_hint_at(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway(site, sse="per_ip = 1", more='[trust]\nproxies = ["127.0.0.1"]')
    one, other = {"X-Forwarded-For": "10.0.0.1"}, {"X-Forwarded-For": "10.0.0.2"}
    streams = [listeners.open(gateway.http, room(name), headers=headers) for headers in (one, other)]
    listeners.until_open(*streams)
    assert gateway.get(room(name), headers=one).status == 429
    # The line would be there before the answer is.
    assert hints(gateway) == 0


def test_a_user_with_too_many_streams_is_told_and_so_is_the_operator(
    new_gateway: GatewayMaker, site: Site, listeners: Listeners
) -> None:
    gateway = new_gateway(site, sse="per_ip = 0\nper_user = 1")
    anna = {"Cookie": cookie_header(log_in(gateway.http, "anna"))}
    listeners.until_open(listeners.open(gateway.http, "/me/events/", headers=anna))
    for _ in range(2):
        refused = gateway.get("/me/events/", headers=anna)
        assert refused.status == 429 and b"this user has too many streams" in refused.body
    said = gateway.process.log.read_text()
    assert said.count("Limit of one user reached") == 1 and "sse.per_user" in said


def test_a_form_with_a_rate_is_not_passed_on_too_often(new_gateway: GatewayMaker, site: Site, name: str) -> None:
    routes = f"""
[[route]]
path = "/echo/{name}/"
proxy = "django"
limits = {{ rate = "10/h", burst = 2 }}
[[route]]
path = "/<path:rest>"
proxy = "django"
"""
    gateway = new_gateway(site, routes=routes)
    statuses = [gateway.request("POST", f"/echo/{name}/", body=b"x").status for _ in range(4)]
    assert statuses[2:] == [429, 429] and 429 not in statuses[:2]
    assert len(site.journal(f"/echo/{name}/")) == 2
    assert gateway.get("/").status == 200
