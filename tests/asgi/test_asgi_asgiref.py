"""What asgiref has for apps and servers: its wrappers, its threads, its types, its driver."""

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from client import request, wait_for
from server import APPS

pytest.importorskip("asgiref")
from asgiref.testing import ApplicationCommunicator

websockets = pytest.importorskip("websockets")
from websockets.sync.client import connect  # noqa: E402

# The server's own; asgiref's wrapper leaves them out, or says what it cannot know.
NOT_WRAPPED = {"REMOTE_PORT", "RAW_URI", "REQUEST_URI", "SERVER_SOFTWARE", "SCRIPT_NAME"}


@pytest.fixture(scope="module")
def server(serve_all, loop):
    return serve_all("asgi_asgiref:app", "--loop", loop)


@pytest.fixture(scope="module")
def both(serve_all, loop):
    """One WSGI app, by the server's threads and by asgiref's."""
    mounts = ["/bare=asgi_asgiref:wsgi", "/wrapped=asgi_asgiref:wrapped"]
    options = [word for mount in mounts for word in ("--mount", mount)]
    return serve_all(None, "--loop", loop, *options)


def each(both, path, method="GET", headers=(), body=None):
    """The two answers, of which all but their dates is to be alike."""
    got = [both.request(f"/{way}{path}", method, headers, body) for way in ("bare", "wrapped")]
    fields = [
        sorted((k.lower(), v) for k, v in one.fields if k.lower() not in ("date", "content-length"))
        for one in got
    ]
    framing = ("transfer-encoding", "chunked")
    fields = [[field for field in one if field != framing] for one in fields]
    assert got[0].status == got[1].status
    assert fields[0] == fields[1]
    return got


def test_wsgi_environ(both):
    headers = [("X-A", "one"), ("X-A", "two"), ("Content-Type", "text/x"), ("Cookie", "a=b")]
    bare, wrapped = (
        answer.json() for answer in each(both, "/dump?q=%20&r", "POST", headers, b"four")
    )
    assert (bare["SCRIPT_NAME"], wrapped["SCRIPT_NAME"]) == ("/bare", "/wrapped")
    for key in bare.keys() - NOT_WRAPPED:
        if not key.startswith(("wsgi.", "gunicorn.")):
            assert wrapped.get(key) == bare[key], key
    assert wrapped["HTTP_X_A"] == "one,two"
    assert "Warning" not in both.log()  # of a send() that is no coroutine function


@pytest.mark.parametrize("size", [0, 5, 70_000, 3_000_000])
def test_wsgi_bodies(both, size):
    """asgiref spools what is more than 64 KiB."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for answer in each(both, "/echo", "POST", body=data):
        assert (answer.status, answer.body) == (201, data)
        assert answer.all("X-Length") == [str(size), "twice"]
    for answer in each(both, "/echo", "POST", body=[data, b"end"] if size else [b"end"]):
        assert answer.body == data + b"end"


def test_wsgi_streams_and_lengths(both):
    for answer in each(both, "/stream?n=500"):
        assert answer.body == b"".join(b"%d\n" % n for n in range(500))
    for answer in each(both, "/length"):
        assert (answer.body, answer.header("Content-Length")) == (b"ten bytes!", "10")
    for way in ("bare", "wrapped"):
        assert both.request(f"/{way}/length", "HEAD").body == b""


def test_wsgi_exceptions(both):
    for answer in each(both, "/raises"):
        assert answer.status == 500
    wait_for(lambda: both.log().count("ValueError: deliberate") >= 2, "both tracebacks")


def test_wsgi_runs_in_a_thread(both):
    assert [answer.json() for answer in each(both, "/thread")] == [{"main": False}] * 2


def test_wsgi_many_at_once(both):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: both.get(f"/wrapped/stream?n={n}"), range(100)))
    assert [answer.body.count(b"\n") for answer in answers] == list(range(100))


def test_asgi_2(serve, loop):
    server = serve("asgi_asgiref:old", "--loop", loop)
    assert server.get("/below").body == b"/below"


# Threads.


def test_context_goes_to_threads_and_back(server):
    for number in range(20):
        mine = f"request-{number}"
        assert server.get(f"/contexts?{mine}").json() == [
            ["nobody", False],
            [mine, mine],
            f"{mine} changed",
            [True, f"{mine} changed"],
            "'from the thread'",
        ]


def test_contexts_of_many_at_once_are_apart(server):
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda n: server.get(f"/contexts?r{n}").json(), range(100)))
    assert [one[:3] for one in got] == [
        [["nobody", False], [f"r{n}", f"r{n}"], f"r{n} changed"] for n in range(100)
    ]


def test_sensitive_code_has_one_thread(server):
    threads = [server.get("/sensitive").json() for _ in range(5)]
    assert len({name for one in threads for name in one[:2]}) == 1
    for one in threads:
        assert one[2] == one[3] != one[0]


def test_sensitive_code_is_alone(server):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: server.get("/alone"), range(100)))
    assert {(one.status, one.body) for one in answers} == {(200, b"alone")}


def test_other_code_runs_at_once(server):
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: server.get("/together"), range(2)))
    assert [one.body for one in answers] == [b"met"] * 2


# Types, and asgiref's driver of apps.


def test_scopes_and_messages_are_of_their_types(serve, loop):
    server = serve("asgi_asgiref:app", "--loop", loop)
    assert server.get("/").status == 200
    assert server.request("/a%2Fb?q=1", "HEAD", [("X-A", "\xe9")]).status == 200
    assert server.request("/", version="1.0").status == 200
    assert server.post("/", [b"some", b"more"]).body == b"somemore"
    assert server.post("/", b"x" * 1_000_000).body == b"x" * 1_000_000
    with server.connect() as client:
        client.send(request("/left"))
    with connect(f"ws://{server.binds[0]}/?its", subprotocols=["one"], proxy=None) as socket:
        for message in ("text", b"bytes"):
            socket.send(message)
            assert socket.recv() == message
    server.wait_marks("disconnect-its")
    wait_for(lambda: "http.disconnect" in server.marks("checked"), "the client's leaving")
    assert server.stop() == 0
    assert server.marks("faults") == []
    assert set(server.marks("checked")) == {
        "http",
        "http.request",
        "http.disconnect",
        "websocket",
        "websocket.connect",
        "websocket.receive",
        "websocket.disconnect",
        "lifespan",
        "lifespan.startup",
        "lifespan.shutdown",
    }


async def drive(app, scope, body):
    """The status, the fields and the body that the app has for asgiref's own driver."""
    driver = ApplicationCommunicator(app, scope)
    await driver.send_input({"type": "http.request", "body": body, "more_body": False})
    start = await driver.receive_output(20)
    pieces, more = [], True
    while more:
        message = await driver.receive_output(20)
        pieces.append(bytes(message.get("body", b"")))
        more = message.get("more_body", False)
    await driver.wait(20)
    return start["status"], list(start["headers"]), b"".join(pieces)


@pytest.mark.parametrize("path", ["/", "/echo", "/buffers", "/awaitable", "/large?70000"])
def test_answers_are_those_that_asgirefs_driver_gets(driven, path, monkeypatch):
    monkeypatch.syspath_prepend(APPS)
    app = importlib.import_module("asgiapp").app
    scope = driven.get("/scope" + path.removeprefix("/")).json()["scope"]
    path, _, text = path.partition("?")
    scope.update(path=path, raw_path=path.encode(), query_string=text.encode(), method="POST")
    status, fields, body = asyncio.run(drive(app, scope, b"a body"))
    answer = driven.post(path + (f"?{text}" if text else ""), b"a body")
    assert (answer.status, answer.body) == (status, body)
    for name, value in fields:
        assert answer.header(name.decode()) == value.decode()


@pytest.fixture(scope="module")
def driven(serve_all):
    return serve_all("asgiapp:app")
