"""The rivals, each in the plainest configuration in which it does what is measured; see `servers.py`."""

import os
import subprocess
import textwrap
import time
from pathlib import Path
from typing import ClassVar

from processes import Skipped, free_port, open_files, until
from servers import HISTORY, Server, certificate, needed


class Nginx(Server):
    """As a proxy. Nchan is the same program with other locations."""

    modules: ClassVar[list[str]] = []
    listening: ClassVar[str] = ""

    def certificate(self) -> str:
        return ""

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
                listen {self.authority} backlog=65535 {self.listening};
                {self.certificate()}
                location /files/ {{
                    alias {self.machine.files}/;
                    sendfile on;
                    tcp_nopush on;
                }}
                location / {{
                    proxy_pass http://origin;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_buffers 8 32k;
                }}
            }}
        """


class NginxTls(Nginx):
    listening = "ssl"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.public = f"https://{self.authority}"

    def certificate(self) -> str:
        cert, key = certificate(self.machine.folder)
        return f"ssl_certificate {cert}; ssl_certificate_key {key};"


class Nchan(Nginx):
    modules = ["ngx_nchan_module"]

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
    def tls(self) -> str:
        return ""

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
                bind {self.authority}{self.tls()}
                default_backend origin
            backend origin
                server origin {self.machine.origin}
        """))
        return [[program, "-f", str(config), "-db"]]


class HaproxyTls(Haproxy):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.public = f"https://{self.authority}"

    def tls(self) -> str:
        both = self.folder / "both.pem"
        both.write_bytes(b"".join(file.read_bytes() for file in certificate(self.machine.folder)))
        return f" ssl crt {both}"


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


THEIRS: dict[str, type[Server]] = {
    "nchan": Nchan,
    "nchan, TLS": NchanTls,
    "nchan, HTTP/2": NchanHttp2,
    "pushpin": Pushpin,
    "nginx": Nginx,
    "nginx, TLS": NginxTls,
    "haproxy": Haproxy,
    "haproxy, TLS": HaproxyTls,
}


def module(name: str) -> str:
    """The file of a module of nginx."""
    for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"):
        if (file := Path(folder, f"{name}.so")).exists():
            return str(file)
    raise Skipped(f"nginx has no {name} (Debian: apt-get install libnginx-mod-nchan)")
