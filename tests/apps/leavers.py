"""Streams and uploads for clients that leave half-way, and a place for threads to meet."""

import os
import threading

from common import App, text

app = App()
PLAIN = [("Content-Type", "application/octet-stream")]
meeting = threading.Barrier(int(os.environ.get("MEET", "1")))
MIB = b"m" * (1 << 20)


@app.route("/stream")
def stream(environ, start_response):
    """Much more than anybody reads, in pieces that have to wait."""
    start_response("200 OK", PLAIN)
    return (MIB for _ in range(1000))


@app.route("/drops")
def drops(environ, start_response):
    """The same in small pieces."""
    start_response("200 OK", PLAIN)
    return (MIB[:1000] for _ in range(100_000))


@app.route("/file")
def file(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](open(os.environ["LARGE"], "rb"))


@app.route("/upload")
def upload(environ, start_response):
    """Reads, and answers with more than that, so that both directions are under way."""
    start_response("200 OK", PLAIN)
    for block in iter(lambda: environ["wsgi.input"].read(65536), b""):
        yield block + MIB[:100_000]


@app.route("/unread")
def unread(environ, start_response):
    return text(start_response, "not read")


@app.route("/meet")
def meet(environ, start_response):
    """Answers once as many requests run as there are threads."""
    meeting.wait(30)
    return text(start_response, "met")
