"""The two files of deploy/nginx with a real nginx: in front of the gateway, and behind it."""

import os
import subprocess
from pathlib import Path

from conftest import GatewayMaker
from harness import ROOT, Process, Site, free_port, room, until
from streams import Listeners
from wire import connect, request

NGINX = "/usr/sbin/nginx"


class Nginx(Process):
    """One of the files, with ports and folders of the test in place of those it names."""

    def __init__(self, folder: Path, file: str, replace: dict[str, str]) -> None:
        text = (ROOT / "deploy" / "nginx" / file).read_text()
        for old, new in replace.items():
            assert old in text, old
            text = text.replace(old, new)
        folder.mkdir()
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # The folders of the run are open to their owner alone.
        user = "user root;" if os.geteuid() == 0 else ""
        self.config = folder / "nginx.conf"
        self.config.write_text(
            f"{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
        )
        super().__init__("nginx", folder, [NGINX, "-c", str(self.config)], {})

    def read_and_start(self, port: int) -> None:
        told = subprocess.run([NGINX, "-t", "-c", str(self.config)], capture_output=True, text=True, timeout=30)
        assert told.returncode == 0 and "[warn]" not in told.stderr, told.stderr
        self.start()

        def listens() -> bool:
            try:
                connect(("127.0.0.1", port)).close()
            except OSError:
                return False
            return True

        until(lambda: self.must_run() and listens(), "nginx to listen")


def test_behind_nginx(folder: Path, site: Site, new_gateway: GatewayMaker, listeners: Listeners) -> None:
    port = free_port()
    gateway = new_gateway(site.server, more='[trust]\nproxies = ["127.0.0.1"]')
    assert isinstance(gateway.http, tuple)
    nginx = Nginx(
        folder / "nginx-before",
        "behind-nginx.conf",
        {
            "server 127.0.0.1:8080;": f"server 127.0.0.1:{gateway.http[1]};",
            "listen 80;": f"listen 127.0.0.1:{port};",
            "server_name example.com;": "server_name site.test;",
        },
    )
    nginx.read_and_start(port)
    front = ("127.0.0.1", port)
    # Who the client is: nginx says it, and what the client says of itself is one further back in the chain.
    meta = request(front, target="/echo/", headers={"X-Real-IP": "203.0.113.9"}).json()["meta"]
    assert meta["HTTP_X_REAL_IP"] == "127.0.0.1"
    assert meta["HTTP_HOST"] == meta["HTTP_X_FORWARDED_HOST"] == "site.test"
    assert meta["HTTP_X_FORWARDED_PROTO"] == "http" and meta["HTTP_X_FORWARDED_PORT"] == str(port)
    # A stream begins at once, is not buffered, and resumes.
    stream = listeners.open(front, room("nginx"))
    listeners.until_open(stream)
    gateway.publish("room-nginx", "one")
    listeners.until(lambda: stream.data == ["one"], "the event through nginx")
    listeners.close(stream)
    gateway.publish("room-nginx", "two")
    again = listeners.open(front, room("nginx"), last_event_id=stream.last_id)
    listeners.until(lambda: again.data == ["two"], "what was missed")
    nginx.stop()


def test_in_front_of_nginx(folder: Path, site: Site, new_gateway: GatewayMaker) -> None:
    port = free_port()
    blog = folder / "blog"
    (blog / "blog").mkdir(parents=True)
    (blog / "blog" / "index.html").write_text("<p>an old page")
    nginx = Nginx(
        folder / "nginx-behind",
        "in-front-of-nginx.conf",
        {"listen 127.0.0.1:8081;": f"listen 127.0.0.1:{port};", "/srv/blog": str(blog)},
    )
    nginx.read_and_start(port)
    gateway = new_gateway(
        site.server,
        more=f"""[trust]
proxies = ["127.0.0.1"]
[upstream.nginx]
servers = ["127.0.0.1:{port}"]
idle_reuse = "60s"
[[route]]
path = "/blog/<path:rest>"
proxy = "nginx"
""",
    )
    for _ in range(3):
        answer = gateway.get("/blog/", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (answer.status, answer.text) == (200, "<p>an old page")
        assert answer.header("X-Client") == "203.0.113.9", "nginx is told who the client is"
    assert gateway.get("/echo/").status == 200
    nginx.stop()
