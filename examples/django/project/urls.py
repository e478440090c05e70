"""The example's pages: a visit counter kept in the session, and the admin."""

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path


def index(request):
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(f'<p>Visit {visits}. <a href="/admin/">The admin</a>\n')


urlpatterns = [
    path("", index),
    path("admin/", admin.site.urls),
]
