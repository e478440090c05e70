"""A mix of routes for the leak check, and counts of what the interpreter holds."""

import gc
import io
import sys

import hello as hello_app
from common import App, answer_json, text

app = App()
PLAIN = [("Content-Type", "text/plain")]
# Objects that a careless server would forget to release, or release too often.
SENTINELS = {
    "None": None,
    "True": True,
    "empty bytes": b"",
    "empty str": "",
    "dict": dict,
    "zero": 0,
    "wsgi.input": sys.intern("wsgi.input"),
    "REQUEST_METHOD": sys.intern("REQUEST_METHOD"),
    "GET": sys.intern("GET"),
}


class Body:
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def close(self):
        pass


@app.route("/hello")
def hello(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "5")])
    return [b"hello"]


@app.route("/last")
def last(environ, start_response):
    return text(start_response, "last answer")


@app.route("/stream")
def stream(environ, start_response):
    start_response("200 OK", PLAIN)
    return Body([b"a" * 10, b"", b"b" * 20])


@app.route("/generator")
def generator(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"one"
    yield b"two"


@app.route("/echo")
def echo(environ, start_response):
    source = environ["wsgi.input"]
    data = source.readline() + source.read(3) + b"".join(source) + source.read()
    return text(start_response, data)


@app.route("/write")
def write(environ, start_response):
    start_response("200 OK", PLAIN)(b"written")
    return ()


@app.route("/again")
def again(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        raise RuntimeError("handled")
    except RuntimeError:
        start_response("503 Sorry", PLAIN, sys.exc_info())
    return [b"again"]


@app.route("/file")
def file(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 100), 30)


@app.route("/real-file")
def real_file(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](open(hello_app.__file__, "rb"))


@app.route("/cycle")
def cycle(environ, start_response):
    """environ and start_response in a reference cycle: only the collector ends it."""
    environ["test.self"] = [environ, start_response]
    return text(start_response, "cycle")


@app.route("/raise")
def raises(environ, start_response):
    raise RuntimeError("leak check")


@app.route("/bad-header")
def bad_header(environ, start_response):
    start_response("200 OK", [("X-A", "a\r\nb")])
    return []


@app.route("/stats")
def stats(environ, start_response):
    gc.collect()
    counts = {name: sys.getrefcount(value) for name, value in SENTINELS.items()}
    kinds = [type(environ["wsgi.input"]), type(environ["wsgi.errors"]), type(start_response)]
    counts.update({f"type {kind.__name__}": sys.getrefcount(kind) for kind in kinds})
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    return answer_json(start_response, {"refs": counts, "objects": objects, "blocks": blocks})
