"""Publishing through Tidegate. Standard library only: copy this file into your project.

publish("user-42", "message", {"text": "hi"})
publish("job-7", "done", {"ok": True}, close=True)
"""

import json
import os
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

URL = os.environ.get("TIDEGATE_URL", "http://127.0.0.1:9090")  # the gateway's internal listener
TOKEN = os.environ.get("TIDEGATE_TOKEN")
OPENER = build_opener(ProxyHandler({}))  # the gateway is next door: never through an http_proxy


def publish(channel, event, data, **more):
    """Publish one event and return its id and how many streams are on the channel."""
    body = json.dumps({"channel": channel, "event": event, "data": data, **more}).encode()
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    try:
        with OPENER.open(Request(f"{URL}/v1/events", body, headers), timeout=2) as answer:
            return json.load(answer)
    except HTTPError as error:
        error.add_note(error.read().decode())  # which field is wrong, and why
        raise
