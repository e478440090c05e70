"""Supervisor: workers kept alive, stopped as asked, never left behind."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import psutil
import pytest
from client import SLOW, request, wait_for
from server import program, timed

PR_SET_CHILD_SUBREAPER = 36


def pids(server):
    return {process.pid for process in server.workers()}


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_ready(server, count):
    """Waits until `count` workers have imported the app."""
    wait_for(lambda: len(server.workers()) == count, f"{count} workers")
    server.wait_marks("started", count)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_number_of_workers(serve, count):
    server = serve("dying:app", workers=count)
    all_ready(server, count)
    served = set()

    def all_served():
        clients = [server.connect() for _ in range(8)]
        for client in clients:
            client.send(request("/pid"))
        served.update(int(client.response().body) for client in clients)
        for client in clients:
            client.close()
        return served == pids(server)

    wait_for(all_served, lambda: f"every worker to serve: {served} {pids(server)}")


def test_supervisor_runs_no_python(serve):
    """The parent of the workers maps no interpreter and needs next to no memory."""
    server = serve("dying:app")
    with open(f"/proc/{server.pid}/maps") as maps:
        assert "libpython" not in maps.read()
    with open(f"/proc/{server.pid}/smaps_rollup") as rollup:
        private = sum(
            int(line.split()[1]) for line in rollup if re.match("Private_(Clean|Dirty):", line)
        )
    assert private < 1024 * SLOW


@pytest.mark.parametrize("count", [1, 2])
def test_killed_worker_is_replaced(serve, count):
    server = serve("dying:app", workers=count)
    all_ready(server, count)
    before = pids(server)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(pids(server) - {victim}) == count, "a new worker")
    server.wait_marks("started", count + 1)
    assert server.get("/pid").status == 200
    assert before - {victim} <= pids(server)
    server.wait_log("SIGKILL")
    assert re.search(rf"^.*\b{victim}\b.*SIGKILL.*$", server.log(), re.M)


@pytest.mark.parametrize(
    "path, said", [("/crash", "SIGSEGV"), ("/abort", "SIGABRT"), ("/exit", r"\b9\b")]
)
def test_log_tells_how_a_worker_died(serve, path, said):
    server = serve("dying:app")
    before = server.worker().pid
    with server.connect() as client:
        client.send(request(path))
        assert client.read() == b""
    wait_for(lambda: re.search(rf"^.*\b{before}\b.*{said}.*$", server.log(), re.M), said)
    server.wait_marks("started", 2)
    wait_for(lambda: server.get("/pid").status == 200, "a new worker")
    assert "Traceback" not in server.log()


def test_replaced_again_and_again(serve):
    server = serve("dying:app", workers=2)
    all_ready(server, 2)
    for turn in range(5):
        victim = min(pids(server))
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda victim=victim: len(pids(server) - {victim}) == 2, "a new worker")
        server.wait_marks("started", turn + 3)
        assert server.get("/pid").status == 200


def test_restart_backs_off(serve):
    """A worker that dies at once again and again is not restarted in a busy loop."""
    server = serve("dying:app")
    server.open_gate("broken")
    os.kill(server.worker().pid, signal.SIGKILL)
    server.wait_marks("started", 4, timeout=30)
    times = [float(mark.split()[1]) for mark in server.marks("started")][1:]
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert gaps[-1] > 0.1, gaps
    assert server.proc.poll() is None
    assert re.search(r"\b7\b", server.log())
    (server.state / "gate-broken").unlink()
    wait_for(lambda: answers(server), "the service to recover", timeout=30)


def answers(server):
    try:
        return server.get("/pid").status == 200
    except (OSError, AssertionError):
        return False


def test_stop_while_a_restart_waits(serve):
    server = serve("dying:app")
    server.open_gate("broken")
    os.kill(server.worker().pid, signal.SIGKILL)
    server.wait_marks("started", 3, timeout=30)
    assert server.stop(timeout=5) == 0


def test_term_answers_what_runs(serve):
    """In-flight requests are answered with Connection: close, idle connections closed."""
    server = serve("dying:app", workers=2)
    all_ready(server, 2)
    idle = [server.connect() for _ in range(4)]
    for client in idle:
        assert client.ask("/pid").status == 200
    busy = [server.connect() for _ in range(4)]
    for client in busy:
        client.send(request("/wait?term"))
    server.wait_marks("waiting", 4)
    server.send_signal(signal.SIGTERM)
    for client in idle:
        assert client.at_end()
    wait_for(server.binds[0].refuses, "the port to be closed")
    assert server.proc.poll() is None
    assert all(client.quiet() for client in busy)
    server.open_gate("term")
    for client in busy:
        response = client.response()
        assert response.body == b"waited"
        assert response.header("Connection").lower() == "close"
        assert client.at_end()
    assert server.wait_exit() == 0


def test_term_lets_a_stream_end(serve):
    server = serve("dying:app")
    client = server.connect()
    client.send(request("/stream"))
    server.wait_marks("waiting")
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    server.open_gate("stream")
    client.read_until(b"second;")
    client.read_until(b"0\r\n\r\n")
    assert client.at_end()
    assert server.wait_exit() == 0


def test_term_answers_queued_requests(serve):
    """What was read before TERM is answered, also if no thread had time for it yet."""
    server = serve("dying:app", threads=1)
    busy, queued = server.connect(), [server.connect() for _ in range(3)]
    busy.send(request("/wait?term"))
    server.wait_marks("waiting")
    for client in queued:
        client.send(request("/pid"))
        wait_for(lambda: not server_has_unread(server), "the request to be read")
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    server.open_gate("term")
    assert busy.response().body == b"waited"
    for client in queued:
        assert client.response().status == 200
    assert server.wait_exit() == 0


def server_has_unread(server):
    port = f":{server.binds[0].number:04X}"
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in list(table)[1:]]
    return any(row[1].endswith(port) and row[4].split(":")[1] != "00000000" for row in rows)


def test_term_of_an_idle_server_is_quick(serve):
    server = serve("dying:app", workers=2)
    client = server.connect()
    client.ask("/pid")
    status, seconds = timed(server.stop)
    assert status == 0
    assert seconds < 2 * SLOW


@pytest.mark.parametrize("path", ["/block", "/spin"])
def test_term_kills_after_the_graceful_timeout(serve, path):
    server = serve("dying:app", "--graceful-timeout", "1")
    client = server.connect()
    client.send(request(path))
    server.wait_marks("blocking")
    status, seconds = timed(server.stop)
    assert status == 0
    assert 0.9 < seconds < 1 + 4 * SLOW
    assert client.at_end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("path", ["/block", "/spin"])
def test_quick_stop(serve, number, path):
    server = serve("dying:app", workers=2)
    client = server.connect()
    client.send(request(path))
    server.wait_marks("blocking")
    status, seconds = timed(server.stop, number)
    assert status == 0
    assert seconds < 5 * SLOW


def test_interrupt_from_the_keyboard(serve):
    """Ctrl-C reaches the whole process group: no traceback, no restart."""
    server = serve("dying:app", workers=2)
    all_ready(server, 2)
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait_exit() == 0
    assert "Traceback" not in server.log()
    assert len(server.marks("started")) == 2


def test_second_term_changes_nothing(serve):
    server = serve("dying:app")
    client = server.connect()
    client.send(request("/wait?term"))
    server.wait_marks("waiting")
    for _ in range(3):
        server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    server.open_gate("term")
    assert client.response().body == b"waited"
    assert server.wait_exit() == 0


@pytest.mark.parametrize("busy", [False, True])
def test_no_orphans_after_the_supervisor_is_killed(serve, busy):
    """Their running requests have the graceful timeout, and not a moment more."""
    server = serve("dying:app", "--graceful-timeout", "2", workers=3)
    all_ready(server, 3)
    workers = pids(server)
    if busy:
        server.connect().send(request("/block"))
        server.wait_marks("blocking")
    server.expected_exit = {-signal.SIGKILL}
    server.send_signal(signal.SIGKILL)
    server.wait_exit()
    wait_for(lambda: not any(map(alive, workers)), "the workers to end", 5)
    assert server.binds[0].refuses()


def test_no_orphans_after_the_supervisor_is_killed_during_import(serve):
    server = serve("slow_import:app", wait=False)
    server.expected_exit = {-signal.SIGKILL}
    server.wait_marks("importing")
    workers = pids(server)
    server.send_signal(signal.SIGKILL)
    server.wait_exit()
    wait_for(lambda: not any(map(alive, workers)), "the worker to end", 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_while_the_app_is_imported(serve, number):
    server = serve("slow_import:app", wait=False, workers=2)
    server.wait_marks("importing")
    status, seconds = timed(server.stop, number)
    assert status == 0
    assert seconds < 5 * SLOW
    assert not server.marks("imported")
    assert "Traceback" not in server.log()


def test_stop_right_after_the_start(serve):
    """At any moment of its start: ends by the signal or with 0, and leaves nobody."""
    for delay in range(0, 60, 6):
        server = serve("dying:app", workers=2, wait=False)
        server.expected_exit = {0, -signal.SIGTERM}
        time.sleep(delay / 1000)  # The moment is what is tried here, not a condition.
        server.stop()


def subreaper():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def test_orphaned_grandchildren_are_reaped(serve):
    """As PID 1 in a container: what is orphaned below it comes to the supervisor."""
    server = serve("dying:app", preexec=subreaper)
    orphans = [int(server.get("/orphan").body) for _ in range(3)]
    for orphan in orphans:
        assert psutil.Process(orphan).ppid() == server.pid
    server.open_gate("orphan")
    wait_for(lambda: not any(map(psutil.pid_exists, orphans)), "the orphans to be reaped")
    assert server.get("/pid").status == 200
    assert len(server.marks("started")) == 1


def can_unshare():
    if os.getuid() or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"]).returncode == 0


def test_as_pid_1(serve):
    if not can_unshare():
        pytest.skip("needs root and namespaces")
    command = ["unshare", "--pid", "--fork", "--mount-proc", *program()]
    server = serve("dying:app", command=command)
    (supervisor,) = psutil.Process(server.pid).children()
    assert server.get("/pid").body != b"1"
    for _ in range(3):
        server.get("/orphan")
    family = len(supervisor.children(recursive=True))
    assert family == 4
    server.open_gate("orphan")
    wait_for(lambda: len(supervisor.children(recursive=True)) == 1, "the orphans to be reaped")
    supervisor.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_apps_children_are_left_to_the_app(serve):
    server = serve("dying:app")
    for _ in range(5):
        assert server.get("/subprocess").body == b"[0, 1, 2]"


def test_children_of_the_app_start_with_no_signal_blocked(serve):
    """SIGPIPE is ignored by Python itself and reset by subprocess; nothing else may stay."""
    masks = dict(
        line.split(b":\t") for line in serve("dying:app").get("/signals").body.splitlines()
    )
    # What the tests themselves were started with (under nohup, say) is inherited. 32 and 33
    # (and 34 in musl) are the C library's own; what posix_spawn() started has them ignored.
    with open("/proc/self/status", "rb") as status:
        own = dict(line.split(b":", 1) for line in status)
    assert set(masks) == {b"SigBlk", b"SigIgn"}
    for name, mask in masks.items():
        inherited = int(own[name], 16) | 7 << 31
        assert int(mask, 16) & ~inherited == 0, name


def test_stop_under_load(serve):
    """Clients that keep asking while TERM comes: each gets a whole answer or none."""
    server = serve("dying:app", workers=2)
    all_ready(server, 2)
    answered, torn = [], []

    def ask():
        while True:
            try:
                with server.connect() as client:
                    while True:
                        response = client.ask("/pid")
                        answered.append(response.status)
                        if response.closes:
                            break
            except ConnectionRefusedError:
                return
            except (OSError, AssertionError) as error:
                if "b''" not in str(error) and not isinstance(error, OSError):
                    torn.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(answered) > 500, "some load")
    server.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    for thread in threads:
        thread.join()
    assert not torn
    assert set(answered) == {200}


def test_connections_waiting_at_term_are_not_reset(serve):
    """What the kernel accepted before TERM gets an answer or a clean end."""
    server = serve("dying:app", threads=1)
    busy = server.connect()
    busy.send(request("/wait?term"))
    server.wait_marks("waiting")
    waiting = [socket.create_connection(("127.0.0.1", server.binds[0].number)) for _ in range(5)]
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    server.open_gate("term")
    assert busy.response().body == b"waited"
    for sock in waiting:
        sock.settimeout(20 * SLOW)
        assert sock.recv(100) == b""
        sock.close()
    assert server.wait_exit() == 0
