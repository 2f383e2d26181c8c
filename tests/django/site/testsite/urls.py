from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path

from . import files, listening, presence, streaming, views

# Three routes of the gateway lead here: one passes through, two record.
STREAMING = [
    path("generator/<slug:name>/", streaming.generator),
    path("joined/<slug:name>/", streaming.JoinedTicks.as_view()),
    path("streamed/<slug:name>/", streaming.StreamedTicks.as_view()),
    path("async/<slug:name>/", streaming.async_generator),
    path("cut/<slug:name>/", streaming.cut),
    path("answer/<slug:name>/", streaming.answer),
]
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
    re_path(r"^(?:recorded|shared)/(?P<name>[\w-]+)/$", views.answers),
    path("dies/<str:how>/", views.dies),
    path("publish/", views.publish),
    path("announce/", views.announce),
    path("live/", views.live),
    path("static-url/", files.static_url),
    path("report/<path:name>", files.private),
    # Three routes of the gateway lead here, one for each `backend_down`; "asked" is not an ask but a page.
    re_path(r"^ask(?:-retry|-fail|ed)?/(?P<name>[\w-]+)/$", views.ask),
    path("me/events/", views.my_events),
    path("logout/", LogoutView.as_view(next_page="page"), name="logout"),
    path("tokens/", listening.tokens),
    path("mine/", listening.mine),
    path("session/cycle/", listening.cycle_key),
    path("session/save/", listening.save),
    re_path(r"^copy/(?P<rest>.*)$", listening.copied_channel),
    path("whispered/<slug:name>/", listening.whispered),
    path("session/events/", listening.session_events),
    *(path(f"{route}/", include(STREAMING)) for route in ("passed", "per-user", "per-all")),
    path("sse/notify/", presence.notified),
    path("sse/notify-by-hand/", presence.notified_by_hand),
]
