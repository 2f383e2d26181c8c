"""How the tests look in: journal.jsonl has a line for each request that reached Django, from before the view runs."""

import json
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse


def journal_middleware(get_response: Callable[[HttpRequest], HttpResponse]):
    def middleware(request: HttpRequest) -> HttpResponse:
        line = {"method": request.method, "path": request.get_full_path(), "headers": dict(request.headers)}
        with Path(settings.VAR_DIR, "journal.jsonl").open("a") as journal:
            journal.write(json.dumps(line) + "\n")
        return get_response(request)

    return middleware
