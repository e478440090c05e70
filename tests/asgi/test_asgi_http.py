"""ASGI's HTTP protocol, clause by clause, by both loops."""

import json
import os
import re
import resource

import pytest
from client import request, wait_for


@pytest.fixture(scope="module")
def server(serve_all, loop):
    return serve_all("asgiapp:app", "--loop", loop, "--log-level", "debug")


def scope_of(server, target, headers=(), **options):
    answer = json.loads(server.request(target, headers=headers, **options).body)
    return answer["scope"], answer["types"]


def test_hello(server):
    for _ in range(3):
        response = server.get("/")
        assert (response.status, response.body) == (200, b"Hello, ASGI!\n")
        assert response.header("content-length") == "13"
        assert response.header("content-type") == "text/plain"


def test_scope(server):
    scope, types = scope_of(server, "/scope?a=1&b=%20", headers=[("X-Mixed-Case", "A, b")])
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert scope["http_version"] == "1.1"
    assert (scope["method"], scope["scheme"], scope["path"]) == ("GET", "http", "/scope")
    assert (scope["raw_path"], scope["query_string"]) == ("/scope", "a=1&b=%20")
    assert scope["root_path"] == ""
    assert ["x-mixed-case", "A, b"] in scope["headers"]
    assert scope["client"][0] == "127.0.0.1" and scope["client"][1] > 0
    assert scope["server"] == ["127.0.0.1", server.binds[0].number]
    assert scope["state"] == {"started": 1}
    assert types == {
        **dict.fromkeys(["type", "http_version", "method", "scheme", "path", "root_path"], "str"),
        **dict.fromkeys(["raw_path", "query_string", "header name"], "bytes"),
        **dict.fromkeys(["asgi", "state", "extensions"], "dict"),
        **dict.fromkeys(["client", "server", "header"], "tuple"),
        "headers": "list",
    }


def test_path_is_decoded_and_raw_path_is_not(server):
    scope, _ = scope_of(server, "/caf%C3%A9/%2F%ff?x=%C3%A9")
    assert scope["path"] == "/caf\xe9//\ufffd"
    assert scope["raw_path"] == "/caf%C3%A9/%2F%ff"
    assert scope["query_string"] == "x=%C3%A9"


def test_absolute_target(server):
    target = f"http://{server.binds[0]}/abs?q"
    scope, _ = scope_of(server, target)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/abs", "/abs", "q")


def test_http_10_and_repeated_fields(server):
    scope, _ = scope_of(server, "/x", headers=[("A", "1"), ("a", "2")], version="1.0")
    assert scope["http_version"] == "1.0"
    assert [pair for pair in scope["headers"] if pair[0] == "a"] == [["a", "1"], ["a", "2"]]


def test_head_has_no_body(server):
    response = server.request("/", "HEAD")
    assert (response.status, response.body) == (200, b"")
    assert response.header("content-length") == "13"


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 5_000_000])
def test_bodies_come_whole(server, size):
    body = os.urandom(size)
    assert server.post("/echo", body).body == body


def test_chunked_body(server):
    with server.connect() as client:
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        )
        assert client.response("POST").body == b"hello world"


def test_expect_continue(server):
    with server.connect() as client:
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert b"100 Continue" in client.head()
        client.send(b"hello")
        assert client.response("POST").body == b"hello"


def test_messages_of_a_request(server):
    before = len(server.marks("after"))
    got = json.loads(server.get("/messages").body)
    assert got == [{"type": "http.request", "body": 0, "more_body": False}]
    # After the response there is nobody to hear from.
    marks = server.wait_marks("after", before + 1)
    assert json.loads(marks[before]) == {"type": "http.disconnect"}


def test_a_stream_leaves_as_it_comes(serve, server):
    with server.connect() as client:
        client.send(request("/drip"))
        head = client.head()
        assert b"transfer-encoding: chunked" in head.lower()
        for i in range(3):
            assert client.read_until(b"%d\n\r\n" % i)
            server.open_gate(f"drip{i}")
        assert client.read_until(b"0\r\n\r\n")
    for i in range(3):
        (server.state / f"gate-drip{i}").unlink()


def test_http_10_stream_ends_with_the_connection(server):
    response = server.request("/buffers", version="1.0")
    assert response.body == b"byteview"


def test_buffers(server):
    assert server.get("/buffers").body == b"byteview"


@pytest.mark.parametrize("size", [0, 100_000, 10_000_000])
def test_large_responses(server, size):
    response = server.get(f"/large?{size}")
    assert response.body == b"z" * size
    assert response.header("content-length") == str(size)


def test_keep_alive_and_pipelining(server):
    with server.connect() as client:
        client.send(request("/") * 5 + request("/large?1000000") + request("/contexts"))
        for _ in range(5):
            assert client.response().body == b"Hello, ASGI!\n"
        assert len(client.response().body) == 1_000_000
        assert client.response().status == 200


def test_slow_reader_is_waited_for(server):
    """Back-pressure: the app's memory does not take what the client does not read."""
    before = len(server.marks("sent"))
    with server.connect() as client:
        client.send(request("/endless"))
        wait_for(lambda: len(server.marks("sent")) > before, "the stream to begin")
        seen = [-1]

        def stalls():
            now = len(server.marks("sent"))
            same, seen[0] = now == seen[0], now
            return same

        wait_for(stalls, "the stream to stall", 20, step=0.5)
        assert (seen[0] - before) * 65536 < 32 << 20
        left = len(server.marks("left"))
    assert server.wait_marks("left", left + 1)[left] == "ClientDisconnected"


@pytest.mark.parametrize("protocol", [None, "h2c"])
def test_receive_tells_of_a_client_that_left(server, protocol):
    """Also where it would rather speak another protocol, which nobody takes up."""
    offer = [("Connection", "Upgrade"), ("Upgrade", protocol)] if protocol else []
    left, waits = len(server.marks("left")), len(server.marks("waits"))
    client = server.connect()
    client.send(request("/leaving", headers=offer))
    server.wait_marks("waits", waits + 1)
    client.close()
    assert server.wait_marks("left", left + 1)[left] == "http.disconnect"
    assert server.get("/").status == 200
    assert "/leaving: the app returned" not in server.log()  # there is nobody to answer


def test_a_half_closed_client_gets_its_answer(server):
    with server.connect() as client:
        client.send(request("/gate"))
        client.finish_sending()
        server.open_gate("go")
        assert client.response().body == b"went on\n"
    (server.state / "gate-go").unlink()


def test_receivers_and_senders_at_once(server):
    before = len(server.marks("received"))
    assert server.get("/concurrently").body == b"y" * 2_000_000
    marks = server.wait_marks("received", before + 1)
    assert sorted(json.loads(marks[before])) == ["http.disconnect", "http.request"]


def test_each_request_has_a_context_and_a_task_of_its_own(server):
    for _ in range(2):
        got = json.loads(server.get("/contexts").body)
        assert got[0] == "/contexts" and got[1] == "/contexts"


def test_the_loop(server):
    got = json.loads(server.get("/loop").body)
    uvloop = "uvloop" in server.command
    assert got["module"] == ("uvloop" if uvloop else "cwsgi._asgi")
    assert got["main"] is True and got["debug"] is False


def test_what_else_an_app_does_with_its_loop(server):
    got = json.loads(server.get("/transports").body)
    assert got == ["HELLO\n", "executor", "threadsafe", True, "child\n", "signal", "timeout"]


def test_requests_run_side_by_side(server):
    clients = [server.connect() for _ in range(50)]
    before = len(server.marks("runs"))
    for client in clients:
        client.send(request("/gate"))
    server.wait_marks("runs", before + 50)
    assert server.get("/").status == 200
    server.open_gate("go")
    for client in clients:
        assert client.response().body == b"went on\n"
    (server.state / "gate-go").unlink()


def test_work_after_the_response(server):
    """The client has its answer, and its connection, while the task goes on."""
    before = len(server.marks("background"))
    with server.connect() as client:
        client.send(request("/background"))
        assert client.response().body == b"answered\n"
        client.send(request("/"))
        assert client.response().body == b"Hello, ASGI!\n"
        assert len(server.marks("background")) == before
        server.open_gate("go")
        server.wait_marks("background", before + 1)
    (server.state / "gate-go").unlink()


def test_state_is_copied(server):
    for _ in range(2):
        assert json.loads(server.get("/state").body) == {"started": 1}


@pytest.mark.parametrize("path", ["/raising", "/nothing", "/number", "/exiting"])
def test_an_error_before_the_response(server, path):
    before = server.log().count(f"GET {path}")
    response = server.get(path)
    assert (response.status, response.body) == (500, b"Internal Server Error\n")
    wait_for(lambda: server.log().count(f"GET {path}") > before, "the log line")
    assert server.get("/").status == 200


@pytest.mark.parametrize("path", ["/raising-late", "/unfinished", "/short"])
def test_an_error_in_the_response_cuts_it_off(server, path):
    with server.connect() as client:
        client.send(request(path))
        with pytest.raises(Exception, match=r"(?i)incomplete|reset|short|end"):
            client.response()
    server.wait_log(path)
    assert server.get("/").status == 200


def test_an_error_after_the_response(server):
    assert server.get("/raising-after").body == b"fine\n"
    server.wait_log("Error after the response to /raising-after")


def test_too_long_a_body_is_cut_off(server):
    assert server.get("/long").body == b"ten "
    server.wait_log("/long: the body is longer than its Content-Length")


def test_a_task_that_cancels_itself(server):
    assert server.get("/cancelling-itself").status == 500


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("status", "ValueError: invalid status 1000"),
        ("interim", "ValueError: invalid status 100"),
        ("status-text", "TypeError"),
        ("no-status", "KeyError: 'http.response.start needs a status'"),
        ("header-text", "TypeError: a header is a pair of byte strings"),
        ("header-one", "TypeError: a header is a pair of byte strings"),
        ("header-lf", "ValueError: invalid header"),
        ("header-name", "ValueError: invalid header"),
        ("body-first", "RuntimeError: http.response.body came before http.response.start"),
        ("type", "RuntimeError: unexpected ASGI message 'http.response.unknown'"),
        ("no-type", "KeyError"),
        ("list", "TypeError: an ASGI message is a dict, not list"),
    ],
)
def test_messages_that_are_none(server, what, text):
    response = server.get(f"/bad?{what}")
    assert response.status == 200
    assert response.body.decode().startswith(text)


def test_a_second_response_is_refused(server):
    before = len(server.marks("refused"))
    assert server.get("/twice").body == b"once"
    marks = server.wait_marks("refused", before + 1)
    assert "after the response was complete" in marks[before]


def test_an_awaitable_that_is_no_coroutine(server):
    assert server.get("/awaitable").body == b"awaited\n"


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_pathsend(server, tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    response = server.get(f"/pathsend?{path}")
    assert response.body == path.read_bytes()
    assert response.header("content-length") == str(size)


def test_pathsend_of_nothing(server, tmp_path):
    assert server.get(f"/pathsend?{tmp_path}/none").status == 500
    assert server.get(f"/pathsend?{tmp_path}").status == 500


def test_early_hints(server):
    with server.connect() as client:
        client.send(request("/hint"))
        head = client.head()
        assert head.startswith(b"HTTP/1.1 103 ")
        assert re.findall(rb"(?i)link: (\S+);", head) == [b"</a.css>", b"</b.js>"]
        assert client.response().body == b"hinted\n"


def test_unix_socket(serve, tmp_path):
    from server import UnixPath

    server = serve("asgiapp:app", binds=[UnixPath(tmp_path / "s")])
    scope, _ = scope_of(server, "/x")
    assert scope["client"] is None


def test_a_blocked_loop_holds_up_nobody_else(server):
    """Health checks and new connections are answered while a handler keeps the thread."""
    blocked = server.connect()
    before = len(server.marks("blocks"))
    blocked.send(request("/block"))
    server.wait_marks("blocks", before + 1)
    others = [server.connect() for _ in range(3)]
    for client in others:
        client.send(request("/"))
    server.open_gate("go")
    assert blocked.response().body == b"unblocked\n"
    for client in others:
        assert client.response().body == b"Hello, ASGI!\n"
    (server.state / "gate-go").unlink()


def test_health_while_the_loop_is_blocked(serve):
    server = serve("asgiapp:app", "--health", "/live")
    blocked = server.connect()
    blocked.send(request("/block"))
    server.wait_marks("blocks")
    for _ in range(3):
        assert server.get("/live").status == 200
    server.open_gate("go")
    assert blocked.response().body == b"unblocked\n"


@pytest.mark.parametrize("body", [b"once", b"x" * 1_000_000])
def test_cancelled_receivers_take_nothing(server, body):
    got = server.post("/cancelled-receivers", body).body
    # wait_for() with no time at all may have had its piece, if one was there.
    assert got in (body, b"") or body.endswith(got)


def test_receivers_may_outlive_the_app(server):
    before = len(server.marks("later"))
    assert server.get("/left-receivers").body == b"answered\n"
    marks = server.wait_marks("later", before + 2)[before:]
    assert json.loads(marks[0]) == [{"type": "http.disconnect"}] * 3
    assert marks[1] == "refused"


def test_a_client_that_leaves_is_no_error_in_a_group_either(server):
    with server.connect() as client:
        client.send(request("/grouped"))
        client.read_until(b"x" * 1000)
    server.wait_log("client left during GET /grouped")
    assert "KeyError" not in server.log()


def test_a_send_that_is_given_up_ends_the_response(server):
    before = len(server.marks("impatient"))
    with server.connect() as client:
        client.send(request("/impatient"))
        marks = server.wait_marks("impatient", before + 2)[before:]
        assert marks == ["gave up", "ClientDisconnected"]
        got = client.read()
    assert b"\r\n0\r\n\r\n" not in got and len(got) < 20_000_000


def test_nothing_is_sent_behind_a_piece_that_was_given_up(server):
    before, given_up = len(server.marks("overtaken")), len(server.marks("given-up"))
    with server.connect() as client:
        client.send(request("/overtaken"))
        # Who reads at once may have all of it before.
        server.wait_marks("given-up", given_up + 1)
        assert b"second" not in client.read()
    assert server.wait_marks("overtaken", before + 1)[before:] == ["ClientDisconnected"]


def test_a_sender_that_cannot_be_woken(server):
    """The client does not wait for it, and the app hears of that."""
    before = len(server.marks("forgotten"))
    with server.connect() as client:
        client.send(request("/forgotten"))
        assert server.wait_marks("forgotten", before + 1)[before:] == ["False"]
        assert b"second" not in client.read()
    server.wait_log("Cannot wake a request up")


def test_two_receivers_share_a_body(server):
    before = len(server.marks("taken"))
    assert server.post("/two-receivers", b"x" * 3_000_000).body == b"taken"
    assert server.wait_marks("taken", before + 1)[-1] == "3000000"


def test_a_task_that_is_cancelled_may_answer(server):
    assert server.get("/cancelled").body == b"cancelled"
    assert server.get("/").status == 200


@pytest.fixture
def many_descriptors():
    """As many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1500:
        pytest.skip("needs 1,500 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_1000_connections_at_once(server, many_descriptors):
    clients = [server.connect() for _ in range(1000)]
    for client in clients:
        client.send(request("/contexts"))
    for client in clients:
        assert client.response().status == 200
    for client in clients:
        client.send(request("/buffers"))
    for client in clients:
        assert client.response().body == b"byteview"
    for client in clients:
        client.close()
    server.clients.clear()
    assert server.get("/").status == 200


TRAILED = b"4\r\nbody\r\n0\r\nx-sum: 1\r\nX-Other: two\r\n\r\n"


def with_trailers(server, how="", method="GET", version="1.1", te=True):
    client = server.connect()
    fields = [("TE", "deflate, trailers"), ("Connection", "TE")] if te else []
    client.send(request(f"/trailers?{how}", method, fields, version=version))
    head = client.head()
    client.send(request("/", headers=[("Connection", "close")]))
    rest, _, after = client.read().partition(b"HTTP/1.1 200 OK")
    return head, rest, after


def test_trailers(serve, loop):
    """RFC 9110 section 6.5 and 9112 section 7.1.2."""
    server = serve("asgiapp:app", "--loop", loop)
    head, rest, after = with_trailers(server)
    assert b"\r\nx-known: True\r\n" in head and b"\r\ntrailer: x-sum\r\n" in head
    assert rest == TRAILED
    assert after.endswith(b"Hello, ASGI!\n")
    server.wait_marks("refused", 2)
    assert server.marks("refused")[0] == "the response's body has ended"
    assert "after the response was complete" in server.marks("refused")[1]


def test_trailers_behind_no_body(serve):
    server = serve("asgiapp:app")
    assert with_trailers(server, "empty")[1] == TRAILED[9:]


def test_trailers_that_have_no_place(serve):
    """Where the body is not chunked they are left out, as a proxy would."""
    server = serve("asgiapp:app")
    head, rest, after = with_trailers(server, "length")
    assert b"\r\nContent-Length: 4\r\n" in head and rest == b"body" and after
    head, rest, after = with_trailers(server, method="HEAD")
    assert rest == b"" and after
    head, rest, _ = with_trailers(server, version="1.0")
    assert b"x-known: False" in head and rest == b"body"
    head, rest, _ = with_trailers(server, te=False)
    assert b"x-known: False" in head and rest == TRAILED


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("early", "http.response.trailers came before the body's end, or was not announced"),
        ("pathsend", "http.response.pathsend and trailers do not go together"),
        ("bad", "invalid trailer"),
    ],
)
def test_trailers_that_are_refused(serve, how, said):
    server = serve("asgiapp:app")
    assert with_trailers(server, how)[1] == TRAILED
    assert any(said in line for line in server.marks("refused"))


def test_trailers_that_do_not_come(serve):
    """The client notices: there is no last chunk."""
    server = serve("asgiapp:app")
    assert with_trailers(server, "missing")[1:] == (b"4\r\nbody\r\n", b"")
    assert "the app returned before its response was complete" in server.log()


def test_trailers_before_the_body_has_left(serve, loop):
    """They would stand in the middle of it."""
    server = serve("asgiapp:app", "--loop", loop)
    client = server.connect()
    client.send(request("/hurried", headers=[("TE", "trailers"), ("Connection", "TE, close")]))
    server.wait_marks("refused", 1)
    assert server.marks("refused")[0] == "http.response.trailers came before the body had left"
    client.head()
    piece = b"32000\r\n" + b"x" * 200 * 1024 + b"\r\n"
    assert client.read() == 100 * piece + b"3\r\nend\r\n0\r\nx-sum: 1\r\n\r\n"


def test_a_piece_that_was_given_up(serve, loop):
    """Its head may have left: nothing can follow, and the client notices."""
    server = serve("asgiapp:app", "--loop", loop)
    client = server.connect()
    client.send(request("/giving-up"))
    server.wait_marks("giving_up", 1)
    client.head()
    assert not client.read().endswith(b"0\r\n\r\n")
