"""The two proxies that speak GRIP, behind one face: Tidegate, and Debian's Pushpin, to know that the tests are right.

Pushpin runs only if TESTS_PUSHPIN names its binary (/usr/bin/pushpin); then every test runs against both.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from harness import Gateway, Process, free_port, until
from streams import Listeners, Stream
from wire import Address, Answer, Headers, Reader, connect, head_bytes, pairs, request

PUSHPIN = os.environ.get("TESTS_PUSHPIN", "")
PROXIES = ["tidegate", *(["pushpin"] if PUSHPIN else [])]

# Everything goes to the backend: whatever is held, is held because the backend says so.
ROUTES = """
[[route]]
path = "/<path:rest>"
proxy = "django"
"""

# Held by whatever stands behind: by it one can tell that Pushpin is ready.
WARM = "/grip/stream/?channel=warm"

STREAM, POLL = "http-stream", "http-response"


def sent(channel: str, content: str | None = None, /, **more: Any) -> dict[str, Any]:
    """An item for streams. Keywords are fields of the item, with `_` for `-`; `action` and `filters` of its format."""
    form: dict[str, Any] = {} if content is None else {"content": content}
    if "action" in more:
        form["action"] = more.pop("action")
    if "filters" in more:
        form["content-filters"] = more.pop("filters")
    return {"channel": channel, STREAM: form, **{name.replace("_", "-"): value for name, value in more.items()}}


def answered(channel: str, /, form: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An item for polls."""
    return {"channel": channel, POLL: form, **{name.replace("_", "-"): value for name, value in more.items()}}


class Front:
    """A GRIP proxy: where clients come in, and where items are published."""

    kind = ""
    http: Address
    control: Address
    process: Process

    def get(self, target: str = "/", **more: Any) -> Answer:
        return request(self.http, "GET", target, **more)

    def post(self, target: str, body: bytes = b"", headers: Headers = ()) -> Answer:
        """To the control port."""
        return request(self.control, "POST", target, host=self.control_host, headers=headers, body=body)

    @property
    def control_host(self) -> str:
        return f"127.0.0.1:{self.control[1]}"

    @property
    def control_url(self) -> str:
        return f"http://{self.control_host}"

    def items(self, *items: dict[str, Any], headers: Headers = ()) -> Answer:
        body = json.dumps({"items": items}).encode()
        return self.post("/publish/", body, [("Content-Type", "application/json"), *pairs(headers)])

    def publish(self, *items: dict[str, Any]) -> None:
        answer = self.items(*items)
        assert answer.status == 200, answer

    def open(self, listeners: Listeners, target: str, **more: Any) -> Stream:
        """A stream that has its answer."""
        opened = listeners.open(self.http, target, **more)
        listeners.until(lambda: opened.status is not None or opened.ended, f"an answer to {target}")
        return opened

    def stop(self) -> None:
        self.process.kill()


class Tidegate(Front):
    kind = "tidegate"

    def __init__(
        self,
        folder: Path,
        servers: str,
        *,
        key: str = "",
        iss: str = "",
        prefix: str = "",
        grip: str = "",
        control: int | None = None,
        publish: str = "",
        **more: Any,
    ) -> None:
        said = {"key": key, "iss": iss, "prefix": prefix}
        table = ", ".join(
            [*(f'{name} = "{value}"' for name, value in said.items() if value), *([grip] if grip else [])]
        )
        self.control = ("127.0.0.1", control or free_port())
        upstream = f"grip = {{ {table} }}" if table else "grip = true"
        listen = f'[listen.grip]\naddress = "{self.control_host}"\nrole = "internal"\n'
        self.gateway = Gateway(
            folder,
            servers,
            upstream=upstream + "\n" + more.pop("upstream", ""),
            routes=more.pop("routes", ROUTES),
            more=listen,
            publish=publish,
            **more,
        )
        self.http, self.process = self.gateway.http, self.gateway.process
        self.gateway.start()


class Pushpin(Front):
    """With a zurl of its own, which asks the backend for it."""

    kind = "pushpin"

    def __init__(
        self,
        folder: Path,
        servers: str,
        *,
        key: str = "changeme",
        iss: str = "pushpin",
        prefix: str = "",
        control: int | None = None,
        **_: Any,
    ) -> None:
        assert ":" in servers and not servers.startswith("unix"), "Pushpin asks over TCP only"
        folder.mkdir()
        run = folder / "run"
        run.mkdir()
        self.http, self.control = ("127.0.0.1", free_port()), ("127.0.0.1", control or free_port())
        (folder / "zurl.conf").write_text(ZURL.format(run=run))
        (folder / "routes").write_text(f"*{f',prefix={prefix}' if prefix else ''} {servers}\n")
        (folder / "pushpin.conf").write_text(
            CONFIG.format(
                run=run,
                port=self.http[1],
                control=self.control[1],
                key=key,
                iss=iss,
                condure=shutil.which("condure"),
                ports=[free_port() for _ in range(3)],
            )
        )
        zurl = shutil.which("zurl")
        assert zurl, "Pushpin needs zurl"
        self.zurl = Process("zurl", folder, [zurl, f"--config={folder}/zurl.conf", "--loglevel=1"], {})
        self.process = Process(
            "pushpin", folder, [PUSHPIN, f"--config={folder}/pushpin.conf", "--merge-output", "--loglevel=2"], {}
        )
        self.zurl.start()
        self.process.start()
        until(self.ready, "Pushpin to be ready")

    def ready(self) -> bool:
        """Its parts find each other some time after the ports are open: ask until a hold comes through all of them."""
        self.process.must_run()
        try:
            with connect(self.http, timeout=1) as conn:
                conn.sendall(head_bytes("GET", WARM, "site.test"))
                return Reader(conn).head().status == 200
        except OSError:
            return False

    def stop(self) -> None:
        # Its parts are in groups of their own, so it has to end them itself.
        if self.process.running:
            self.process.stop(patience=5)
        self.zurl.kill()


FRONTS: dict[str, type[Front]] = {"tidegate": Tidegate, "pushpin": Pushpin}

ZURL = """[General]
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
"""

# What is not here for its port or folder is as Debian ships it.
CONFIG = """[global]
include={{libdir}}/internal.conf
rundir={run}
ipc_prefix=t-
stats_connection_ttl=120
[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{port}
logdir={run}
log_level=2
client_buffer_size=8192
client_maxconn=2000
condure_bin={condure}
[proxy]
routesfile=routes
debug=false
auto_cross_origin=false
accept_x_forwarded_protocol=false
set_x_forwarded_protocol=proto-only
sig_iss={iss}
sig_key={key}
zurl_out_specs=ipc://{run}/zurl-in
zurl_out_stream_specs=ipc://{run}/zurl-in-stream
zurl_in_specs=ipc://{run}/zurl-out
updates_check=off
[handler]
push_in_spec=tcp://127.0.0.1:{ports[0]}
push_in_sub_specs=tcp://127.0.0.1:{ports[1]}
push_in_http_addr=127.0.0.1
push_in_http_port={control}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
command_spec=tcp://127.0.0.1:{ports[2]}
stats_spec=ipc://{run}/stats
message_rate=2500
message_hwm=25000
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
stats_subscription_ttl=60
stats_report_interval=10
"""
