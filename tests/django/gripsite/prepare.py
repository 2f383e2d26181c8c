"""Makes the database in SITE_VAR: the tables, and two users."""

import os

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gripsite.settings")
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth.models import User  # noqa: E402  (models need the set-up above)

for name in ("anna", "ben"):
    User.objects.create_user(name)
