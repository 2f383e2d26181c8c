from django.contrib.auth.views import LoginView
from django.urls import path, re_path

from . import views

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
    path("live/", views.live),
    # Three routes of the gateway lead here, one for each `backend_down`; "asked" is not an ask but a page.
    re_path(r"^ask(?:-retry|-fail|ed)?/(?P<name>[\w-]+)/$", views.ask),
    path("me/events/", views.my_events),
]
