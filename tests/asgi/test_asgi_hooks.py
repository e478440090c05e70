"""pre_request and post_request around ASGI apps, which see what a WSGI app's hooks see."""

import json

import pytest
from client import request

HOOKS = """
import json, os

def note(*what):
    with open(os.path.join(os.environ["CWSGI_TEST_DIR"], "notes"), "a") as file:
        print(json.dumps(what), file=file)

def pre_request(worker, req):
    note("pre", worker.nr, req.method, req.path, req.query, req.version, req.scheme,
         dict(req.headers).get("X-SAY"), req.remote_addr[0], req.body)
    if req.query == "change":
        req.method = "PUT"
        req.path = "/scope"
        req.query = "changed=1"
        req.scheme = "https"
        req.headers = [*[h for h in req.headers if h[0] != "X-SAY"], ("X-NEW", "n\\xe9w")]
    if req.query == "delete":
        del req.headers[1:]
    if req.query == "fail":
        raise RuntimeError("in the hook")

def post_request(worker, req, environ, resp):
    note("post", req.uri, environ["asgi.scope"]["type"], resp.status, resp.status_code,
         sorted(dict(resp.headers)))
"""


@pytest.fixture
def hooked(serve, tmp_path):
    config = tmp_path / "hooks.py"
    config.write_text(HOOKS)

    def start(app, *words):
        server = serve(app, "-c", config, *words, threads=None)
        notes = server.state / "notes"
        server.notes = lambda: [json.loads(line) for line in notes.read_text().splitlines()]
        return server

    return start


def test_what_they_see(hooked):
    server = hooked("asgiapp:app")
    assert server.get("/?a=b", [("X-Say", "one"), ("X-Say", "two")]).body == b"Hello, ASGI!\n"
    assert server.get("/raising").status == 500
    assert server.stop() == 0
    assert server.notes() == [
        ["pre", 1, "GET", "/", "a=b", [1, 1], "http", "one,two", "127.0.0.1", None],
        ["post", "/?a=b", "http", "200 OK", 200, ["content-type"]],
        ["pre", 2, "GET", "/raising", "", [1, 1], "http", None, "127.0.0.1", None],
        ["post", "/raising", "http", None, None, []],
    ]


def test_what_they_change(hooked):
    server = hooked("asgiapp:app")
    answer = server.get("/elsewhere?change", [("X-Say", "one"), ("X-Stays", "yes")])
    scope = json.loads(answer.body)["scope"]
    assert (scope["method"], scope["path"], scope["query_string"]) == ("PUT", "/scope", "changed=1")
    assert scope["scheme"] == "https"
    headers = dict(scope["headers"])
    assert headers["x-stays"] == "yes" and headers["x-new"] == "n\xe9w"
    assert "x-say" not in headers


def test_what_they_delete(hooked):
    server = hooked("asgiapp:app")
    assert json.loads(server.get("/scope?delete").body)["scope"]["headers"] == [["host", "test"]]


def test_what_they_delete_from_the_environ():
    from cwsgi._asgi_hooks import carry_over

    before = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/a", "RAW_URI": "/a"}
    before |= {"QUERY_STRING": "", "wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1"}
    scope = {"headers": [], "path": "/a"}
    carry_over(before, {"PATH_INFO": "/b"}, scope)
    assert scope == {"headers": [], "path": "/b", "root_path": ""}


def test_one_that_fails(hooked):
    server = hooked("asgiapp:app")
    assert server.get("/?fail").status == 200
    assert "Exception in pre_request hook" in server.log()


def test_below_a_prefix_and_not_ascii(hooked):
    server = hooked("asgiapp:app", "--root-path", "/api")
    server.get("/api/hello/%C3%BC")
    assert server.stop() == 0
    assert server.notes()[0][3] == "/api/hello/%C3%BC"


def test_websockets(hooked):
    server = hooked("asgisocket:app")
    client = server.connect()
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    upgrade += [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]
    client.send(request("/", headers=upgrade))
    assert client.head().startswith(b"HTTP/1.1 101 ")
    client.close()
    assert server.stop() == 0
    assert [note[:5] for note in server.notes()] == [
        ["pre", 1, "GET", "/", ""],
        ["post", "/", "websocket", "101 Switching Protocols", 101],
    ]
