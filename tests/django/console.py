"""The console of a gateway in a tab of the browser, used as a person uses it: by keys and clicks."""

import json

from selenium.webdriver import Chrome, Keys

from browser import Page
from harness import Gateway, until

ROWS = """
const rows = [...document.getElementById(arguments[0]).tBodies[0].rows];
return rows.map((row) => [...row.cells].map((cell) => cell.textContent));
"""
ITEMS = """
const items = [...document.getElementById(arguments[0]).children];
return items.map((item) => [...item.children].map((part) => part.textContent));
"""


class Console(Page):
    """One tab."""

    def __init__(self, driver: Chrome, gateway: Gateway, host: str = "localhost") -> None:
        driver.get_log("browser")  # what was before is another test's
        super().__init__(driver, f"http://{host}:{gateway.internal_address[1]}/")

    def text(self, id: str) -> str:
        return self.run("return document.getElementById(arguments[0]).textContent", id)

    def is_shown(self, id: str) -> bool:
        return self.run("return document.getElementById(arguments[0]).checkVisibility()", id)

    def until_says(self, id: str, part: str) -> None:
        until(lambda: part in self.text(id), f"{part!r} in #{id} of the console")

    def rows(self, id: str) -> list[list[str]]:
        return self.run(ROWS, id)

    def events(self, id: str) -> list[list[str]]:
        return self.run(ITEMS, id)

    def data(self, id: str) -> list[str]:
        return [event[1] for event in self.events(id)]

    def submit(self, form: str, **fields: str) -> None:
        """Fill it in, and press Enter in its first field."""
        self.driver.switch_to.window(self.handle)
        for name, value in fields.items():
            field = self.driver.find_element("css selector", f"#{form} [name={name}]")
            field.clear()
            field.send_keys(value)
        self.driver.find_element("css selector", f"#{form} input").send_keys(Keys.ENTER)

    def press(self, label: str) -> None:
        """Press the button of that label by the keyboard."""
        self.driver.switch_to.window(self.handle)
        button = self.driver.find_element("css selector", f"[aria-label={json.dumps(label)}]")
        button.send_keys(Keys.ENTER)

    def click(self, id: str) -> None:
        self.driver.switch_to.window(self.handle)
        self.driver.find_element("id", id).click()

    def complaints(self) -> list[str]:
        """What the browser said about this tab, beside statuses that are asked for."""
        lines = [entry["message"] for entry in self.driver.get_log("browser")]
        return [line for line in lines if "Failed to load resource" not in line]
