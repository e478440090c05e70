"""Answers with the environ it got, as JSON: name -> [type, value]."""

import io
from wsgiref.validate import validator

from common import App, answer_json, text

plain = App()
seen = []


def describe(value):
    simple = isinstance(value, (str, bool, int, tuple))
    return [type(value).__name__, value if simple else repr(value)]


def dump(environ, start_response):
    return answer_json(start_response, {key: describe(value) for key, value in environ.items()})


def app(environ, start_response):
    return plain.routes.get(environ["PATH_INFO"], dump)(environ, start_response)


@plain.route("/fresh")
def fresh(environ, start_response):
    """What was put into the last request's environ must not show up in this one."""
    stale = environ.get("test.stale") or environ.get("HTTP_STALE")
    same = bool(seen) and seen[-1] is environ
    seen.append(environ)
    environ["test.stale"] = environ["HTTP_STALE"] = "yes"
    environ["REQUEST_METHOD"] = "CHANGED"
    del environ["SERVER_PROTOCOL"]
    return answer_json(start_response, {"stale": stale, "same": same})


@plain.route("/objects")
def objects(environ, start_response):
    source, errors = environ["wsgi.input"], environ["wsgi.errors"]
    wrapped = environ["wsgi.file_wrapper"](io.BytesIO(b"abc"), 2)
    return answer_json(
        start_response,
        {
            "environ": type(environ) is dict,
            "keys": all(type(key) is str for key in environ),
            "input": [
                hasattr(source, name) for name in ("read", "readline", "readlines", "__iter__")
            ],
            "errors": [hasattr(errors, name) for name in ("write", "writelines", "flush")],
            "wrapped": b"".join(wrapped).decode(),
        },
    )


@plain.route("/interned")
def interned(environ, start_response):
    """Values kept from one request stay what they were when the next one comes."""
    kept = seen[-1] if seen and isinstance(seen[-1], str) else None
    seen.append(environ["QUERY_STRING"])
    return text(start_response, str(kept))


checked = validator(dump)
