"""Reads wsgi.input in the ways that a request asks for."""

import base64
import hashlib
import json
from wsgiref.validate import validator

from common import App, answer_json, mark, text, wait_gate

app = App()


def encode(value):
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return base64.b64encode(value).decode()


@app.route("/ops")
def ops(environ, start_response):
    """X-Ops holds a list like [["read", 5], ["readline"], ["next"]]; answers with the results."""
    source, results = environ["wsgi.input"], []
    for name, *args in json.loads(environ["HTTP_X_OPS"]):
        if name == "next":
            value = next(iter(source), b"<end>")
        elif name == "iterate":
            value = list(source)
        else:
            value = getattr(source, name)(*args)
        for item in value if isinstance(value, list) else [value]:
            assert type(item) is bytes, item
        results.append(encode(value))
    return answer_json(start_response, results)


@app.route("/digest")
def digest(environ, start_response):
    """SHA-256 and length of the body, read in pieces of X-Piece bytes, or all at once."""
    piece = int(environ.get("HTTP_X_PIECE", "-1"))
    source, hashed, length = environ["wsgi.input"], hashlib.sha256(), 0
    while True:
        data = source.read(piece) if piece >= 0 else source.read()
        if not data:
            break
        hashed.update(data)
        length += len(data)
    return answer_json(start_response, [length, hashed.hexdigest()])


@app.route("/ignore")
def ignore(environ, start_response):
    return text(start_response, "ignored")


@app.route("/some")
def some(environ, start_response):
    return text(start_response, environ["wsgi.input"].read(5))


@app.route("/late")
def late(environ, start_response):
    mark("started")
    wait_gate("read")
    return text(start_response, environ["wsgi.input"].read())


@app.route("/never")
def never(environ, start_response):
    mark("started")
    wait_gate("answer")
    return text(start_response, "not read")


@app.route("/nothing")
def nothing(environ, start_response):
    """read(0) is no reading: it gives nothing and waits for nothing."""
    first = environ["wsgi.input"].read(0)
    return text(start_response, b"[" + first + b"]")


@app.route("/twice")
def twice(environ, start_response):
    """100 Continue goes out once, however often the app reads."""
    return text(start_response, environ["wsgi.input"].read(2) + environ["wsgi.input"].read())


@app.route("/answer-first")
def answer_first(environ, start_response):
    """Reads only after the first piece of the answer has gone out."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first,"
    yield environ["wsgi.input"].read()


@app.route("/echo-stream")
def echo_stream(environ, start_response):
    """Answers each piece as it comes: full duplex."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for line in environ["wsgi.input"]:
        yield line.upper()


@app.route("/lost")
def lost(environ, start_response):
    """Notes what reading raises when the client leaves amid its body."""
    mark("started")
    try:
        size = len(environ["wsgi.input"].read())
    except BaseException as error:
        mark("raised", " ".join(kind.__name__ for kind in type(error).__mro__))
        try:
            again = environ["wsgi.input"].read(1)
            mark("again", f"returned {again!r}")
        except BaseException as error:
            mark("again", "raised " + " ".join(kind.__name__ for kind in type(error).__mro__))
        raise
    mark("raised", f"nothing, {size} bytes")
    return text(start_response, "unexpected")


def validated(environ, start_response):
    """Only the forms of reading that the validator allows."""
    source = environ["wsgi.input"]
    data = source.readline(1000) + source.read(3) + b"".join(source.readlines()) + source.read(10)
    return answer_json(start_response, [len(data), hashlib.sha256(data).hexdigest()])


checked = validator(validated)
