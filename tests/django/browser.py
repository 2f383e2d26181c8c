"""Debian's chromium, headless, driven by its own chromedriver. Nothing is downloaded."""

import os
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"


def start(folder: Path) -> Chrome:
    """A browser whose profile and log are in this folder."""
    for program in (CHROMIUM, CHROMEDRIVER):
        if not os.access(program, os.X_OK):
            raise FileNotFoundError(f"{program} is missing: tests/run installs it")
    # Selenium's own search for a browser would ask the network; the paths below make it unnecessary, this forbids it.
    os.environ["SE_OFFLINE"] = "true"
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        # Its own traffic would only run into a closed network.
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(argument)
    # The demo makes its certificate itself. What clients think of certificates is test_tls.py's.
    options.accept_insecure_certs = True
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which refuses to work for root
    # What a page's policy refuses is told there and nowhere else.
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(executable_path=CHROMEDRIVER, log_output=str(folder / "chromedriver.log"))
    return Chrome(options=options, service=service)


class Page:
    """One tab with a page of testsite; what its EventSource saw is read from `window` (`seen`, `states`: live.html)."""

    CONNECTING, OPEN, CLOSED = 0, 1, 2

    def __init__(self, driver: Chrome, url: str) -> None:
        driver.switch_to.new_window("tab")
        self.driver, self.handle = driver, driver.current_window_handle
        driver.get(url)

    def window(self, name: str) -> Any:
        self.driver.switch_to.window(self.handle)
        return self.driver.execute_script(f"return window.{name}")

    @property
    def seen(self) -> list[dict[str, str]]:
        return self.window("seen")

    @property
    def data(self) -> list[str]:
        return [event["data"] for event in self.seen]

    @property
    def states(self) -> list[int]:
        """Every readyState in its order, each change once."""
        return self.window("states")

    def run(self, script: str, *arguments: object) -> Any:
        self.driver.switch_to.window(self.handle)
        return self.driver.execute_script(script, *arguments)

    def reload(self) -> None:
        self.driver.switch_to.window(self.handle)
        self.driver.refresh()

    def close(self) -> None:
        self.driver.switch_to.window(self.handle)
        self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])
