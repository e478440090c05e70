"""Stuck and grown workers, and what a crash leaves in the log."""

import json
import os
import re
import signal

import pytest
from client import request, wait_for, wait_until_steady
from ops import Load, wait_workers, worker_pids
from server import TSAN


def test_a_request_beyond_the_timeout(serve):
    """Its worker is replaced; what it did is told; other requests lose nothing."""
    server = serve("ops:app", "--timeout", "1", workers=1)
    (old,) = wait_workers(server, 1)
    stuck, other = server.connect(), server.connect()
    head = request("/wait")
    other.send(head[:20])
    stuck.send(request("/spin"))
    server.wait_marks("spinning")
    wait_for(lambda: worker_pids(server) - {old}, "a successor", 20)
    wait_for(lambda: json.loads(server.get("/who").body)["pid"] != old, "it to serve")
    # It stays for who is about to ask. What is asked late is not overdue itself.
    assert old in wait_until_steady(lambda: worker_pids(server), "the workers to be the same", 0.6)
    server.open_gate("wait")
    other.send(head[20:])
    assert other.response().body == b"waited"
    wait_workers(server, 1, without=[old])
    assert stuck.read() == b""
    log = server.log()
    assert f"WORKER TIMEOUT (pid:{old}): a request has been running" in log
    assert re.search(r'File ".*ops\.py", line \d+ in spin', log)
    assert "C stack of thread" in log and "cwsgi-keeper" in log
    assert "cut off" in log


def test_timeout_leaves_quick_requests_alone(serve):
    server = serve("ops:app", "--timeout", "1", workers=1)
    before = wait_workers(server, 1)
    for _ in range(4):
        assert server.get("/sleep?s=0.4").status == 200
    assert worker_pids(server) == before
    assert "TIMEOUT" not in server.log()


def test_a_worker_without_a_sign_of_life(serve):
    """Stopped by SIGSTOP, it is aborted, then killed, and another one serves."""
    server = serve("ops:app", "--timeout", "1", workers=1)
    (old,) = wait_workers(server, 1)
    server.get("/who")
    os.kill(old, signal.SIGSTOP)
    server.wait_log(f"WORKER TIMEOUT (pid:{old}): no sign of life")
    wait_workers(server, 1, without=[old])
    assert server.get("/who").status == 200


def test_frozen_together_nobody_is_blamed(serve):
    """A container whose CPU is taken away: no time passes for its watchdog."""
    server = serve("ops:app", "--timeout", "1", workers=1)
    (old,) = wait_workers(server, 1)
    with server.connect() as client:
        client.send(request("/wait"))
        server.wait_marks("waiting")
        for pid in (server.pid, old):
            os.kill(pid, signal.SIGSTOP)
        # Longer than the timeout, seen by a clock that goes on.
        deadline = _monotonic() + 3
        wait_for(lambda: _monotonic() > deadline, "time to pass")
        for pid in (old, server.pid):
            os.kill(pid, signal.SIGCONT)
        server.open_gate("wait")
        assert client.response().body == b"waited"
    assert worker_pids(server) == {old}
    assert "TIMEOUT" not in server.log()


def _monotonic():
    import time

    return time.monotonic()


@pytest.mark.skipif(TSAN, reason="it holds signals in handlers back")
@pytest.mark.parametrize("options", [[], ["--timeout", "60"]])
def test_abort_tells_what_threads_do(serve, options):
    """C stacks, too, where time is watched: they cost every start a library."""
    server = serve("ops:app", *options, workers=1)
    (old,) = wait_workers(server, 1)
    server.connect().send(request("/wait"))
    server.wait_marks("waiting")
    os.kill(old, signal.SIGABRT)
    server.wait_log(f"Worker (pid:{old}) was killed by SIGABRT")
    log = server.log()
    assert re.search(r'File ".*common\.py", line \d+ in wait_gate', log)
    assert ("C stack of thread" in log) == bool(options)
    assert "it was running: GET /wait" in log
    wait_workers(server, 1, without=[old])


@pytest.mark.parametrize("options", [[], ["--log-query"]])
def test_crash_report_names_the_requests(serve, options):
    server = serve("ops:app", *options, workers=1)
    (old,) = wait_workers(server, 1)
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(request(f"/wait?gate=x&n={number}%0aforged"))
    server.wait_marks("waiting", 3)
    os.kill(old, signal.SIGKILL)
    server.wait_log(f"Worker (pid:{old}) was killed by SIGKILL; it held up to")
    wait_workers(server, 1, without=[old])
    for number in range(3):
        shown = f"?gate=x&n={number}%0aforged" if options else ""
        assert f"  it was running: GET /wait{shown}\n" in server.log()
    assert server.log().count("it was running") == 3


def test_max_memory(serve):
    server = serve("ops:app", "--max-memory", "150m", workers=1)
    (old,) = wait_workers(server, 1)
    with Load(server, clients=2) as load:
        load.wait_answers(20)
        assert server.get("/grow?mb=200").status == 200
        wait_workers(server, 1, without=[old])
        load.wait_answers(20)
    assert (load.lost, load.refused) == ([], 0)
    assert re.search(
        rf"Worker \(pid:{old}\) holds \d+ MiB, more than --max-memory \(150 MiB\)", server.log()
    )


def test_a_stuck_import_is_replaced(serve):
    server = serve("slow_import:app", "--timeout", "1", workers=1, wait=False)
    server.wait_marks("importing", 2, timeout=20)
    assert "WORKER TIMEOUT" in server.log()
    server.open_gate("import")
    server.wait_ready()
    assert server.get("/").status == 200


@pytest.mark.parametrize("value", ["-1", "x", "1.5.2"])
def test_bad_timeouts(value):
    from server import run

    result = run(f"--timeout={value}", "hello:app")
    assert result.returncode == 2
    assert "--timeout" in result.stderr
