"""Connections: keep-alive, pipelining, addresses, and clients that leave or stall."""

import hashlib
import socket

import pytest
import requests
from client import SLOW, Client, request, wait_for, wait_until_steady
from server import Port, UnixPath, rss


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("serving:app")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_keep_alive(server):
    with server.connect() as client:
        for number in range(100):
            response = client.ask(f"/id?{number}")
            assert response.body == b"%d" % number
            assert not response.closes


@pytest.mark.parametrize(
    "value", ["close", "Close", "CLOSE", "keep-alive, close", "close, x", "foo,close"]
)
def test_client_asks_to_close(server, value):
    with server.connect() as client:
        response = client.ask("/quick", headers=[("Connection", value)])
        assert response.body == b"quick"
        assert response.header("Connection").lower() == "close"
        assert client.at_end()


def test_requests_behind_a_close_are_not_answered(server):
    with server.connect() as client:
        client.send(request("/quick", headers=[("Connection", "close")]) + request("/id?behind"))
        assert client.response().body == b"quick"
        assert client.at_end()


def test_http_1_0_closes(server):
    with server.connect() as client:
        client.send(request("/quick", version="1.0"))
        assert client.response().body == b"quick"
        assert client.at_end()


@pytest.mark.parametrize("value", ["keep-alive", "Keep-Alive"])
def test_http_1_0_keep_alive(server, value):
    with server.connect() as client:
        for _ in range(3):
            client.send(request("/quick", headers=[("Connection", value)], version="1.0"))
            response = client.response()
            assert response.body == b"quick"
            assert response.header("Connection").lower() == "keep-alive"
        client.send(request("/quick", version="1.0"))
        assert client.response().body == b"quick"
        assert client.at_end()


def test_http_1_0_keep_alive_needs_a_length(server):
    with server.connect() as client:
        client.send(
            request("/stream?count=2", headers=[("Connection", "keep-alive")], version="1.0")
        )
        response = client.response()
        assert len(response.body) == 2 * 65536
        assert response.header("Transfer-Encoding") is None
        assert client.at_end()


def test_pipeline_of_50(server):
    with server.connect() as client:
        client.send(b"".join(request(f"/id?{n}") for n in range(50)))
        for number in range(50):
            assert client.response().body == b"%d" % number


def test_pipeline_with_bodies(server):
    with server.connect() as client:
        raw = b"".join(
            request(f"/echo?{n}-", "POST", body=[b"a", b"b" * n] if n % 2 else b"c" * n * 100)
            for n in range(50)
        )
        client.send(raw)
        for number in range(50):
            body = b"a" + b"b" * number if number % 2 else b"c" * number * 100
            assert client.response().body == b"%d-" % number + body


def test_pipeline_behind_a_slow_request(serve):
    """Nothing overtakes: the quick answers wait for the slow one."""
    server = serve("serving:app")
    client = server.connect()
    client.send(request("/wait?slow") + b"".join(request(f"/id?{n}") for n in range(49)))
    server.wait_marks("waiting")
    assert server.get("/quick").body == b"quick"
    assert client.quiet()
    server.open_gate("slow")
    assert client.response().body == b"waited slow"
    for number in range(49):
        assert client.response().body == b"%d" % number


def test_pipeline_of_large_answers_to_a_late_reader(server):
    """All is sent before anything is read: order and bytes stay right."""
    with server.connect() as client:
        client.send(b"".join(request(f"/stream?count={n}") for n in range(1, 20)))
        for count in range(1, 20):
            body = client.response().body
            assert [body[at : at + 8] for at in range(0, len(body), 65536)] == [
                b"%08d" % n for n in range(count)
            ]


def test_endless_pipeline_is_bounded(serve):
    """A client that only sends is not read without limit."""
    server = serve("serving:app")
    server.get("/quick")
    client = server.connect()
    before = rss(server.worker())
    client.send(request("/wait?slow"))
    server.wait_marks("waiting")
    client.sock.setblocking(False)
    piece, sent = request("/quick") * 10000, 0

    def stuck():
        nonlocal sent
        try:
            sent += client.sock.send(piece)
        except BlockingIOError:
            return True
        assert sent < 64 << 20
        return False

    wait_for(lambda: stuck() and stuck() and stuck(), "the client to be held back", step=0.05)
    assert rss(server.worker()) - before < 4 << 20


def test_request_byte_by_byte(server):
    raw = request("/echo?q=", "POST", [("X-A", "b")], [b"abc", b"defg"])
    with server.connect() as client:
        for _ in range(3):
            for byte in raw:
                client.send(bytes([byte]))
            assert client.response().body == b"q=abcdefg"


def test_request_cut_at_every_place(server):
    raw = request("/echo?q=", "POST", [("X-A", "b")], b"xyz")
    with server.connect() as client:
        for cut in range(1, len(raw)):
            client.send(raw[:cut])
            client.send(raw[cut:])
            assert client.response().body == b"q=xyz"


def test_several_addresses(serve, tmp_path):
    binds = [Port(), Port(), UnixPath(tmp_path / "one"), UnixPath(tmp_path / "two")]
    if has_ipv6():
        binds.append(Port("::1"))
    server = serve("serving:checked", binds=binds)
    for number in range(len(binds)):
        with server.connect(number) as client:
            for _ in range(3):
                assert client.ask("/id?x").body == b"x"


def test_ipv6(serve):
    if not has_ipv6():
        pytest.skip("no ::1 here")
    server = serve("envdump:checked", binds=[Port("::1")])
    environ = server.get("/").json()
    assert environ["REMOTE_ADDR"] == ["str", "::1"]
    assert environ["SERVER_NAME"][1] in ("::1", "[::1]")


def test_unix_socket_file_is_removed(serve, tmp_path):
    path = tmp_path / "s"
    server = serve("serving:app", binds=[UnixPath(path)])
    assert server.get("/quick").body == b"quick"
    server.stop()
    assert not path.exists()


def test_unix_socket_file_left_by_a_killed_server(serve, tmp_path):
    """A stale socket file is no reason to fail."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert serve("serving:app", binds=[UnixPath(path)]).get("/quick").body == b"quick"


def test_many_connections_at_once(server):
    clients = [server.connect() for _ in range(200)]
    for number, client in enumerate(clients):
        client.send(request(f"/id?{number}"))
    for number, client in enumerate(clients):
        assert client.response().body == b"%d" % number
    for client in clients:
        client.close()


def test_connections_that_say_nothing(server):
    for _ in range(50):
        server.connect().close()
    for _ in range(50):
        server.connect().reset()
    half = server.connect()
    half.send(b"GET /quick HT")
    half.close()
    assert server.get("/quick").body == b"quick"


@pytest.mark.parametrize("path", ["/quick", "/wait?half", "/stream?count=3"])
def test_half_closed_client_gets_its_answer(serve, path):
    server = serve("serving:app")
    client = server.connect()
    client.send(request(path))
    client.finish_sending()
    if path.startswith("/wait"):
        server.wait_marks("waiting")
        assert server.get("/quick").body == b"quick"
        assert client.quiet()
        server.open_gate("half")
    assert client.response().status == 200
    assert client.at_end()


def test_half_closed_client_gets_all_pipelined_answers(server):
    with server.connect() as client:
        client.send(b"".join(request(f"/id?{n}") for n in range(20)))
        client.finish_sending()
        for number in range(20):
            assert client.response().body == b"%d" % number
        assert client.at_end()


def test_half_closed_amid_a_head(server):
    with server.connect() as client:
        client.send(b"GET /quick HTTP/1.1\r\nHos")
        client.finish_sending()
        rest = client.read()
        assert b" 200 " not in rest


def test_client_leaves_while_its_handler_waits(serve):
    server = serve("serving:app")
    for turn in range(5):
        clients = [server.connect() for _ in range(6)]
        for number, client in enumerate(clients):
            client.send(request(f"/wait?{turn}"))
            server.wait_marks("waiting", turn * 6 + number + 1)
            client.reset() if number % 2 else client.close()
        server.open_gate(turn)
        assert server.get("/quick").body == b"quick"
        wait_for(lambda: not server.lingering(), "the connections to end")
    assert "Traceback" not in server.log()


def test_200_mb_to_a_stalled_reader(serve):
    """The app is held back: neither cwsgi nor the app piles up what is not read."""
    server = serve("serving:app")
    count = 3200
    assert server.get("/stream?count=20").status == 200
    before = rss(server.worker())
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(20 * SLOW)
    sock.connect((server.binds[0].host, server.binds[0].number))
    with Client(sock) as client:
        client.send(request(f"/stream?count={count}"))
        taken = wait_until_steady(
            lambda: server.get("/state").json()["yielded"], "the app to be held back"
        )
        assert 20 < taken < 20 + 256  # 16 MiB: socket buffers and ours.
        assert rss(server.worker()) - before < 8 << 20
        hashed = hashlib.sha256()
        most = 0
        client.head()
        for number in range(count):
            assert client.readline() == b"10000\r\n"
            item = client.read(65536)
            assert item[:8] == b"%08d" % number
            hashed.update(item)
            assert client.readline() == b"\r\n"
            if number % 200 == 0:
                most = max(most, rss(server.worker()))
        assert client.readline() == b"0\r\n"
        assert most - before < 8 << 20
        server.clients.append(client)


def test_stalled_reader_of_an_ordinary_answer_holds_no_thread(serve):
    """With one thread: an answer of 200 KiB that is not read must not stop the next client."""
    server = serve("outputs:app", threads=1)
    stalled = []
    for _ in range(5):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20 * SLOW)
        sock.connect((server.binds[0].host, server.binds[0].number))
        client = Client(sock)
        server.clients.append(client)
        client.send(request("/big?size=200000"))
        stalled.append(client)
    assert server.get("/one").body == b"one item"
    for client in stalled:
        assert len(client.response().body) == 200000


def test_requests_session(server):
    with requests.Session() as session:
        for number in range(20):
            assert session.get(server.url(f"/id?{number}")).text == str(number)
            answer = session.post(server.url("/echo?q"), data=iter([b"x", b"y" * number]))
            assert answer.content == b"qx" + b"y" * number
        assert session.head(server.url("/quick")).headers.get("Content-Length") in ("5", None)
