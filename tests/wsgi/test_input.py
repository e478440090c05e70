"""wsgi.input: every way to read, both framings, all sizes, byte-exact."""

import base64
import hashlib
import io
import json
import random
import threading
from pathlib import Path

import pytest
from client import chunked, request, wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import SANITIZE, rss

KI = 1024
SIZES = [0, 1, 2, 1000, 64 * KI - 1, 64 * KI, 64 * KI + 1, 1024 * KI, 10 * 1024 * KI]


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("inputs:app")


def minor_faults(process):
    """Pages that the process was given so far, without a read from disk."""
    return int(Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[7])


def blob(size):
    return random.Random(size).randbytes(size)


def pieces_of(data, seed=0):
    """Cuts data into chunks of very different sizes."""
    rng, pieces, at = random.Random(seed), [], 0
    while at < len(data):
        size = rng.choice([1, 2, 7, 100, 4095, 4096, 16 * KI, 100 * KI])
        pieces.append(data[at : at + size])
        at += size
    return pieces


def run_ops(server, ops, body):
    response = server.post("/ops", body, [("X-Ops", json.dumps(ops))])
    assert response.status == 200, response

    def decode(value):
        return (
            [decode(item) for item in value] if isinstance(value, list) else base64.b64decode(value)
        )

    return decode(response.json())


def expected_ops(ops, data):
    """What an io.BytesIO answers to the same calls."""
    source, results = io.BytesIO(data), []
    for name, *args in ops:
        if name == "next":
            results.append(next(source, b"<end>"))
        elif name == "iterate":
            results.append(list(source))
        else:
            results.append(getattr(source, name)(*args))
    return results


LINES = b"one\ntwo\n\nfour\r\nlast without end"
CASES = [
    [["read"]],
    [["read"], ["read"], ["read", 5], ["readline"], ["readlines"]],
    [["read", -1], ["read", -1]],
    [["read", None]],
    [["read", 0], ["read", 3], ["read", 0], ["read", 100], ["read", 1]],
    [["read", 1]] * 40,
    [["readline"]] * 7,
    [
        ["readline", -1],
        ["readline", 0],
        ["readline", 2],
        ["readline", 2],
        ["readline", 100],
        ["read"],
    ],
    [["readlines"], ["readlines"]],
    [["readlines", 0]],
    [["iterate"], ["iterate"], ["next"]],
    [["next"], ["read", 2], ["next"], ["readline"], ["iterate"]],
]


@pytest.mark.parametrize(
    "body",
    [b"", LINES, LINES * 5000, b"\n" * 20, b"no line end"],
    ids=["empty", "lines", "long", "newlines", "one"],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("ops", CASES, ids=lambda ops: "-".join(op[0] for op in ops)[:30])
def test_reads_like_a_file(server, ops, framing, body):
    sent = body if framing == "length" else pieces_of(body)
    assert run_ops(server, ops, sent) == expected_ops(ops, body)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_readlines_with_hint(server, framing):
    """The hint may be ignored (PEP 3333), but lines stay lines and none is lost."""
    sent = LINES if framing == "length" else pieces_of(LINES)
    first, rest = run_ops(server, [["readlines", 5], ["read"]], sent)
    lines = LINES.splitlines(keepends=True)
    assert len(first) >= 2
    assert first == lines[: len(first)]
    assert b"".join(first) + rest == LINES


OPS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 40)),
    st.tuples(st.just("readline"), st.integers(-1, 40)),
    st.sampled_from([("read",), ("readline",), ("readlines",), ("iterate",), ("next",)]),
)
BODIES = st.lists(
    st.sampled_from([b"\n", b"a", b"bc\n", b"\r\n", b"0\r\n\r\n", b"x" * 30]), max_size=20
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=BODIES, ops=st.lists(OPS, max_size=8), framed=st.booleans())
def test_any_calls_read_like_a_file(server, pieces, ops, framed):
    body = b"".join(pieces)
    assert run_ops(server, ops, pieces if framed else body) == expected_ops(ops, body)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("piece", [None, 1000, 64 * KI])
def test_sizes(server, size, framing, piece):
    data = blob(size)
    headers = [("X-Piece", str(piece))] if piece else []
    answer = server.post(
        "/digest", data if framing == "length" else pieces_of(data), headers
    ).json()
    assert answer == [size, hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize("size", [1, 64 * KI, 300 * KI])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_arriving_in_small_sends(server, size, framing):
    data = blob(size)
    raw = request("/digest", "POST", body=data if framing == "length" else pieces_of(data))
    rng = random.Random(size)
    with server.connect() as client:
        while raw:
            cut = rng.randrange(1, 3000)
            client.send(raw[:cut])
            raw = raw[cut:]
        assert client.response().json() == [size, hashlib.sha256(data).hexdigest()]


def test_chunked_byte_by_byte(server):
    raw = request("/digest", "POST", body=[b"Wiki", b"pedia ", b"in\r\n\r\nchunks."])
    with server.connect() as client:
        for byte in raw:
            client.send(bytes([byte]))
        assert client.response().json()[0] == 23


def test_chunked_with_extensions_and_trailers(server):
    body = b'5;a=b;c\r\nhello\r\n0006;x="y;z"\r\n world\r\n000\r\nX-T: 1\r\nX-U: 2\r\n\r\n'
    head = b"POST /some HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect() as client:
        client.send(head + body)
        assert client.response().body == b"hello"
        assert client.ask("/ignore").status == 200


@pytest.mark.parametrize("path, answer", [("/ignore", b"ignored"), ("/some", b"aaaaa")])
@pytest.mark.parametrize("size", [5, 60 * KI, 64 * KI + 1, 200 * KI])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_unread_body_leaves_the_connection_usable(server, path, answer, size, framing):
    """What the app left is read and dropped, or the connection is closed after the answer."""
    data = b"a" * size
    with server.connect() as client:
        for _ in range(3):
            response = client.ask(path, "POST", body=data if framing == "length" else [data])
            assert response.body == answer
            if response.closes:
                assert size > 64 * KI, "a small body is no reason to close"
                assert client.at_end()
                return
        assert client.ask("/ignore").body == b"ignored"


def test_requests_behind_an_unread_body(server):
    raw = request("/ignore", "POST", body=b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
    with server.connect() as client:
        client.send(raw + request("/digest", "POST", body=b"x") + raw)
        assert client.response().body == b"ignored"
        assert client.response().json()[0] == 1
        assert client.response().body == b"ignored"


def test_get_has_an_empty_input(server):
    with server.connect() as client:
        assert client.ask("/digest").json()[0] == 0
        assert client.ask("/digest").json()[0] == 0


def test_get_with_a_body(server):
    assert server.request("/digest", body=b"abc").json()[0] == 3


def test_input_does_not_reach_into_the_next_request(server):
    with server.connect() as client:
        client.send(
            request("/digest", "POST", body=b"abc") + request("/digest", "POST", body=b"defg")
        )
        assert client.response().json() == [3, hashlib.sha256(b"abc").hexdigest()]
        assert client.response().json() == [4, hashlib.sha256(b"defg").hexdigest()]


EXPECT = [("Expect", "100-continue")]
FRAMINGS = pytest.mark.parametrize(
    "framing, head, body",
    [
        ("length", [("Content-Length", "5")], b"hello"),
        ("chunked", [("Transfer-Encoding", "chunked")], chunked([b"hel", b"lo"])),
    ],
    ids=["length", "chunked"],
)


@FRAMINGS
def test_continue_is_sent_when_the_app_reads(serve, framing, head, body):
    server = serve("inputs:app")
    client = server.connect()
    client.send(request("/late", "POST", EXPECT + head))
    server.wait_marks("started")
    assert client.quiet()
    server.open_gate("read")
    assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.quiet()
    client.send(body)
    assert client.response().body == b"hello"
    assert client.ask("/ignore").status == 200


@FRAMINGS
def test_no_continue_if_the_app_does_not_read(serve, framing, head, body):
    server = serve("inputs:app")
    client = server.connect()
    client.send(request("/never", "POST", EXPECT + head))
    server.wait_marks("started")
    assert client.quiet()
    server.open_gate("answer")
    assert client.head().startswith(b"HTTP/1.1 200 ")
    client.buf.clear()
    # The client may now send the body or leave it: either way no 100 follows a final status.
    try:
        client.send(body + request("/ignore"))
    except OSError:
        return
    rest = client.read_until(b"ignored") if not client.at_end() else b""
    assert b"100 Continue" not in rest


@FRAMINGS
def test_no_continue_if_the_body_is_already_there(server, framing, head, body):
    """RFC 9110 10.1.1: it may be left out once some of the body has come."""
    with server.connect() as client:
        client.send(request("/digest", "POST", EXPECT + head) + body)
        first = client.head()
        if first.startswith(b"HTTP/1.1 100"):
            first = client.head()
        assert first.startswith(b"HTTP/1.1 200 ")


@FRAMINGS
def test_continue_is_sent_once(server, framing, head, body):
    with server.connect() as client:
        client.send(request("/twice", "POST", EXPECT + head))
        assert client.head().startswith(b"HTTP/1.1 100 ")
        for byte in body:
            client.send(bytes([byte]))
        assert client.head().startswith(b"HTTP/1.1 200 ")


def test_reading_nothing_asks_for_nothing(server):
    with server.connect() as client:
        client.send(request("/nothing", "POST", [*EXPECT, ("Content-Length", "5")]))
        assert client.head().startswith(b"HTTP/1.1 200 ")


def test_no_continue_after_the_answer_began(server):
    with server.connect() as client:
        client.send(request("/answer-first", "POST", [*EXPECT, ("Content-Length", "5")]))
        assert client.head().startswith(b"HTTP/1.1 200 ")
        client.read_until(b"first,")
        client.send(b"hello")
        rest = client.read_until(b"0\r\n\r\n")
        assert b"hello" in rest and b"100 Continue" not in rest


def test_no_continue_for_http_1_0(server):
    with server.connect() as client:
        client.send(b"POST /digest HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        client.send(b"hello")
        assert client.head().startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))


def test_no_continue_without_a_body(server):
    with server.connect() as client:
        client.send(request("/digest", "GET", EXPECT))
        assert client.head().startswith(b"HTTP/1.1 200 ")


def test_full_duplex(server):
    with server.connect() as client:
        client.send(request("/echo-stream", "POST", [("Transfer-Encoding", "chunked")]))
        for word in (b"one\n", b"two\n", b"three\n"):
            client.send(b"%x\r\n%b\r\n" % (len(word), word))
            client.read_until(word.upper())
        client.send(b"0\r\n\r\n")
        client.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("leave", ["close", "reset", "half"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_client_leaves_amid_its_body(serve, framing, leave):
    server = serve("inputs:app")
    client = server.connect()
    if framing == "length":
        client.send(request("/lost", "POST", [("Content-Length", "1000000")]) + b"x" * 5000)
    else:
        client.send(request("/lost", "POST", [("Transfer-Encoding", "chunked")]) + b"ffff\r\nabc")
    server.wait_marks("started")
    {"close": client.close, "reset": client.reset, "half": client.finish_sending}[leave]()
    (raised,) = server.wait_marks("raised")
    assert "OSError" in raised.split(), raised
    (again,) = server.wait_marks("again")
    assert again.startswith("raised") and "OSError" in again, again
    if leave == "half":
        assert b" 200 " not in client.read()
    assert server.get("/ignore").body == b"ignored"


def test_bodies_in_parallel(server):
    """Eight uploads at once, each read in small pieces, do not mix."""
    wrong = []

    def upload(number):
        data = blob(500 * KI + number)
        answer = server.post("/digest", pieces_of(data, number), [("X-Piece", "777")]).json()
        if answer != [len(data), hashlib.sha256(data).hexdigest()]:
            wrong.append(number)

    threads = [threading.Thread(target=upload, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [1, 8])
def test_validator_accepts_input(serve, threads):
    server = serve("inputs:checked", threads=threads)
    data = b"line\n" * 10
    for body in (data, [data], pieces_of(data)):
        assert server.post("/", body).json() == [50, hashlib.sha256(data).hexdigest()]


@pytest.mark.skipif(bool(SANITIZE), reason="sanitizers have memory of their own")
def test_uploads_fault_no_pages_in(serve):
    """What eight threads need for bodies stays theirs from one request to the next."""
    server, body = serve("inputs:app", threads=8), blob(64 * KI)
    total = 800

    def upload():
        with server.connect() as client:
            for _ in range(total // 8):
                assert client.ask("/digest", "POST", body=body).status == 200

    def turn():
        threads = [threading.Thread(target=upload) for _ in range(8)]
        before = minor_faults(server.worker())
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return minor_faults(server.worker()) - before

    turn()
    assert turn() < total


def test_unread_upload_is_bounded(serve):
    """While the app does not read, the server takes only a bounded part of the body."""
    server = serve("inputs:app")
    client = server.connect()
    client.send(request("/late", "POST", [("Content-Length", str(100 << 20))]))
    server.wait_marks("started")
    before = rss(server.worker())
    client.sock.setblocking(False)
    sent, piece = 0, b"x" * (1 << 20)

    def stuck():
        nonlocal sent
        try:
            sent += client.sock.send(piece[: (100 << 20) - sent])
        except BlockingIOError:
            return True
        return False

    wait_for(lambda: stuck() and stuck() and stuck(), "the upload to be held back", step=0.05)
    assert sent < 32 << 20
    assert rss(server.worker()) - before < 4 << 20
    client.close()
    server.open_gate("read")
