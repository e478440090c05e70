"""Apps that tell what they were asked, for requests of --warmup."""

import json
import sys
from wsgiref.validate import validator

from common import mark

WANTED = "SCRIPT_NAME PATH_INFO QUERY_STRING RAW_URI REQUEST_METHOD HTTP_HOST REMOTE_ADDR"


class Recorder:
    """Notes each environ under its own name, and whether what it returned was closed."""

    def __init__(self, name):
        self.name = name

    def __call__(self, environ, start_response):
        assert environ["wsgi.input"].read() == b""
        mark(self.name, json.dumps({key: environ[key] for key in WANTED.split()}))
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"first")
        return self

    def __iter__(self):
        yield b"second"

    def close(self):
        mark("closed", self.name)


main, outer, inner = Recorder("main"), Recorder("outer"), Recorder("inner")
checked = validator(lambda environ, start_response: answer(start_response, "404 Not Found"))


def answer(start_response, status):
    start_response(status, [("Content-Type", "text/plain")])
    return [b"x" * 100_000]


def file(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


def hinted(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("204 No Content", [])
    return []


def torn(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    yield b"a"
    raise OSError("torn")


def short(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    return [b"a"]


def early(environ, start_response):
    return [b"x"]


def late_error(environ, start_response):
    start_response("200 OK", [])
    try:
        raise ValueError("early")
    except ValueError:
        start_response("500 Oops", [], sys.exc_info())
    return []


def after(environ, start_response):
    import cwsgi

    cwsgi.after_response(mark, "after")
    return answer(start_response, "200 OK")
