"""A project with DRF: users are notified through one channel of Redis, on which each message names its recipient."""

import json

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

connection = redis.Redis(port=settings.REDIS_PORT)


class Notifications(APIView):
    """Who may listen, and to what. Renderers are those of DRF's defaults; none of them is for event streams."""

    authentication_classes = [BasicAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response(headers={"SSE-Channel": f"user-{request.user.pk}", "SSE-User": str(request.user.pk)})


class Staff(Notifications):
    permission_classes = [IsAdminUser]


@csrf_exempt
def notify(request: HttpRequest) -> HttpResponse:
    receivers = connection.publish("push-notifications", request.body)
    return HttpResponse(json.dumps(receivers))
