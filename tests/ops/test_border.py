"""A worker under --user tries to make the supervisor, which is root, do things for it."""

import json
import os
import pwd
import signal
import subprocess
import sys
import time

import psutil
import pytest
from client import SLOW, wait_for
from ops import titled, wait_workers

NOBODY = pwd.getpwnam("nobody")
USER = ["--user", "nobody", "--group", NOBODY.pw_gid]
USED = 36  # offset in the board (apps/hostile.py)


@pytest.fixture
def serve_hostile(serve, for_nobody):
    """Starts the hostile app as nobody's."""

    def start(*options, env=(), **more):
        arguments = {**for_nobody, "env": {**for_nobody["env"], **dict(env)}, **more}
        return serve("hostile:app", *USER, *options, **arguments)

    return start


# ---- what is shared ----


def test_only_the_board_can_be_written_to(serve_hostile, door):
    server = serve_hostile(env={"CWSGI_DOOR": door})
    permissions = json.loads(server.get("/maps").body)
    assert permissions.count("rw-s") == 1, permissions
    # Neither can its length be changed, by whatever descriptor is left.
    server.get("/shrink")
    assert server.get("/who").status == 200


# ---- wishes ----


@pytest.fixture
def enough(tmp_path):
    """Ends the process that wishes."""
    yield tmp_path / "state" / "enough"
    (tmp_path / "state" / "enough").touch()


def test_a_wish_to_reload_counts_only_with_reload(serve_hostile, enough):
    server = serve_hostile()
    pids = wait_workers(server, 1)
    assert server.get("/wish").status == 200
    time.sleep(1 * SLOW)  # hundreds of wishes
    assert wait_workers(server, 1) == pids
    enough.touch()
    server.stop()
    assert "Reloaded" not in server.log()


def test_wishes_are_granted_once_a_second(serve_hostile, enough):
    server = serve_hostile("--reload", "--reload-engine", "poll")
    wait_workers(server, 1)
    began = time.monotonic()
    assert server.get("/wish").status == 200
    time.sleep(3 * SLOW)
    enough.touch()
    took = time.monotonic() - began
    log = server.log()
    reloads = log.count("] Reloaded") + log.count("given up for a newer one")
    assert 1 <= reloads <= took + 2


# ---- numbers on the board ----


@pytest.mark.parametrize("used", [2_000_000_000, -5])
def test_metrics_keep_inside_the_board(serve_hostile, used):
    server = serve_hostile("--metrics", "/metrics", workers=2)
    pids = wait_workers(server, 2)
    for _ in range(8):
        server.get(f"/put?at={USED}&size=4&value={used}")
        assert server.get("/metrics").status == 200
    assert wait_workers(server, 2) == pids
    # What the supervisor knows stands there again after its next turn.
    server.send_signal(signal.SIGUSR1)
    wait_for(lambda: b"cwsgi_workers 2\n" in server.get("/metrics").body, "both workers")


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 10**12, -1])
def test_times_that_cannot_be_blame_nobody(serve_hostile, value):
    """Not the worker that they are written to, nor another; and nothing overflows."""
    server = serve_hostile("--timeout", f"{2 * SLOW}", workers=2)
    pids = wait_workers(server, 2)
    size = (board_size(server) - 40) // 512
    time.sleep(1 * SLOW)  # the watch is no longer at its begin
    for slot in range(2):
        for at in (24, 32):
            server.get(f"/put?at={40 + slot * size + at}&size=8&value={value}")
    server.get(f"/put?at=0&size=8&value={value}")
    time.sleep(2.5 * SLOW)  # longer than --timeout
    assert "WORKER TIMEOUT" not in server.log()
    assert wait_workers(server, 2) == pids


def board_size(server):
    """Length of the board, from the worker's mappings."""
    (worker, *_) = titled(server, "worker")
    for line in open(f"/proc/{worker.pid}/maps"):
        if "memfd:cwsgi" in line and "rw-s" in line:
            begin, end = (int(word, 16) for word in line.split()[0].split("-"))
            return end - begin
    raise LookupError("no board")


def test_a_flood_of_the_pipe_does_not_take_a_core(serve_hostile):
    server = serve_hostile()
    wait_workers(server, 1)
    supervisor = psutil.Process(server.pid)
    before = sum(supervisor.cpu_times()[:2])
    assert server.get(f"/flood?s={3}").status == 200
    used = sum(supervisor.cpu_times()[:2]) - before
    assert used < 0.5 * SLOW, f"{used} s of 3"


@pytest.mark.parametrize("preload", [False, True])
def test_scribbling_over_everything(serve_hostile, preload):
    """The board filled with rubbish, the pipe flooded; then all is as before."""
    options = ["--preload"] if preload else []
    server = serve_hostile(
        "--metrics", "/metrics", "--timeout", "30", *options, workers=2, threads=4
    )
    server.expected_exit = {0}
    wait_workers(server, 2)
    for _ in range(2):
        server.get(f"/scribble?s={1.5 * SLOW}")
    assert psutil.Process(server.pid).uids().real == 0
    pids = wait_workers(server, 2)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded", 30)
    wait_workers(server, 2, without=pids)
    wait_for(lambda: b"cwsgi_workers 2\n" in server.get("/metrics").body, "metrics")
    assert server.stop() == 0


# ---- process ids ----


@pytest.fixture
def bystander():
    """A process of root's that is no business of the server's."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("named", ["bystander", "0", "-1", "1", "supervisor"])
def test_a_zygote_can_name_only_new_children(serve_hostile, bystander, named, tmp_path):
    pid = {"bystander": bystander.pid, "supervisor": os.getpid()}.get(named, named)
    server = serve_hostile("--preload", env={"HOSTILE_PID": pid}, wait=False)
    server.wait_log("Booting" if named == "-1" else "which is no new worker")
    server.wait_ready()
    wait_workers(server, 1)
    assert f"Booting worker with pid: {pid}\n" not in server.log()
    assert server.stop() == 0
    assert bystander.poll() is None
