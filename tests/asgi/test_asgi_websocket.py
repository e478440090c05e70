"""ASGI's WebSocket protocol, by real clients and both loops."""

import json
import signal
from contextlib import ExitStack
from socket import SHUT_RDWR

import pytest
from client import wait_for
from server import worker_pids

websockets = pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402


@pytest.fixture(scope="module")
def server(serve_all, loop):
    return serve_all("asgisocket:app", "--loop", loop, "--log-level", "debug")


def open_socket(server, path="/", **options):
    options.setdefault("compression", None)
    return connect(f"ws://{server.binds[0]}{path}", max_size=None, proxy=None, **options)


def test_echo(server):
    with open_socket(server) as socket:
        for message in ("h\xe9llo", "", b"", b"\0\xff", "x" * 70_000, b"y" * 3_000_000):
            socket.send(message)
            assert socket.recv() == message


def test_fragments_are_one_message(server):
    with open_socket(server) as socket:
        socket.send(["a", "b\u20ac", "c"])
        assert socket.recv() == "ab\u20acc"


def test_more_messages_than_may_wait(server):
    """Those that came with others, and were kept, go on when the app has room again."""
    with server.connect() as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b" 101 " in client.head()
        for _ in range(20):
            client.send(b"\x81\x82\0\0\0\0hi" * 100)  # masked with zeros
            assert client.read(400) == b"\x81\x02hi" * 100


@pytest.mark.parametrize("compression", ["deflate", None])
def test_compression(server, compression):
    with open_socket(server, compression=compression) as socket:
        for message in ("x" * 100_000, "short", bytes(range(256)) * 100):
            socket.send(message)
            assert socket.recv() == message


def test_a_receiver_that_cannot_be_woken(server):
    """It waits since before the socket was accepted: that ends."""
    with open_socket(server, "/forgotten") as socket, pytest.raises(ConnectionClosed):
        socket.recv(20)
    assert socket.close_code == 1011
    assert server.wait_marks("forgotten")[-1] == "websocket.disconnect False"


def test_ping(server):
    with open_socket(server) as socket:
        assert socket.ping(b"data").wait(20)


def test_scope(server):
    with open_socket(server, "/scope?a=b", subprotocols=["one", "two"]) as socket:
        scope = json.loads(socket.recv())
    assert scope["type"] == "websocket" and scope["scheme"] == "ws"
    assert "method" not in scope
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["path"], scope["query_string"]) == ("/scope", "a=b")
    assert scope["subprotocols"] == ["one", "two"]
    assert "websocket.http.response" in scope["extensions"]
    assert ["upgrade", "websocket"] in scope["headers"]


def test_subprotocol_and_fields(server):
    with open_socket(server, "/accept?two", subprotocols=["one", "two"]) as socket:
        assert socket.subprotocol == "two"
        assert socket.response.headers["X-App"] == "socket"


def test_a_subprotocol_that_was_not_offered(server):
    with pytest.raises(InvalidStatus) as failure:
        open_socket(server, "/accept?three", subprotocols=["one"])
    assert failure.value.response.status_code == 500
    server.wait_log("a subprotocol that the client did not offer")


def test_a_receiver_that_began_before_the_accept(server):
    with open_socket(server, "/early") as socket:
        socket.send("hello")
        assert socket.recv(20) == "hello"


def test_the_app_closes(server):
    with open_socket(server, "/close") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "bye \u20ac")
    assert json.loads(server.wait_marks("closed")[-1])["code"] == 4001


def test_the_client_closes(server):
    with open_socket(server, "/?closes") as socket:
        socket.close(4321, "enough")
    got = json.loads(server.wait_marks("disconnect-closes")[0])
    assert got == {"type": "websocket.disconnect", "code": 4321, "reason": "enough"}


def test_the_client_leaves(server):
    with open_socket(server, "/?leaves") as socket:
        socket.socket.shutdown(SHUT_RDWR)
    got = json.loads(server.wait_marks("disconnect-leaves")[0])
    assert got["code"] == 1006


@pytest.mark.parametrize(("path", "code"), [("/return", 1000), ("/raise", 1011)])
def test_the_app_ends(server, path, code):
    with open_socket(server, path) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert closed.value.rcvd.code == code


def test_it_is_refused(server):
    with pytest.raises(InvalidStatus) as failure:
        open_socket(server, "/refuse")
    assert failure.value.response.status_code == 403


def test_it_is_refused_with_a_response(server):
    with pytest.raises(InvalidStatus) as failure:
        open_socket(server, "/deny")
    response = failure.value.response
    assert (response.status_code, bytes(response.body)) == (401, b"who are you?")
    assert response.headers["X-Why"] == "token"


@pytest.mark.parametrize("path", ["/nothing", "/raise-first"])
def test_no_answer_is_an_error(server, path):
    with pytest.raises(InvalidStatus) as failure:
        open_socket(server, path)
    assert failure.value.response.status_code == 500


def test_a_bad_handshake(server):
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "12"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    response = server.get("/", headers=fields)
    assert response.status == 426
    assert response.header("sec-websocket-version") == "13"
    assert server.get("/", headers=[fields[0], fields[1], fields[3]]).status in (400, 426)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("send-first", "RuntimeError: websocket.send came before websocket.accept"),
        ("accept-twice", "RuntimeError: the WebSocket was accepted"),
        ("empty", "TypeError: websocket.send needs"),
        ("both-wrong", "TypeError: websocket.send needs"),
        ("code", "ValueError: invalid close: code 1005"),
        ("long-reason", "ValueError: invalid close: code 1000, a reason of 200 bytes"),
        ("reason", "TypeError: reason must be str, not bytes"),
        ("http", "RuntimeError: unexpected ASGI message 'http.response.start'"),
        ("surrogate", "UnicodeEncodeError"),
    ],
)
def test_messages_that_are_none(server, what, text):
    with open_socket(server, f"/bad?{what}") as socket:
        assert socket.recv().startswith(text)


def test_sending_after_the_end(server):
    before = len(server.marks("late"))
    with open_socket(server, "/late"):
        pass
    assert server.wait_marks("late", before + 1)[before] == "ClientDisconnected"


def test_a_slow_reader_is_waited_for(server):
    before = len(server.marks("flood"))
    with open_socket(server, "/flood", max_queue=1) as socket:
        seen = [-1]

        def stalls():
            now = len(server.marks("flood"))
            same, seen[0] = now > before and now == seen[0], now
            return same

        wait_for(stalls, "the flood to stall", 30, step=0.5)
        assert (seen[0] - before) * 65536 < 64 << 20
        for _ in range(100):
            assert len(socket.recv()) == 65536


def test_many_sockets(server):
    with ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(server)) for _ in range(100)]
        for i, socket in enumerate(sockets):
            socket.send(str(i))
        for i, socket in enumerate(sockets):
            assert socket.recv() == str(i)


def test_stop_says_goodbye(serve, loop):
    server = serve("asgisocket:app", "--loop", loop)
    with open_socket(server, "/?stops") as socket:
        server.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert closed.value.rcvd.code == 1012
    assert server.wait_exit() == 0
    assert json.loads(server.marks("disconnect-stops")[0])["code"] == 1012


def test_reload_says_goodbye(serve):
    server = serve("asgisocket:app")
    before = worker_pids(server)
    with open_socket(server) as socket:
        server.send_signal(signal.SIGHUP)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert closed.value.rcvd.code == 1012
    wait_for(lambda: not worker_pids(server) & before, "the old worker to end", 20)
    with open_socket(server) as socket:
        socket.send("again")
        assert socket.recv() == "again"


def test_access_line_and_metrics(serve):
    server = serve("asgisocket:app", "--access-logfile", "-", "--metrics", "/metrics")
    with open_socket(server) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
        wait_for(lambda: "cwsgi_websocket" in server.get("/metrics").body.decode(), "the metrics")
    wait_for(lambda: '"GET / HTTP/1.1" 101' in server.stdout(), "the access line")
