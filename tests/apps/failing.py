"""Apps that go wrong, in every way and at every moment."""

import sys
import threading

from common import App, mark, query, text, wait_gate

app = App()
PLAIN = [("Content-Type", "text/plain")]

EXCEPTIONS = {
    "error": RuntimeError("app went wrong"),
    "exit": SystemExit(5),
    "interrupt": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "unicode": ValueError("caf\xe9 \u20ac \ud800"),
    "memory": MemoryError(),
    "terminal": ValueError("\x1b[2J \x9b2J \x7f \r tab\t caf\xe9\nsecond line"),
    "stop": StopIteration("stop"),
    "os": ConnectionResetError("not about this client"),
}


class Noted:
    """A body that notes its close()."""

    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.items)

    def close(self):
        mark("closed")


def failure(environ):
    return EXCEPTIONS[query(environ).get("with", "error")]


@app.route("/ok")
def ok(environ, start_response):
    return text(start_response, "ok")


@app.route("/raise")
def raises(environ, start_response):
    raise failure(environ)


@app.route("/raise-after-start")
def raises_after_start(environ, start_response):
    start_response("200 OK", PLAIN)
    raise failure(environ)


@app.route("/raise-first-item")
def raises_first(environ, start_response):
    start_response("200 OK", PLAIN)

    def items():
        raise failure(environ)
        yield b""

    return Noted(items())


@app.route("/raise-later")
def raises_later(environ, start_response):
    start_response("200 OK", PLAIN)

    def items():
        yield b"some"
        raise failure(environ)

    return Noted(items())


@app.route("/raise-later-sized")
def raises_later_sized(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "100")])

    def items():
        yield b"some"
        raise failure(environ)

    return Noted(items())


@app.route("/raise-after-write")
def raises_after_write(environ, start_response):
    start_response("200 OK", PLAIN)(b"some")
    raise failure(environ)


class BadIter(Noted):
    def __init__(self):
        super().__init__([])

    def __iter__(self):
        raise RuntimeError("iter went wrong")


class BadClose(Noted):
    def close(self):
        super().close()
        raise RuntimeError("close went wrong")


@app.route("/raise-in-iter")
def raises_in_iter(environ, start_response):
    start_response("200 OK", PLAIN)
    return BadIter()


@app.route("/raise-in-close")
def raises_in_close(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return BadClose([b"some"])


@app.route("/no-start")
def no_start(environ, start_response):
    return Noted([b"body"])


@app.route("/no-start-empty")
def no_start_empty(environ, start_response):
    return Noted([])


RETURNS = {
    "none": None,
    "int": 5,
    "object": object(),
    "str": "text",
    "bytes": b"abc",
    "dict": {b"a": 1},
}


@app.route("/returns")
def returns(environ, start_response):
    start_response("200 OK", PLAIN)
    return RETURNS[query(environ)["what"]]


ITEMS = {
    "str": "text",
    "none": None,
    "int": 5,
    "bytearray": bytearray(b"a"),
    "memoryview": memoryview(b"a"),
    "list": [b"a"],
}


@app.route("/item")
def bad_item(environ, start_response):
    start_response("200 OK", PLAIN)
    return Noted([ITEMS[query(environ)["what"]]])


@app.route("/item-later")
def bad_item_later(environ, start_response):
    start_response("200 OK", PLAIN)
    return Noted([b"some", ITEMS[query(environ)["what"]]])


@app.route("/write-bad")
def write_bad(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(ITEMS[query(environ)["what"]])
    return []


BAD_START = {
    "status-int": (200, PLAIN),
    "status-bytes": (b"200 OK", PLAIN),
    "status-none": (None, PLAIN),
    "status-empty": ("", PLAIN),
    "status-short": ("20", PLAIN),
    "status-word": ("OK", PLAIN),
    "status-letters": ("2x0 OK", PLAIN),
    "status-four": ("2000 OK", PLAIN),
    "status-low": ("099 OK", PLAIN),
    "status-interim": ("100 Continue", PLAIN),
    "status-crlf": ("200 OK\r\nX-Evil: 1", PLAIN),
    "status-lf": ("200 OK\nX-Evil: 1", PLAIN),
    "status-cr": ("200 OK\rX-Evil: 1", PLAIN),
    "status-nul": ("200 OK\0", PLAIN),
    "status-control": ("200 \x07OK", PLAIN),
    "status-wide": ("200 \u20ac", PLAIN),
    "headers-none": ("200 OK", None),
    "headers-int": ("200 OK", 5),
    "header-str": ("200 OK", ["X-A: b"]),
    "header-one": ("200 OK", [("X-A",)]),
    "header-three": ("200 OK", [("X-A", "b", "c")]),
    "header-int": ("200 OK", [5]),
    "name-bytes": ("200 OK", [(b"X-A", "b")]),
    "name-none": ("200 OK", [(None, "b")]),
    "name-empty": ("200 OK", [("", "b")]),
    "name-space": ("200 OK", [("X A", "b")]),
    "name-colon": ("200 OK", [("X-A:", "b")]),
    "name-crlf": ("200 OK", [("X-A\r\nX-Evil", "b")]),
    "name-lf": ("200 OK", [("X-A\n", "b")]),
    "name-nul": ("200 OK", [("X\0A", "b")]),
    "name-latin": ("200 OK", [("X-\xe9", "b")]),
    "name-wide": ("200 OK", [("X-\u20ac", "b")]),
    "name-paren": ("200 OK", [("X(A)", "b")]),
    "value-bytes": ("200 OK", [("X-A", b"b")]),
    "value-int": ("200 OK", [("X-A", 5)]),
    "value-none": ("200 OK", [("X-A", None)]),
    "value-crlf": ("200 OK", [("X-A", "b\r\nX-Evil: 1")]),
    "value-lf": ("200 OK", [("X-A", "b\nX-Evil: 1")]),
    "value-cr": ("200 OK", [("X-A", "b\rX-Evil: 1")]),
    "value-fold": ("200 OK", [("X-A", "b\r\n X-Evil: 1")]),
    "value-nul": ("200 OK", [("X-A", "b\0c")]),
    "value-control": ("200 OK", [("X-A", "b\x1bc")]),
    "value-delete": ("200 OK", [("X-A", "b\x7fc")]),
    "value-wide": ("200 OK", [("X-A", "\u20ac")]),
    "length-word": ("200 OK", [("Content-Length", "five")]),
    "length-negative": ("200 OK", [("Content-Length", "-1")]),
    "length-two": ("200 OK", [("Content-Length", "4"), ("Content-Length", "5")]),
    "no-arguments": (),
    "one-argument": ("200 OK",),
}


@app.route("/bad-start")
def bad_start(environ, start_response):
    start_response(*BAD_START[query(environ)["what"]])
    return [b"body"]


@app.route("/bad-start-caught")
def bad_start_caught(environ, start_response):
    """An app may catch what start_response raised and answer something else."""
    try:
        start_response("200 OK", [("X-A", "b\r\nX-Evil: 1")])
        mark("raised", "nothing")
    except Exception as error:
        mark("raised", type(error).__name__)
    return text(start_response, "recovered", "503 Sorry")


@app.route("/start-twice")
def start_twice(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        start_response("500 Second", PLAIN)
        mark("raised", "nothing")
    except Exception as error:
        mark("raised", " ".join(kind.__name__ for kind in type(error).__mro__))
        raise
    return [b"body"]


@app.route("/start-twice-none")
def start_twice_none(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("500 Second", PLAIN, None)
    return [b"body"]


@app.route("/start-again")
def start_again(environ, start_response):
    """With exc_info and nothing sent: the second call replaces the first."""
    start_response("200 First", [*PLAIN, ("X-First", "1"), ("Content-Length", "100")])
    try:
        raise RuntimeError("handled")
    except RuntimeError:
        start_response("503 Second", [*PLAIN, ("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


@app.route("/start-again-write")
def start_again_write(environ, start_response):
    """The write() of the second call writes to the second answer."""
    start_response("200 First", PLAIN)
    try:
        raise RuntimeError("handled")
    except RuntimeError:
        write = start_response("503 Second", PLAIN, sys.exc_info())
    write(b"written ")
    return [b"replaced"]


def reraised(start_response):
    try:
        raise RuntimeError("too late")
    except RuntimeError as error:
        try:
            start_response("500 Late", PLAIN, sys.exc_info())
            mark("raised", "nothing")
        except BaseException as again:
            mark("raised", f"{type(again).__name__} {again is error}")
            raise


@app.route("/start-late")
def start_late(environ, start_response):
    """With exc_info after the headers went out: the exception is raised again."""
    start_response("200 OK", PLAIN)

    def items():
        yield b"some"
        reraised(start_response)

    return Noted(items())


@app.route("/start-late-write")
def start_late_write(environ, start_response):
    start_response("200 OK", PLAIN)(b"some")
    reraised(start_response)
    return []


@app.route("/start-late-empty")
def start_late_empty(environ, start_response):
    """An empty item does not send the headers: there is still time."""
    start_response("200 OK", PLAIN)

    def items():
        yield b""
        try:
            raise RuntimeError("handled")
        except RuntimeError:
            start_response("503 Second", PLAIN, sys.exc_info())
        yield b"replaced"

    return items()


@app.route("/short")
def short(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "100")])
    return [b"only this"]


@app.route("/short-nothing")
def short_nothing(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "100")])
    return []


@app.route("/over")
def over(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return [b"some and too much"]


@app.route("/over-items")
def over_items(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return Noted([b"so", b"me", b" and", b" too much"])


@app.route("/over-write")
def over_write(environ, start_response):
    write = start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    write(b"some")
    write(b" and too much")
    return []


@app.route("/exit-thread")
def exit_thread(environ, start_response):
    """sys.exit in a thread of the app's own is nothing to the server."""
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()
    return text(start_response, "ok")


@app.route("/gated-raise")
def gated_raise(environ, start_response):
    mark("started")
    wait_gate("raise")
    raise failure(environ)
