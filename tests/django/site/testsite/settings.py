"""Settings of the site under test: an ordinary Django site, with what a team behind a proxy turns on."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
# The database, the journal, the gates and the scripted answers of one run: see testsite/backstage.py.
VAR_DIR = Path(os.environ["SITE_VAR"])

SECRET_KEY = "only the tests use this site"
# The gateway decides which hosts exist; a request that it let through wrongly must be seen here.
ALLOWED_HOSTS = ["*"]
# What makes a forged X-Forwarded-Proto dangerous, and so worth a test.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "testsite.backstage.journal_middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
# A site below a prefix that the gateway takes off, and one that says itself what browsers may do.
FORCE_SCRIPT_NAME = os.environ.get("SITE_SCRIPT_NAME")
if os.environ.get("SITE_SECURITY"):
    MIDDLEWARE.insert(0, "django.middleware.security.SecurityMiddleware")
ROOT_URLCONF = "testsite.urls"
WSGI_APPLICATION = "testsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Quick on purpose: the tests log in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Collected by the tests that need it, as a deployment does; served by the gateway alone.
STATIC_URL = "/static/"
STATIC_ROOT = Path(os.environ.get("SITE_STATIC", VAR_DIR / "static"))
STATICFILES_DIRS = [BASE_DIR / "assets"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "page"
USE_TZ = True
# What the gateway signs by when it tells who comes and goes.
NOTIFY_SECRET = "whsec_b25seSB0aGUgdGVzdHMgdXNlIHRoaXMgc2VjcmV0"
