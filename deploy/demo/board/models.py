import uuid

from django.conf import settings
from django.db import models


class Item(models.Model):
    """A line of the shared list."""

    title = models.CharField(max_length=200)
    done = models.BooleanField(default=False)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return self.title

    def as_data(self):
        return {"pk": self.pk, "title": self.title, "done": self.done}


class Note(models.Model):
    """A notification from one user to another."""

    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes_sent"
    )
    to = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes")
    text = models.CharField(max_length=200)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return self.text

    def as_data(self):
        return {
            "pk": self.pk,
            "sender": self.sender.username,
            "text": self.text,
            "at": self.at.isoformat(),
        }


class Upload(models.Model):
    """A file that somebody put here; the gateway serves it, not Django."""

    file = models.FileField(upload_to="uploads/")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return self.name

    @property
    def name(self):
        return self.file.name.removeprefix("uploads/")

    def as_data(self):
        return {"pk": self.pk, "name": self.name, "url": self.file.url, "size": self.file.size}


class Job(models.Model):
    """A piece of work in ten steps, done by a thread."""

    STEPS = 10

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    step = models.PositiveSmallIntegerField(default=0)
    started = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-started"]

    def __str__(self):
        return f"{self.id}, step {self.step} of {self.STEPS}"

    @property
    def channel(self):
        return f"job-{self.id}"

    @property
    def finished(self):
        return self.step >= self.STEPS

    def as_data(self):
        return {"step": self.step, "steps": self.STEPS}
