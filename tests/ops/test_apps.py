"""Several apps by path, work after the response, early hints."""

import json
import os
import signal
from pathlib import Path

import pytest
from client import SLOW, request, wait_for
from ops import wait_serving, wait_workers
from server import run


def who(server, path):
    return json.loads(server.get(path).body)


def test_mounts(serve):
    """The longest prefix wins; SCRIPT_NAME and PATH_INFO are split at it."""
    server = serve("envdump:app", "--mount", "/shop=ops:app", "--mount", "/shop/admin=hello:app")
    answer = who(server, "/shop/who?x=1")
    assert (answer["script_name"], answer["path_info"]) == ("/shop", "/who")
    assert server.get("/shop/admin").body == b"Hello, World!\n"
    assert server.get("/shop/admin/any/thing").body == b"Hello, World!\n"
    # Not at a border between segments: the app at the root.
    for path in ("/shopping", "/sho", "/", "/shop-who"):
        environ = json.loads(server.get(path).body)
        environ = environ.get("environ", environ)
        assert "/shop" != environ.get("SCRIPT_NAME")
    assert server.get("/shop").status == 404  # The app's own: PATH_INFO is empty.
    assert b"not found" in server.get("/shop").body


def test_mounts_alone(serve):
    """Without an app at the root, other paths are not found."""
    server = serve(None, "--mount", "/a=ops:app", "--mount=/b/=ops:app")
    assert who(server, "/a/who")["script_name"] == "/a"
    assert who(server, "/b/who")["script_name"] == "/b"
    response = server.get("/who")
    assert response.status == 404
    assert response.body == b"Not Found\n"
    assert not response.closes
    assert server.request("/c", method="HEAD").status == 404


def test_percent_encoded_prefix(serve):
    server = serve("hello:app", "--mount", "/caf\N{LATIN SMALL LETTER E WITH ACUTE}=ops:app")
    answer = who(server, "/caf%C3%A9/who")
    assert answer["script_name"] == "/caf\xc3\xa9"
    assert answer["path_info"] == "/who"


def test_script_name_variable(serve):
    """gunicorn's way to say where a proxy mounts the app."""
    server = serve("ops:app", env={"SCRIPT_NAME": "/base"})
    answer = who(server, "/base/who")
    assert (answer["script_name"], answer["path_info"]) == ("/base", "/who")
    assert server.get("/who").status == 404


@pytest.mark.parametrize(
    "mount, code, said",
    [
        ("shop=ops:app", 1, "/PREFIX=MODULE:APP"),
        ("/shop", 1, "/PREFIX=MODULE:APP"),
        ("/shop=", 1, "/PREFIX=MODULE:APP"),
        ("/shop=no_such_module:app", 3, "no_such_module"),
        ("/shop=hello:nothing", 4, "nothing"),
        ("/=hello:app", 3, "two apps"),
    ],
)
def test_bad_mounts(mount, code, said):
    apps = os.path.join(os.path.dirname(__file__), "..", "apps")
    result = run("-b", "127.0.0.1:0", "--chdir", apps, "--mount", mount, "hello:app")
    assert result.returncode == code
    assert said in result.stderr


def test_after_response(serve):
    """The client has its answer, and the connection goes on, while the work waits."""
    server = serve("ops:app")
    with server.connect() as client:
        assert client.ask("/after").body == b"answered"
        assert client.ask("/who").status == 200
        assert server.marks("after") == []
        server.open_gate("after")
        assert server.wait_marks("after", 2) == ["first 1", "last 2"]
    server.wait_log("RuntimeError: after_response goes wrong")
    assert "Exception in an after_response function" in server.log()


def test_term_waits_for_work_after_the_response(serve):
    server = serve("ops:app")
    assert server.get("/after").body == b"answered"
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    assert server.proc.poll() is None
    server.open_gate("after")
    assert server.wait_exit() == 0
    assert server.marks("after") == ["first 1", "last 2"]


def test_work_after_the_response_ends_with_the_grace(serve):
    server = serve("ops:app", "--graceful-timeout", "1")
    assert server.get("/after").body == b"answered"
    assert server.stop() == 0
    assert "graceful timeout" in server.log()


def test_after_response_is_for_requests(serve):
    server = serve("afters:app")
    assert b"RuntimeError" in server.get("/thread").body
    assert b"TypeError" in server.get("/nothing").body


def test_early_hints(serve):
    server = serve("ops:app")
    with server.connect() as client:
        client.send(request("/hints"))
        interim = client.read_until(b"\r\n\r\n")
        assert interim == (
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-Bytes: yes\r\n\r\n"
        )
        assert client.response().body == b"final"
        assert client.ask("/who").status == 200


def test_no_early_hints_for_http_10(serve):
    server = serve("ops:app")
    response = server.request("/hints", version="1.0")
    assert (response.status, response.body) == (200, b"final")


@pytest.mark.parametrize(
    "options, env, reads",
    [
        ([], {}, False),
        (["--no-sendfile"], {}, True),
        ([], {"SENDFILE": "no"}, True),
        (["--sendfile"], {"SENDFILE": "no"}, False),
    ],
)
def test_no_sendfile(serve, options, env, reads):
    """Files go by sendfile(2), or are read like any other iterable."""
    server = serve("ops:app", *options, env=env)
    with open(os.path.join(os.path.dirname(__file__), "..", "apps", "ops.py"), "rb") as file:
        assert server.get("/file").body == file.read()
    (position,) = server.wait_marks("read")
    assert bool(int(position)) == reads


def who_serves(server):
    """The pid, as text, of the worker that a new client gets."""
    with server.connect() as client:
        client.sock.settimeout(2 * SLOW)
        return str(json.loads(client.ask("/who").body)["pid"])


def test_a_full_worker_leaves_connections_to_others(serve):
    """With every thread of one worker taken, whoever connects is served by the other."""
    server = serve("ops:app", threads=1, workers=2)
    wait_serving(server, 2)
    busy = server.connect()
    busy.send(request("/wait"))
    (stuck,) = server.wait_marks("waiting")
    served = {who_serves(server) for _ in range(60)}
    assert served and stuck not in served
    server.open_gate("wait")
    assert busy.response().status == 200

    def both():
        served.add(str(who(server, "/who")["pid"]))
        return stuck in served

    wait_for(both, "the first to take connections again")


def test_a_worker_that_becomes_full_leaves_connections_to_others(serve):
    """From the very beginning of the request, also where another thread turns the loop."""
    server = serve("ops:app", threads=1, workers=2)
    wait_serving(server, 2)
    for turn in range(10):
        busy = server.connect()
        # Calls that block have the loop turned by another thread from then on.
        for _ in range(4):
            busy.ask("/sleep?s=0.01")
        busy.send(request(f"/wait?gate={turn}"))
        stuck = server.wait_marks("waiting", turn + 1)[turn]
        assert who_serves(server) != stuck
        server.open_gate(str(turn))
        assert busy.response().body == b"waited"


def fill(server, pids):
    """Sends requests until each of these workers has one that keeps its thread.

    A worker that has just got one may take another, which then waits.
    """
    clients = []

    def full():
        if not clients or clients[-1].quiet():
            clients.append(server.connect())
            clients[-1].send(request("/wait"))
        return {str(pid) for pid in pids} <= set(server.marks("waiting"))

    wait_for(full, "the workers to be full", 20, step=0.05)
    return clients


def thread_states(pid):
    """The letters that /proc has for the threads of a process: one may run while another stops."""
    files = Path(f"/proc/{pid}/task").glob("*/stat")
    return {file.read_text().rpartition(")")[2].split()[0] for file in files}


def test_a_full_worker_does_not_wait_for_one_that_is_stopped(serve):
    server = serve("ops:app", "--health", "/healthz", threads=1, workers=2)
    stopped, other = wait_serving(server, 2)
    busy = server.connect()
    busy.send(request("/wait"))
    if server.wait_marks("waiting") == [str(stopped)]:
        stopped = other
    os.kill(stopped, signal.SIGSTOP)
    try:
        wait_for(lambda: thread_states(stopped) == {"T"}, "all its threads to be stopped")
        assert server.get("/healthz").status == 200
    finally:
        os.kill(stopped, signal.SIGCONT)
    server.open_gate("wait")
    assert busy.response().status == 200


def test_full_workers_do_not_wait_for_one_that_drains(serve):
    server = serve("ops:app", "--health", "/healthz", threads=1, workers=2)
    old = wait_serving(server, 2)
    clients = fill(server, old)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")
    new = {pid for pid in wait_workers(server, 4) if pid not in old}
    clients += fill(server, new)
    assert {server.get("/healthz").status for _ in range(10)} == {200}
    server.open_gate("wait")
    for client in clients:
        assert client.response().body == b"waited"


def test_with_all_workers_full_connections_are_taken(serve):
    """Health checks do not need a thread."""
    server = serve("ops:app", "--health", "/healthz", threads=1, workers=2)
    wait_serving(server, 2)
    clients = []
    for count in (1, 2):
        clients.append(server.connect())
        clients[-1].send(request("/wait"))
        server.wait_marks("waiting", count)
    for _ in range(10):
        assert server.get("/healthz").status == 200
    late = server.connect()
    late.send(request("/who"))
    server.open_gate("wait")
    assert late.response().status == 200
    for client in clients:
        assert client.response().body == b"waited"
