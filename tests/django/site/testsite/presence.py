"""The views that the gateway tells who comes and who goes: one with a package that verifies the signature, one without."""

import base64
import hashlib
import hmac
import json
import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks import Webhook, WebhookVerificationError

from . import backstage


@csrf_exempt
@require_POST
def notified(request: HttpRequest) -> HttpResponse:
    try:
        told = Webhook(settings.NOTIFY_SECRET).verify(request.body, request.headers)
    except WebhookVerificationError:
        return HttpResponse(status=403)
    note(request, told)
    return HttpResponse(status=204)


def verified(request: HttpRequest, secret: str) -> bool:
    """As docs/presence.md has it."""
    ident, sent = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.digest(key, f"{ident}.{sent}.".encode() + request.body, hashlib.sha256)
    expected = "v1," + base64.b64encode(signature).decode()
    given = request.headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


@csrf_exempt
@require_POST
def notified_by_hand(request: HttpRequest) -> HttpResponse:
    if not verified(request, settings.NOTIFY_SECRET):
        return HttpResponse(status=403)
    note(request, json.loads(request.body))
    return HttpResponse(status=204)


def note(request: HttpRequest, told: dict[str, object]) -> None:
    """What was believed, for the tests to look at."""
    backstage.note(path=f"believed {request.path}", told=told, secure=request.is_secure(), host=request.get_host())
