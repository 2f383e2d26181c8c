"""Settings of a project that publishes through Redis: with django-sse, by hand for DRF, and with django-eventstream.

Nothing here knows of the gateway.
"""

import os
from pathlib import Path

VAR_DIR = Path(os.environ["SITE_VAR"])
REDIS_PORT = int(os.environ["REDIS_PORT"])

SECRET_KEY = "only the tests use this site"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "django_eventstream",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "redissite.urls"
WSGI_APPLICATION = "redissite.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = True

# django-sse; the names are spelled so.
REDIS_SSEQUEUE_CONNECTION_SETTINGS = {"location": f"127.0.0.1:{REDIS_PORT}", "db": 0}
REDIS_SSEQUEUE_CHANEL_NAME = "sse"

# django-eventstream: between processes by Redis, and its own storage, in which events have numbers.
EVENTSTREAM_REDIS = {"host": "127.0.0.1", "port": REDIS_PORT, "db": 0}
EVENTSTREAM_STORAGE_CLASS = "django_eventstream.storage.RedisStorage"
EVENTSTREAM_STORAGE_CONNECTION = EVENTSTREAM_REDIS
EVENTSTREAM_CHANNELMANAGER_CLASS = "redissite.eventstream.ChannelManager"
