"""What gunicorn imports: Django, and one thing that Django's HttpResponse cannot do."""

import os
from collections.abc import Callable, Iterable

from django.core.wsgi import get_wsgi_application

from .backstage import REPEATED_CHANNELS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testsite.settings")
django = get_wsgi_application()


def application(environ: dict, start_response: Callable) -> Iterable[bytes]:
    def start(status: str, headers: list[tuple[str, str]], *more: object) -> Callable:
        repeated = [name for key, value in headers if key == REPEATED_CHANNELS for name in value.split()]
        kept = [header for header in headers if header[0] != REPEATED_CHANNELS]
        return start_response(status, kept + [("SSE-Channel", name) for name in repeated], *more)

    return django(environ, start)
