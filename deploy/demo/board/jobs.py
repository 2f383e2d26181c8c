"""Long work outside of the request: here a thread, which ends when its gunicorn worker does.

A site that needs more hands the work to a task queue. The way to the page stays the same: whatever
process does the work calls publish().
"""

import threading
import time

from django.db import connection

from .events import announce
from .models import Job

PAUSE_SECONDS = 0.7


def start(job):
    threading.Thread(target=run, args=[job], daemon=True).start()


def run(job):
    try:
        for step in range(1, Job.STEPS + 1):
            time.sleep(PAUSE_SECONDS)  # the work
            job.step = step
            job.save(update_fields=["step"])
            # The last event closes the channel: its streams end, and a browser that comes back
            # is told by a 204 that there is no more.
            announce(
                job.channel,
                "done" if job.finished else "step",
                job.as_data(),
                close=job.finished,
            )
    finally:
        connection.close()  # each thread has a connection of its own
