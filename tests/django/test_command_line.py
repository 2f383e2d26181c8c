"""The subcommands that go by a file, as an operator types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import GatewayMaker
from harness import HERE, ROOT, TIMEOUT, Gateway, Site, gateway_binary, run_cli, until
from streams import Listeners
from wire import Reader, connect, head_bytes

GOOD = """\
version = 1
[server]
hosts = ["site.test"]
[listen.http]
address = "127.0.0.1:8080"
[listen.internal]
address = "127.0.0.1:9090"
role = "internal"
[upstream.django]
servers = ["unix:/run/gunicorn.sock"]
[[route]]
path = "/events/<slug:room>/"
sse = { channels = ["room-{room}"], public = true }
[[route]]
path = "/<path:rest>"
proxy = "django"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD)
    return path


def check(file: Path, text: str | None = None) -> tuple[int, str]:
    if text is not None:
        file.write_text(text)
    done = run_cli("check", "-c", str(file))
    return done.returncode, (done.stdout + done.stderr).decode()


# -- check, show, version ----------------------------------------------------------------------


def test_a_good_file_passes_the_check(file: Path) -> None:
    assert check(file)[0] == 0


def test_the_files_of_the_project_pass_the_check() -> None:
    assert run_cli("check", cwd=ROOT).returncode == 0, "gateway.toml at the root"


# What is changed in the good file, the place of the mistake, and words that must be in the message.
MISTAKES = [
    ('proxy = "django"', 'proxi = "django"', (16, 1), ["proxi", "did you mean", "proxy"]),
    ('proxy = "django"', 'proxy = "djngo"', (16, 9), ["djngo", "did you mean", "django"]),
    ("room-{room}", "room-{rom}", (13, 20), ["rom", "did you mean", "room"]),
    ("public = true", "pubic = true", (13, 37), ["pubic", "did you mean", "public"]),
    (", public = true", "", (13, 7), ["public"]),
    ("version = 1", "version = 2", (1, 11), ["version"]),
    ("version = 1", 'version = "1"', (1, 11), ["version"]),
    ('role = "internal"', 'role = "inside"', (8, 8), ["inside"]),
    ("127.0.0.1:9090", "0.0.0.0:9090", (7, 11), ["tokens"]),
    ("127.0.0.1:9090", "127.0.0.1:8080", (7, 11), ["8080"]),
    ("<slug:room>", "<slg:room>", (12, 9), ["slg", "did you mean", "slug"]),
    ('servers = ["unix:/run/gunicorn.sock"]', "servers = []", (10, 11), ["servers"]),
    ('servers = ["unix:/run/gunicorn.sock"]', 'server = ["unix:/x"]', (10, 1), ["server", "did you mean", "servers"]),
    ('hosts = ["site.test"]', 'hosts = ["${NOT_SET_ANYWHERE}"]', (3, 10), ["NOT_SET_ANYWHERE"]),
    ('hosts = ["site.test"]', 'hosts = ["${file:/not/there}"]', (3, 10), ["/not/there"]),
    ('hosts = ["site.test"]', "hosts = [", (4, 1), []),
    ('proxy = "django"', 'proxy = "django"\nsse = { ask = "django" }', (17, 7), ["proxy", "sse"]),
    ('proxy = "django"', 'proxy = "django"\n[sse]\nheartbeat = "15"', (18, 13), ["heartbeat"]),
    ('proxy = "django"', 'proxy = "django"\n[sse]\nheartbeat = 15', (18, 13), ["heartbeat"]),
    ('proxy = "django"', 'proxy = "django"\n[limits]\nbody = "10MB!"', (18, 8), ["body"]),
]


@pytest.mark.parametrize("good, bad, place, words", MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_told_with_line_and_column(
    file: Path, good: str, bad: str, place: tuple[int, int], words: list[str]
) -> None:
    assert good in GOOD
    code, said = check(file, GOOD.replace(good, bad))
    assert code == 78
    # The column is that of the value or of the very character in it, so a few are right.
    right = [f"{file}:{place[0]}:{column}:" for column in range(place[1], place[1] + 15)]
    told = [line for line in said.splitlines() if line.startswith(tuple(right)) and all(word in line for word in words)]
    assert len(told) == 1, said


def test_all_mistakes_are_told_in_one_run(file: Path) -> None:
    text = GOOD.replace("version", "verzion").replace("hosts", "hots").replace("role", "rolle")
    text = text.replace("proxy", "proxi").replace("public", "pubic")
    code, said = check(file, text)
    assert code == 78
    for wrong in ("verzion", "hots", "rolle", "proxi", "pubic"):
        assert wrong in said


def test_run_refuses_a_wrong_file_in_the_same_way(file: Path) -> None:
    file.write_text(GOOD.replace("proxy", "proxi"))
    done = run_cli("run", "-c", str(file))
    assert done.returncode == 78 and b":16:1:" in done.stderr


def test_a_file_that_is_not_there_is_a_bad_configuration(tmp_path: Path) -> None:
    code, said = check(tmp_path / "nothing.toml")
    assert code == 78 and "nothing.toml" in said


def test_a_secret_is_neither_shown_nor_told_in_a_mistake(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter-two-hunter-two\n")
    tokens = f"""[publish]
tokens = [
    {{ name = "a", secret = "${{file:{secret}}}" }},
    {{ name = "b", secret = "plain-secret-text" }},
]
"""
    file.write_text(GOOD + tokens)
    shown = run_cli("show", "-c", str(file))
    assert shown.returncode == 0
    wrong = check(file, GOOD + tokens.replace('name = "b"', 'nam = "b"'))
    assert wrong[0] == 78
    for text in (shown.stdout.decode(), shown.stderr.decode(), wrong[1]):
        assert "hunter-two" not in text and "plain-secret" not in text


def test_show_prints_the_defaults_too(file: Path) -> None:
    shown = run_cli("show", "-c", str(file))
    assert shown.returncode == 0
    text = shown.stdout.decode()
    for words in ("heartbeat", "15s", "retry_for", "10s", "room-{room}", "site.test"):
        assert words in text


def test_what_show_prints_is_a_good_file(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.toml"
    again.write_bytes(run_cli("show", "-c", str(file)).stdout)
    assert check(again)[0] == 0
    assert run_cli("show", "-c", str(again)).stdout == again.read_bytes()


def test_version_names_the_program() -> None:
    for argument in ("version", "--version"):
        done = run_cli(argument)
        assert done.returncode == 0 and done.stdout.startswith(b"tidegate ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["run", "--nonsense"], ["publish"], ["tail"]])
def test_bad_usage_is_2(arguments: list[str]) -> None:
    assert run_cli(*arguments).returncode == 2


def test_a_port_that_is_taken_is_told(gateway: Gateway, file: Path) -> None:
    file.write_text(GOOD.replace("127.0.0.1:8080", f"127.0.0.1:{gateway.http[1]}"))
    done = run_cli("run", "-c", str(file))
    assert done.returncode not in (0, 78)
    assert str(gateway.http[1]).encode() in done.stdout + done.stderr


def test_data_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "wb") as full:
        for words in (["version"], ["completions", "bash"]):
            ran = subprocess.run([gateway_binary(), *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            assert ran.returncode == 1 and "cannot be written" in ran.stderr, ran


# -- explain -------------------------------------------------------------------------------------


def explained(gateway: Gateway, *arguments: str) -> dict:
    done = gateway.cli("explain", "--json", *arguments)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


CLIENTS = [("Cookie", "a=b"), ("X-Forwarded-For", "6.6.6.6"), ("X_Forwarded_Proto", "https"), ("Accept-Language", "de")]


@pytest.mark.parametrize("target", ["/echo/?a=b", "/ask/news/?channel=news"])
def test_explain_tells_what_django_is_sent(gateway: Gateway, site: Site, target: str, name: str) -> None:
    target = f"{target}&{name}"
    headers = [*CLIENTS, ("Last-Event-ID", "0123456789-7")]
    given = [word for header in headers for word in ("-H", ": ".join(header))]
    told = explained(gateway, "GET", f"http://site.test{target}", "--from", "127.0.0.1", *given)
    assert status_of(gateway, target, headers) == 200
    until(lambda: site.journal(name), "the request at Django")
    arrived = site.journal(name)[0]
    assert told["sent"]["line"] == f"GET {arrived['path']} HTTP/1.1"
    expected = {header["name"]: header["value"] for header in told["sent"]["headers"]}
    sent = {key.lower(): value for key, value in arrived["headers"].items()}
    # What only a running gateway knows.
    for placeholder in [key for key, value in expected.items() if value.startswith("<")]:
        assert sent.pop(placeholder)
        del expected[placeholder]
    assert sent == expected
    assert set(told["sent"]["removed"]) >= {"x-forwarded-for", "x_forwarded_proto"}


def status_of(gateway: Gateway, target: str, headers: list[tuple[str, str]] | None = None) -> int:
    """The status of the answer, whose body may never end."""
    with connect(gateway.http) as conn:
        conn.sendall(head_bytes("GET", target, "site.test", headers or []))
        return Reader(conn).head().status


def test_explain_tells_what_the_gateway_answers(gateway: Gateway) -> None:
    for target in ("/rooms/tea/events/", "/a/../b"):
        told = explained(gateway, f"http://site.test{target}")
        assert told["answer"]["status"] == status_of(gateway, target)
    text = gateway.cli("explain", "/rooms/tea/events/").stdout.decode()
    assert "channels   room-tea\n" in text
    assert gateway.cli("explain", "GET", "nothing").returncode == 2
    assert run_cli("explain", "/", "-c", "/does/not/exist.toml").returncode == 78


# -- init ----------------------------------------------------------------------------------------


def init(folder: Path, *arguments: str) -> tuple[str, str]:
    """What it writes, which must be a good file, and what it says."""
    file = folder / "gateway.toml"
    done = run_cli("init", "-c", str(file), *arguments, cwd=folder)
    assert done.returncode == 0, done
    assert check(file)[0] == 0
    again = run_cli("init", "-c", str(file), *arguments, cwd=folder)
    assert again.returncode == 1 and str(file).encode() in again.stderr
    return file.read_text(), done.stderr.decode()


def start_project(folder: Path) -> None:
    command = [sys.executable, "-m", "django", "startproject", "fresh", str(folder)]
    subprocess.run(command, check=True, timeout=TIMEOUT)


def test_init_reads_a_fresh_project_of_the_current_folder(tmp_path: Path) -> None:
    start_project(tmp_path)
    settings = tmp_path / "fresh" / "settings.py"
    text, said = init(tmp_path)
    assert str(settings) in said and "Not clear" not in said
    assert "gunicorn --workers 1 --bind 127.0.0.1:8000 fresh.wsgi" in text
    assert 'hosts = ["localhost", "127.0.0.1", "[::1]"]' in text
    assert '# path = "/static/<path:file>"' in text, "there is no STATIC_ROOT yet"
    with settings.open("a") as more:
        more.write('ALLOWED_HOSTS = ["site.test"]\nSTATIC_ROOT = BASE_DIR / "all"\n')
        more.write('MEDIA_URL = "m/"\nMEDIA_ROOT = BASE_DIR / "m"\n')
    (tmp_path / "gateway.toml").unlink()
    text, said = init(tmp_path, "--django", ".")
    assert 'hosts = ["site.test"]' in text and f'root = "{tmp_path}/all"' in text and f'root = "{tmp_path}/m"' in text


def test_init_says_what_it_cannot_read(tmp_path: Path) -> None:
    text, said = init(tmp_path, "--django", str(HERE / "site"))
    assert "Not clear: STATIC_ROOT" in said and "STATIC_ROOT is no plain value" in text
    assert 'hosts = ["*"]' in text and "testsite.wsgi" in text
    (tmp_path / "grip").mkdir()
    text, said = init(tmp_path / "grip", "--django", str(HERE / "gripsite"))
    assert "grip = true" in text and "Not clear: GRIP_URL" in said


def test_init_without_a_project(tmp_path: Path) -> None:
    assert "no Django project" in init(tmp_path)[1]
    assert run_cli("init", "--django", str(tmp_path), "-c", str(tmp_path / "x.toml")).returncode == 1
    assert not (tmp_path / "x.toml").exists()


# -- token ---------------------------------------------------------------------------------------

LIVE = """
[[route]]
path = "/live/"
sse = { token = { kind = "django-signed", key = "the key of the site", salt = "live", max_age = "10m" } }
[[route]]
path = "/jwt/"
sse = { token = { kind = "jwt", alg = "HS256", key = "thirty-two bytes are not too many", audience = "gate" } }
"""
# django.core.signing and PyJWT, outside of any site.
READ = """
import json, jwt, sys
from django.conf import settings
from django.core import signing
settings.configure()
of_django, of_jwt = sys.argv[1:]
print(json.dumps([
    signing.loads(of_django, key="the key of the site", salt="live", max_age=600),
    jwt.decode(of_jwt, "thirty-two bytes are not too many", algorithms=["HS256"], audience="gate"),
]))
"""


def test_a_token_opens_a_stream_and_is_one_to_django_as_well(
    new_gateway: GatewayMaker, listeners: Listeners, name: str
) -> None:
    gateway = new_gateway("127.0.0.1:1", routes=LIVE)
    tokens = []
    for path in ("/live/", "/jwt/"):
        done = gateway.cli("token", "--route", path, "--channels", f"room-{name},news", "--user", "änn", "--ttl", "5m")
        assert (done.returncode, done.stderr) == (0, b"")
        tokens.append(done.stdout.decode().strip())
    streams = [
        listeners.open(gateway.http, f"{path}?token={token}") for path, token in zip(("/live/", "/jwt/"), tokens)
    ]
    listeners.until_open(*streams)
    gateway.publish(f"room-{name}", "hello")
    listeners.until_data("hello", streams)
    read = subprocess.run([sys.executable, "-c", READ, *tokens], check=True, capture_output=True, timeout=TIMEOUT)
    of_django, of_jwt = json.loads(read.stdout)
    assert of_django == {"channels": [f"room-{name}", "news"], "user": "änn"}
    assert (of_jwt["channels"], of_jwt["exp"] - of_jwt["iat"]) == ([f"room-{name}", "news"], 300)


def test_what_makes_no_token_is_told(new_gateway: GatewayMaker, file: Path) -> None:
    assert run_cli("token", "--channels", "a", "-c", str(file)).returncode == 78
    gateway = new_gateway("127.0.0.1:1", routes=LIVE, start=False)
    several = gateway.cli("token", "--channels", "a")
    assert several.returncode == 2 and b'"/live/", "/jwt/"' in several.stderr
    assert gateway.cli("token", "--route", "/live/", "--channels", "a", "--ttl", "1h").returncode == 2
