"""wsgi.file_wrapper with real files, parts of files and things like files."""

import io
import os
import tempfile

from common import STATE, App, mark, query, text

app = App()
PLAIN = [("Content-Type", "application/octet-stream")]


class Noted:
    """A file-like object that notes its close()."""

    def __init__(self, file):
        self.file = file

    def read(self, size=-1):
        return self.file.read(size)

    def close(self):
        mark("closed", type(self.file).__name__)
        self.file.close()


class NotedFile(io.FileIO):
    """A real file that notes its close(), once."""

    def close(self):
        if not self.closed:
            mark("closed", "NotedFile")
        super().close()


def asked(environ):
    """?name=F&seek=N&length=N&block=N: the file, its headers, the block size."""
    options = query(environ)
    headers = list(PLAIN)
    if "length" in options:
        headers.append(("Content-Length", options["length"]))
    return (
        STATE / options["name"],
        int(options.get("seek", "0")),
        headers,
        int(options.get("block", "8192")),
    )


@app.route("/ok")
def ok(environ, start_response):
    return text(start_response, "ok")


@app.route("/file")
def file(environ, start_response):
    path, seek, headers, block = asked(environ)
    opened = open(path, "rb")
    opened.seek(seek)
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](opened, block)


@app.route("/noted-file")
def noted_file(environ, start_response):
    path, seek, headers, block = asked(environ)
    opened = NotedFile(str(path))
    opened.seek(seek)
    start_response(query(environ).get("status", "200") + " x", headers)
    return environ["wsgi.file_wrapper"](opened)


@app.route("/half-read")
def half_read(environ, start_response):
    """A buffered file has read ahead: its own position counts, not the descriptor's."""
    path, seek, headers, block = asked(environ)
    opened = open(path, "rb")
    opened.read(seek)
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](opened, block)


@app.route("/temporary")
def temporary(environ, start_response):
    """Written and not flushed: what is sent must be what was written."""
    opened = tempfile.TemporaryFile()
    opened.write(b"not flushed yet")
    opened.seek(4)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](opened)


@app.route("/bytesio")
def bytesio(environ, start_response):
    path, seek, headers, block = asked(environ)
    source = io.BytesIO(path.read_bytes())
    source.seek(seek)
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](
        Noted(source) if "noted" in query(environ) else source, block
    )


@app.route("/no-close")
def no_close(environ, start_response):
    """Only read() is needed; fileno() and close() are extras."""

    class Reader:
        data = [b"only ", b"read"]

        def read(self, size):
            return self.data.pop(0) if self.data else b""

    reader = Reader()
    reader.data = list(Reader.data)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](reader, 5)


@app.route("/pipe")
def pipe(environ, start_response):
    """A descriptor that sendfile cannot read from."""
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"))


@app.route("/fileno-lies")
def fileno_lies(environ, start_response):
    """fileno() that is not one: read() is used."""

    class Odd(io.BytesIO):
        def fileno(self):
            raise io.UnsupportedOperation("fileno")

    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](Odd(b"no descriptor"))


@app.route("/raises")
def raises(environ, start_response):
    class Broken(Noted):
        def read(self, size=-1):
            raise RuntimeError("read went wrong")

    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](Broken(io.BytesIO(b"")))


@app.route("/iterated")
def iterated(environ, start_response):
    """A wrapper is an iterable like others: middleware may go through it."""
    path, seek, headers, block = asked(environ)
    wrapper = environ["wsgi.file_wrapper"](open(path, "rb"), block)
    start_response("200 OK", headers)
    return (piece.upper() for piece in wrapper)


@app.route("/after-write")
def after_write(environ, start_response):
    path, seek, headers, block = asked(environ)
    start_response("200 OK", headers)(b"written,")
    return environ["wsgi.file_wrapper"](open(path, "rb"))


@app.route("/shrinks")
def shrinks(environ, start_response):
    """The file gets shorter than its Content-Length says."""
    path, seek, headers, block = asked(environ)
    start_response("200 OK", headers)
    opened = open(path, "rb")
    os.truncate(path, 10)
    return environ["wsgi.file_wrapper"](opened)
