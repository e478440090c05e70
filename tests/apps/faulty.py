"""Requests of every kind, and a route that makes the n-th allocation from then on fail.

What is counted here is counted without allocating, since anything but that may fail.
"""

import io
import sys

from common import STATE, query
from cwsgi import _core

OK = [b"ok"]
PLAIN = [("Content-Type", "text/plain")]
FILE = STATE / "content"
FILE.write_bytes(b"x" * 300_000)
BIG = b"b" * 1_000_000
# Bodies that the server was given, and calls of their close().
GIVEN, CLOSED = 0, 1
counts = bytearray(2)
files = []


class Body:
    """A body that counts its close()."""

    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.items)

    def close(self):
        counts[CLOSED] += 1


def give(body):
    counts[GIVEN] += 1
    return body


def has(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"yes" if hasattr(_core, "_fault_arm") else b"no"]


def arm(environ, start_response):
    n = int(query(environ)["n"])
    start_response("200 OK", PLAIN)
    _core._fault_arm(n)
    return OK


def state(environ, start_response):
    """Ends the wait for a failure and says what happened since the last time."""
    left = _core._fault_left()
    _core._fault_arm(0)
    text = f"{left} {counts[GIVEN]} {counts[CLOSED]} {sum(not f.closed for f in files)}"
    counts[:] = b"\0\0"
    files.clear()
    start_response("200 OK", PLAIN)
    return [text.encode()]


def hello(environ, start_response):
    start_response("200 OK", PLAIN)
    return give(Body([b"hello"]))


def one_item(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"hello"]


def read(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", PLAIN)
    return give(Body([body]))


def readline(environ, start_response):
    lines = []
    while line := environ["wsgi.input"].readline():
        lines.append(line)
    start_response("200 OK", PLAIN)
    return give(Body(lines))


def iterate(environ, start_response):
    body = b"".join(environ["wsgi.input"])
    start_response("200 OK", PLAIN)
    return give(Body([body]))


def readinto(environ, start_response):
    buffer = bytearray(100)
    environ["wsgi.input"].readinto(buffer)
    lines = environ["wsgi.input"].readlines()
    start_response("200 OK", PLAIN)
    return give(Body([bytes(buffer), *lines]))


def generator(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"one "
    yield b"two "
    yield b"three"


def write(environ, start_response):
    send = start_response("200 OK", PLAIN)
    send(b"some ")
    send(b"more ")
    return give(Body([b"end"]))


def write_stubborn(environ, start_response):
    """Goes on after a failure, and tries again."""
    while True:
        try:
            send = start_response("200 OK", PLAIN, sys.exc_info())
            break
        except MemoryError:
            pass
    try:
        send(b"some ")
    except MemoryError:
        send(b"some ")
    return give(Body([b"more ", b"end"]))


def file(environ, start_response):
    start_response("200 OK", PLAIN)
    source = open(FILE, "rb")
    wrapper = environ["wsgi.file_wrapper"](source)
    files.append(source)
    return wrapper


def file_like(environ, start_response):
    start_response("200 OK", PLAIN)
    source = io.BytesIO(b"y" * 20_000)
    wrapper = environ["wsgi.file_wrapper"](source)
    files.append(source)
    return wrapper


def bad_header(environ, start_response):
    start_response("200 OK", [("Bad Name", "x")])
    return give(Body([b"never"]))


def bad_status(environ, start_response):
    start_response("no status", PLAIN)
    return give(Body([b"never"]))


def hop_header(environ, start_response):
    start_response("200 OK", [("Keep-Alive", "5"), ("X-A", "b")])
    return give(Body([b"kept"]))


def twice(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        raise ValueError("first")
    except ValueError:
        start_response("503 Service Unavailable", PLAIN, sys.exc_info())
    return give(Body([b"sorry"]))


def twice_too_late(environ, start_response):
    start_response("200 OK", PLAIN)(b"out")
    try:
        raise ValueError("late")
    except ValueError:
        start_response("500 Error", PLAIN, sys.exc_info())
    return give(Body([b"never"]))


def failing(environ, start_response):
    raise ValueError("app went wrong")


def failing_later(environ, start_response):
    start_response("200 OK", PLAIN)

    def items():
        yield b"some"
        raise ValueError("went wrong later")

    return give(Body(items()))


class BadClose(Body):
    def close(self):
        counts[CLOSED] += 1
        raise ValueError("close went wrong")


def bad_close(environ, start_response):
    start_response("200 OK", PLAIN)
    return give(BadClose([b"some"]))


def errors(environ, start_response):
    environ["wsgi.errors"].write("begun, ")
    environ["wsgi.errors"].writelines(["ended\n", "no end"])
    start_response("200 OK", PLAIN)
    return give(Body([b"noted"]))


def big(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", str(len(BIG)))])
    return give(Body([BIG]))


def medium(environ, start_response):
    """More than the socket takes, less than waits for the client."""
    start_response("200 OK", PLAIN)
    return give(Body([BIG[:200_000]]))


ROUTES = {
    "/" + function.__name__.replace("_", "-"): function
    for function in (
        has,
        arm,
        state,
        hello,
        one_item,
        read,
        readline,
        iterate,
        readinto,
        generator,
        write,
        write_stubborn,
        file,
        file_like,
        bad_header,
        bad_status,
        hop_header,
        twice,
        twice_too_late,
        failing,
        failing_later,
        bad_close,
        errors,
        big,
        medium,
    )
}


def app(environ, start_response):
    return ROUTES[environ["PATH_INFO"]](environ, start_response)
