"""The Django project of gripsite/ under gunicorn with one sync worker, and a GRIP proxy in front of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from grip_fronts import FRONTS, Front
from harness import HERE, Process, free_port, until
from streams import Listeners, Stream
from wire import Answer, request

SITE = HERE / "gripsite"


def prepare_project(folder: Path) -> Path:
    """A database with the tables and the users, to be copied."""
    folder.mkdir()
    environment = {
        **os.environ,
        "SITE_VAR": str(folder),
        "GRIP_URL": "http://127.0.0.1:1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run([sys.executable, SITE / "prepare.py"], env=environment, check=True, timeout=60)
    return folder / "db.sqlite3"


class Project:
    """The site and its proxy. `query` is put after GRIP_URL, `env` into the environment; the rest is for the proxy."""

    def __init__(
        self,
        folder: Path,
        database: Path,
        kind: str,
        query: str = "",
        env: dict[str, str] | None = None,
        also: bool = False,
        **more: Any,
    ) -> None:
        folder.mkdir()
        shutil.copy(database, folder / "db.sqlite3")
        self.folder = folder
        self.address = ("127.0.0.1", free_port())
        control = free_port()
        # The control port of a second proxy, that a test may start there.
        self.also = free_port()
        server = f"127.0.0.1:{self.address[1]}"
        worker = ["--workers", "1", "--worker-class", "sync", "--timeout", "60", "--graceful-timeout", "2"]
        self.process = Process(
            "gunicorn-grip",
            folder,
            [
                sys.executable,
                "-m",
                "gunicorn",
                "--chdir",
                str(SITE),
                "--bind",
                server,
                *worker,
                "--no-control-socket",
                "gripsite.wsgi",
            ],
            {
                "SITE_VAR": str(folder),
                "GRIP_URL": f"http://127.0.0.1:{control}{query}",
                "PYTHONDONTWRITEBYTECODE": "1",
                **({"GRIP_ALSO": f"http://127.0.0.1:{self.also}{query}"} if also else {}),
                **(env or {}),
            },
        )
        self.process.start()
        until(lambda: self.process.must_run() and self.answers(), "gunicorn to answer")
        self.front: Front = FRONTS[kind](folder / "front", server, control=control, **more)

    def answers(self) -> bool:
        try:
            return request(self.address).status == 200
        except OSError:
            return False

    def call(self, path: str, body: bytes | None = None, **query: Any) -> Answer:
        """A request of the project's own, past the proxy: what some other part of it does."""
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        answer = request(self.address, "GET" if body is None else "POST", target, body=body)
        assert answer.status == 200, answer
        return answer

    def send(self, channel: str, data: object, **more: Any) -> None:
        """django_eventstream.send_event"""
        self.call("/send/", channel=channel, data=json.dumps(data), **more)

    def publish(self, channel: str, **said: Any) -> None:
        """django_grip.publish"""
        self.call("/grip/publish/", json.dumps({"channel": channel, **said}).encode())

    def deny(self, *pairs: tuple[str, str]) -> None:
        """From now on these users may not read these channels."""
        scratch = self.folder / "denied.new"
        scratch.write_text(json.dumps(pairs))
        scratch.rename(self.folder / "denied")

    def cookie(self, user: str) -> dict[str, str]:
        """Of a session of this user."""
        value = self.call(f"/as/{user}/").header("Set-Cookie") or ""
        return {"Cookie": value.partition(";")[0]}

    def user_id(self, user: str) -> str:
        return self.call(f"/as/{user}/").text

    def events(self, listeners: Listeners, *channels: str, target: str = "/events/", **more: Any) -> Stream:
        """An open stream of django-eventstream."""
        if channels:
            target += "?" + urlencode({"channel": channels}, doseq=True)
        opened = listeners.open(self.front.http, target, **more)
        listeners.until(lambda: "stream-open" in [event.type for event in opened.events] or opened.ended, "stream-open")
        return opened

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The requests that reached Django with this text in their path, query included."""
        lines = [json.loads(line) for line in (self.folder / "journal.jsonl").read_text().splitlines()]
        return [line for line in lines if path in line["path"]]

    def stop(self) -> None:
        self.front.stop()
        if self.process.running:
            self.process.stop(patience=3)
        self.process.kill()
