"""Where a response's body ends, and what a request's body looks like to the app."""

import gzip

import pytest
from client import SLOW, request, wait_for
from server import TSAN


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("bodies:app", threads=2)


@pytest.mark.parametrize("length", [0, 5, 10, 95])
def test_iteration_ends_with_the_content_length(serve, length):
    """An endless iterable holds no thread, and close() is called."""
    server = serve("bodies:app", threads=1)
    with server.connect() as client:
        assert len(client.ask(f"/endless?{length}").body) == length
        assert client.ask("/unread").status == 200
    server.wait_marks("closed")
    assert int(server.marks("closed")[0]) <= length // 10 + 1


def test_a_stream_of_nothing_ends_when_its_client_leaves(serve):
    server = serve("bodies:app", threads=1)
    with server.connect() as client:
        client.send(request("/nothing"))
        server.wait_marks("begun")
    server.wait_marks("closed")
    assert server.get("/unread").status == 200


def test_a_reader_over_gzip_is_read(server, tmp_path):
    with gzip.open(tmp_path / "packed", "wb") as file:
        file.write(b"plain text " * 1000)
    assert server.get(f"/gzip?{tmp_path}/packed").body == b"plain text " * 1000


@pytest.mark.parametrize("path", ["/proc/version", "/proc/self/stat"])
def test_files_that_say_they_are_empty_are_read(server, path):
    assert len(server.get(f"/file?{path}").body) > 10


def test_an_empty_file_is_empty(server, tmp_path):
    (tmp_path / "empty").touch()
    assert server.get(f"/file?{tmp_path}/empty").body == b""


def test_426_keeps_its_upgrade_field(server):
    response = server.get("/upgrade?426+Upgrade+Required")
    assert response.header("Upgrade") == "h9"
    assert "upgrade" in response.all("Connection")[0].lower()


def test_other_responses_have_no_upgrade_field(server):
    response = server.get("/upgrade?200+OK")
    assert response.header("Upgrade") is None


# ---- chunked request bodies ----

CHUNKED = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("apart", [False, True])
def test_a_small_chunked_body_has_a_length(server, apart):
    """Complete before the call, also where it comes a little later than its head."""
    with server.connect() as client:
        client.send(CHUNKED % b"/echo")
        if apart:
            assert client.quiet(0.1)
        client.send(b"3\r\nabc\r\n")
        if apart:
            assert client.quiet(0.1)
        client.send(b"4\r\ndefg\r\n0\r\n\r\n")
        assert client.response().body == b"7 none abcdefg"
        assert client.ask("/unread").status == 200


def test_a_trailer_changes_nothing(server):
    with server.connect() as client:
        client.send(CHUNKED % b"/echo" + b"1\r\na\r\n0\r\nX-Trailer: b\r\n\r\n")
        assert client.response().body == b"1 none a"


def test_a_large_chunked_body_streams(server):
    body = [b"a" * 50_000] * 4
    response = server.post("/echo", body)
    assert response.body == b"none chunked " + b"a" * 200_000


def test_a_client_may_wait_for_the_response_before_its_next_piece(server):
    """Nothing is gathered for ever: both directions stream."""
    with server.connect() as client:
        client.send(CHUNKED % b"/piecewise")
        client.send(b"4\r\none\n\r\n")
        assert b"ONE\n" in client.read_until(b"ONE\n")
        client.send(b"4\r\ntwo\n\r\n")
        assert b"TWO\n" in client.read_until(b"TWO\n")
        client.send(b"0\r\n\r\n")
        client.read_until(b"0\r\n\r\n")


def test_a_slow_chunked_body_is_bounded_while_it_is_gathered(server):
    """A client that never ends it gets its thread after a moment, and reads an answer."""
    with server.connect() as client:
        client.send(CHUNKED % b"/unread" + b"3\r\nabc\r\n")
        assert client.response().status == 200


def test_a_stream_that_the_app_does_not_read_is_told_of_once(serve):
    server = serve("bodies:app")
    for _ in range(3):
        assert server.post("/unread", [b"a" * 50_000] * 4).status == 200
    server.wait_log("came with a chunked body that the app did not read")
    assert server.log().count("chunked body that the app did not read") == 1


@pytest.mark.parametrize("framework", ["django", "bottle"])
def test_frameworks_see_a_chunked_body(serve, framework):
    """Both look for CONTENT_LENGTH and take a body without one for none."""
    folder = serve.folder / "app"
    folder.mkdir()
    (folder / "main.py").write_text(DJANGO if framework == "django" else BOTTLE)
    server = serve("main:app", chdir=folder)
    assert server.post("/", [b"some", b"thing"]).body == b"something"


DJANGO = """
from django.conf import settings
settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
urlpatterns = [path("", csrf_exempt(lambda request: HttpResponse(request.body)))]
app = get_wsgi_application()
"""

BOTTLE = """
import bottle
app = bottle.Bottle()
@app.post("/")
def echo():
    return bottle.request.body.read()
"""


# ---- another protocol on the connection ----

UPGRADE = b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: caps\r\n\r\n"


def test_the_connection_can_be_taken_over(serve):
    server = serve("bodies:app", threads=2)
    with server.connect() as client:
        client.send(UPGRADE % b"/raw-upgrade")
        assert client.head().startswith(b"HTTP/1.1 101 ")
        for _ in range(3):
            client.send(b"another line\n")
            assert client.read(13) == b"ANOTHER LINE\n"
    wait_for(lambda: server.get("/unread").status == 200, "an answer")
    assert "Traceback" not in server.log()


def test_what_came_too_early_is_no_part_of_it(server):
    """Bytes of the other protocol before it was agreed on cannot be handed over."""
    with server.connect() as client:
        client.send(UPGRADE % b"/raw-upgrade" + b"too early\n")
        assert client.response().status == 409


def test_looking_at_the_environ_takes_nothing_over(server):
    with server.connect() as client:
        client.send(UPGRADE % b"/environ-socket")
        assert client.response().body == b"True <cwsgi._core True"
        assert client.ask("/environ-socket").body.startswith(b"False")


@pytest.mark.parametrize(
    "fields",
    [
        b"Upgrade: caps\r\n",
        b"Connection: Upgrade\r\n",
        b"Connection: Upgrade\r\nUpgrade: caps\r\nContent-Length: 3\r\n",
    ],
)
def test_only_a_whole_request_for_an_upgrade_has_the_socket(server, fields):
    with server.connect() as client:
        client.send(b"GET /environ-socket HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\nabc"[:5])
        assert client.response().body.startswith(b"False")


FLASK_SOCK = """
from flask import Flask
from flask_sock import Sock
app = Flask(__name__)
sock = Sock(app)

@sock.route("/echo")
def echo(ws):
    while True:
        data = ws.receive()
        if data == "close":
            break
        ws.send(data)

@app.get("/")
def hello():
    return "hello"
"""

SOCKETIO = """
from flask import Flask
from flask_socketio import SocketIO
app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading")

@socketio.on("shout")
def shout(text):
    socketio.emit("shouted", text.upper())
    return "heard " + text
"""


# Threads of simple-websocket close and use its socket without a lock of their own.
RACES = pytest.mark.skipif(TSAN, reason="the library's own threads race for its socket")


@RACES
def test_flask_sock(serve):
    """A WebSocket by a real client: small and large messages, text and bytes."""
    from simple_websocket import Client, ConnectionClosed

    folder = serve.folder / "app"
    folder.mkdir()
    (folder / "main.py").write_text(FLASK_SOCK)
    server = serve("main:app", chdir=folder, threads=4)
    sockets = [Client(server.url("/echo").replace("http", "ws")) for _ in range(2)]
    for message in ("hello", "x" * 200_000, b"\0\1\2" * 1000):
        for socket in sockets:
            socket.send(message)
        for socket in sockets:
            assert socket.receive(timeout=20 * SLOW) == message
    assert server.get("/").body == b"hello"
    for socket in sockets:
        socket.send("close")
        with pytest.raises(ConnectionClosed):
            socket.receive(timeout=20 * SLOW)
    assert "Traceback" not in server.log()


@RACES
@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
def test_flask_socketio(serve, transports):
    import socketio

    folder = serve.folder / "app"
    folder.mkdir()
    (folder / "main.py").write_text(SOCKETIO)
    server = serve("main:app", chdir=folder, threads=8)
    heard = []
    client = socketio.Client(reconnection=False)
    client.on("shouted", heard.append)
    client.connect(server.url(), transports=transports, wait_timeout=20 * SLOW)
    try:
        assert client.call("shout", "abc", timeout=20 * SLOW) == "heard abc"
        wait_for(lambda: heard == ["ABC"], "the event")
        if transports != ["polling"]:
            wait_for(lambda: client.transport() == "websocket", "the upgrade")
            assert client.call("shout", "def", timeout=20 * SLOW) == "heard def"
    finally:
        client.disconnect()
    server.check_connections = False
    assert "Traceback" not in server.log()
