"""The demo, started as a newcomer starts it, and its pages in a browser."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from browser import Page
from harness import ROOT, Process, free_port, gateway_binary, log_in, post_form, until
from wire import request

# The first start on a machine makes the demo's virtual environment.
pytestmark = pytest.mark.timeout(400)
FIRST_START = 300


class Demo:
    def __init__(self, folder: Path) -> None:
        self.address = ("127.0.0.1", free_port())
        self.https = ("127.0.0.1", free_port())
        self.process = Process(
            "demo",
            folder,
            [str(ROOT / "deploy" / "demo" / "run")],
            {
                "DEMO_HTTP": f"127.0.0.1:{self.address[1]}",
                "DEMO_HTTPS": f"127.0.0.1:{self.https[1]}",
                "DEMO_INTERNAL": f"127.0.0.1:{free_port()}",
                "DEMO_VAR": str(folder / "var"),
                "TIDEGATE_BIN": gateway_binary(),
            },
        )

    def url(self, path: str) -> str:
        return f"http://localhost:{self.address[1]}{path}"

    def secure_url(self, path: str) -> str:
        return f"https://localhost:{self.https[1]}{path}"

    @property
    def says(self) -> str:
        return self.process.log.read_text()


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Demo]:
    own = folder / "demo"
    own.mkdir()
    started = Demo(own)
    started.process.start()
    until(lambda: started.process.must_run() and "The demo is at" in started.says, "the demo", FIRST_START)
    yield started
    started.process.stop()


class Tab(Page):
    """A tab with a page of the demo."""

    def all(self, selector: str) -> list[WebElement]:
        self.driver.switch_to.window(self.handle)
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return until(lambda: self.all(selector), f"{selector} on the page")[0]

    def read(self, selector: str, what: str) -> list:
        """A property of all such elements, read at once: an element in hand may be replaced at any moment."""
        self.driver.switch_to.window(self.handle)
        script = f"return [...document.querySelectorAll(arguments[0])].map((element) => element.{what})"
        return self.driver.execute_script(script, selector)

    def texts(self, selector: str) -> list[str]:
        return self.read(selector, "innerText")

    def until_text(self, selector: str, text: str) -> None:
        until(lambda: any(text in found for found in self.texts(selector)), f"{text!r} in {selector}")

    def until_no_text(self, selector: str, text: str) -> None:
        until(lambda: not any(text in found for found in self.texts(selector)), f"no {text!r} in {selector}")

    def until_state(self, state: int) -> None:
        """What the page says of its stream."""
        until(lambda: self.read("#state", "dataset.readyState") == [str(state)], f"readyState {state}")

    def write(self, selector: str, text: str) -> None:
        field = self.one(selector)
        field.send_keys(text, Keys.ENTER)
        # The form is emptied when the site has said yes.
        until(lambda: self.read(selector, "value") == [""], "the form to be sent")


@pytest.fixture
def tabs(driver: Chrome, demo: Demo) -> Iterator[list[Tab]]:
    opened: list[Tab] = []
    yield opened
    for tab in opened:
        tab.close()


def open_tab(tabs: list[Tab], driver: Chrome, demo: Demo, path: str) -> Tab:
    tabs.append(Tab(driver, demo.url(path)))
    return tabs[-1]


def test_the_list_updates_in_all_tabs(driver: Chrome, demo: Demo, tabs: list[Tab]) -> None:
    one, other = (open_tab(tabs, driver, demo, "/list/") for _ in range(2))
    for tab in tabs:
        tab.until_state(Page.OPEN)
    one.write("input[name=title]", "Buy milk")
    for tab in tabs:
        tab.until_text("#items li", "Buy milk")
    other.all("#items li input[type=checkbox]")[-1].click()
    until(lambda: one.read("#items li input[type=checkbox]", "checked")[-1], "the tick in the first tab")
    one.all("#items li button")[-1].click()
    for tab in tabs:
        tab.until_no_text("#items li", "Buy milk")


def test_start_and_stop_and_what_was_missed_is_replayed(driver: Chrome, demo: Demo, tabs: list[Tab]) -> None:
    hears, says = (open_tab(tabs, driver, demo, "/rooms/harbour/") for _ in range(2))
    hears.one("#start").click()
    hears.until_state(Page.OPEN)
    says.write("input[name=text]", "first")
    hears.until_text("#log li", "first")
    hears.one("#stop").click()
    hears.until_state(Page.CLOSED)
    says.write("input[name=text]", "missed")
    hears.one("#start").click()
    hears.until_text("#log li", "missed")
    said = [text.splitlines()[0] for text in hears.texts("#log li")]
    assert len(said) == 2, "each once"


def test_a_job_shows_its_ten_steps_and_closes_its_event_source(driver: Chrome, demo: Demo, tabs: list[Tab]) -> None:
    tab = open_tab(tabs, driver, demo, "/jobs/")
    tab.one("#run").click()
    tab.until_state(Page.OPEN)
    # Every text the step shows is kept from here on.
    driver.execute_script(
        """
        window.steps = [];
        const step = document.getElementById("step");
        new MutationObserver(() => window.steps.push(step.textContent)).observe(step, { childList: true });
        """
    )
    tab.until_text("#step", "finished")
    tab.until_state(Page.CLOSED)
    steps = tab.window("steps")
    assert steps[-1] == "finished"
    assert steps[:-1] == [f"step {number} of 10" for number in range(10 - len(steps) + 1, 10)] and len(steps) > 5


def test_a_note_reaches_the_user_it_is_for(driver: Chrome, demo: Demo, tabs: list[Tab]) -> None:
    passwords = dict(re.findall(r"(anna|ben) / (\S+)", demo.says))
    tab = open_tab(tabs, driver, demo, "/notes/")
    tab.one("input[name=username]").send_keys("anna")
    tab.one("input[name=password]").send_keys(passwords["anna"], Keys.ENTER)
    tab.until_state(Page.OPEN)
    ben = log_in(demo.address, "ben", passwords["ben"], host="localhost")
    # Users are numbered as they were made: anna is the first.
    answer = post_form(demo.address, "/notes/", ben, {"to": "1", "text": "for anna"}, host="localhost")
    assert answer.status == 204
    tab.until_text("#notes li", "ben: for anna")


# A picture of one red pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000007753de0000000c4944415408d763f8cfc000"
    "000301010018dd8db00000000049454e44ae426082"
)


def test_https_and_http2_with_static_files_media_and_admin(
    driver: Chrome, demo: Demo, tabs: list[Tab], tmp_path: Path
) -> None:
    """Everything a Django team's front server does, and no nginx."""
    tabs.append(tab := Tab(driver, demo.secure_url("/files/")))
    tab.until_state(Page.OPEN)
    fetched = """
        return [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
            .filter((entry) => !entry.name.startsWith("data:"))
            .map((entry) => [new URL(entry.name).pathname, entry.nextHopProtocol])
    """
    protocols = dict(driver.execute_script(fetched))
    assert set(protocols.values()) == {"h2"}, protocols
    style = next(path for path in protocols if path.startswith("/static/board/style."))
    answer = request(demo.address, target=style, host="localhost")
    assert (answer.status, answer.header("Content-Type")) == (200, "text/css; charset=utf-8")
    assert "immutable" in (answer.header("Cache-Control") or ""), "its name has the hash of its content"
    again = request(demo.address, target=style, host="localhost", headers={"If-None-Match": answer.header("ETag") or ""})
    assert again.status == 304

    # An image opens, anything else is saved, and both come from the gateway: gunicorn's one worker is not asked.
    for name, content in (("pixel.png", PIXEL), ("page.html", b"<script>alert(1)</script>")):
        (tmp_path / name).write_bytes(content)
        tab.one("input[type=file]").send_keys(str(tmp_path / name))
        tab.one("main form button").click()
        tab.until_text("#files li", name)
    tabs.append(other := Tab(driver, demo.secure_url("/files/")))
    other.until_text("#files li", "pixel.png")
    for name, inline in (("pixel.png", True), ("page.html", False)):
        answer = request(demo.address, target=f"/media/uploads/{name}", host="localhost")
        assert answer.status == 200 and answer.header("X-Content-Type-Options") == "nosniff"
        assert (answer.header("Content-Disposition") is None) is inline, answer.headers
        assert "gunicorn" not in (answer.header("Server") or "")

    # The admin, with its static files, after a login over HTTPS: CSRF, cookies and redirects fit the scheme.
    passwords = dict(re.findall(r"(anna|ben) / (\S+)", demo.says))
    driver.delete_all_cookies()  # those of the tests before: ports and schemes share them
    tabs.append(admin := Tab(driver, demo.secure_url("/admin/")))
    admin.one("input[name=username]").send_keys("ben")
    admin.one("input[name=password]").send_keys(passwords["ben"], Keys.ENTER)
    admin.until_text("#site-name", "Django administration")
    assert driver.current_url == demo.secure_url("/admin/")
    assert driver.execute_script("return getComputedStyle(document.getElementById('header')).backgroundColor") not in (
        "rgba(0, 0, 0, 0)",
        "",
    ), "its style sheet is there"
    admin.one("a[href='/admin/board/item/add/']").click()
    admin.one("input[name=title]").send_keys("From the admin", Keys.ENTER)
    admin.until_text(".messagelist", "added successfully")


def test_ctrl_c_stops_both(demo: Demo) -> None:
    demo.process.signal(signal.SIGINT)
    assert demo.process.popen is not None
    assert demo.process.popen.wait(30) == 0
    for word in ("Traceback", "panicked", "killed"):
        assert word not in demo.says
