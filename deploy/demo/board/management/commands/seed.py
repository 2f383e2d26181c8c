from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from board.models import Item


class Command(BaseCommand):
    help = "Make the two users and a first list, where they are missing; print the logins."

    def handle(self, **options):
        User = get_user_model()
        for name, password in settings.DEMO_USERS.items():
            if not User.objects.filter(username=name).exists():
                # Both may use the admin: it is one of the things to try.
                User.objects.create_superuser(name, password=password)
            self.stdout.write(f"{name} / {password}")
        if not Item.objects.exists():
            # bulk_create sends no signals: nothing is published, for the gateway is not up yet.
            Item.objects.bulk_create(
                Item(title=title) for title in ["Open this page twice", "Tick something off"]
            )
