"""Files in place of nginx: what collectstatic wrote, what users sent, and what a view lets somebody see."""

import fcntl
import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import GatewayMaker, SiteMaker
from harness import HERE, Gateway, cookie_header, log_in

REPORT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
def folders(folder: Path) -> Path:
    """`static` as a deployment makes it, `media` and `private` as users fill them."""
    root = folder / "files"
    environment = {
        **os.environ,
        "SITE_VAR": str(folder),
        "SITE_STATIC": str(root / "static"),
        "DJANGO_SETTINGS_MODULE": "testsite.settings",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "django", "collectstatic", "--no-input", "--verbosity", "0"]
    subprocess.run(command, cwd=HERE / "site", env={**environment, "PYTHONPATH": "."}, check=True, timeout=60)
    for path in (root / "static").rglob("*.css"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    for name, content in {
        "media/photo.png": b"png",
        "media/evil.svg": b"<svg onload='alert(1)'/>",
        "private/a b/bericht ä.pdf": REPORT,
        "secret.txt": b"secret",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture(scope="module")
def gate(folders: Path, shared_sites: SiteMaker, shared_gateways: GatewayMaker) -> Iterator[Gateway]:
    site = shared_sites(env={"SITE_STATIC": str(folders / "static")})
    routes = f"""
[[route]]
path = "/static/<path:file>"
static = {{ root = "{folders}/static", precompressed = true, hashed = "1y" }}
[[route]]
path = "/media/<path:file>"
static = {{ root = "{folders}/media", inline = ["image/*"] }}
[[route]]
path = "/private/<path:file>"
internal = true
static = {{ root = "{folders}/private" }}
[[route]]
path = "/<path:rest>"
proxy = "django"
"""
    yield shared_gateways(site, routes=routes)


@pytest.mark.parametrize("name", ["app.css", "app.js", "img/dot.svg"])
def test_what_a_template_names_is_served_for_ever(gate: Gateway, folders: Path, name: str) -> None:
    url = gate.get(f"/static-url/?name={name}").text
    stem, _, extension = name.rpartition(".")
    assert url != f"/static/{name}" and url.startswith(f"/static/{stem}.") and url.endswith(f".{extension}")
    answer = gate.get(url)
    assert answer.status == 200 and answer.body == (folders / url.lstrip("/")).read_bytes()
    assert answer.header("Cache-Control") == "public, max-age=31536000, immutable"
    plain = gate.get(f"/static/{name}")
    assert plain.status == 200 and plain.header("Cache-Control") == "no-cache"
    again = gate.get(f"/static/{name}", headers={"If-None-Match": plain.header("ETag") or ""})
    assert again.status == 304 and again.body == b""


def test_a_style_sheet_comes_compressed_and_names_hashed_files(gate: Gateway) -> None:
    url = gate.get("/static-url/?name=app.css").text
    plain = gate.get(url)
    zipped = gate.get(url, headers={"Accept-Encoding": "gzip, br"})
    assert zipped.header("Content-Encoding") == "gzip" and zipped.header("Vary") == "Accept-Encoding"
    assert gzip.decompress(zipped.body) == plain.body
    assert zipped.header("Content-Type") == "text/css; charset=utf-8"
    assert zipped.header("ETag") != plain.header("ETag")
    image = plain.text.split('url("')[-1].split('"')[0]
    assert gate.get(f"/static/{image}").header("Content-Type") == "image/svg+xml"


def test_uploads_that_a_browser_runs_are_downloads(gate: Gateway) -> None:
    for name, disposition in {"photo.png": None, "evil.svg": "attachment"}.items():
        answer = gate.get(f"/media/{name}")
        assert answer.status == 200 and answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Content-Disposition") == disposition


@pytest.mark.parametrize("path", ["../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "..%5csecret.txt"])
def test_nothing_beside_the_folder_is_served(gate: Gateway, path: str) -> None:
    for folder in ("static", "media", "private"):
        answer = gate.get(f"/{folder}/{path}")
        assert answer.status in (400, 404) and b"secret" not in answer.body


def test_a_file_that_another_program_has_for_itself_is_there_soon(gate: Gateway, folders: Path) -> None:
    """As Samba and the NFS server have files that one of their clients writes to: a lease."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with (folders / "media/photo.png").open("rb") as held:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            answer = gate.get("/media/photo.png")
            assert (answer.status, answer.header("Retry-After")) == (503, "5"), answer.body
        assert gate.get("/media/photo.png").status == 200
        plain = gate.get("/static/app.css").body
        with (folders / "static/app.css.gz").open("rb") as held:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            answer = gate.get("/static/app.css", headers={"Accept-Encoding": "gzip"})
            assert (answer.status, answer.header("Content-Encoding")) == (200, None)
            assert answer.body == plain
    finally:
        signal.signal(signal.SIGIO, before)


def test_a_view_says_who_sees_a_file(gate: Gateway) -> None:
    target = "/report/a%20b/bericht%20%C3%A4.pdf"
    assert gate.get("/private/a%20b/bericht%20%C3%A4.pdf").status == 404, "nobody asks for it himself"
    stranger = gate.get(target)
    assert stranger.status == 302 and "/login/" in (stranger.header("Location") or "")
    cookies = cookie_header(log_in(gate.http, "anna"))
    answer = gate.get(f"{target}?as=r.pdf", headers={"Cookie": cookies})
    assert answer.status == 200 and answer.body == REPORT
    assert answer.header("Content-Type") == "application/pdf"
    assert answer.header("Content-Disposition") == 'attachment; filename="r.pdf"'
    assert "Cookie" in (answer.header("Vary") or ""), "the view's own headers stay"
    assert answer.all("Set-Cookie"), "so does the session it changed"
    assert not [name for name, _ in answer.headers if name.lower().startswith("x-accel")]
    part = gate.get(target, headers={"Cookie": cookies, "Range": "bytes=-1000"})
    assert part.status == 206 and part.body == REPORT[-1000:]
    assert part.header("Content-Range") == f"bytes {len(REPORT) - 1000}-{len(REPORT) - 1}/{len(REPORT)}"
    assert gate.get("/report/none.pdf", headers={"Cookie": cookies}).status == 404
