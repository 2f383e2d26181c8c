"""The servers that are compared: how each is configured and started, and where its streams and publishes go.

Every configuration is the plainest in which the server does what is measured: one worker, no access log, a short
history, limits out of the way. A new server is a class with `prepare`, and a line in `SERVERS`.
"""

import http.client
import os
import shutil
import socket
import subprocess
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from processes import Cores, Failed, Session, Skipped, free_port, open_files, until

# Events that each channel keeps.
HISTORY = 64


@dataclass(frozen=True)
class Machine:
    """What all servers of a run share."""

    gateway: Path
    bench: Path
    folder: Path
    server_cores: Cores  # the first core; a second worker gets one more
    load_cores: Cores
    origin: str  # address of the one origin behind all proxies


@dataclass
class Server:
    machine: Machine
    name: str
    sessions: list[Session] = field(default_factory=list)
    workers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.folder = self.machine.folder / f"{type(self).__name__.lower()}-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.port, self.internal = free_port(), free_port()
        self.authority = f"127.0.0.1:{self.port}"
        self.public = f"http://{self.authority}"
        self.stream_url = f"{self.public}/events/c{{i}}/"
        self.publish_url = f"{self.public}/pub/c{{i}}"
        self.open_options: list[str] = []
        self.publish_options: list[str] = []

    def prepare(self) -> list[list[str]]:
        """Write the configuration; the commands that make the server."""
        raise NotImplementedError

    @property
    def cores(self) -> Cores:
        return self.machine.server_cores if self.workers == 1 else frozenset(range(self.workers))

    def start(self) -> None:
        commands = self.prepare()
        for number, command in enumerate(commands):
            self.sessions.append(Session(command, self.cores, self.folder / f"{number}.log"))
        until(self.answers, f"{self.name} to answer", 20)

    def answers(self) -> bool:
        for session in self.sessions:
            session.must_run()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def cpu(self) -> float:
        return sum(session.cpu() for session in self.sessions)

    def memory(self) -> int:
        return sum(session.memory() for session in self.sessions)

    def stop(self) -> None:
        for session in self.sessions:
            session.kill()
        self.sessions.clear()

    def first_answer(self) -> float:
        """Milliseconds from the start of the program to the first byte of its first answer."""
        self.stop()
        commands = self.prepare()
        began = time.perf_counter()
        for number, command in enumerate(commands):
            self.sessions.append(Session(command, self.cores, self.folder / f"{number}.log"))
        while time.perf_counter() - began < 10:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("GET", "/events/c0/", headers={"Accept": "text/event-stream"})
                connection.getresponse()
                return (time.perf_counter() - began) * 1000
            except ConnectionRefusedError:
                time.sleep(0.0002)
            finally:
                connection.close()
        raise Failed("no answer within ten seconds")


class Tidegate(Server):
    tls: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ask_url = f"{self.public}/ask/c{{i}}/"
        self.publish_url = f"http://127.0.0.1:{self.internal}/v1/channels/c{{i}}/events"

    def prepare(self) -> list[list[str]]:
        config = self.folder / "gateway.toml"
        config.write_text(f"""
            version = 1
            server = {{ hosts = ["*"], workers = {self.workers} }}
            listen.http = {{ address = "{self.authority}" }}
            listen.internal = {{ address = "127.0.0.1:{self.internal}", role = "internal" }}
            upstream.origin = {{ servers = ["{self.machine.origin}"] }}
            sse = {{ history = {{ events = {HISTORY}, age = "10m" }} }}
            log = {{ level = "warn" }}
            {self.tls_tables()}
            [[route]]
            path = "/events/<slug:room>/"
            sse = {{ channels = ["{{room}}"], public = true, per_ip = 0 }}
            [[route]]
            path = "/ask/<slug:room>/"
            sse = {{ ask = {{ to = "origin", at_once = 128 }}, per_ip = 0 }}
            [[route]]
            path = "/<path:rest>"
            proxy = "origin"
        """)
        return [[str(self.machine.gateway), "run", "-c", str(config)]]

    def tls_tables(self) -> str:
        return ""


class TidegateAsk(Tidegate):
    """With streams that Django was asked for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream_url = self.ask_url


class TidegateGrip(Tidegate):
    """Holding what the origin tells it to hold, as Pushpin does."""

    path: ClassVar[str] = "events"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream_url = f"{self.public}/{self.path}/c{{i}}/"
        self.publish_url = f"http://127.0.0.1:{self.internal}/publish/"
        event = r'{"items":[{"channel":"c{i}","formats":{"http-stream":{"content":"data: {payload}\n\n"}}}]}'
        self.publish_options = ["--body", event, "--content-type", "application/json"]

    def prepare(self) -> list[list[str]]:
        config = self.folder / "gateway.toml"
        config.write_text(f"""
            version = 1
            server = {{ hosts = ["*"], workers = {self.workers} }}
            listen.http = {{ address = "{self.authority}" }}
            listen.internal = {{ address = "127.0.0.1:{self.internal}", role = "internal" }}
            upstream.origin = {{ servers = ["{self.machine.origin}"], grip = true }}
            sse = {{ history = {{ events = {HISTORY}, age = "10m" }}, per_ip = 0 }}
            log = {{ level = "warn" }}
            [[route]]
            path = "/<path:rest>"
            proxy = "origin"
        """)
        return [[str(self.machine.gateway), "run", "-c", str(config)]]


class TidegateEventstream(TidegateGrip):
    """With all that django-eventstream says of a stream."""

    path = "eventstream"


class TidegateTwo(Tidegate):
    """With a second worker on a second core."""

    workers = 2


class TidegateTls(Tidegate):
    """With a TLS listener, if this gateway has one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.https = free_port()
        self.stream_url = f"https://127.0.0.1:{self.https}/events/c{{i}}/"

    def tls_tables(self) -> str:
        cert, key = certificate(self.machine.folder)
        return f"""
            tls.main = {{ cert = "{cert}", key = "{key}" }}
            listen.https = {{ address = "127.0.0.1:{self.https}", tls = "main" }}
        """

    def prepare(self) -> list[list[str]]:
        commands = super().prepare()
        check = [str(self.machine.gateway), "check", "-c", str(self.folder / "gateway.toml")]
        checked = subprocess.run(check, capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            words = checked.stderr.strip().splitlines()[:1]
            raise Skipped(f"this gateway refuses a TLS listener: {' '.join(words).split(': ', 1)[-1]}")
        return commands


class Floor(Server):
    options: ClassVar[list[str]] = []

    def prepare(self) -> list[list[str]]:
        return [[str(self.machine.bench), "floor", "--listen", self.authority, *self.options]]


class Coalesce(Floor):
    options = ["--coalesce"]


class Nginx(Server):
    """As a proxy. Nchan is the same program with other locations."""

    modules: ClassVar[list[str]] = []

    def prepare(self) -> list[list[str]]:
        program = needed("nginx", "nginx")
        modules = "".join(f"load_module {module(name)};\n" for name in self.modules)
        config = self.folder / "nginx.conf"
        config.write_text(f"""
            {modules}
            daemon off;
            pid nginx.pid;
            {"user root;" if os.geteuid() == 0 else ""}
            worker_processes 1;
            worker_rlimit_nofile {open_files()};
            error_log stderr crit;
            events {{ worker_connections {open_files() - 100}; }}
            http {{
                access_log off;
                keepalive_requests 1000000000;
                client_body_temp_path body;
                proxy_temp_path proxy;
                fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi;
                scgi_temp_path scgi;
                {self.locations()}
            }}
        """)
        return [[program, "-p", str(self.folder), "-c", str(config), "-e", "stderr"]]

    def locations(self) -> str:
        return f"""
            upstream origin {{
                server {self.machine.origin};
                keepalive 128;
                keepalive_requests 1000000000;
            }}
            server {{
                listen {self.authority} backlog=65535;
                location / {{
                    proxy_pass http://origin;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_buffers 8 32k;
                }}
            }}
        """


class Nchan(Nginx):
    modules = ["ngx_nchan_module"]
    listening: ClassVar[str] = ""

    def certificate(self) -> str:
        return ""

    def locations(self) -> str:
        return f"""
            nchan_shared_memory_size 1024M;
            server {{
                listen {self.authority} backlog=65535 {self.listening};
                {self.certificate()}
                location ~ ^/events/([^/]+)/$ {{
                    nchan_subscriber eventsource;
                    nchan_subscriber_first_message newest;
                    nchan_channel_id $1;
                }}
                location ~ ^/pub/([^/]+)$ {{
                    nchan_publisher;
                    nchan_channel_id $1;
                    nchan_message_buffer_length {HISTORY};
                    nchan_message_timeout 10m;
                }}
            }}
        """


class NchanTls(Nchan):
    listening = "ssl"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream_url = f"https://{self.authority}/events/c{{i}}/"

    def certificate(self) -> str:
        cert, key = certificate(self.machine.folder)
        return f"ssl_certificate {cert}; ssl_certificate_key {key};"


class NchanHttp2(Nchan):
    listening = "http2"


class Haproxy(Server):
    def prepare(self) -> list[list[str]]:
        program = needed("haproxy", "haproxy")
        config = self.folder / "haproxy.cfg"
        config.write_text(textwrap.dedent(f"""
            global
                nbthread 1
                maxconn 4000
            defaults
                mode http
                option http-keep-alive
                option forwardfor
                http-reuse always
                timeout connect 5s
                timeout client 1m
                timeout server 1m
            frontend public
                bind {self.authority}
                default_backend origin
            backend origin
                server origin {self.machine.origin}
        """))
        return [[program, "-f", str(config), "-db"]]


class Pushpin(Server):
    """With the bench's origin behind it, which tells it to hold; and with a zurl of its own for asking that origin."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.publish_url = f"http://127.0.0.1:{self.internal}/publish/"
        event = r'{"items":[{"channel":"c{i}","formats":{"http-stream":{"content":"data: {payload}\n\n"}}}]}'
        # It breaks off a stream now and then when many open at once.
        self.open_options = ["--at-once", "32", "--tolerate", "1000"]
        self.publish_options = ["--body", event, "--content-type", "application/json"]

    def prepare(self) -> list[list[str]]:
        programs = {name: needed(name, "pushpin") for name in ("pushpin", "condure", "zurl")}
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        zurl = self.folder / "zurl.conf"
        zurl.write_text(f"""[General]
in_spec=ipc://{run}/zurl-in
in_stream_spec=ipc://{run}/zurl-in-stream
out_spec=ipc://{run}/zurl-out
in_req_spec=ipc://{run}/zurl-req
defpolicy=allow
max_open_requests=2000
buffer_size=200000
timeout=600
in_hwm=1000
out_hwm=1000
""")
        (self.folder / "routes").write_text(f"* {self.machine.origin}\n")
        config = self.folder / "pushpin.conf"
        config.write_text(f"""[global]
include={{libdir}}/internal.conf
rundir={run}
ipc_prefix=bench-
[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{self.port}
logdir={run}
log_level=1
client_buffer_size=8192
client_maxconn={open_files() - 100}
condure_bin={programs["condure"]}
[proxy]
routesfile=routes
zurl_out_specs=ipc://{run}/zurl-in
zurl_out_stream_specs=ipc://{run}/zurl-in-stream
zurl_in_specs=ipc://{run}/zurl-out
updates_check=off
[handler]
push_in_spec=tcp://127.0.0.1:{free_port()}
push_in_sub_specs=tcp://127.0.0.1:{free_port()}
push_in_http_addr=127.0.0.1
push_in_http_port={self.internal}
command_spec=tcp://127.0.0.1:{free_port()}
stats_spec=ipc://{run}/stats
message_rate=100000000
message_hwm=100000000
""")
        quiet = "--loglevel=1"
        return [[programs["zurl"], f"--config={zurl}", quiet], [programs["pushpin"], f"--config={config}", quiet]]

    def start(self) -> None:
        """Its parts find each other some time after the ports are open, and break off many streams until then."""
        super().start()
        opening = [str(self.machine.bench), "load", "churn", "--url", self.stream_url, "-n", "300", "--channels", "1"]

        def warm() -> bool:
            return subprocess.run(opening, capture_output=True, check=False).returncode == 0

        until(lambda: warm() and warm(), "pushpin to keep its streams", 60)


SERVERS: dict[str, type[Server]] = {
    "tidegate": Tidegate,
    "tidegate, 2 workers": TidegateTwo,
    "tidegate, ask": TidegateAsk,
    "tidegate, GRIP": TidegateGrip,
    "tidegate, django-eventstream": TidegateEventstream,
    "tidegate, TLS": TidegateTls,
    "floor": Floor,
    "coalesce": Coalesce,
    "nchan": Nchan,
    "nchan, TLS": NchanTls,
    "nchan, HTTP/2": NchanHttp2,
    "pushpin": Pushpin,
    "nginx": Nginx,
    "haproxy": Haproxy,
}


def needed(program: str, package: str) -> str:
    found = shutil.which(program)
    if not found:
        raise Skipped(f"{program} is not installed (Debian: apt-get install {package})")
    return found


def module(name: str) -> str:
    """The file of a module of nginx."""
    for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"):
        if (file := Path(folder, f"{name}.so")).exists():
            return str(file)
    raise Skipped(f"nginx has no {name} (Debian: apt-get install libnginx-mod-nchan)")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, made once."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if not cert.exists():
        command = [
            *(needed("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ]
        subprocess.run(command, check=True, capture_output=True)
    return cert, key
