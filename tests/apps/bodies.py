"""Bodies with a length, without one, of files and not; what a client's absence does."""

import gzip
import io

from common import App, mark, text

app = App()
PLAIN = [("Content-Type", "text/plain")]


class Counted:
    """Yields for ever and says when it is closed, and after how many items."""

    def __init__(self, item):
        self.item, self.count = item, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        return self.item

    def close(self):
        mark("closed", self.count)


@app.route("/endless")
def endless(environ, start_response):
    """More than its Content-Length, for ever."""
    start_response("200 OK", [*PLAIN, ("Content-Length", environ["QUERY_STRING"])])
    return Counted(b"x" * 10)


@app.route("/nothing")
def nothing(environ, start_response):
    """Nothing, for ever: an event stream without an event."""
    start_response("200 OK", PLAIN)
    mark("begun")
    return Counted(b"")


@app.route("/gzip")
def packed(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BufferedReader(gzip.open(environ["QUERY_STRING"])))


@app.route("/file")
def file(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))


@app.route("/upgrade")
def upgrade(environ, start_response):
    """426 says what to upgrade to; elsewhere the field is the server's."""
    status = environ["QUERY_STRING"].replace("+", " ")
    return text(start_response, "upgrade", status=status, headers=[("Upgrade", "h9")])


@app.route("/echo")
def echo(environ, start_response):
    parts = (
        environ.get("CONTENT_LENGTH", "none"),
        environ.get("HTTP_TRANSFER_ENCODING", "none"),
        environ["wsgi.input"].read().decode(),
    )
    return text(start_response, " ".join(parts))


@app.route("/piecewise")
def piecewise(environ, start_response):
    """Answers each piece of a body as it comes."""
    start_response("200 OK", PLAIN)
    for line in environ["wsgi.input"]:
        yield line.upper()


@app.route("/unread")
def unread(environ, start_response):
    return text(start_response, "unread")


@app.route("/environ-socket")
def environ_socket(environ, start_response):
    """Looking at the environ takes nothing over."""
    socket = environ.get("gunicorn.socket")
    return text(start_response, f"{socket is not None} {str(socket)[:12]} {dict(environ) != {}}")


@app.route("/raw-upgrade")
def raw_upgrade(environ, start_response):
    """Another protocol, by hand: every line comes back in capitals."""
    try:
        sock = environ["gunicorn.socket"].dup()
    except OSError as error:
        return text(start_response, f"{type(error).__name__}", status="409 Conflict")
    with sock:
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: caps\r\nConnection: upgrade\r\n\r\n"
        )
        with sock.makefile("rb") as lines:
            for line in lines:
                sock.sendall(line.upper())
    raise StopIteration
