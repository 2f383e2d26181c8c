"""The pages.

A form is sent by fetch() and answered with 204: what it changed comes back as an event, to this
page as to all others.
"""

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from . import jobs as work
from .events import announce
from .forms import ItemForm, NoteForm, SayForm, UploadForm
from .models import Item, Job, Upload


def answer(form):
    """Save the form, or say what is wrong with it."""
    if not form.is_valid():
        return JsonResponse(form.errors, status=422)
    form.save()
    return HttpResponse(status=204)


def data_of(rows):
    return [row.as_data() for row in rows]


# -- Room: open to all, nothing is stored ------------------------------------------------


def room(request, room):
    if request.method != "POST":
        return render(request, "board/room.html", {"room": room})
    form = SayForm(request.POST)
    if not form.is_valid():
        return JsonResponse(form.errors, status=422)
    who = request.user.username or "somebody"
    announce(f"room-{room}", "say", {"who": who, "text": form.cleaned_data["text"]})
    return HttpResponse(status=204)


# -- List: shared by all, kept in the database -------------------------------------------


def items(request):
    if request.method == "POST":
        return answer(ItemForm(request.POST))
    context = {"rows": data_of(Item.objects.all()), "form": ItemForm()}
    return render(request, "board/list.html", context)


@require_safe
def items_json(request):
    """The whole list again, for a page that was told to reset."""
    return JsonResponse({"rows": data_of(Item.objects.all())})


@require_POST
def item_toggle(request, pk):
    item = get_object_or_404(Item, pk=pk)
    item.done = not item.done
    item.save()
    return HttpResponse(status=204)


@require_POST
def item_delete(request, pk):
    get_object_or_404(Item, pk=pk).delete()
    return HttpResponse(status=204)


# -- Files: stored by Django, served by the gateway ---------------------------------------


def files(request):
    if request.method == "POST":
        return answer(UploadForm(request.POST, request.FILES))
    context = {"rows": data_of(Upload.objects.all()[:20]), "form": UploadForm()}
    return render(request, "board/files.html", context)


@require_safe
def files_json(request):
    return JsonResponse({"rows": data_of(Upload.objects.all()[:20])})


# -- Notes: each user hears his own -------------------------------------------------------


def latest_notes(user):
    return data_of(user.notes.select_related("sender")[:20])


@login_required
def notes(request):
    if request.method == "POST":
        return answer(NoteForm(request.POST, sender=request.user))
    context = {"rows": latest_notes(request.user), "form": NoteForm(sender=request.user)}
    return render(request, "board/notes.html", context)


@require_safe
@login_required
def notes_json(request):
    return JsonResponse({"rows": latest_notes(request.user)})


@login_required
def note_events(request):
    """The ask: the gateway wants to know who may listen to what, and holds the stream itself."""
    pk = request.user.pk
    return HttpResponse(headers={"SSE-Channel": f"user-{pk}", "SSE-User": str(pk)})


# -- Job: ten steps, then the stream ends -------------------------------------------------


def jobs(request):
    if request.method != "POST":
        return render(request, "board/job.html", {"recent": Job.objects.all()[:5]})
    job = Job.objects.create()
    transaction.on_commit(lambda: work.start(job))
    return redirect("job", pk=job.pk)


@require_safe
def job(request, pk):
    return render(request, "board/job.html", {"job": get_object_or_404(Job, pk=pk)})
