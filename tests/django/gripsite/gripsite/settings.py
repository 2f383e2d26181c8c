"""A project with django-eventstream and django-grip, as their READMEs say. Only GRIP_URL tells where the proxy is."""

import os
from pathlib import Path

from gripcontrol import parse_grip_uri

# The database, the journal and the denied channels of one run.
VAR_DIR = Path(os.environ["SITE_VAR"])

SECRET_KEY = "only the tests use this site, and this key is long enough"
ALLOWED_HOSTS = ["site.test", "127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_eventstream",
]
MIDDLEWARE = [
    "gripsite.backstage.journal_middleware",
    "django_grip.GripMiddleware",
    # Present in many projects, and wrong for what is held: the proxy must not ask for it.
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "gripsite.urls"
# Where the proxy takes something off the path.
FORCE_SCRIPT_NAME = os.environ.get("SITE_SCRIPT_NAME")
WSGI_APPLICATION = "gripsite.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

if also := os.environ.get("GRIP_ALSO"):
    # A second proxy. Both are in the list, for django-grip adds GRIP_URL to it with every request.
    GRIP_PROXIES = [parse_grip_uri(os.environ["GRIP_URL"]), parse_grip_uri(also)]
else:
    GRIP_URL = os.environ["GRIP_URL"]
GRIP_PREFIX = os.environ.get("GRIP_PREFIX", "")
EVENTSTREAM_CHANNELMANAGER_CLASS = "gripsite.channels.ChannelManager"
if os.environ.get("GRIP_STORAGE", "yes") == "yes":
    EVENTSTREAM_STORAGE_CLASS = "django_eventstream.storage.DjangoModelStorage"
