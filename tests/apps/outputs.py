"""Answers in every form that PEP 3333 allows."""

import time
from wsgiref.validate import validator

from common import App, answer_json, mark, query, text, wait_gate

app = App()
PLAIN = [("Content-Type", "text/plain")]


class Body:
    """An iterable that notes how often it is closed, and where it stood then."""

    def __init__(self, items, name="closed", fail=None):
        self.items, self.name, self.fail, self.at = items, name, fail, 0

    def __iter__(self):
        for item in self.items:
            yield item
            self.at += 1
        if self.fail:
            raise self.fail

    def close(self):
        mark(self.name, str(self.at))


@app.route("/one")
def one(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"one item"]


@app.route("/many")
def many(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"first ", b"second ", b"third"]


@app.route("/tuple")
def in_tuple(environ, start_response):
    start_response("200 OK", PLAIN)
    return (b"one item",)


@app.route("/sized")
def sized(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "11")])
    return [b"hello ", b"", b"world"]


@app.route("/generator")
def generator(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"first "
    yield b"second"


@app.route("/late-start")
def late_start(environ, start_response):
    """start_response is called only when the first item is asked for."""

    def items():
        start_response("200 OK", PLAIN)
        yield b"late"

    return items()


@app.route("/empty-list")
def empty_list(environ, start_response):
    start_response("200 OK", PLAIN)
    return []


@app.route("/empty-string")
def empty_string(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b""]


@app.route("/empty-strings")
def empty_strings(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"", b"a", b"", b"", b"b", b""]


@app.route("/empty-generator")
def empty_generator(environ, start_response):
    start_response("200 OK", PLAIN)
    return iter(())


@app.route("/write")
def with_write(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"written ")
    write(b"twice")
    return []


@app.route("/write-and-items")
def write_and_items(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"written ")
    write(b"")

    def items():
        write(b"then ")
        yield b"yielded"

    return items()


@app.route("/write-sized")
def write_sized(environ, start_response):
    write = start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
    write(b"abc")
    return [b"def"]


@app.route("/status")
def status(environ, start_response):
    """Any status line: ?204%20None is not decoded, '+' stands for a space."""
    line = environ["QUERY_STRING"].replace("+", " ")
    start_response(line, [] if line[:3] in ("204", "304") else PLAIN)
    return [] if line[:3] in ("204", "304") else [b"body"]


@app.route("/body-where-none-belongs")
def unwanted_body(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), PLAIN)
    return [b"unwanted"]


@app.route("/304-with-length")
def not_modified(environ, start_response):
    start_response("304 Not Modified", [("Content-Length", "1234"), ("ETag", '"a"')])
    return []


@app.route("/headers")
def headers(environ, start_response):
    pairs = [
        *PLAIN,
        ("X-A", "1"),
        ("x-b", ""),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Latin", "caf\xe9"),
        ("X-A", "2"),
        ("X-Tab", "a\tb"),
    ]
    start_response("200 Fine by me", pairs)
    return [b"x"]


@app.route("/own-date")
def own_date(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")])
    return [b"x"]


@app.route("/close-header")
def close_header(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Connection", "close")])
    return [b"last"]


@app.route("/hop-by-hop")
def hop_by_hop(environ, start_response):
    pairs = [
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "trailers"),
        ("Connection", "Keep-Alive"),
        ("X-Kept", "yes"),
    ]
    start_response("200 OK", [*PLAIN, *pairs])
    return [b"hop"]


@app.route("/flush")
def flush(environ, start_response):
    """The second item comes only after another request has opened the gate."""
    start_response("200 OK", PLAIN)
    yield b"first;"
    wait_gate("flush")
    yield b"second;"


@app.route("/flush-write")
def flush_write(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"first;")
    wait_gate("flush")
    return [b"second;"]


@app.route("/flush-sized")
def flush_sized(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "14")])
    yield b"first; "
    wait_gate("flush")
    yield b"second;"


@app.route("/open-gate")
def open_gate(environ, start_response):
    from common import STATE

    (STATE / "gate-flush").touch()
    return text(start_response, "opened")


@app.route("/big")
def big(environ, start_response):
    """?size=N: one item of that size."""
    start_response("200 OK", PLAIN)
    return [pattern(int(query(environ)["size"]))]


@app.route("/stream")
def stream(environ, start_response):
    """?count=N&size=M: N items of M bytes each."""
    asked = query(environ)
    start_response("200 OK", PLAIN)
    return Body(pattern(int(asked["size"])) for _ in range(int(asked["count"])))


def pattern(size):
    return (bytes(range(256)) * (size // 256 + 1))[:size]


@app.route("/closed")
def closed(environ, start_response):
    """A body whose close() is counted."""
    start_response("200 OK", PLAIN)
    return Body([b"a", b"b", b"c"])


@app.route("/closed-one")
def closed_one(environ, start_response):
    class One(list):
        def close(self):
            mark("closed", "one")

    start_response("200 OK", PLAIN)
    return One([b"abc"])


@app.route("/closed-write")
def closed_write(environ, start_response):
    start_response("200 OK", PLAIN)(b"w")
    return Body([b"a"])


@app.route("/closed-204")
def closed_204(environ, start_response):
    start_response("204 No Content", [])
    return Body([])


@app.route("/endless")
def endless(environ, start_response):
    """Goes on until the client is gone."""
    start_response("200 OK", PLAIN)

    def items():
        mark("started")
        while True:
            yield b"x" * 1000
            time.sleep(0.002)

    return Body(items())


@app.route("/endless-write")
def endless_write(environ, start_response):
    """write() tells by an exception that the client is gone."""
    write = start_response("200 OK", PLAIN)
    mark("started")
    try:
        while True:
            write(b"x" * 1000)
            time.sleep(0.002)
    except BaseException as error:
        mark("raised", " ".join(kind.__name__ for kind in type(error).__mro__))
        raise


@app.route("/endless-generator")
def endless_generator(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        mark("started")
        while True:
            yield b"x" * 1000
            time.sleep(0.002)
    finally:
        mark("closed")


@app.route("/ids")
def ids(environ, start_response):
    return answer_json(start_response, query(environ))


checked = validator(app)
