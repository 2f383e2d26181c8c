from django.contrib.auth.views import LoginView
from django.urls import path, re_path

from . import presence, views

urlpatterns = [
    path("", views.page, name="page"),
    path("login/", LoginView.as_view(), name="login"),
    path("admin/echo/", views.echo),
    re_path(r"^echo/", views.echo),
    path("slow/<int:ms>/", views.slow),
    path("gate/<slug:name>/", views.gate),
    path("status/<int:status>/", views.status),
    path("upload/", views.upload),
    path("download/<int:size>/", views.download),
    path("stream/<slug:name>/", views.stream),
    path("dies/<str:how>/", views.dies),
    path("publish/", views.publish),
    path("announce/", views.announce),
    path("live/", views.live),
    # Three routes of the gateway lead here, one for each `backend_down`; "asked" is not an ask but a page.
    re_path(r"^ask(?:-retry|-fail|ed)?/(?P<name>[\w-]+)/$", views.ask),
    path("me/events/", views.my_events),
    path("sse/notify/", presence.notified),
    path("sse/notify-by-hand/", presence.notified_by_hand),
]
