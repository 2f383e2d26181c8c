"""Pages and views of those who log in, listen, and log out again."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


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
