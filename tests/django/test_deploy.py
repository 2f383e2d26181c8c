"""What deploy/ and the guide hold is read by the tools that will read it: systemd, a compose schema, nginx, tidegate."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import ROOT, gateway_binary

DEPLOY = ROOT / "deploy"
UNITS = sorted([*(DEPLOY / "systemd").glob("*.service"), *(DEPLOY / "systemd").glob("*.socket")])


def run(*command: str | Path, **more) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **more)


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with programs that exist: `verify` looks for them."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = unit.read_text()
        text = text.replace("/usr/local/bin/tidegate", gateway_binary())
        text = text.replace("/srv/app/.venv/bin/gunicorn", shutil.which("true") or "/bin/true")
        (folder / unit.name).write_text(text)
    return folder


def test_systemd_reads_the_units(units: Path) -> None:
    assert len(UNITS) == 5
    told = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *sorted(units.iterdir()))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_systemd_finds_what_is_wrong_in_a_unit(units: Path, tmp_path: Path) -> None:
    broken = tmp_path / "tidegate.service"
    broken.write_text((units / "tidegate.service").read_text().replace("WatchdogSec=30", "WatchdogSec=often"))
    assert "Failed to parse" in run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", broken).stderr


def test_the_service_is_shut_in(units: Path) -> None:
    told = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", units / "tidegate.service")
    assert told.returncode == 0, told.stdout
    print(told.stdout.strip().splitlines()[-1])


def test_the_compose_file_fits_the_schema(tmp_path: Path) -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    compose = DEPLOY / "docker" / "compose.yaml"
    told = run(ROOT / "tests/django/.venv/bin/check-jsonschema", *schema, compose)
    assert told.returncode == 0, told.stdout + told.stderr
    broken = tmp_path / "compose.yaml"
    broken.write_text(compose.read_text().replace("restart: unless-stopped", "restarts: always"))
    assert run(ROOT / "tests/django/.venv/bin/check-jsonschema", *schema, broken).returncode != 0


def test_what_the_images_are_built_of_is_there() -> None:
    """Each COPY from the project names what .dockerignore lets in."""
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in let_in:
        assert (ROOT / name).exists() or name == "rust-toolchain.toml", name
    for dockerfile in ("Dockerfile", "site.Dockerfile"):
        for source in re.findall(r"^COPY (?!--from)(\S+) ", (DEPLOY / "docker" / dockerfile).read_text(), re.MULTILINE):
            assert (ROOT / source).exists(), source
            assert source == "." or any(source.startswith(name) for name in let_in), source


# What the files take from the environment.
SECRETS = {"TIDEGATE_TOKEN": "of-the-test", "REDIS_PASSWORD": "of-the-test"}


@pytest.mark.parametrize(
    "file",
    [
        "gateway.toml",
        "deploy/docker/gateway.toml",
        "deploy/systemd/gateway.toml",
        "README.md",
        "docs/in-place-of-nginx.md",
        "docs/from-django-eventstream.md",
        "docs/from-django-sse.md",
        "docs/from-drf-redis.md",
    ],
)
def test_tidegate_reads_the_configurations(file: str, tmp_path: Path) -> None:
    text = (ROOT / file).read_text()
    if file.endswith(".md"):
        text = next(re.finditer(r"^```toml\n(version = 1\n.*?)^```", text, re.DOTALL | re.MULTILINE))[1]
    # What must exist on the machine that it is for exists here below a folder of the test.
    for folder in ("/srv/app/static", "/srv/app/media", "/srv/app/private", "/srv/app/errors", "/etc/tidegate"):
        (tmp_path / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        text = text.replace(folder, str(tmp_path) + folder)
    (tmp_path / "srv/app/errors/down.html").write_text("<p>Back in a minute.")
    # a hash that is one; nobody logs in
    (tmp_path / "etc/tidegate/htpasswd").write_text("ann:$2b$04$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e\n")
    config = tmp_path / "gateway.toml"
    config.write_text(text)
    told = run(gateway_binary(), "check", "-c", config, "--json", cwd=ROOT, env=SECRETS)
    assert json.loads(told.stdout)["problems"] == [], told.stdout
    assert told.returncode == 0
