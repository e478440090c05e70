"""Responses: framing, flushing and close(), for every kind of iterable."""

import email.utils
import time

import pytest
from client import request

FORMS = {
    "/one": b"one item",
    "/many": b"first second third",
    "/tuple": b"one item",
    "/sized": b"hello world",
    "/generator": b"first second",
    "/late-start": b"late",
    "/empty-list": b"",
    "/empty-string": b"",
    "/empty-strings": b"ab",
    "/empty-generator": b"",
    "/write": b"written twice",
    "/write-and-items": b"written then yielded",
    "/write-sized": b"abcdef",
}


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("outputs:app")


@pytest.fixture(scope="module")
def checked(serve_all):
    return serve_all("outputs:checked")


@pytest.mark.parametrize("path", FORMS)
def test_body(server, path):
    with server.connect() as client:
        for _ in range(3):
            response = client.ask(path)
            assert response.status == 200
            assert response.body == FORMS[path]
            assert not response.closes
        assert client.ask("/one").body == b"one item"


@pytest.mark.parametrize("path", FORMS)
def test_body_checked_by_the_validator(checked, path):
    with checked.connect() as client:
        for _ in range(2):
            assert client.ask(path).body == FORMS[path]


@pytest.mark.parametrize("path", FORMS)
def test_body_for_http_1_0(server, path):
    """No chunks for 1.0: the end of the connection is the end of the body."""
    with server.connect() as client:
        client.send(request(path, version="1.0"))
        response = client.response()
        assert response.body == FORMS[path]
        assert response.header("Transfer-Encoding") is None
        assert client.at_end()


@pytest.mark.parametrize("path", FORMS)
def test_head_has_no_body(server, path):
    with server.connect() as client:
        response = client.ask(path, "HEAD")
        assert response.status == 200
        assert client.quiet()
        assert client.ask("/one").body == b"one item"


def test_head_keeps_content_length(server):
    assert server.request("/sized", "HEAD").header("Content-Length") == "11"
    assert server.request("/one", "HEAD").header("Content-Length") in ("8", None)


def test_head_and_get_have_the_same_fields(server):
    for path in ("/sized", "/one", "/generator", "/headers"):
        get, head = server.get(path), server.request(path, "HEAD")
        framing = {"date", "content-length", "transfer-encoding"}
        assert [f for f in get.fields if f[0].lower() not in framing] == [
            f for f in head.fields if f[0].lower() not in framing
        ]


@pytest.mark.parametrize("path", ["/one", "/tuple", "/empty-list", "/empty-string"])
def test_content_length_is_inferred(server, path):
    response = server.get(path)
    assert response.header("Content-Length") == str(len(response.body))
    assert response.header("Transfer-Encoding") is None


@pytest.mark.parametrize("path", ["/generator", "/write", "/write-and-items", "/late-start"])
def test_chunked_where_the_length_is_not_known(server, path):
    response = server.get(path)
    assert response.header("Transfer-Encoding") == "chunked"
    assert response.header("Content-Length") is None


def test_no_empty_chunk_amid_the_body(server):
    """An empty item must not be sent as a chunk: it would end the body."""
    with server.connect() as client:
        client.send(request("/empty-strings"))
        head = client.head()
        rest = client.read_until(b"0\r\n\r\n") if b"chunked" in head.lower() else b"0\r\n\r\n"
        assert rest.count(b"0\r\n\r\n") == 1 and rest.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "line, status, reason",
    [
        ("200+OK", 200, "OK"),
        ("201+Created", 201, "Created"),
        ("404+Not+Found+At+All", 404, "Not Found At All"),
        ("299+x", 299, "x"),
        ("500+Oops", 500, "Oops"),
        ("599+Odd", 599, "Odd"),
        ("418+I'm+a+teapot", 418, "I'm a teapot"),
    ],
)
def test_status_line(server, line, status, reason):
    response = server.get(f"/status?{line}")
    assert (response.status, response.reason, response.body) == (status, reason, b"body")


@pytest.mark.parametrize("line", ["204+No+Content", "304+Not+Modified"])
@pytest.mark.parametrize("path", ["/status", "/body-where-none-belongs"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_statuses_without_body(server, path, line, method):
    with server.connect() as client:
        response = client.ask(f"{path}?{line}", method)
        assert response.status == int(line[:3])
        assert response.body == b""
        assert response.header("Transfer-Encoding") is None
        if line.startswith("204"):
            assert response.header("Content-Length") is None
        if not response.closes:
            assert client.quiet()
            assert client.ask("/one").body == b"one item"


def test_304_keeps_content_length(server):
    with server.connect() as client:
        response = client.ask("/304-with-length")
        assert response.header("Content-Length") in ("1234", None)
        assert response.header("ETag") == '"a"'
        assert client.ask("/one").body == b"one item"


def test_headers_pass_unchanged_and_in_order(server):
    response = server.get("/headers")
    assert response.reason == "Fine by me"
    assert response.all("X-A") == ["1", "2"]
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert response.header("x-b") == ""
    assert response.header("X-Tab") == "a\tb"
    assert b"X-Latin: caf\xe9\r\n" in response.head
    assert b"\r\nx-b:" in response.head


@pytest.mark.parametrize(
    "path", ["/one", "/generator", "/status?204+None", "/status?404+No", "/status?304+Not"]
)
def test_date_stands_once(server, path):
    response = server.get(path)
    (date,) = response.all("Date")
    assert date.endswith(" GMT") and len(date) == 29
    assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 5


def test_date_of_the_app_is_not_doubled(server):
    assert len(server.get("/own-date").all("Date")) == 1


def test_no_server_header(server):
    assert server.get("/one").header("Server") is None


def test_connection_close_of_the_app_is_honoured(server):
    with server.connect() as client:
        response = client.ask("/close-header")
        assert response.header("Connection").lower() == "close"
        assert response.body == b"last"
        assert client.at_end()


def test_hop_by_hop_headers_are_left_out(server):
    with server.connect() as client:
        response = client.ask("/hop-by-hop")
        assert response.body == b"hop"
        assert response.header("X-Kept") == "yes"
        assert response.header("Content-Length") == "3"
        for name in (
            "Keep-Alive",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "TE",
        ):
            assert response.header(name) is None
        assert client.ask("/one").body == b"one item"


def test_small_response_is_one_write(server):
    """Head and body arrive in one piece, each time."""
    with server.connect() as client:
        for path in ("/one", "/sized", "/empty-list", "/status?404+No"):
            size = len(client.ask(path).body)
            for _ in range(50):
                client.send(request(path))
                head, _, body = client.sock.recv(65536).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 ")
                if path != "/sized":  # Several items: each is flushed by itself.
                    assert len(body) == size
                else:
                    client.read(size - len(body))


@pytest.mark.parametrize("path", ["/flush", "/flush-write", "/flush-sized"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_each_item_is_flushed(serve, path, version):
    """The client has the first item while the app still works on the second."""
    server = serve("outputs:app")
    client = server.connect()
    client.send(request(path, version=version))
    client.head()
    client.read_until(b"first;")
    assert server.get("/open-gate").body == b"opened"
    client.read_until(b"second;")


@pytest.mark.parametrize(
    "size", [0, 1, 4095, 4096, 65535, 65536, 65537, 262144, 262145, 1 << 20, 10 << 20]
)
def test_sizes_of_one_item(server, size):
    response = server.get(f"/big?size={size}")
    assert response.header("Content-Length") == str(size)
    assert response.body == (bytes(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize(
    "count, size", [(1000, 1), (100, 1000), (300, 65536), (3, 1 << 20), (0, 1)]
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_sizes_of_streams(server, count, size, version):
    response = server.request(f"/stream?count={count}&size={size}", version=version)
    assert response.body == (bytes(range(256)) * (size // 256 + 1))[:size] * count


def test_large_responses_pipelined(server):
    with server.connect() as client:
        client.send(
            request("/big?size=1000000") * 5
            + request("/stream?count=50&size=20000")
            + request("/one")
        )
        for _ in range(6):
            assert len(client.response().body) == 1000000
        assert client.response().body == b"one item"


@pytest.mark.parametrize(
    "path, at",
    [("/closed", "3"), ("/closed-one", "one"), ("/closed-write", "1"), ("/closed-204", "0")],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_called_once(serve, path, at, method):
    server = serve("outputs:app")
    with server.connect() as client:
        client.ask(path, method)
        client.ask("/one")
        server.wait_marks("closed")
        assert server.stop() == 0
    (mark,) = server.marks("closed")
    assert mark == at or method == "HEAD"


@pytest.mark.parametrize("path", ["/endless", "/endless-generator"])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_close_is_called_once_when_the_client_leaves(serve, path, leave):
    server = serve("outputs:app")
    client = server.connect()
    client.send(request(path))
    server.wait_marks("started")
    client.read(20000)
    getattr(client, leave)()
    server.wait_marks("closed")
    assert server.get("/one").body == b"one item"
    assert server.stop() == 0
    assert len(server.marks("closed")) == 1


def test_write_raises_when_the_client_leaves(serve):
    server = serve("outputs:app")
    client = server.connect()
    client.send(request("/endless-write"))
    server.wait_marks("started")
    client.read(20000)
    client.close()
    (raised,) = server.wait_marks("raised")
    assert "OSError" in raised.split()
    assert server.get("/one").body == b"one item"


def test_lost_clients_are_not_errors_of_the_app(serve):
    """A client that leaves is everyday: no traceback for it."""
    server = serve("outputs:app")
    for _ in range(5):
        client = server.connect()
        client.send(request("/endless"))
        client.read(5000)
        client.close()
    server.wait_marks("closed", 5)
    assert "Traceback" not in server.log()
