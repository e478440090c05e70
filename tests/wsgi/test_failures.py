"""What the client, the log and the worker see when the app goes wrong."""

import sys
from pathlib import Path

import pytest
from client import request, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "apps"))
from failing import BAD_START, ITEMS, RETURNS


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("failing:app")


def refused(server, path, reason="", method="GET"):
    """The client gets a plain 500, the log says why, the same worker goes on."""
    worker, before = server.worker().pid, len(server.log())
    response = server.request(path, method)
    assert response.status == 500, response
    assert b"Evil" not in response.head and b"Traceback" not in response.body
    assert server.get("/ok").body == b"ok"
    wait_for(lambda: server.log()[before:].endswith("\n"), "a line in the log")
    wait_for(
        lambda: reason in server.log()[before:], lambda: f"{reason!r} in {server.log()[before:]}"
    )
    assert server.worker().pid == worker
    return server.log()[before:]


def aborted(server, path, got=b"some"):
    """The headers were out: the connection ends early and the client can tell."""
    with server.connect() as client:
        client.send(request(path))
        assert client.head().startswith(b"HTTP/1.1 200 ")
        rest = client.read()
        assert got in rest
        assert not rest.endswith(b"0\r\n\r\n")
    assert server.get("/ok").body == b"ok"


@pytest.mark.parametrize("path", ["/raise", "/raise-after-start", "/raise-first-item"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_exception_before_the_headers(server, path, method):
    log = refused(server, path, "RuntimeError: app went wrong\n", method)
    assert log.count("Traceback (most recent call last)") == 1
    assert "failing.py" in log


@pytest.mark.parametrize(
    "what, name",
    [
        ("exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("generator", "GeneratorExit"),
        ("unicode", "ValueError: caf"),
        ("memory", "MemoryError"),
        ("stop", "StopIteration"),
        ("os", "ConnectionResetError: not about this client"),
    ],
)
@pytest.mark.parametrize("path", ["/raise", "/raise-after-start"])
def test_any_exception_is_a_500(server, path, what, name):
    refused(server, f"{path}?with={what}", name)


@pytest.mark.parametrize("threads", [1, 2])
def test_exit_in_the_app_does_not_end_a_worker(serve, threads):
    server = serve("failing:app", threads=threads)
    worker = server.worker().pid
    for _ in range(3):
        for what in ("exit", "interrupt"):
            assert server.get(f"/raise?with={what}").status == 500
    assert server.get("/exit-thread").body == b"ok"
    assert server.worker().pid == worker


@pytest.mark.parametrize("path", ["/raise-later", "/raise-later-sized", "/raise-after-write"])
@pytest.mark.parametrize("what", ["error", "exit", "interrupt"])
def test_exception_after_the_headers(server, path, what):
    aborted(server, f"{path}?with={what}")
    server.wait_log("failing.py")


@pytest.mark.parametrize(
    "path",
    [
        "/raise-first-item",
        "/raise-later",
        "/raise-later-sized",
        "/raise-in-iter",
        "/raise-in-close",
        "/no-start",
        "/no-start-empty",
        "/item?what=str",
        "/item-later?what=none",
        "/start-late",
        "/over-items",
    ],
)
def test_close_is_called_once_whatever_fails(serve, path):
    server = serve("failing:app")
    with server.connect() as client:
        client.send(request(path))
        client.head()
    assert server.get("/ok").body == b"ok"
    server.wait_marks("closed")
    assert server.stop() == 0
    assert len(server.marks("closed")) == 1


def test_500_is_a_whole_answer(server):
    response = server.get("/raise")
    assert len(response.all("Date")) == 1
    assert response.header("Server") is None
    assert response.header("Content-Length") == str(len(response.body))
    assert response.header("Content-Type")


def test_exception_in_iter(server):
    refused(server, "/raise-in-iter", "iter went wrong")


def test_exception_in_close(server):
    """The answer is complete by then: the client has it, the log has the traceback."""
    response = server.get("/raise-in-close")
    assert (response.status, response.body) == (200, b"some")
    server.wait_log("close went wrong")
    assert server.get("/ok").body == b"ok"


@pytest.mark.parametrize("path", ["/no-start", "/no-start-empty"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_start_response_never_called(server, path, method):
    refused(server, path, "start_response", method)


@pytest.mark.parametrize("what", [key for key in RETURNS if key in ("none", "int", "object")])
def test_return_value_is_not_iterable(server, what):
    refused(server, f"/returns?what={what}")


def test_return_value_is_a_str(server):
    refused(server, "/returns?what=str")


@pytest.mark.parametrize("what", [key for key in ITEMS if key not in ("bytearray", "memoryview")])
@pytest.mark.parametrize("path", ["/item", "/write-bad"])
def test_item_is_not_bytes(server, path, what):
    refused(server, f"{path}?what={what}", "bytes")


@pytest.mark.parametrize("what", ["str", "none"])
def test_later_item_is_not_bytes(server, what):
    aborted(server, f"/item-later?what={what}")


@pytest.mark.parametrize("what", BAD_START)
def test_bad_arguments_of_start_response(server, what):
    refused(server, f"/bad-start?what={what}")


def test_app_may_recover_from_a_bad_header(serve):
    server = serve("failing:app")
    response = server.get("/bad-start-caught")
    assert (response.status, response.body) == (503, b"recovered")
    assert server.marks("raised")[0] in ("ValueError", "AssertionError", "TypeError")


def test_start_response_twice(serve):
    server = serve("failing:app")
    refused(server, "/start-twice")
    (raised,) = server.marks("raised")
    assert "Exception" in raised.split()
    refused(server, "/start-twice-none")


@pytest.mark.parametrize(
    "path, body",
    [
        ("/start-again", b"replaced"),
        ("/start-again-write", b"written replaced"),
        ("/start-late-empty", b"replaced"),
    ],
)
def test_start_response_again_with_exc_info(server, path, body):
    with server.connect() as client:
        for _ in range(2):
            response = client.ask(path)
            assert (response.status, response.reason, response.body) == (503, "Second", body)
            assert response.header("X-First") is None


@pytest.mark.parametrize("path", ["/start-late", "/start-late-write"])
def test_start_response_with_exc_info_after_the_headers(serve, path):
    server = serve("failing:app")
    aborted(server, path)
    assert server.marks("raised") == ["RuntimeError True"]
    server.wait_log("too late")


@pytest.mark.parametrize("path, got", [("/short", b"only this"), ("/short-nothing", b"")])
def test_body_shorter_than_its_length(server, path, got):
    with server.connect() as client:
        client.send(request(path) + request("/ok"))
        assert b"Content-Length: 100\r\n" in client.head()
        assert client.read() == got
    assert server.get("/ok").body == b"ok"


@pytest.mark.parametrize("path", ["/over", "/over-items", "/over-write"])
def test_body_longer_than_its_length(server, path):
    before = len(server.log())
    with server.connect() as client:
        response = client.ask(path)
        assert (response.status, response.body) == (200, b"some")
        if response.closes:
            assert client.at_end()
        else:
            try:
                assert client.ask("/ok").body == b"ok"
            except AssertionError:
                assert client.eof and not client.buf  # Cut off, with nothing after the body.
    assert server.get("/ok").body == b"ok"
    # What comes behind the end of an iterable's body is never asked for.
    if path != "/over-items":
        wait_for(lambda: len(server.log()) > before, "a line in the log")


def test_head_may_be_shorter_than_its_length(server):
    with server.connect() as client:
        assert client.ask("/short-nothing", "HEAD").header("Content-Length") == "100"
        assert client.ask("/ok").body == b"ok"


def test_failure_of_a_request_whose_client_left(serve):
    server = serve("failing:app")
    client = server.connect()
    client.send(request("/gated-raise"))
    server.wait_marks("started")
    client.reset()
    server.open_gate("raise")
    server.wait_log("app went wrong")
    assert server.get("/ok").body == b"ok"


def test_500_on_a_pipeline(server):
    """A 500 is an answer like others: what is behind it is answered or the connection closed."""
    with server.connect() as client:
        client.send(request("/raise") + request("/ok"))
        response = client.response()
        assert response.status == 500
        if response.closes:
            assert client.at_end()
        else:
            assert client.response().body == b"ok"


def test_tracebacks_are_not_torn(serve):
    """Failures in many threads at once: each traceback stands whole in the log."""
    server = serve("failing:app")
    clients = [server.connect() for _ in range(8)]
    for client in clients:
        client.send(request("/raise?with=unicode") * 10)
    for client in clients:
        while True:
            if client.response().closes:
                break
            if not client.buf and client.quiet():
                break
    lines = server.log().splitlines()
    for at, line in enumerate(lines):
        if "Traceback (most recent call last)" in line:
            assert lines[at + 1].lstrip().startswith("File "), lines[at : at + 3]
