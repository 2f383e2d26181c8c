"""How the tests look into the site and steer it: by files, which outlive a killed worker.

journal.jsonl    one line for each request that reached Django, written before the view runs
gates/<name>     a view that waits at a gate goes on when this file is there
script/<name>    the query string that an ask answers by, instead of the one in its URL
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict

# A gate that nobody opens must not hold the one worker for ever.
GATE_PATIENCE_SECONDS = 30

# Several names in this header become as many SSE-Channel headers: WSGI allows that, Django's response keeps one only.
REPEATED_CHANNELS = "X-Repeated-Channels"

_running = 0
_running_lock = threading.Lock()


def note(**what: object) -> None:
    """Append one line to the journal; a single small write to a file in append mode is never torn."""
    with Path(settings.VAR_DIR, "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(what) + "\n")


def journal_middleware(get_response: Callable[[HttpRequest], HttpResponse]):
    """Note every request, and how many were under way at once (more than one only with threads)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        global _running
        with _running_lock:
            _running += 1
            at_once = _running
        try:
            note(
                method=request.method,
                path=request.get_full_path(),
                headers=dict(request.headers),
                at_once=at_once,
            )
            return get_response(request)
        finally:
            with _running_lock:
                _running -= 1

    return middleware


def wait_at_gate(name: str) -> None:
    """Return when the test opens the gate; the worker is busy until then."""
    gate = Path(settings.VAR_DIR, "gates", name)
    deadline = time.monotonic() + GATE_PATIENCE_SECONDS
    while not gate.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {name}")
        time.sleep(0.002)


def script(name: str, otherwise: QueryDict) -> QueryDict:
    """What the test wrote for this ask, else what its URL says."""
    try:
        return QueryDict(Path(settings.VAR_DIR, "script", name).read_text())
    except FileNotFoundError:
        return otherwise
