"""Pages and views of those who log in, listen, and log out again."""

from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from . import backstage


def tokens(request: HttpRequest) -> HttpResponse:
    """The page of an LLM's answer; `?url=` names its stream."""
    return render(request, "tokens.html")


def mine(request: HttpRequest) -> HttpResponse:
    """A page of a user with a stream of his own and a button to log out."""
    return render(request, "mine.html")


def cycle_key(request: HttpRequest) -> HttpResponse:
    """A new key for the same session, as at a login."""
    request.session.cycle_key()
    return HttpResponse("cycled")


def save(request: HttpRequest) -> HttpResponse:
    """What SESSION_SAVE_EVERY_REQUEST does: the cookie is sent again with the value it had."""
    request.session["saved"] = True
    return HttpResponse("saved")


@login_required
def session_events(request: HttpRequest) -> HttpResponse:
    """A stream that only the session allows, on the channel that the query names after the user."""
    name = request.GET.get("name", "")
    return HttpResponse(headers={"SSE-Channel": f"{name}-{request.user.username}"})


def copied_channel(request: HttpRequest, rest: str) -> HttpResponse:
    """A careless view: what stands in the path becomes a part of the channel's name."""
    return HttpResponse(headers={"SSE-Channel": f"own-{rest}"})


def whispered(request: HttpRequest, name: str) -> HttpResponse:
    """A stream as such views are today: for whoever has a cookie, and what it says is for him alone."""
    viewer = request.COOKIES.get("viewer")
    if not viewer:
        return HttpResponse("who are you?", status=403)

    def parts() -> Iterator[str]:
        yield f"data: secret of <{viewer}>\n\n"
        backstage.wait_at_gate(name)
        yield f"event: done\ndata: last of <{viewer}>\n\n"

    return StreamingHttpResponse(parts(), content_type="text/event-stream")
