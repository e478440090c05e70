"""Limits and clocks that an option sets: sizes of a request, time for its head, idle time."""

import time

import pytest
from cases import chunks, get, message, post
from client import SLOW, request, wait_for
from server import run

LIMIT = 1000


def answer(server, raw):
    """Status of the answer; a refusal must end the connection."""
    with server.connect() as client:
        client.send(raw)
        response = client.response()
        if response.status != 200:
            assert response.closes and client.at_end()
        else:
            assert client.ask("/probe").status == 200
        return response.status


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all(
        "recorder:app",
        *("--limit-request-body", LIMIT, "--limit-request-line", 200),
        *("--limit-request-fields", 5, "--limit-request-field_size", 100),
    )


@pytest.mark.parametrize("size, status", [(0, 200), (LIMIT, 200), (LIMIT + 1, 413), (10**12, 413)])
def test_body_by_length(server, size, status):
    """Refused by its Content-Length alone, before a byte of the body has come."""
    raw = post(b"Content-Length: %d" % size)
    assert answer(server, raw + b"x" * size if status == 200 else raw) == status


def test_body_too_long_never_reaches_the_app(server):
    raw = message(b"POST /behind/limit HTTP/1.1", b"Content-Length: %d" % (LIMIT + 1))
    assert answer(server, raw + b"x" * (LIMIT + 1)) == 413
    assert "/behind/limit" not in server.marks("behind")


@pytest.mark.parametrize(
    "sizes, status",
    [
        ([LIMIT], 200),
        ([1] * LIMIT, 200),
        ([LIMIT + 1], 413),
        ([LIMIT, 1], 413),
        ([1] * (LIMIT + 1), 413),
        ([500] * 1000, 413),
    ],
)
def test_body_by_chunks(server, sizes, status):
    body = b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in sizes)
    assert answer(server, chunks(body + b"0\r\n\r\n")) == status


def test_413_answers_expect_without_a_100(server):
    with server.connect() as client:
        client.send(post(b"Expect: 100-continue", b"Content-Length: %d" % (LIMIT + 1)))
        assert client.head().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("size, status", [(150, 200), (300, 414)])
def test_request_line(server, size, status):
    assert answer(server, get(target=b"/" + b"a" * size)) == status


@pytest.mark.parametrize("count, status", [(4, 200), (5, 431)])
def test_number_of_fields(server, count, status):
    assert answer(server, get(*(b"X-%d: y" % n for n in range(count)))) == status


@pytest.mark.parametrize("size, status", [(80, 200), (150, 431)])
def test_size_of_a_field(server, size, status):
    assert answer(server, get(b"X-A: " + b"v" * size)) == status
    assert answer(server, get(b"N" * size + b": v")) == status


def fields(count, size):
    return [b"X-%02d: %b" % (n, b"v" * (size - 6)) for n in range(count)]


@pytest.mark.parametrize(
    "options, raw, status",
    [
        ((), get(*fields(20, 4000)), 200),
        ((), get(*fields(15, 8190)), 200),
        ((), get(*fields(17, 8190)), 431),
        (("--limit-request-head", "200k"), get(*fields(17, 8190)), 200),
        (("--limit-request-head", "20k"), get(*fields(4, 4900)), 200),
        (("--limit-request-head", "20k"), get(*fields(5, 4900)), 431),
        # The whole follows its parts.
        (("--limit-request-field_size", "131072"), get(*fields(1, 131072)), 200),
        (("--limit-request-field_size", "131072"), get(*fields(1, 131073)), 431),
        (("--limit-request-line", "200k"), get(target=b"/" + b"a" * 200_000), 200),
        # 0 leaves a part to the whole.
        (("--limit-request-line", "0"), get(target=b"/" + b"a" * 120_000), 200),
        (("--limit-request-line", "0"), get(target=b"/" + b"a" * 140_000), (414, 431)),
        (("--limit-request-field_size", "0"), get(*fields(1, 120_000)), 200),
        (("--limit-request-field_size", "0"), get(*fields(1, 140_000)), 431),
        (("--limit-request-fields", "0"), get(*fields(1000, 20)), 200),
    ],
)
def test_the_whole_head(serve, options, raw, status):
    allowed = status if isinstance(status, tuple) else (status,)
    assert answer(serve("recorder:app", *options), raw) in allowed


@pytest.mark.parametrize(
    "options, words",
    [
        (("--limit-request-head", "8k"), ["--limit-request-head: 8192 bytes cannot hold"]),
        (("--limit-request-head", "0"), ["--limit-request-head: 0 bytes cannot hold"]),
        (
            ("--limit-request-head", "64k", "--limit-request-field_size", "100k"),
            ["cannot hold", "a field of 102400 (--limit-request-field-size)"],
        ),
        (
            ("--limit-request-head", "64k", "--limit-request-line", "65536"),
            ["cannot hold", "a request line of 65536 (--limit-request-line)"],
        ),
        (("--limit-request-line", "17m"), ["--limit-request-line: at most 16m"]),
        (("--limit-request-field-size", "1g"), ["--limit-request-field-size: at most 16m"]),
        (("--limit-request-head", "17m"), ["--limit-request-head: at most 16m"]),
    ],
)
def test_limits_that_do_not_fit_are_refused(options, words):
    done = run(*options, "hello:app")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    "start", [b"G", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n"]
)
def test_head_that_does_not_end(serve, start):
    server = serve("recorder:app", "--header-timeout", "1")
    began = time.monotonic()
    with server.connect() as client:
        client.send(start)
        data = client.read()
    assert 0.9 < time.monotonic() - began < 1 + 4 * SLOW
    if start == b"\r\n":  # Not a request yet.
        assert data == b""
    else:
        assert data.startswith(b"HTTP/1.1 408 ")


def test_head_that_drips(serve):
    """A byte now and then does not put the end off."""
    server = serve("recorder:app", "--header-timeout", "1")
    began = time.monotonic()
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nX-A: ")

        def ended():
            try:
                client.send(b"x")
            except OSError:
                return True
            return not client.quiet()

        wait_for(ended, "the server to give up", step=0.1)
        assert time.monotonic() - began < 1 + 4 * SLOW
        assert client.response().status == 408


def test_connection_that_says_nothing_is_closed_without_an_answer(serve):
    server = serve("recorder:app", "--header-timeout", "1", "--keep-alive", "1")
    with server.connect() as client:
        assert client.at_end()


def test_head_time_does_not_count_idle_time(serve):
    server = serve("recorder:app", "--header-timeout", "1", "--keep-alive", "60")
    with server.connect() as client:
        assert client.ask("/").status == 200
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 2 or not client.quiet(), "two seconds", 10)
        assert client.quiet()
        assert client.ask("/").status == 200


def test_idle_connection_is_closed_after_its_time(serve):
    server = serve("recorder:app", "--keep-alive", "1")
    with server.connect() as client:
        assert client.ask("/").status == 200
        began = time.monotonic()
        assert client.at_end()
        assert 0.9 < time.monotonic() - began < 1 + 4 * SLOW


def test_keep_alive_of_zero(serve):
    server = serve("recorder:app", "--keep-alive", "0")
    with server.connect() as client:
        client.send(request("/") * 2)
        assert client.response().header("Connection").lower() == "close"
        assert client.at_end()
