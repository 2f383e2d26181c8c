"""What is published, on which channel, and when.

Receivers of signals rather than lines in the views, so a change made in the admin reaches the open
pages as well.
"""

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from tidegate import publish

from .models import Item, Note, Upload


def announce(channel, event, data, **more):
    """Publish once the data is committed: nobody hears of a row that was rolled back.

    With `robust` a gateway that is down costs a logged error, never the request that saved data.
    """
    # No partial() here: Django 5.2 logs a failure by __qualname__, which a partial does not have.
    transaction.on_commit(lambda: publish(channel, event, data, **more), robust=True)


@receiver(post_save, sender=Item)
def item_saved(instance, **kwargs):
    announce("list", "item", instance.as_data())


@receiver(post_delete, sender=Item)
def item_deleted(instance, **kwargs):
    announce("list", "item-gone", instance.as_data())


@receiver(post_save, sender=Note)
def note_saved(instance, created, **kwargs):
    announce(f"user-{instance.to_id}", "note", instance.as_data())


@receiver(post_save, sender=Upload)
def upload_saved(instance, created, **kwargs):
    if created:
        announce("files", "file", instance.as_data())
