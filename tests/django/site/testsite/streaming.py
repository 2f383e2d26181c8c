"""Views that stream as sites have them, and know of no gateway: under WSGI, with django-sse, and (`asgi.py`) async.

Each makes its next event when the test opens the gate `<name>-<number>`, and an endless one ends when there is
`<name>-over`. In the query: `?last=` how many events there are, for ever without it; `?ids` numbers them and goes on
from `Last-Event-ID`; `?raises` fails before the third event unless it goes on; `?hello` begins with a comment; `?cut=`
and `?ends=` say how the bytes are cut and lines end.
"""

import asyncio
import importlib.util
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from django_sse.views import BaseSseView

from .backstage import GATE_PATIENCE_SECONDS


def twin_of(module: str) -> ModuleType:
    """The module once more, for a line that is changed in it here must not be changed for the others."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


# The one line by which an endless iterator() of django-sse streams with today's Django.
streaming_sse = twin_of("django_sse.views")
streaming_sse.HttpResponse = StreamingHttpResponse


def may_go_on(name: str, number: int) -> bool | None:
    """Whether the event may be made; `None` while that is not known."""
    gates = Path(settings.VAR_DIR, "gates")
    if (gates / f"{name}-over").exists():
        return False
    return True if (gates / f"{name}-{number}").exists() else None


def deadline() -> Callable[[], None]:
    """What raises when nobody has opened a gate for long."""
    end = time.monotonic() + GATE_PATIENCE_SECONDS

    def check() -> None:
        if time.monotonic() > end:
            raise TimeoutError("nobody opened the gate")

    return check


def wait(name: str, number: int) -> bool:
    check = deadline()
    while (answer := may_go_on(name, number)) is None:
        check()
        time.sleep(0.002)
    return answer


async def wait_async(name: str, number: int) -> bool:
    check = deadline()
    while (answer := may_go_on(name, number)) is None:
        check()
        await asyncio.sleep(0.002)
    return answer


def numbers(request: HttpRequest) -> Iterable[int]:
    """The numbers of the events that are still to come."""
    first = int(request.headers.get("Last-Event-ID", 0)) + 1 if "ids" in request.GET else 1
    return range(first, int(request.GET["last"]) + 1) if "last" in request.GET else itertools.count(first)


def user_of(request: HttpRequest) -> str:
    """Who may see it: everybody but ben, unless the query says that he may."""
    user = request.user.get_username()
    if user == "ben" and "ben" not in request.GET:
        raise PermissionDenied
    return user or "anybody"


def may_raise(request: HttpRequest, number: int) -> None:
    """The mistake of a view that is in the middle of its stream."""
    if "raises" in request.GET and number == 3 and "Last-Event-ID" not in request.headers:
        raise RuntimeError("a mistake of the view")


def event(request: HttpRequest, user: str, number: int) -> str:
    return f"id: {number}\n" * ("ids" in request.GET) + f"event: tick\ndata: {user}-{number}\n\n"


DONE = "event: done\ndata: over\n\n"


def generator(request: HttpRequest, name: str) -> HttpResponse:
    """A generator under WSGI that waits between its events."""
    user = user_of(request)

    def events() -> Iterator[str]:
        if "hello" in request.GET:
            yield ":\n\n"
        for number in numbers(request):
            if not wait(name, number):
                return
            may_raise(request, number)
            yield event(request, user, number)
        yield DONE

    return StreamingHttpResponse(events(), content_type="text/event-stream")


class Ticks:
    """What a team writes into a view of django-sse."""

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        self.user = user_of(request)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]

    def iterator(self) -> Iterator[None]:
        user, name = self.user, self.kwargs["name"]  # type: ignore[attr-defined]
        for number in numbers(self.request):  # type: ignore[attr-defined]
            if not wait(name, number):
                return
            may_raise(self.request, number)  # type: ignore[attr-defined]
            if "ids" in self.request.GET:  # type: ignore[attr-defined]
                self.sse.set_event_id(number)  # type: ignore[attr-defined]
            self.sse.add_message("tick", f"{user}-{number}")  # type: ignore[attr-defined]
            yield
        self.sse.add_message("done", "over")  # type: ignore[attr-defined]
        yield


class JoinedTicks(Ticks, BaseSseView):
    """As the package is: its HttpResponse joins the iterator."""


class StreamedTicks(Ticks, streaming_sse.BaseSseView):
    """With the one line."""


async def async_generator(request: HttpRequest, name: str) -> HttpResponse:
    """An async generator, which needs an ASGI server."""
    user = await asyncio.to_thread(user_of, request)

    async def events() -> AsyncIterator[str]:
        for number in numbers(request):
            if not await wait_async(name, number):
                return
            may_raise(request, number)
            yield event(request, user, number)
        yield DONE

    return StreamingHttpResponse(events(), content_type="text/event-stream")


@csrf_exempt
@require_POST
def answer(request: HttpRequest, name: str) -> HttpResponse:
    """What a model makes of a prompt that a page has POSTed: here its words, one by one."""
    user = user_of(request)
    prompt = request.body.decode().split()

    def events() -> Iterator[str]:
        for number, word in enumerate(prompt, 1):
            if not wait(name, number):
                return
            yield f"data: {user}:{word}\n\n"
        yield DONE

    return StreamingHttpResponse(events(), content_type="text/event-stream")


# What is hard to put together again: characters of two, three and four bytes, several lines, empty ones, blanks.
HARD = ["ä€😀", "first\n\nthird", " blank before", "😀\nä", "last"]


def hard_text(ids: bool, end: str) -> bytes:
    """The events, whole; the last one has no blank line, so it is none."""
    parts = []
    for number, data in enumerate([*HARD, "never seen"], 1):
        lines = [f"id: {number}"] * ids + ["event: tick"] + [f"data: {line}" for line in data.split("\n")]
        parts.append("".join(line + end for line in lines))
    return end.join(parts).encode()


def cut(request: HttpRequest, name: str) -> HttpResponse:
    """The hard events in pieces of `?cut=` bytes, each a chunk of its own, lines ended by `?ends=`."""
    end = {"cr": "\r", "lf": "\n", "crlf": "\r\n"}[request.GET["ends"]]
    text = hard_text("ids" in request.GET, end)
    size = int(request.GET["cut"])
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    return StreamingHttpResponse(pieces, content_type="text/event-stream")
