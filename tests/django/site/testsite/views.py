"""The views of the site under test. None knows that the gateway exists, but for the asks and the publisher."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

from . import backstage

PIECE = bytes(range(256)) * 256  # 64 KiB in which a byte that is lost or doubled shows
# The gateway is next door: never through an http_proxy.
OPENER = build_opener(ProxyHandler({}))

# -- ordinary requests -----------------------------------------------------------------------


def page(request: HttpRequest) -> HttpResponse:
    """An ordinary page: a template, the session, the user."""
    return render(request, "page.html", {"user": request.user})


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    """What Django makes of the request."""
    body = request.read()
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "full_path": request.get_full_path(),
            "host": request.get_host(),
            "is_secure": request.is_secure(),
            "cookies": request.COOKIES,
            "meta": {key: value for key, value in request.META.items() if isinstance(value, str)},
            "length": len(body),
            "body": body[:4096].decode("latin-1"),
        },
        headers={"X-Echo": "yes"},
    )


def slow(request: HttpRequest, ms: int) -> HttpResponse:
    """Holds the worker for so many milliseconds."""
    time.sleep(ms / 1000)
    return HttpResponse("slow")


@csrf_exempt
def gate(request: HttpRequest, name: str) -> HttpResponse:
    """Holds the worker until the test opens the gate."""
    backstage.wait_at_gate(name)
    return HttpResponse("open")


@csrf_exempt
def status(request: HttpRequest, status: int) -> HttpResponse:
    """An answer of that status."""
    return HttpResponse(b"" if status in (204, 304) else f"status {status}", status=status)


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    """What arrived, as its length and its digest."""
    digest, length = hashlib.sha256(), 0
    while piece := request.read(1 << 16):
        digest.update(piece)
        length += len(piece)
    return JsonResponse(
        {
            "length": length,
            "sha256": digest.hexdigest(),
            "content_length": request.META.get("CONTENT_LENGTH"),
            "transfer_encoding": request.META.get("HTTP_TRANSFER_ENCODING"),
        }
    )


def pieces(size: int) -> Iterator[bytes]:
    for offset in range(0, size, len(PIECE)):
        yield PIECE[: size - offset]


def download(request: HttpRequest, size: int) -> HttpResponse:
    """So many bytes; chunked, unless `?length` asks for a Content-Length."""
    headers = {"Content-Length": str(size)} if "length" in request.GET else {}
    return StreamingHttpResponse(pieces(size), content_type="application/octet-stream", headers=headers)


def stream(request: HttpRequest, name: str) -> HttpResponse:
    """A stream as such sites have them today: the view sends the first part, works, and sends the rest."""
    kind = request.GET.get("type", "text/event-stream")

    def parts() -> Iterator[str]:
        yield "data: first\n\n"
        backstage.wait_at_gate(name)
        yield "event: done\ndata: last\n\n"

    return StreamingHttpResponse(parts(), content_type=kind)


@login_required
def answers(request: HttpRequest, name: str) -> HttpResponse:
    """An answer token by token, as a view streams it that knows of no gateway: a half, a gate, the other half.

    With `?ids` it numbers its events and goes on from `Last-Event-ID`; with `?dies` the worker does, in the middle of the
    first answer.
    """
    ids, dies = "ids" in request.GET, "dies" in request.GET
    seen = int(request.headers.get("Last-Event-ID", 0))
    user = request.user.get_username()

    def parts() -> Iterator[str]:
        for number in range(seen + 1, 7):
            if number == 4:
                if dies and not seen:
                    os.kill(os.getpid(), signal.SIGKILL)
                backstage.wait_at_gate(name)
            yield f"id: {number}\n" * ids + f"data: {user}-{number}\n\n"
        yield "event: done\ndata:\n\n"

    return StreamingHttpResponse(parts(), content_type="text/event-stream")


@csrf_exempt
def dies(request: HttpRequest, how: str) -> HttpResponse:
    """The worker is killed: `before` the answer, or in the middle of a `chunked` one or of one with a `length`."""

    def parts() -> Iterator[bytes]:
        yield b"the first half"
        os.kill(os.getpid(), signal.SIGKILL)
        yield b"is all there ever is"

    if how == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    headers = {"Content-Length": "1000"} if how == "length" else {}
    return StreamingHttpResponse(parts(), content_type="text/plain", headers=headers)


# -- asks ------------------------------------------------------------------------------------

ASK_HEADERS = {
    "channel": "SSE-Channel",
    "channels": "SSE-Channels",
    "user": "SSE-User",
    "expires": "SSE-Expires",
    "retry": "SSE-Retry",
    "location": "Location",
    "allow": "Access-Control-Allow-Origin",
    "repeat": backstage.REPEATED_CHANNELS,
}


@csrf_exempt
def ask(request: HttpRequest, name: str) -> HttpResponse:
    """Answers an ask as the query says: status, body or echo, type, cookie, the headers above, a gate to wait at."""
    query = backstage.script(name, otherwise=request.GET)
    if "gate" in query:
        backstage.wait_at_gate(query["gate"])
    if "kill" in query:
        os.kill(os.getpid(), signal.SIGKILL)
    response = HttpResponse(
        request.read() if "echo" in query else query.get("body", ""),
        status=int(query.get("status", 200)),
        content_type=query.get("type", "text/html; charset=utf-8"),
        headers={header: query[key] for key, header in ASK_HEADERS.items() if key in query},
    )
    if "cookie" in query:
        response.set_cookie("flavour", query["cookie"])
    return response


@login_required
def my_events(request: HttpRequest) -> HttpResponse:
    """The view of three lines that a team writes."""
    return HttpResponse(headers={"SSE-Channel": f"user-{request.user.pk}", "SSE-User": str(request.user.pk)})


# -- publishing ------------------------------------------------------------------------------


@csrf_exempt
def publish(request: HttpRequest) -> HttpResponse:
    """Passes the body on to the gateway's internal listener, from inside of a request, as a site does."""
    body = request.read() or json.dumps({"channel": request.GET["channel"], "data": request.GET["data"]}).encode()
    onward = Request(os.environ["TIDEGATE_URL"] + "/v1/events", body, {"Content-Type": "application/json"})
    try:
        with OPENER.open(onward, timeout=10) as answer:
            return HttpResponse(answer.read(), content_type="application/json")
    except HTTPError as error:
        return HttpResponse(error.read(), status=502, content_type="application/problem+json")


@csrf_exempt
def announce(request: HttpRequest) -> HttpResponse:
    """Publishes the body by the head of its own answer, which has the status that the query says."""
    status = int(request.GET.get("status", 200))
    return HttpResponse("done", status=status, headers={"SSE-Publish": request.read().decode()})


def live(request: HttpRequest) -> HttpResponse:
    """The page of the browser tests; `?url=` names its stream."""
    return render(request, "live.html")
