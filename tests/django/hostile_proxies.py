"""Tidegate, Debian's nginx and Debian's haproxy as reverse proxies before the same backend."""

import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Gateway, Process, free_port, until
from hostile_backend import Backend
from test_tls import write_certificate
from wire import Address, connect

ROUTES = """
[[route]]
path = "/<path:rest>"
proxy = "django"
"""


class Front:
    """A proxy before `backend`."""

    name = ""

    def __init__(self, folder: Path, backend: Backend, **more: str) -> None:
        self.folder, self.backend, self.more = folder, backend, more
        self.port, self.port_h2 = free_port(), free_port()
        self.process = self.prepare()

    def prepare(self) -> Process:
        raise NotImplementedError

    @property
    def address(self) -> Address:
        return "127.0.0.1", self.port

    @property
    def address_h2(self) -> Address:
        """Where it speaks HTTP/2 by prior knowledge."""
        return "127.0.0.1", self.port_h2

    def open_h2(self) -> socket.socket:
        return connect(self.address_h2)

    def start(self) -> None:
        self.process.start()
        for address in {self.address, self.address_h2}:
            until(lambda: self.process.must_run() and listens(address), f"{self.name} to listen")

    def stop(self) -> None:
        self.process.kill()


def listens(address: Address) -> bool:
    try:
        connect(address).close()
    except OSError:
        return False
    return True


class Tidegate(Front):
    name = "Tidegate"

    def prepare(self) -> Process:
        self.gateway = Gateway(
            self.folder / "tidegate",
            self.backend.server,
            **{"routes": ROUTES, "http": ("127.0.0.1", self.port), **self.more},  # type: ignore[arg-type]
        )
        self.port_h2 = self.port
        return self.gateway.process


class TidegateTls(Tidegate):
    """The same, and HTTP/2 over TLS."""

    def prepare(self) -> Process:
        self.cert, key = write_certificate(self.folder)
        self.port_tls = free_port()
        self.more["more"] = f"""
[listen.https]
address = "127.0.0.1:{self.port_tls}"
tls = "main"
[tls.main]
cert = "{self.cert}"
key = "{key}"
"""
        return super().prepare()

    def open_h2(self) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.cert))
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(connect(("127.0.0.1", self.port_tls)), server_hostname="site.test")


class Nginx(Front):
    """As gunicorn's documentation has it, and with connections to the backend that are kept."""

    name = "nginx"

    def prepare(self) -> Process:
        folder = self.folder / "nginx"
        folder.mkdir()
        config = folder / "nginx.conf"
        config.write_text(f"""
daemon off;
pid {folder}/nginx.pid;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
error_log stderr crit;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream site {{
        server {self.backend.server};
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{self.port} default_server;
        listen 127.0.0.1:{self.port_h2} http2 default_server;
        return 444;
    }}
    server {{
        listen 127.0.0.1:{self.port};
        listen 127.0.0.1:{self.port_h2} http2;
        server_name site.test;
        location / {{
            proxy_pass http://site;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_redirect off;
        }}
    }}
}}
""")
        return Process("nginx", folder, [found("nginx"), "-p", str(folder), "-c", str(config), "-e", "stderr"], {})


class Haproxy(Front):
    name = "haproxy"

    def prepare(self) -> Process:
        folder = self.folder / "haproxy"
        folder.mkdir()
        config = folder / "haproxy.cfg"
        config.write_text(f"""
global
    nbthread 1
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    option forwardfor
frontend site
    bind 127.0.0.1:{self.port}
    bind 127.0.0.1:{self.port_h2} proto h2
    http-request set-header X-Forwarded-Proto http
    default_backend site
backend site
    http-reuse safe
    server site {self.backend.server}
""")
        return Process("haproxy", folder, [found("haproxy"), "-f", str(config), "-db"], {})


def found(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    assert path, f"{program} is missing (apt-get install {program})"
    return path


FRONTS: list[type[Front]] = [Tidegate, Nginx, Haproxy]


@contextmanager
def front(kind: Callable[[Path, Backend], Front], folder: Path, backend: Backend) -> Iterator[Front]:
    made = kind(folder, backend)
    made.start()
    try:
        yield made
    finally:
        made.stop()
