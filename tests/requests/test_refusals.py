"""What a refused request leaves in the error log, and what its answer looks like."""

import pytest
from client import wait_for

CHUNKED = b"POST /why HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def refused(server):
    return [line for line in server.log().splitlines() if "refused with" in line]


@pytest.mark.parametrize(
    "sent, says",
    [
        (b"GET / HTTP/1.1\r\n\r\n", "refused with 400 Bad Request"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "refused with 414"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\n\r\n", "refused with 431"),
        (
            b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "refused with",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 64, "looks like TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "this is HTTP/2"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY header"),
    ],
)
def test_a_refusal_is_logged(serve, sent, says):
    server = serve("slow:app")
    with server.connect() as client:
        client.send(sent)
        assert client.response().status >= 400
    server.wait_log(says)
    assert len(refused(server)) == 1


def test_a_body_that_is_too_long_names_its_request(serve):
    server = serve("slow:app", "--limit-request-body", "10")
    assert server.post("/path?secret", b"x" * 11).status == 413
    server.wait_log("refused with 413")
    (line,) = refused(server)
    assert "POST /path: the request's body is longer than --limit-request-body" in line


def test_many_refusals_leave_few_lines(serve):
    """A flood of bad requests is no flood of the log; the others are counted."""
    server = serve("slow:app")

    def refuse():
        with server.connect() as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert client.response().status == 400

    for _ in range(20):
        refuse()
    lines = len(refused(server))
    assert lines < 20

    def told():
        refuse()
        return "others before)" in server.log()

    wait_for(told, "a line that counts the others", step=0.1)
    refuse()
    server.stop()
    assert "other requests were refused" in server.log() or "others before" in server.log()


@pytest.mark.parametrize(
    "fields, status, options",
    [
        (b"", 400, ()),
        (b"Host: a\r\nX: " + b"y" * 9000 + b"\r\n", 431, ()),
        (b"Host: a\r\nContent-Length: 11\r\n", 413, ("--limit-request-body", "10")),
    ],
)
def test_head_is_refused_without_a_body(serve, fields, status, options):
    server = serve("slow:app", *options)
    with server.connect() as client:
        client.send(b"HEAD / HTTP/1.1\r\n" + fields + b"\r\n")
        head = client.read()
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"Content-Length: " in head
        assert head.endswith(b"\r\n\r\n")


def test_head_that_takes_too_long_has_no_body(serve):
    server = serve("slow:app", "--request-timeout", "1", threads=2)
    with server.connect() as client:
        client.send(b"HEAD /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        head = client.read()
        assert head.startswith(b"HTTP/1.1 504 ")
        assert head.endswith(b"\r\n\r\n")
    server.open_gate("wait")


def test_broken_framing_is_named(serve):
    """To the app and in the log: the client has not left."""
    server = serve("slow:app")
    with server.connect() as client:
        client.send(CHUNKED + b"40000\r\n" + b"a" * 0x40000 + b"\r\n5\r\nabcdeX")
        body = client.response().body
    assert body == b"OSError: the framing of the request's body is broken"
    server.wait_log("the framing of the request's body is broken: POST /why")


def test_broken_framing_of_a_small_body_is_refused(serve):
    """Before the app is called, and the log says why."""
    server = serve("slow:app")
    with server.connect() as client:
        client.send(CHUNKED + b"5\r\nabcdeX")
        assert client.response().status == 400
    server.wait_log("POST /why: the framing of the request's body is broken")


def test_a_chunked_body_that_ends_early_is_refused(serve):
    server = serve("slow:app")
    with server.connect() as client:
        client.send(CHUNKED + b"5\r\nab")
        client.finish_sending()
        assert client.response().status == 400
    server.wait_log("POST /why: the request's body ends early")
