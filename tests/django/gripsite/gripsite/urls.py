import django_eventstream
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.page),
    path("as/<slug:name>/", views.log_in),
    path("out/", views.log_out),
    path("events/", include(django_eventstream.urls)),
    path("rooms/<str:room>/events/", include(django_eventstream.urls), {"format-channels": ["{room}"]}),
    path("send/", views.send),
    path("many/", views.many),
    path("kick/", views.kick),
    path("forget/", views.forget),
    path("current/", views.current),
    path("grip/stream/", views.held_stream),
    path("grip/poll/", views.held_poll),
    path("grip/unchanged/", views.unchanged),
    path("grip/instruct/<str:mode>/", views.instructed),
    path("grip/publish/", views.published),
    path("grip/reliable/", views.reliable),
    path("grip/is-proxied/", views.is_proxied),
]
