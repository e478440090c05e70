"""Processes that the app forks are not the server: they hold none of its connections, obey
signals as any process does, and end where they come back from the app."""

import contextlib
import signal

import psutil
import pytest
from client import request, wait_for

THREADS = pytest.mark.parametrize("threads", [1, 8])


@pytest.fixture(params=[1, 8], ids=["one thread", "eight threads"])
def server(request, serve):
    return serve("forking:app", threads=request.param)


def end_children(server, pids):
    server.check_zombies = False
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself
            psutil.Process(pid).kill()
        wait_for(lambda pid=pid: not psutil.pid_exists(pid) or zombie(pid), "the child's end")


def zombie(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_pools_come_and_go(server):
    for _ in range(12):
        assert server.get("/pool").body == b"[0, 1, 4, 9, 16]"


def test_pools_at_the_same_time(serve):
    server = serve("forking:app")
    clients = [server.connect(timeout=60) for _ in range(6)]
    for _ in range(3):
        for client in clients:
            client.send(request("/pool"))
        for client in clients:
            assert client.response().body == b"[0, 1, 4, 9, 16]"


def test_a_process_is_terminated(server):
    for _ in range(10):
        assert server.get("/terminate").body == b"-15"


def test_an_executor(server):
    for _ in range(3):
        assert server.get("/executor").body == b"49"


def test_a_thread_of_the_app_forks(server):
    assert server.get("/thread-fork").body == b"[81]"


def test_subprocesses_obey_signals(server):
    """Also those of a thread that is not the main one: no mask is inherited."""
    assert server.get("/subprocess").body == b"[-15, -15]"


@pytest.mark.parametrize("version, fields", [("1.1", [("Connection", "close")]), ("1.0", [])])
@pytest.mark.parametrize("kind", ["fork", "exec"])
def test_a_connection_ends_while_a_child_lives(server, version, fields, kind):
    """The child was forked from the very request whose connection ends."""
    with server.connect() as client:
        path = "/keep" if kind == "fork" else "/child?execs"
        client.send(request(path, headers=fields, version=version))
        pid = int(client.response().body)
        assert client.at_end()
    assert not zombie(pid)
    end_children(server, [pid])


def test_idle_connections_end_while_a_child_lives(serve):
    server = serve("forking:app", "--keep-alive", "1")
    with server.connect() as client:
        pid = int(client.ask("/keep").body)
        assert client.at_end()
    end_children(server, [pid])


@pytest.mark.parametrize(
    "end, status",
    [("returns", b"0"), ("raises", b"1"), ("exits", b"7"), ("_exits", b"3")],
)
def test_a_child_ends_where_it_leaves_the_app(server, end, status):
    """One response to one request, whatever the child does."""
    with server.connect() as client:
        for _ in range(2):
            client.send(request(f"/child?{end}"))
            assert client.response().body == status
        client.send(request("/"))
        assert client.response().body == f"hello from {server.worker().pid}".encode()
        assert client.quiet(0.1)
    if end == "raises":
        server.wait_log("ValueError: from the child")
    if end == "returns":
        server.wait_log("came back from it, and ends here")


def test_a_child_of_a_generator(server):
    with server.connect() as client:
        assert client.ask("/generator").body == b"one two 0"
        assert client.ask("/").status == 200


def test_a_child_has_no_part_in_the_connection(server):
    assert server.post("/write", b"x" * 10).body == b"3"


def test_a_child_that_sleeps_does_not_answer_others(server):
    """It holds no listener, and takes no part in accepting."""
    pid = int(server.get("/child?sleeps").body)
    worker = server.worker().pid
    for _ in range(50):
        assert server.get("/").body == f"hello from {worker}".encode()
    server.stop()
    assert server.binds[0].refuses()
    assert not zombie(pid)
    server.open_gate("child")
    end_children(server, [pid])


def test_what_a_child_holds(server):
    """No socket, epoll, timer or shared memory of the server."""
    with server.connect() as other:
        other.send(b"GET / HT")
        names = server.get("/descriptors").body.decode().splitlines()
    assert [name for name in names if "socket" in name] == []
    assert [name for name in names if "eventpoll" in name or "timerfd" in name] == []
    assert [name for name in names if "memfd" in name] == []


def test_what_python_says_of_signals(server):
    here, there = server.get("/handlers").body.decode().split("|")
    assert here == "False False False False"
    assert there == "True True True True"
    assert server.marks("child hook")


@THREADS
@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("at", ["import", "startup"])
def test_a_child_forked_at_the_start_ends_where_it_comes_back(serve, threads, preload, at):
    options = ["--preload"] if preload else []
    server = serve("forking:app", *options, threads=threads, env={"FORK_AT": at})
    server.check_zombies = False  # nobody waits for that child
    server.wait_log("came back from it, and ends here")
    pids = {int(server.get("/").body.split()[-1]) for _ in range(20)}
    assert len(pids) == 1
    assert pids < {process.pid for process in server.workers()} or not preload


@THREADS
@pytest.mark.parametrize("preload", [False, True])
def test_a_process_started_at_import_is_none_of_the_server(serve, threads, preload):
    options = ["--preload"] if preload else []
    server = serve("forking:app", *options, threads=threads, env={"FORK_AT": "import-process"})
    server.check_zombies = False
    server.wait_marks("child", 1)
    (pid,) = map(int, server.marks("child"))
    names = [c.laddr for c in psutil.Process(pid).net_connections()]
    assert names == []
    assert server.get("/").status == 200
    psutil.Process(pid).send_signal(signal.SIGTERM)
    wait_for(lambda: zombie(pid), "its end by TERM")


def test_under_preload(serve):
    server = serve("forking:app", "--preload")
    assert server.get("/pool").body == b"[0, 1, 4, 9, 16]"
    assert server.get("/terminate").body == b"-15"
    assert server.get("/child?raises").body == b"1"
    assert server.get("/subprocess").body == b"[-15, -15]"
