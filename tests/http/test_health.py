"""--health: answered without the app, whatever the app does."""

import signal

import pytest
from client import SLOW, request, wait_for
from server import timed


@pytest.mark.parametrize("threads", [1, 3])
def test_answers_while_every_thread_is_stuck(serve, threads):
    server = serve("observed:app", "--health", "/healthz", threads=threads)
    busy = [server.connect() for _ in range(threads)]
    for client in busy:
        client.send(request("/wait?go"))
    server.wait_marks("waiting", threads)
    queued = server.connect()
    queued.send(request("/"))
    for _ in range(20):
        response, seconds = timed(server.get, "/healthz")
        assert (response.status, response.body) == (200, b"ok\n")
        assert seconds < 1 * SLOW
    assert queued.quiet()
    server.open_gate("go")
    assert {client.response().status for client in busy} == {200}
    assert queued.response().body == b"hello"


def test_while_the_app_holds_the_gil(serve):
    server = serve("dying:app", "--health", "/healthz", threads=1)
    busy = server.connect()
    busy.send(request("/spin"))
    server.wait_marks("blocking")
    assert server.get("/healthz").body == b"ok\n"
    server.stop(signal.SIGQUIT)


def test_connections_are_kept(serve):
    server = serve("observed:app", "--health", "/healthz")
    client = server.connect()
    for _ in range(3):
        response = client.ask("/healthz")
        assert response.body == b"ok\n" and not response.closes
        assert client.ask("/").body == b"hello"
    head = client.ask("/healthz", "HEAD")
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", "3")
    # Pipelined, and mixed with the app's.
    client.send((request("/healthz") + request("/") + request("/healthz?x=1")) * 5)
    said = [client.response().body for _ in range(15)]
    assert said == [b"ok\n", b"hello", b"ok\n"] * 5
    client.send(request("/healthz", headers=[("Connection", "close")]))
    assert client.response().closes and client.at_end()
    client = server.connect()
    client.send(request("/healthz", version="1.0"))
    assert client.response().closes and client.at_end()


def test_other_requests_are_the_apps(serve):
    server = serve("observed:app", "--health", "/healthz")
    assert server.get("/healthz/").status == 404
    assert server.get("/Healthz").status == 404
    assert server.post("/healthz", b"x").status == 404
    # With a body nobody reads: answered, and the connection ends.
    client = server.connect()
    response = client.ask("/healthz", body=b"x" * 10)
    assert response.body == b"ok\n" and response.closes


def test_a_slow_reader(serve):
    """Many answers that nobody takes for a while are neither lost nor held forever."""
    server = serve("observed:app", "--health", "/healthz")
    client = server.connect()
    client.sock.settimeout(20 * SLOW)
    client.send(request("/healthz") * 2000)
    assert server.get("/healthz").status == 200
    for _ in range(2000):
        assert client.response().body == b"ok\n"


def test_draining(serve):
    server = serve("observed:app", "--health", "/healthz")
    client, busy = server.connect(), server.connect()
    busy.send(request("/wait?go"))
    server.wait_marks("waiting")
    assert client.ask("/healthz").status == 200
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    response = client.ask("/healthz")
    assert (response.status, response.body) == (503, b"draining\n")
    assert response.closes and client.at_end()
    server.open_gate("go")
    assert busy.response().status == 200
    assert server.wait_exit() == 0


def test_not_logged(serve):
    server = serve(
        "observed:app",
        *("--health", "/healthz", "--access-logfile", "-", "--access-logformat", "%(U)s"),
    )
    server.get("/healthz")
    server.get("/")
    server.get("/healthz")
    server.stop()
    assert server.stdout() == "/\n"
