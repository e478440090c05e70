"""Handlers for peers that are slow or leave."""

from common import App, mark, text, wait_gate
from cwsgi import ClientDisconnected

app = App()
PLAIN = [("Content-Type", "text/plain")]


@app.route("/")
def quick(environ, start_response):
    return text(start_response, "quick")


@app.route("/upload")
def upload(environ, start_response):
    return text(start_response, str(len(environ["wsgi.input"].read())))


@app.route("/why")
def why(environ, start_response):
    """What reading the body raised, as the answer."""
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        return text(start_response, f"{type(error).__name__}: {error}")
    return text(start_response, "nothing")


@app.route("/medium")
def medium(environ, start_response):
    """More than a small socket buffer takes, less than the server keeps for its loop."""
    return text(start_response, "m" * 200_000)


class Endless:
    def __iter__(self):
        return self

    def __next__(self):
        return b"x" * 65536

    def close(self):
        mark("endless closed")


@app.route("/endless")
def endless(environ, start_response):
    start_response("200 OK", PLAIN)
    return Endless()


@app.route("/endless-write")
def endless_write(environ, start_response):
    write = start_response("200 OK", PLAIN)
    try:
        while True:
            write(b"x" * 65536)
    except ClientDisconnected as error:
        mark("write raised", f"{type(error).__name__} {isinstance(error, OSError)}")
        raise


@app.route("/wait")
def wait(environ, start_response):
    mark("waiting")
    wait_gate("wait")
    return text(start_response, "waited")
