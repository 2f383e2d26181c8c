"""Files that the gateway serves: pages that name static ones, and a view that says who may see a private one."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.utils.encoding import iri_to_uri


def static_url(request: HttpRequest) -> HttpResponse:
    """The URL that a template would write for `?name=`."""
    return HttpResponse(static(request.GET["name"]), content_type="text/plain")


@login_required
def private(request: HttpRequest, name: str) -> HttpResponse:
    """Leads whoever is logged in to a file that only the gateway can open."""
    response = HttpResponse(headers={"X-Accel-Redirect": iri_to_uri(f"/private/{name}")})
    del response.headers["Content-Type"]
    if "as" in request.GET:
        response.headers["Content-Disposition"] = f'attachment; filename="{request.GET["as"]}"'
    request.session["seen"] = name
    return response
