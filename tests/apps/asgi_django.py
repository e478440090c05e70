"""A Django project in one file: async and plain views, the database, a stream, an upload."""

import asyncio
import hashlib
import threading

import django
from asgiref.sync import async_to_sync, sync_to_async
from common import STATE, mark
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection, models, transaction
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": STATE / "database.sqlite3"}
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    FILE_UPLOAD_TEMP_DIR=str(STATE),
    LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="tests only",
    USE_TZ=True,
)
django.setup()


class Note(models.Model):
    text = models.CharField(max_length=100)

    class Meta:
        app_label = "notes"


with connection.schema_editor() as editor:
    editor.create_model(Note)


async def note(request):
    """Makes one, and counts them: the database's calls run in a thread."""
    await Note.objects.acreate(text=request.GET["text"])
    texts = [one.text async for one in Note.objects.filter(text=request.GET["text"])]
    return JsonResponse({"texts": texts})


def plain(request):
    """A view of the old kind, in a transaction; Django runs it in a thread."""
    with transaction.atomic():
        Note.objects.create(text="plain")
    main = threading.current_thread() is threading.main_thread()
    return JsonResponse({"main": main, "is there": Note.objects.filter(text="plain").exists()})


async def crossing(request):
    """From the loop into a thread, and back into the loop."""

    async def inner():
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()

    return JsonResponse({"main": await sync_to_async(lambda: async_to_sync(inner)())()})


async def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    return JsonResponse({"size": file.size, "sha256": digest.hexdigest()})


async def stream(request):
    async def pieces():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def waiting(request):
    """Django cancels a view whose client leaves."""
    mark("waiting", "begin")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        mark("waiting", "cancelled")
        raise
    return HttpResponse("never")


def file(request):
    return FileResponse(open(STATE / "served.bin", "rb"))


async def raises(request):
    raise ValueError("deliberate")


views = (note, plain, crossing, upload, stream, waiting, file, raises)
urlpatterns = [path(view.__name__, view) for view in views]
app = get_asgi_application()
