"""Many requests and messages: memory, objects and references stay flat, by both loops."""

import os

import pytest
from client import request, wait_for
from server import FLAT, assert_flat_rss, descriptors, rss

BATCH = 50
ROUTES = {
    "hello": request("/"),
    "a task that waits": request("/contexts"),
    "pieces": request("/buffers"),
    "an echo": request("/echo", "POST", body=b"some"),
    "an echo of chunks": request("/echo", "POST", body=[b"some", b"more" * 10]),
    "a body left": request("/", "POST", body=b"left"),
    "a response that waits": request("/large?600000"),
    "an awaitable": request("/awaitable"),
    "an early hint": request("/hint"),
    "what is refused": request("/bad?header-text"),
    "HEAD": request("/", "HEAD"),
}
CLOSING = {
    "an exception": request("/raising"),
    "an exception in the body": request("/raising-late"),
    "an exception after it": request("/raising-after"),
    "nothing": request("/nothing"),
    "no awaitable": request("/number"),
    "cancelled": request("/cancelling-itself"),
    "several receivers": request("/concurrently"),
    "half a body": request("/echo", "POST", [("Content-Length", "100")]) + b"half",
}
HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture(scope="module")
def server(serve_all, loop):
    return serve_all("asgileak:app", "--loop", loop)


def measure(server):
    server.get("/stats")
    return server.get("/stats").json()


def assert_flat(server, turn, slack):
    """Caches and free lists fill up in the first turns; what leaks grows in each of them.

    References may not go down either: what is released too often is as bad.
    """
    before, after = None, measure(server)
    for _ in range(6):
        before = after
        turn()
        after = measure(server)
        changes = [after[name] - before[name] for name in ("objects", "blocks")]
        changes += [abs(count - before["refs"][name]) for name, count in after["refs"].items()]
        if max(changes) < slack:
            return
    raise AssertionError((before, after))


def ask_many(server, raw, count):
    """Sends `count` requests, many at once on one connection."""
    method = raw.split(b" ", 1)[0].decode()
    batch = 1 if b"large" in raw else BATCH
    with server.connect() as client:
        for _ in range(count // batch):
            client.send(raw * batch)
            for _ in range(batch):
                assert client.response(method).status == 200
    server.clients.clear()


def ask_alone(server, raw, count):
    """The same with a connection for each request, which the client ends."""
    for _ in range(count):
        with server.connect() as client:
            client.send(raw)
            client.finish_sending()
            client.read()
    server.clients.clear()


@pytest.mark.parametrize("name", ROUTES)
def test_each_kind_leaks_nothing(server, name):
    count = 200 if "waits" in name else 1000
    assert_flat(server, lambda: ask_many(server, ROUTES[name], count), count * 3 // 4)


@pytest.mark.parametrize("name", CLOSING)
def test_what_fails_leaks_nothing(server, name):
    assert_flat(server, lambda: ask_alone(server, CLOSING[name], 150), 110)


@pytest.mark.timeout(300)
def test_requests_leak_nothing(server):
    def turn():
        for name in ("hello", "a task that waits", "pieces", "an echo"):
            ask_many(server, ROUTES[name], 2500)

    turn()
    assert_flat_rss(server.worker(), turn, most=1 << 19)
    assert_flat(server, turn, 1000)


def frame(payload, opcode=1):
    """A client's frame, masked with zeros."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.timeout(300)
def test_messages_leak_nothing(server):
    sent, back = frame(b"message") * BATCH, (b"\x81\x07message") * BATCH

    def turn():
        with server.connect() as client:
            client.send(HANDSHAKE % b"/")
            assert b" 101 " in client.head()
            for _ in range(10_000 // BATCH):
                client.send(sent)
                assert client.read(len(back)) == back
            client.send(frame(b"\x03\xe8", 8))
            assert client.read() == b"\x88\x02\x03\xe8"
        server.clients.clear()

    turn()
    assert_flat_rss(server.worker(), turn, most=1 << 19)
    assert_flat(server, turn, 1000)


@pytest.mark.timeout(120)
def test_sockets_that_open_and_close_leak_nothing(server):
    def turn(count):
        for number in range(count):
            with server.connect() as client:
                client.send(HANDSHAKE % b"/")
                assert b" 101 " in client.head()
                if number % 2:  # the others leave without a word
                    client.send(frame(b"\x03\xe8", 8))
                    client.read()
        server.clients.clear()
        wait_for(lambda: not server.lingering(), "the connections to end")

    turn(50)
    sockets = len(descriptors(server.worker().pid))
    assert_flat(server, lambda: turn(400), 300)
    wait_for(lambda: len(descriptors(server.worker().pid)) <= sockets, "descriptors to be closed")


# One long run of each, measured from end to end: make leak has 100,000 of them.
MANY = int(os.environ.get("CWSGI_LEAK_COUNT", "10000"))


def requests_of_all_kinds(server, count):
    """Those that are answered on one connection, in equal parts."""
    kinds = [raw for raw in ROUTES.values() if b"large" not in raw]
    for raw in kinds:
        ask_many(server, raw, -(-count // len(kinds) // BATCH) * BATCH)


def messages_of_all_kinds(server, count):
    """Echoes of text and bytes, with compression and without, on a socket for each."""
    deflate = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    plain = HANDSHAKE % b"/"
    for opcode in (1, 2):
        for handshake in (plain, plain[:-2] + deflate):
            sent, back = frame(b"message", opcode) * BATCH, bytes([0x80 | opcode, 7]) + b"message"
            with server.connect() as client:
                client.send(handshake)
                assert b" 101 " in client.head()
                for _ in range(-(-count // 4 // BATCH)):
                    client.send(sent)
                    assert client.read(len(back) * BATCH) == back * BATCH
                client.send(frame(b"\x03\xe8", 8))
                assert client.read() == b"\x88\x02\x03\xe8"
            server.clients.clear()


def open_ones(server):
    wait_for(lambda: not server.lingering(), "the connections to end")
    return len(descriptors(server.worker().pid))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("work", [requests_of_all_kinds, messages_of_all_kinds])
def test_a_long_run_leaks_nothing(server, work):
    worker = server.worker()
    work(server, MANY // 5)  # what is kept for the next ones is there
    before, held, open_before = measure(server), rss(worker), open_ones(server)
    work(server, MANY)
    after, grown = measure(server), rss(worker) - held
    changes = {name: after[name] - before[name] for name in ("objects", "blocks")}
    changes["references"] = max(abs(n - before["refs"][name]) for name, n in after["refs"].items())
    changes["descriptors"] = open_ones(server) - open_before
    print(f"{work.__name__}: {MANY}: {grown} bytes, {changes}")
    assert grown < FLAT
    assert max(changes.values()) < MANY // 100
    assert changes["descriptors"] <= 0
