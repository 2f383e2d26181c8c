"""What test_streaming_views.py works with: sites that can hold two streams, and a view under way."""

import sys
from dataclasses import dataclass
from pathlib import Path

from harness import HERE, Gateway, Site, cookie_header, log_in

ROUTES = """
[[route]]
path = "/per-user/<path:rest>"
proxy = { to = "django", record = { per = "user" } }

[[route]]
path = "/per-all/<path:rest>"
proxy = { to = "django", record = { per = "all" } }

[[route]]
path = "/<path:rest>"
proxy = "django"
"""


class SyncSite(Site):
    """gunicorn with two sync workers: one is held by a recording, the other one answers all the rest."""

    def __init__(self, folder: Path, database: Path) -> None:
        super().__init__(folder, database, "unix")
        command = self.process.command
        command[command.index("--workers") + 1] = "2"


class AsgiSite(Site):
    """uvicorn, one process."""

    def __init__(self, folder: Path, database: Path) -> None:
        super().__init__(folder, database, "tcp")
        host, port = self.address
        self.process.name = "uvicorn"
        self.process.command = [
            *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE / "site")),
            *("--host", str(host), "--port", str(port), "--lifespan", "off", "--no-access-log"),
            "testsite.asgi:application",
        ]


@dataclass(frozen=True)
class View:
    """One URL of one view, and the gates that its events wait at."""

    site: Site
    gateway: Gateway
    kind: str
    query: str
    name: str

    def at(self, route: str) -> str:
        return f"/{route}/{self.kind}/{self.name}/" + f"?{self.query}" * bool(self.query)

    def let(self, *numbers: int) -> None:
        """Let it make these events."""
        for number in numbers:
            self.site.open_gate(f"{self.name}-{number}")

    def stop(self) -> None:
        """Let it end, if it does not by itself."""
        self.site.open_gate(f"{self.name}-over")

    @property
    def is_endless(self) -> bool:
        return "last" not in self.query

    @property
    def has_ids(self) -> bool:
        return "ids" in self.query

    def requests(self) -> list[dict[str, object]]:
        """Those that reached Django."""
        return self.site.journal(f"/{self.name}/")


def logged_in(gateway: Gateway, user: str) -> dict[str, str]:
    return {"Cookie": cookie_header(log_in(gateway.http, user))}
