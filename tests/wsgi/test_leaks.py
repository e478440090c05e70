"""100,000 requests over every kind of route: memory, objects and references stay flat."""

import base64
import itertools
import random
import string

import pytest
from client import chunked, request, wait_for
from server import FLAT, assert_flat_rss, descriptors, rss

BATCH = 50

ROUTES = {
    "/hello": request("/hello"),
    "/hello with many headers": request(
        "/hello?q=1", headers=[(f"X-H{n}", "v" * n) for n in range(20)]
    ),
    "/hello with cookies": request("/hello", headers=[("Cookie", "a=1"), ("Cookie", "b=2")]),
    "/stream": request("/stream"),
    "/generator": request("/generator"),
    "/echo by length": request("/echo", "POST", body=b"line\nand more\nlines"),
    "/echo chunked": request("/echo", "POST", body=[b"line\nand", b" more\nlines" * 10]),
    "/hello with a body left": request("/hello", "POST", body=b"left" * 100),
    "/write": request("/write"),
    "/again": request("/again"),
    "/file": request("/file"),
    "/real-file": request("/real-file"),
    "/cycle": request("/cycle"),
    "HEAD /hello": request("/hello", "HEAD"),
    "HEAD /file": request("/file", "HEAD"),
    "/nowhere": request("/nowhere"),
}
CLOSING = {
    "/raise": request("/raise"),
    "/bad-header": request("/bad-header"),
    "bad request": b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
    "bad chunk": request("/echo", "POST", [("Transfer-Encoding", "chunked")]) + b"zz\r\n",
    "expect": request("/echo", "POST", [("Expect", "100-continue")], b"line\n"),
    "HTTP/1.0": request("/stream", version="1.0"),
    "half a body": request("/echo", "POST", [("Content-Length", "100")]) + b"line\nhalf",
    "half a chunk": request("/echo", "POST", [("Transfer-Encoding", "chunked")]) + b"ff\r\nhalf",
    "half a head": b"GET /hello HTTP/1.1\r\nHost: a\r\nX-",
    "nothing": b"",
}


def length_of_answer(server, raw):
    """Bytes of the answer to this request, the same each time."""
    with server.connect() as client:
        client.send(raw + request("/last"))
        answers = client.read_until(b"last answer")
    return answers.rfind(b"HTTP/1.1 ")


def ask_many(server, raw, size, count):
    """Sends `count` requests pipelined on one connection."""
    with server.connect() as client:
        for _ in range(count // BATCH):
            client.send(raw * BATCH)
            data = client.read(size * BATCH)
            assert len(data) == size * BATCH
            assert data.startswith(b"HTTP/1.1 "), raw


def ask_alone(server, raw, count):
    """The same with a connection for each request, which the client ends."""
    for _ in range(count):
        with server.connect() as client:
            client.send(raw)
            client.finish_sending()
            client.read()
    server.clients.clear()


def measure(server):
    with server.connect() as client:
        client.ask("/stats")
        stats = client.ask("/stats").json()
    return stats


def assert_flat(before, after, slack):
    """References may not go down either: what is released too often is as bad."""
    assert after["objects"] - before["objects"] < slack, (before, after)
    assert after["blocks"] - before["blocks"] < slack, (before, after)
    for name, count in after["refs"].items():
        assert abs(count - before["refs"][name]) < slack, (name, before, after)


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("leak:app", threads=2)


@pytest.mark.parametrize("name", [*ROUTES, *CLOSING])
def test_each_kind(server, name):
    """An object or a reference lost per request of one kind is seen by itself."""
    if name in ROUTES:
        raw, count = ROUTES[name], 2000
        size = length_of_answer(server, raw)
        ask_many(server, raw, size, 500)
        before = measure(server)
        ask_many(server, raw, size, count)
    else:
        raw, count = CLOSING[name], 600
        ask_alone(server, raw, 150)
        before = measure(server)
        ask_alone(server, raw, count)
    assert_flat(before, measure(server), count * 3 // 4)


def rounds(server, sizes, count):
    """`count` requests of each kind, and some that end their connection."""
    for name, raw in ROUTES.items():
        ask_many(server, raw, sizes[name], count)
    for raw in CLOSING.values():
        ask_alone(server, raw, count // 100)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("threads", [1, 8])
def test_100000_requests(serve, threads):
    server = serve("leak:app", threads=threads)
    sizes = {name: length_of_answer(server, raw) for name, raw in ROUTES.items()}
    rounds(server, sizes, 600)
    before = measure(server)
    sockets = len(descriptors(server.worker().pid))
    total = 50_000 if threads == 1 else 100_000
    worker = server.worker()
    memory = [rss(worker)]
    for _ in range(5):
        rounds(server, sizes, total // 5 // len(ROUTES))
        memory.append(rss(worker))
    after = measure(server)
    assert_flat(before, after, total // len(ROUTES) // 2)
    wait_for(lambda: len(descriptors(server.worker().pid)) <= sockets, "descriptors to be closed")
    # Heaps reach their size at some time; what leaks grows in each of the five rounds.
    growth = min(end - start for start, end in itertools.pairwise(memory))
    assert growth < FLAT // 5, memory


@pytest.mark.timeout(300)
def test_large_bodies_leave_nothing(serve):
    server = serve("leak:app", threads=2)
    body = [b"line\n" * 20_000] * 10

    def turn(count):
        for _ in range(count):
            with server.connect() as client:
                client.send(request("/echo", "POST")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n")
                client.send(chunked(body))
                assert len(client.response().body) == 1_000_000

    turn(20)
    assert_flat_rss(server.worker(), lambda: turn(60), most=3 * FLAT, turns=12)


@pytest.mark.timeout(300)
def test_connections_leave_nothing(serve):
    server = serve("leak:app", threads=2)

    def turn(count):
        for _ in range(count):
            clients = [server.connect() for _ in range(50)]
            for client in clients:
                client.send(ROUTES["/hello"])
            for client in clients:
                client.response()
                client.close()
            server.clients.clear()
        wait_for(lambda: not server.lingering(), "the connections to end")

    turn(20)
    worker = server.worker()
    sockets = len(descriptors(worker.pid))
    assert_flat_rss(worker, lambda: turn(200))
    assert len(descriptors(worker.pid)) <= sockets


def strange(rng):
    """A request in which all that a client chooses is new."""

    def word(longest):
        return "".join(
            rng.choices(string.ascii_letters + string.digits, k=rng.randrange(1, longest))
        )

    headers = [("X-" + word(4000), word(200)) for _ in range(3)]
    headers += [("X-" + word(40), word(3000)) for _ in range(3)]
    headers += [(name, word(40)) for name in ("Cookie", "Host", "User-Agent", "Content-Type")]
    user = base64.b64encode(word(60).encode() + b":secret").decode()
    headers.append(("Authorization", "Basic " + user))
    method = rng.choice(["GET", "POST", word(30)])
    return request(f"/{word(1500)}?{word(1500)}={word(1500)}", method, headers, b"")


@pytest.mark.timeout(300)
def test_names_that_strangers_choose_leave_nothing(serve, tmp_path):
    options = ("--access-logfile", tmp_path / "log", "--access-logformat", "%(u)s %(r)s %({x-a}i)s")
    server = serve("leak:app", *options, threads=2)
    rng = random.Random(7)

    def turn(count):
        for _ in range(count):
            with server.connect() as client:
                client.send(strange(rng))
                client.response()
            server.clients.clear()

    turn(400)
    before = measure(server)
    assert_flat_rss(server.worker(), lambda: turn(2000))
    after = measure(server)
    assert after["blocks"] - before["blocks"] < 1000, (before, after)
