from django.urls import path

from . import eventstream, notifications, queues

urlpatterns = [
    path("", queues.home),
    # django-sse: the stream of a channel, and who publishes on it.
    path("sse/<slug:channel>/", queues.Queue.as_view()),
    path("send/", queues.send),
    # DRF: the stream of a user's notifications, one for the staff alone, and who notifies.
    path("api/notifications/", notifications.Notifications.as_view()),
    path("api/staff/", notifications.Staff.as_view()),
    path("notify/", notifications.notify),
    # django-eventstream.
    path("eventstream/send/", eventstream.send),
]
