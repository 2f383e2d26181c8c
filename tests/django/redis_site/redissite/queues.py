"""A project with django-sse: one view that streams the channel in its URL, and one that publishes."""

import json

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django_sse.redisqueue import RedisQueueView, send_event


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("at home")


class Queue(RedisQueueView):
    """As its documentation shows it. Behind the gateway no request gets here: it would hold a worker for ever."""

    def get_redis_channel(self) -> str:
        return self.kwargs["channel"]


@csrf_exempt
def send(request: HttpRequest) -> HttpResponse:
    send_event(*json.loads(request.body)["args"], **json.loads(request.body)["kwargs"])
    return HttpResponse("sent")
