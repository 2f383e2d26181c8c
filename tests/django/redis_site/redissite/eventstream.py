"""A project with django-eventstream and EVENTSTREAM_REDIS."""

import json

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django_eventstream import send_event
from django_eventstream.channelmanager import DefaultChannelManager


class ChannelManager(DefaultChannelManager):
    """As the package has it, but that some channels keep nothing."""

    def is_channel_reliable(self, channel: str) -> bool:
        return not channel.startswith("brief-")


@csrf_exempt
def send(request: HttpRequest) -> HttpResponse:
    send_event(*json.loads(request.body)["args"], **json.loads(request.body)["kwargs"])
    return HttpResponse("sent")
