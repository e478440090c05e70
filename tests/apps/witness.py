"""Notes each request that is run: one line as it begins, one more once its body was read."""

import itertools
import json
import os

from common import STATE

KEPT = ("CONTENT_TYPE", "CONTENT_LENGTH")
numbers = itertools.count()
notes = os.open(STATE / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(number, **what):
    os.write(notes, json.dumps({"number": number, **what}).encode() + b"\n")


def app(environ, start_response):
    number = next(numbers)
    fields = {k: v for k, v in environ.items() if k.startswith("HTTP_") or k in KEPT}
    note(
        number,
        method=environ["REQUEST_METHOD"],
        target=environ["RAW_URI"],
        version=environ["SERVER_PROTOCOL"],
        fields=fields,
    )
    body = environ["wsgi.input"].read()
    note(number, body=body.decode("latin-1"))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
