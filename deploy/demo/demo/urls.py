from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.generic import RedirectView

from board import views

# A page's stream is always at events/ below the page. Only that of the notes is a view, the ask;
# gateway.toml opens the others without a word to Django.
urlpatterns = [
    path("", RedirectView.as_view(url="/rooms/lobby/")),
    path("rooms/<slug:room>/", views.room, name="room"),
    path("list/", views.items, name="items"),
    path("list/items/", views.items_json),
    path("list/<int:pk>/toggle/", views.item_toggle),
    path("list/<int:pk>/delete/", views.item_delete),
    path("files/", views.files, name="files"),
    path("files/items/", views.files_json),
    path("notes/", views.notes, name="notes"),
    path("notes/items/", views.notes_json),
    path("notes/events/", views.note_events),
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/<uuid:pk>/", views.job, name="job"),
    path(
        "login/",
        LoginView.as_view(
            template_name="board/login.html", extra_context={"demo_users": settings.DEMO_USERS}
        ),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
