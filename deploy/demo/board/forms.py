from django import forms
from django.contrib.auth import get_user_model

from .models import Item, Note, Upload


class SayForm(forms.Form):
    text = forms.CharField(max_length=200)


class ItemForm(forms.ModelForm):
    class Meta:
        model = Item
        fields = ["title"]


class UploadForm(forms.ModelForm):
    class Meta:
        model = Upload
        fields = ["file"]


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["to", "text"]

    def __init__(self, *args, sender, **kwargs):
        super().__init__(*args, **kwargs)
        self.instance.sender = sender
        self.fields["to"].queryset = get_user_model().objects.exclude(pk=sender.pk)
        self.fields["to"].empty_label = None
