"""The fixtures: a site and a gateway for the whole run, and makers of others for the tests that break theirs."""

import itertools
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

import browser
from harness import Gateway, Process, Site, free_port, prepare_database, raise_open_files, room
from redis_project import new_redis, project, redis_server, shared_redis  # noqa: F401  (fixtures of several files)
from streams import Listeners, Stream

pytest_plugins = ["grip_fixtures"]

raise_open_files()
# A shell starts what runs in the background with SIGINT ignored, and everything started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

LOG_SHOWN = 3000  # characters of each log under a failure
log_sizes = pytest.StashKey[dict[Process, int]]()
_names = itertools.count()


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Holds all files of the run; kept when a test failed. Its path is short, as the name of a unix socket must be."""
    path = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    yield path
    for process in Process.started:
        process.kill()
    if request.session.testsfailed:
        print(f"\nThe logs are in {path}", file=sys.stderr)
    else:
        # The last children of the browser may still be writing.
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def database(folder: Path) -> Path:
    return prepare_database(folder / "database")


SiteMaker = Callable[..., Site]
GatewayMaker = Callable[..., Gateway]


def site_maker(folder: Path, database: Path) -> Iterator[SiteMaker]:
    made: list[Site] = []

    def make(bind: str = "unix", start: bool = True, **more: object) -> Site:
        site = Site(folder / f"site{next(_names)}", database, bind, **more)  # type: ignore[arg-type]
        made.append(site)
        if start:
            site.start()
        return site

    yield make
    for site in made:
        site.stop()


def gateway_maker(folder: Path) -> Iterator[GatewayMaker]:
    made: list[Gateway] = []

    def make(upstream_at: Site | str, start: bool = True, **more: object) -> Gateway:
        servers = upstream_at if isinstance(upstream_at, str) else upstream_at.server
        gateway = Gateway(folder / f"gate{next(_names)}", servers, **more)  # type: ignore[arg-type]
        made.append(gateway)
        if start:
            gateway.start()
        return gateway

    yield make
    for gateway in made:
        gateway.stop()


new_site = pytest.fixture(name="new_site")(site_maker)
new_gateway = pytest.fixture(name="new_gateway")(gateway_maker)
shared_sites = pytest.fixture(name="shared_sites", scope="session")(site_maker)
shared_gateways = pytest.fixture(name="shared_gateways", scope="session")(gateway_maker)


@pytest.fixture(scope="session")
def internal() -> tuple[str, int]:
    """Where the gateway of the run listens for Django, which has to know before there is a gateway."""
    return "127.0.0.1", free_port()


@pytest.fixture(scope="session")
def site(shared_sites: SiteMaker, internal: tuple[str, int]) -> Site:
    """The site of the run, one sync worker on a unix socket. Nobody may kill it."""
    return shared_sites("unix", gateway=f"http://{internal[0]}:{internal[1]}")


@pytest.fixture(scope="session")
def gateway(shared_gateways: GatewayMaker, site: Site, internal: tuple[str, int]) -> Gateway:
    """The gateway of the run, with everything but the limits of one client at its default."""
    return shared_gateways(site, internal=internal)


@pytest.fixture(scope="session", params=["unix", "tcp"])
def pair(
    request: pytest.FixtureRequest, shared_sites: SiteMaker, shared_gateways: GatewayMaker
) -> tuple[Gateway, Site]:
    """A gateway and its site, once over a unix socket and once over TCP: gunicorn trusts them in different ways."""
    if request.param == "unix":
        return request.getfixturevalue("gateway"), request.getfixturevalue("site")
    site = shared_sites("tcp")
    return shared_gateways(site), site


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    made = Listeners()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def driver(folder: Path) -> Iterator[Chrome]:
    """The browser of the run."""
    profile = folder / "browser"
    profile.mkdir()
    started = browser.start(profile)
    yield started
    started.quit()


TabOpener = Callable[..., browser.Page]


@pytest.fixture
def open_tab(driver: Chrome) -> Iterator[TabOpener]:
    """Opens a page of the site. Hosts have their own cookies: another one is another user's browser."""
    tabs: list[browser.Page] = []

    def opener(gateway: Gateway, target: str, host: str = "localhost") -> browser.Page:
        tabs.append(browser.Page(driver, f"http://{host}:{gateway.http[1]}{target}"))
        return tabs[-1]

    yield opener
    for tab in tabs:
        tab.close()


@pytest.fixture
def name() -> str:
    """A name that no other test uses: for a channel, a path, a gate."""
    return f"n{next(_names)}"


@pytest.fixture
def stream(gateway: Gateway, listeners: Listeners, name: str) -> Stream:
    """An open stream on the channel `room-{name}`."""
    opened = listeners.open(gateway.http, room(name))
    listeners.until_open(opened)
    return opened


# What the processes of a failing test printed meanwhile is shown with it.


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[log_sizes] = {process: size_of(process) for process in Process.started}
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for process in Process.started:
            start = item.stash[log_sizes].get(process, 0)
            if size_of(process) > start:
                text = process.log.read_bytes()[start:].decode(errors="replace")
                report.sections.append((f"{process.name} ({process.log})", text[-LOG_SHOWN:]))
    return report


def size_of(process: Process) -> int:
    return process.log.stat().st_size if process.log.exists() else 0
