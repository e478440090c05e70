"""wsgi.file_wrapper: what is sent, how much of it, and that files are closed."""

import hashlib
import random
import threading

import pytest
from client import request, wait_for
from server import descriptors

BIG = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def server(serve_all):
    server = serve_all("files:app")
    fill(server)
    return server


def fill(server):
    (server.state / "small").write_bytes(b"0123456789")
    (server.state / "text").write_bytes(b"abcdefgh" * 5000)
    (server.state / "empty").write_bytes(b"")
    (server.state / "big").write_bytes(random.Random(20).randbytes(BIG))


@pytest.fixture
def own(serve):
    server = serve("files:app")
    fill(server)
    return server


@pytest.mark.parametrize("path", ["/file", "/bytesio", "/half-read", "/noted-file"])
@pytest.mark.parametrize("seek", [0, 1, 4, 9, 10])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_from_its_position_to_its_end(server, path, seek, version):
    with server.connect() as client:
        client.send(request(f"{path}?name=small&seek={seek}", version=version))
        response = client.response()
        assert response.body == b"0123456789"[seek:]
        if version == "1.1":
            assert client.ask("/ok").body == b"ok"


@pytest.mark.parametrize("path", ["/file", "/bytesio", "/half-read"])
@pytest.mark.parametrize("seek, length", [(0, 10), (0, 4), (3, 4), (0, 0), (10, 0)])
def test_no_more_than_content_length(server, path, seek, length):
    """PEP 3333: what stands behind Content-Length is not sent, and is no error."""
    before = server.log()
    with server.connect() as client:
        response = client.ask(f"{path}?name=small&seek={seek}&length={length}")
        assert response.body == b"0123456789"[seek : seek + length]
        assert response.header("Content-Length") == str(length)
        assert client.ask("/ok").body == b"ok"
    assert server.log() == before


def test_real_file_has_a_length(server):
    """Its size is known: no chunks."""
    response = server.get("/file?name=small&seek=2")
    assert response.header("Content-Length") == "8"
    assert response.header("Transfer-Encoding") is None


@pytest.mark.parametrize("path", ["/file", "/bytesio", "/half-read"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_large(server, path, version):
    data = (server.state / "big").read_bytes()
    for seek, options in ((0, ""), (12345, ""), (1, "&length=10000000"), (0, "&block=1000000")):
        length = 10000000 if "length" in options else BIG
        response = server.request(f"{path}?name=big&seek={seek}{options}", version=version)
        assert (
            hashlib.sha256(response.body).digest()
            == hashlib.sha256(data[seek : seek + length]).digest()
        )


def test_large_in_parallel(server):
    digest, wrong = hashlib.sha256((server.state / "big").read_bytes()).digest(), []

    def fetch():
        if hashlib.sha256(server.get("/file?name=big").body).digest() != digest:
            wrong.append(1)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_empty(server):
    with server.connect() as client:
        assert client.ask("/file?name=empty").body == b""
        assert client.ask("/bytesio?name=empty").body == b""
        assert client.ask("/ok").body == b"ok"


@pytest.mark.parametrize(
    "path, body",
    [
        ("/temporary", b"flushed yet"),
        ("/no-close", b"only read"),
        ("/pipe", b"through a pipe"),
        ("/fileno-lies", b"no descriptor"),
        ("/iterated?name=text&block=100", b"ABCDEFGH" * 5000),
        ("/after-write?name=small", b"written,0123456789"),
    ],
)
def test_kinds_of_files(server, path, body):
    with server.connect() as client:
        for _ in range(2):
            assert client.ask(path).body == body


@pytest.mark.parametrize("path", ["/file", "/noted-file", "/bytesio", "/half-read"])
def test_head(server, path):
    with server.connect() as client:
        response = client.ask(f"{path}?name=small&length=10", "HEAD")
        assert response.header("Content-Length") == "10"
        assert client.quiet()
        client.ask(f"{path}?name=small", "HEAD")
        assert client.ask("/ok").body == b"ok"


def test_no_body_with_304(server):
    with server.connect() as client:
        assert client.ask("/noted-file?name=small&status=304").body == b""
        assert client.ask("/ok").body == b"ok"


@pytest.mark.parametrize(
    "path",
    [
        "/noted-file?name=small",
        "/noted-file?name=big",
        "/noted-file?name=small&length=4",
        "/noted-file?name=small&status=304",
        "/bytesio?name=small&noted=1",
        "/bytesio?name=big&noted=1",
        "/raises",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_file_is_closed_once(own, path, method):
    with own.connect() as client:
        client.send(request(path, method))
        client.head()
        client.finish_sending()
        client.read()
    own.wait_marks("closed")
    assert own.stop() == 0
    assert len(own.marks("closed")) == 1


@pytest.mark.parametrize("path", ["/noted-file?name=big", "/bytesio?name=big&noted=1"])
def test_file_is_closed_when_the_client_leaves(own, path):
    client = own.connect()
    client.send(request(path))
    client.read(100000)
    client.reset()
    own.wait_marks("closed")
    assert own.get("/ok").body == b"ok"
    assert own.stop() == 0
    assert len(own.marks("closed")) == 1


def test_descriptors_do_not_leak(own):
    worker = own.worker().pid

    def files():
        return [link for link in descriptors(worker) if link.startswith(("/", "pipe:"))]

    own.get("/file?name=small")
    before = files()
    with own.connect() as client:
        for path in (
            "/file?name=small",
            "/file?name=big&length=5",
            "/pipe",
            "/temporary",
            "/bytesio?name=small",
        ):
            for _ in range(20):
                client.ask(path)
                client.ask(path, "HEAD")
    wait_for(lambda: len(files()) <= len(before), lambda: f"files to be closed: {before} {files()}")


def test_read_error_before_anything_was_sent(server):
    assert server.get("/raises").status == 500
    server.wait_log("read went wrong")
    assert server.get("/ok").body == b"ok"


def test_file_that_shrinks(own):
    """Fewer bytes than Content-Length said: the connection ends, the client can tell."""
    with own.connect() as client:
        client.send(request("/shrinks?name=text&length=40000"))
        assert b"Content-Length: 40000\r\n" in client.head()
        assert client.read() == b"abcdefghab"
    assert own.get("/ok").body == b"ok"
