from django.contrib import admin

from .models import Item, Job, Note, Upload


@admin.register(Item)
class ItemAdmin(admin.ModelAdmin):
    list_display = ["title", "done"]
    list_editable = ["done"]


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ["text", "sender", "to", "at"]


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    list_display = ["id", "step", "started"]


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):
    list_display = ["name", "at"]
