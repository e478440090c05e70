"""environ: every key of PEP 3333 with its type and encoding, and gunicorn's extras."""

import pytest
from server import UnixPath


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("envdump:app")


def environ_of(server, raw=None, path="/", **kwargs):
    if raw is None:
        response = server.request(path, **kwargs)
    else:
        with server.connect() as client:
            client.send(raw)
            response = client.response()
    assert response.status == 200, response
    pairs = response.json()
    for key, (kind, value) in pairs.items():
        if "." not in key or key.startswith("HTTP_"):
            assert kind == "str", (key, kind)
            value.encode("latin-1")
    return {key: value for key, (_, value) in pairs.items()}


def raw_request(*lines, body=b""):
    return b"\r\n".join([*lines, b"", body])


def test_request_line(server):
    environ = environ_of(server, path="/a/b?x=1&y=%20z", method="PUT", body=b"")
    assert environ["REQUEST_METHOD"] == "PUT"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/a/b"
    assert environ["QUERY_STRING"] == "x=1&y=%20z"
    assert environ["RAW_URI"] == "/a/b?x=1&y=%20z"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"


@pytest.mark.parametrize(
    "target, path_info, query_string",
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/caf%C3%A9", "/caf\xc3\xa9", ""),
        ("/caf%c3%a9?caf%C3%A9", "/caf\xc3\xa9", "caf%C3%A9"),
        ("/%E2%82%AC%F0%9F%90%8D", "/\xe2\x82\xac\xf0\x9f\x90\x8d", ""),
        ("/latin%E9", "/latin\xe9", ""),
        ("/a%2Fb%3Fc%23d", "/a/b?c#d", ""),
        ("/a%20b+c", "/a b+c", ""),
        ("/100%25", "/100%", ""),
        ("/%2541", "/%41", ""),
        ("//double//slash/", "//double//slash/", ""),
        ("/a/../b/./c", "/a/../b/./c", ""),
        ("/a;v=1,2/~u@x:y!$&'()*=", "/a;v=1,2/~u@x:y!$&'()*=", ""),
        ("/q?{|}^`\\", "/q", "{|}^`\\"),
        ("/q?a=%zz&b=100%", "/q", "a=%zz&b=100%"),
    ],
)
def test_path_and_query(server, target, path_info, query_string):
    environ = environ_of(server, path=target)
    assert environ["PATH_INFO"] == path_info
    assert environ["QUERY_STRING"] == query_string
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == target


def test_absolute_form(server):
    environ = environ_of(
        server,
        raw_request(b"GET http://example.com:81/a%20b?c=d HTTP/1.1", b"Host: example.com:81"),
    )
    assert environ["PATH_INFO"] == "/a b"
    assert environ["QUERY_STRING"] == "c=d"
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "http://example.com:81/a%20b?c=d"
    assert environ["HTTP_HOST"] == "example.com:81"
    assert environ["wsgi.url_scheme"] == "http"


def test_absolute_form_overrides_host(server):
    """RFC 9112 3.2.2: the host of the target counts, the Host header is ignored."""
    environ = environ_of(
        server, raw_request(b"GET http://one.example/ HTTP/1.1", b"Host: two.example")
    )
    assert environ["HTTP_HOST"] == "one.example"


def test_absolute_form_without_path(server):
    environ = environ_of(
        server, raw_request(b"GET http://example.com HTTP/1.1", b"Host: example.com")
    )
    assert environ["PATH_INFO"] == "/"
    assert environ["QUERY_STRING"] == ""


def test_asterisk_form(server):
    environ = environ_of(server, raw_request(b"OPTIONS * HTTP/1.1", b"Host: a"))
    assert environ["REQUEST_METHOD"] == "OPTIONS"
    assert environ["PATH_INFO"] == ""  # A path starts with a slash: wsgiref.validate wants that.
    assert environ["RAW_URI"] == "*"


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_methods(server, method):
    assert environ_of(server, method=method)["REQUEST_METHOD"] == method


def test_server_and_peer(server):
    with server.connect() as client:
        environ = {key: value for key, (_, value) in client.ask("/").json().items()}
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["REMOTE_PORT"] == str(client.sock.getsockname()[1])
    assert environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(server.binds[0].number)
    assert environ["SERVER_SOFTWARE"].startswith("cwsgi/")
    assert environ["HTTP_HOST"] == "test"


def test_server_and_peer_on_a_unix_socket(serve, tmp_path):
    server = serve("envdump:checked", binds=[UnixPath(tmp_path / "s")])
    environ = environ_of(server, raw_request(b"GET / HTTP/1.1", b"Host: a"))
    assert environ["SERVER_NAME"] and environ["SERVER_PORT"]
    assert environ["REMOTE_ADDR"] == ""


def test_http_1_0(server):
    environ = environ_of(server, raw_request(b"GET / HTTP/1.0"))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in environ
    assert environ["SERVER_NAME"] and environ["SERVER_PORT"]


def test_content_headers_have_no_http_prefix(server):
    environ = environ_of(server, method="POST", body=b"abc", headers=[("Content-Type", "text/x")])
    assert environ["CONTENT_TYPE"] == "text/x"
    assert environ["CONTENT_LENGTH"] == "3"
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & environ.keys()


def test_content_headers_absent(server):
    environ = environ_of(server)
    assert environ.get("CONTENT_TYPE", "") == ""
    assert environ.get("CONTENT_LENGTH", "") == ""


def test_chunked_body_that_is_complete_has_a_content_length(server):
    environ = environ_of(server, method="POST", body=[b"abc"])
    assert environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_chunked_body_that_streams_has_no_content_length(server):
    environ = environ_of(server, method="POST", body=[b"a" * 50_000] * 3)
    assert "CONTENT_LENGTH" not in environ
    assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"


def test_headers(server):
    environ = environ_of(
        server,
        raw_request(
            b"GET / HTTP/1.1",
            b"Host: a",
            b"X-Empty:",
            b"X-OWS: \t padded \t ",
            b"x-LOWER-Case: 1",
            b"X-Inner: a  b\tc",
            b"X-Latin: caf\xc3\xa9 \xff",
            b"X.Dot!: 2",
            b"Accept-Encoding: gzip, br",
        ),
    )
    assert environ["HTTP_X_EMPTY"] == ""
    assert environ["HTTP_X_OWS"] == "padded"
    assert environ["HTTP_X_LOWER_CASE"] == "1"
    assert environ["HTTP_X_INNER"] == "a  b\tc"
    assert environ["HTTP_X_LATIN"] == "caf\xc3\xa9 \xff"
    assert environ["HTTP_X.DOT!"] == "2"
    assert environ["HTTP_ACCEPT_ENCODING"] == "gzip, br"


def test_duplicate_headers_are_joined(server):
    environ = environ_of(
        server,
        raw_request(
            b"GET / HTTP/1.1",
            b"Host: a",
            b"X-A: 1",
            b"Accept: x",
            b"x-a: 2",
            b"Accept: y, z",
            b"X-A: 3",
        ),
    )
    assert environ["HTTP_X_A"] == "1,2,3"
    assert environ["HTTP_ACCEPT"] == "x,y, z"


def test_cookies_are_joined_with_semicolon(server):
    environ = environ_of(
        server, raw_request(b"GET / HTTP/1.1", b"Host: a", b"Cookie: a=1", b"Cookie: b=2; c=3")
    )
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"


def test_names_with_underscore_are_dropped(server):
    environ = environ_of(
        server,
        raw_request(
            b"GET / HTTP/1.1",
            b"Host: a",
            b"X_A: evil",
            b"X-A: good",
            b"X_Only: 1",
            b"Content_Length: 5",
            b"_x: 1",
            b"x_: 1",
        ),
    )
    assert environ["HTTP_X_A"] == "good"
    assert not {"HTTP_X_ONLY", "HTTP__X", "HTTP_X_", "HTTP_CONTENT_LENGTH"} & environ.keys()
    assert environ.get("CONTENT_LENGTH", "") == ""


def test_wsgi_keys(server):
    environ = environ_of(server)
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert server.get("/objects").json() == {
        "environ": True,
        "keys": True,
        "input": [True] * 4,
        "errors": [True] * 3,
        "wrapped": "abc",
    }


def test_types_of_wsgi_keys(server):
    pairs = server.get("/").json()
    for key in ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated"):
        assert pairs[key][0] == "bool"
    assert pairs["wsgi.version"][0] == "tuple"
    assert pairs["wsgi.url_scheme"][0] == "str"


@pytest.mark.parametrize(
    "workers, threads, multiprocess, multithread",
    [(1, 1, False, False), (1, 8, False, True), (2, 1, True, False), (2, 2, True, True)],
)
def test_multithread_and_multiprocess_tell_the_truth(
    serve, workers, threads, multiprocess, multithread
):
    environ = environ_of(serve("envdump:checked", workers=workers, threads=threads))
    assert environ["wsgi.multithread"] is multithread
    assert environ["wsgi.multiprocess"] is multiprocess


def test_environ_is_new_each_request(server):
    with server.connect() as client:
        for _ in range(3):
            assert client.ask("/fresh").json() == {"stale": None, "same": False}
        assert client.ask("/").json()["REQUEST_METHOD"] == ["str", "GET"]


def test_kept_values_survive_the_request(server):
    with server.connect() as client:
        client.ask("/interned?first=1")
        assert client.ask("/interned?other").body == b"first=1"


def test_validator_accepts_environ(serve):
    server = serve("envdump:checked")
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        body = b"x" if method == "POST" else None
        assert (
            server.request("/p%20q?r", method, [("X-A", "1"), ("Cookie", "a=b")], body).status
            == 200
        )


def test_environ_is_the_same_however_the_bytes_arrive(server):
    raw = raw_request(
        b"POST /a%C3%A9?b HTTP/1.1",
        b"Host: h",
        b"Cookie: x=1",
        b"Content-Length: 2",
        b"X-Y: z",
        b"Cookie: y=2",
        body=b"hi",
    )
    whole = environ_of(server, raw)
    with server.connect() as client:
        for byte in raw:
            client.send(bytes([byte]))
        split = {key: value for key, (_, value) in client.response().json().items()}
    for environ in (whole, split):
        del environ["REMOTE_PORT"]
        for key in [key for key, value in environ.items() if " at 0x" in str(value)]:
            del environ[key]
    assert whole == split


def test_names_are_joined_in_any_case_however_many_came_before(serve):
    """More ways of writing names than are remembered: none takes another's value."""
    server = serve("envdump:app")
    with server.connect() as client:
        for i in range(0, 400, 50):
            client.ask("/", headers=[(f"X-Name-{n}", "x") for n in range(i, i + 50)])
        fields = [("hOST", "h"), ("CoOKIE", "a=1"), ("Cookie", "b=2"), ("cOOKIE", "c=3")]
        fields += [("nEW", "1"), ("New", "2"), ("X-NAME-1", "3"), ("X-Name-1", "4")]
        environ = {key: value for key, (_, value) in client.ask("/", headers=fields).json().items()}
    assert environ["HTTP_HOST"] == "h"
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"
    assert environ["HTTP_NEW"] == "1,2"
    assert environ["HTTP_X_NAME_1"] == "3,4"
