"""Views that use the API of django-eventstream, django-grip and gripcontrol as a project does."""

import json

import django_eventstream
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django_eventstream.models import Event
from django_grip import publish, set_hold_longpoll, set_hold_stream
from gripcontrol import (
    Channel,
    HttpResponseFormat,
    HttpStreamFormat,
    Response,
    create_hold_response,
    create_hold_stream,
)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page\n" * 100, content_type="text/plain")


def log_in(request: HttpRequest, name: str) -> HttpResponse:
    login(request, User.objects.get(username=name))
    return HttpResponse(str(request.user.pk))


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


# django-eventstream.


def send(request: HttpRequest) -> HttpResponse:
    """?channel=&data=&type=&skip=&async=1"""
    query = request.GET
    django_eventstream.send_event(
        query["channel"],
        query.get("type", "message"),
        json.loads(query["data"]),
        skip_user_ids=query.getlist("skip"),
        async_publish="async" in query,
    )
    return HttpResponse()


def many(request: HttpRequest) -> HttpResponse:
    """?channel=&count=: events with the data 0, 1, …, `silently` as if each publish got lost."""
    query = request.GET
    for number in range(int(query.get("first", 0)), int(query["count"])):
        if "silently" in query:
            django_eventstream.utils.get_storage().append_event(query["channel"], "message", json.dumps(number))
        else:
            django_eventstream.send_event(query["channel"], "message", number, async_publish=False)
    return HttpResponse()


def kick(request: HttpRequest) -> HttpResponse:
    """?user=&channel=: what a project calls when it has taken a permission away."""
    user = User.objects.get(username=request.GET["user"])
    django_eventstream.channel_permission_changed(user, request.GET["channel"])
    return HttpResponse()


def forget(request: HttpRequest) -> HttpResponse:
    """Purge the stored events of a channel, as happens after a day."""
    Event.objects.filter(channel=request.GET["channel"]).delete()
    return HttpResponse()


def current(request: HttpRequest) -> HttpResponse:
    return HttpResponse(django_eventstream.get_current_event_id([request.GET["channel"]]))


# django-grip and gripcontrol.


def held_stream(request: HttpRequest) -> HttpResponse:
    """?channel=&keep=&timeout="""
    query = request.GET
    keep = query.get("keep")
    set_hold_stream(
        request,
        query.getlist("channel"),
        keep_alive_data=keep,
        keep_alive_timeout=query.get("timeout", 20) if keep else None,
    )
    return HttpResponse("[open]", content_type="text/plain")


def held_poll(request: HttpRequest) -> HttpResponse:
    set_hold_longpoll(request, request.GET.getlist("channel"), timeout=request.GET.get("timeout"))
    response = HttpResponse("nothing new\n", content_type="text/plain")
    response["X-Kind"] = "poll"
    return response


def unchanged(request: HttpRequest) -> HttpResponse:
    """304 at the end of the hold; the middleware makes 200 with Grip-Status of it."""
    set_hold_longpoll(request, request.GET.getlist("channel"), timeout=5)
    response = HttpResponseNotModified()
    response["ETag"] = '"7"'
    return response


def instructed(request: HttpRequest, mode: str) -> HttpResponse:
    """application/grip-instruct as gripcontrol makes it."""
    channels = [Channel(name) for name in request.GET.getlist("channel")]
    response = Response(code=201, reason="Held", headers={"Content-Type": "text/plain", "X-Kind": mode}, body="[open]")
    made = create_hold_stream(channels, response) if mode == "stream" else create_hold_response(channels, response, 5)
    return HttpResponse(made, content_type="application/grip-instruct")


def published(request: HttpRequest) -> HttpResponse:
    """A JSON body {channel, stream, response, close, hint, id, prev_id, meta} to django_grip.publish."""
    said = json.loads(request.body)
    formats = []
    if "stream" in said:
        formats.append(HttpStreamFormat(said["stream"]))
    if "bytes" in said:
        formats.append(HttpStreamFormat(bytes(said["bytes"])))
    if "close" in said:
        formats.append(HttpStreamFormat(close=True))
    if "hint" in said:
        formats.append(HttpStreamFormat(action="hint"))
    if "response" in said:
        formats.append(HttpResponseFormat(**said["response"]))
    publish(
        said["channel"],
        formats,
        id=said.get("id"),
        prev_id=said.get("prev_id"),
        blocking=True,
        meta=said.get("meta", {}),
    )
    return HttpResponse()


def reliable(request: HttpRequest) -> HttpResponse:
    """A stream with a link, by django-grip alone: ?channel=&at=, and on link requests what Grip-Last says."""
    name = request.GET["channel"]
    at = int(request.grip.last.get(name, request.GET.get("at", "0")))
    newest = int(request.GET["newest"]) if "link" not in request.GET else at + 1
    set_hold_stream(request, Channel(name, prev_id=str(newest)))
    request.grip.instruct.set_next_link(f"/grip/reliable/?channel={name}&link=1", timeout=60)
    return HttpResponse("".join(f"[{number}]" for number in range(at + 1, newest + 1)), content_type="text/plain")


def is_proxied(request: HttpRequest) -> HttpResponse:
    grip = request.grip
    return JsonResponse({"proxied": grip.proxied, "signed": grip.signed, "features": sorted(grip.features)})
