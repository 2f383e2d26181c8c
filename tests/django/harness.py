"""Starts, kills and stops what the tests need: the site under gunicorn, and the gateway in front of it.

Every process is started in a group of its own and ended by that group's id. What it prints goes to a file beside its
data, which a failing test shows.
"""

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from wire import TIMEOUT, Address, Answer, Headers, Reader, connect, pairs, request

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, timeout: float = TIMEOUT) -> T:
    """Wait until the condition holds, and return what it returned."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s for: {what}")
        time.sleep(0.005)
    return result


# What free_port() has given: it may be asked for several before the first of them is bound.
GIVEN_PORTS: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that nobody else was given.

    It is below the range out of which the kernel picks the ports of clients: between a kill and the restart on the
    same port a client could get it otherwise, and a retry to it could even connect to itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        if port in GIVEN_PORTS:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        GIVEN_PORTS.add(port)
        return port


def gateway_binary() -> str:
    """TIDEGATE_BIN, else whatever cargo built last."""
    if named := os.environ.get("TIDEGATE_BIN"):
        return str(Path(named).resolve())
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [path for kind in ("release", "debug") if (path := target / kind / "tidegate").exists()]
    if not built:
        raise FileNotFoundError(f"no tidegate in {target}: cargo build, or name one with TIDEGATE_BIN")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def raise_open_files() -> None:
    """A thousand streams have two ends each, in two processes; the limit is inherited by those started here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def prepare_database(folder: Path) -> Path:
    """A database with the tables and the users, to be copied."""
    folder.mkdir()
    environment = {**os.environ, "SITE_VAR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, HERE / "site" / "prepare.py"], env=environment, check=True, timeout=60)
    return folder / "db.sqlite3"


class Process:
    """A program that runs until it is ended here."""

    started: ClassVar[list["Process"]] = []

    def __init__(self, name: str, folder: Path, command: list[str], env: dict[str, str]) -> None:
        self.name, self.command, self.env = name, command, env
        # Descriptors that it is given beside the usual three.
        self.pass_fds: tuple[int, ...] = ()
        self.log = folder / f"{name}.log"
        self.popen: subprocess.Popen[bytes] | None = None
        Process.started.append(self)

    @property
    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                start_new_session=True,
                pass_fds=self.pass_fds,
            )

    def signal(self, number: int) -> None:
        """To the whole group: gunicorn's worker as well as its master."""
        assert self.popen is not None
        try:
            os.killpg(self.popen.pid, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """kill -9 of the whole group."""
        if self.popen is not None:
            self.signal(signal.SIGKILL)
            self.popen.wait()
            self.popen = None

    def stop(self, patience: float = 10) -> int:
        """Ask it to end; its exit code. What does not listen is killed."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGTERM)
        try:
            code = self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        self.kill()
        return code

    def must_run(self) -> bool:
        if not self.running:
            raise AssertionError(f"{self.name} has ended:\n{self.log.read_text()[-4000:]}")
        return True


class Site:
    """A Django project under gunicorn. `threads` above 1 gives it a threaded worker instead of the one sync worker."""

    def __init__(
        self,
        folder: Path,
        database: Path,
        bind: str,
        gateway: str = "",
        threads: int = 1,
        project: str = "site",
        app: str = "testsite.wsgi",
        env: dict[str, str] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        folder.mkdir()
        shutil.copy(database, folder / "db.sqlite3")
        for name in ("gates", "script"):
            (folder / name).mkdir()
        self.folder = folder
        self.journal_file = folder / "journal.jsonl"
        self.certificate = certificate
        self.address: Address = str(folder / "g.sock") if bind == "unix" else ("127.0.0.1", free_port())
        worker = (
            ["--worker-class", "sync"] if threads == 1 else ["--worker-class", "gthread", "--threads", str(threads)]
        )
        # The time as the worker sees it is in the access log, in microseconds.
        log = ["--access-logfile", "-", "--access-logformat", "access %(m)s %(U)s %(s)s %(D)s"]
        # As gunicorn was before version 22: a name with an underscore that the gateway lets through is believed.
        worker += ["--header-map", "dangerous"]
        if certificate:
            worker += ["--certfile", str(certificate[0]), "--keyfile", str(certificate[1])]
        self.process = Process(
            f"gunicorn-{bind}",
            folder,
            [
                *(sys.executable, "-m", "gunicorn", "--chdir", str(HERE / project), "--bind", spelled(self.address)),
                *("--workers", "1", "--timeout", "60", "--graceful-timeout", "2", "--no-control-socket"),
                *worker,
                *log,
                app,
            ],
            {"SITE_VAR": str(folder), "TIDEGATE_URL": gateway, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        )

    @property
    def server(self) -> str:
        """The address as gateway.toml writes it."""
        return f"https://{spelled(self.address)}" if self.certificate else spelled(self.address)

    def start(self) -> None:
        """Start, and wait for the first answer."""
        self.process.start()
        until(lambda: self.process.must_run() and self.answers(), "gunicorn to answer")

    def answers(self) -> bool:
        if self.certificate:
            # The socket listens once gunicorn does; only the gateway has reasons to look closer.
            return self.listens()
        try:
            return request(self.address, target="/").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """kill -9 of master and worker."""
        self.process.kill()
        # The worker has the listening socket too, and is reaped by nobody here: it is gone when nobody listens.
        until(lambda: not self.listens(), "the worker to be gone")

    def reload(self) -> None:
        """SIGHUP to the master: new workers in place of the old ones."""
        assert self.process.popen is not None
        self.process.popen.send_signal(signal.SIGHUP)

    def kill_worker(self) -> None:
        """kill -9 of whatever works for the master at this moment."""
        assert self.process.popen is not None
        master = self.process.popen.pid
        for child in Path(f"/proc/{master}/task/{master}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def listens(self) -> bool:
        try:
            connect(self.address).close()
        except OSError:
            return False
        return True

    def restart(self) -> None:
        """kill -9 and a start."""
        self.kill()
        self.start()

    def stop(self) -> None:
        if self.process.running:
            self.process.stop(patience=3)
        self.process.kill()

    # How tests look in and steer; see site/testsite/backstage.py.

    def journal(self, path: str = "") -> list[dict[str, Any]]:
        """The requests that reached Django and whose path, query included, contains this text."""
        if not self.journal_file.exists():
            return []
        lines = [json.loads(line) for line in self.journal_file.read_text().splitlines()]
        return [line for line in lines if path in line["path"]]

    def open_gate(self, name: str) -> None:
        (self.folder / "gates" / name).touch()

    def script(self, name: str, **query: object) -> None:
        """From now on the ask of that name is answered so. Moved into place, so a view never reads half of it."""
        file = self.folder / "script" / name
        scratch = file.with_suffix(".new")
        scratch.write_text(urlencode(query))
        scratch.rename(file)


ROUTES = """
[[route]]
path = "/ask/<path:rest>"
sse = { ask = "django" }

[[route]]
path = "/ask-retry/<path:rest>"
sse = { ask = "django", backend_down = "retry" }

[[route]]
path = "/ask-fail/<path:rest>"
sse = { ask = "django", backend_down = "fail" }

[[route]]
path = "/me/events/"
sse = { ask = "django" }

[[route]]
path = "/session/events/"
sse = { ask = "django" }

[[route]]
path = "/rooms/<slug:room>/events/"
sse = { channels = ["room-{room}"], public = true }

[[route]]
path = "/two/<slug:one>/<slug:other>/events/"
sse = { channels = ["room-{one}", "room-{other}"], public = true }

[[route]]
path = "/<path:rest>"
proxy = "django"
"""


class Gateway:
    """The gateway with a gateway.toml of its own. Keyword arguments are lines for the table of that name."""

    def __init__(
        self,
        folder: Path,
        servers: str,
        *,
        server: str = "",
        upstream: str = "",
        sse: str = "",
        limits: str = "",
        publish: str = "",
        more: str = "",
        routes: str = ROUTES,
        http: Address | None = None,
        internal: Address | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir()
        if "per_ip" not in sse:
            # All listeners of a test come from one address.
            sse += "\nper_ip = 0\nper_user = 0"
        self.folder = folder
        self.http = http or ("127.0.0.1", free_port())
        self.internal_address = internal or ("127.0.0.1", free_port())
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f"""version = 1
[server]
hosts = ["site.test", "localhost", "127.0.0.1"]
{server}
[listen.http]
address = "{spelled(self.http)}"
[listen.internal]
address = "{spelled(self.internal_address)}"
role = "internal"
[upstream.django]
servers = ["{servers}"]
{upstream}
[sse]
{sse}
[limits]
{limits}
[publish]
{publish}
{more}
{routes}"""
        )
        self.process = Process("tidegate", folder, [gateway_binary(), "run", "-c", str(self.config)], env or {})

    def start(self) -> None:
        """Start, and wait until it says that it is ready."""
        self.process.start()
        until(lambda: self.process.must_run() and self.ready(), "the gateway to be ready")

    def ready(self) -> bool:
        try:
            return self.internal("GET", "/readyz").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        # The drain has tests of its own; here nobody waits for it.
        self.process.kill()

    def request(self, method: str = "GET", target: str = "/", **more: Any) -> Answer:
        return request(self.http, method, target, **more)

    def get(self, target: str = "/", **more: Any) -> Answer:
        return self.request("GET", target, **more)

    def internal(
        self, method: str, target: str, body: bytes | None = None, headers: Headers = (), host: str = "localhost"
    ) -> Answer:
        return request(self.internal_address, method, target, host=host, headers=headers, body=body)

    def post_event(self, event: object, headers: Headers = ()) -> Answer:
        """POST /v1/events with this as JSON, or with these very bytes."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return self.internal("POST", "/v1/events", body, [("Content-Type", "application/json"), *pairs(headers)])

    def publish(self, channel: str, data: object = "", **more: object) -> dict[str, Any]:
        answer = self.post_event({"channel": channel, "data": data, **more})
        assert answer.status == 200, answer
        return answer.json()

    def resident_bytes(self) -> int:
        """What the process holds in memory at this moment."""
        assert self.process.popen is not None
        status = Path(f"/proc/{self.process.popen.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:"))

    def kick(self, **whom: str) -> Answer:
        """POST /v1/kick by user, channel or stream."""
        return self.internal("POST", "/v1/kick", json.dumps(whom).encode(), {"Content-Type": "application/json"})

    def channel(self, name: str) -> dict[str, Any] | None:
        channels = self.internal("GET", f"/v1/channels?match={name}").json()["channels"]
        return next((channel for channel in channels if channel["name"] == name), None)

    def streams_on(self, name: str) -> int:
        channel = self.channel(name)
        return channel["streams"] if channel else 0

    def cli(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A subcommand that reads this gateway's file."""
        return run_cli(*arguments, "-c", str(self.config), stdin=stdin)


def spelled(address: Address) -> str:
    return f"unix:{address}" if isinstance(address, str) else f"{address[0]}:{address[1]}"


def run_cli(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([gateway_binary(), *arguments], input=stdin, capture_output=True, timeout=TIMEOUT, cwd=cwd)


def log_in(address: Address, user: str, password: str | None = None, host: str = "site.test") -> dict[str, str]:
    """Go through the login page as a browser does; the cookies."""
    form = cookies_of(request(address, target="/login/", host=host))
    answer = post_form(address, "/login/", form, {"username": user, "password": password or user}, host)
    assert answer.status == 302, answer
    return cookies_of(answer)


def post_form(address: Address, target: str, cookies: dict[str, str], fields: dict[str, str], host: str) -> Answer:
    """Send a form with Django's CSRF token."""
    headers = {"Cookie": cookie_header(cookies), "Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode(fields | {"csrfmiddlewaretoken": cookies["csrftoken"]}).encode()
    return request(address, "POST", target, host=host, headers=headers, body=body)


def cookies_of(answer: Answer) -> dict[str, str]:
    return dict(value.split(";")[0].split("=", 1) for value in answer.all("Set-Cookie"))


def cookie_header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def room(name: str, query: str = "") -> str:
    """The stream of the channel `room-{name}`, open to all."""
    return f"/rooms/{name}/events/{query}"


def numbers(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def keep_alive(address: Address, requests: Iterable[bytes]) -> list[Answer]:
    """Several requests one after the other on one connection."""
    with connect(address) as conn:
        reader, answers = Reader(conn), []
        for data in requests:
            conn.sendall(data)
            answers.append(reader.answer())
        return answers
