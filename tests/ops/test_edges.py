"""Where things happen at the wrong moment: deaths, signals and reloads that meet."""

import os
import resource
import signal
import time

import pytest
from client import wait_for
from ops import titled, wait_workers, worker_pids
from server import descriptors


# ---- --preload ----


def test_a_worker_that_dies_before_it_is_named(serve):
    """The generation goes with it, and nobody looks at it afterwards."""
    server = serve("edges:app", "--preload", env={"EDGES": "slow-fork"})
    old = wait_workers(server, 1)
    (server.state / "startup-fails").touch()
    for turn in range(3):
        server.send_signal(signal.SIGHUP)
        wait_for(lambda n=turn + 1: server.log().count("Reload failed") == n, "the failure")
        assert worker_pids(server) == old
    (server.state / "startup-fails").unlink()
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 1, without=old)


def test_no_descriptors_for_the_preloading_process(serve):
    """It is started again as soon as there are some."""
    server = serve("ops:app", "--preload")
    (old,) = wait_workers(server, 1)
    (zygote,) = titled(server, "preload")
    used = len(descriptors(server.pid))
    before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used - 1, before[1]))
    zygote.kill()
    server.wait_log("the preloading process ended")
    os.kill(old, signal.SIGKILL)
    server.wait_log("cannot start the preloading process")
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
    wait_workers(server, 1, without=[old])


def test_threads_of_the_app_do_not_keep_old_preloading_processes(serve):
    options = ["--preload", "--graceful-timeout", "1"]
    server = serve("edges:app", *options, env={"EDGES": "thread"})
    for _ in range(2):
        old = wait_workers(server, 1)
        server.send_signal(signal.SIGHUP)
        wait_workers(server, 1, without=old)
    wait_for(lambda: len(titled(server, "preload")) == 1, "the old ones to end")


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_programs_started_at_import_get_no_descriptors(serve, door, options):
    env = {"EDGES": "descriptors", "CWSGI_DOOR": door}
    server = serve("edges:app", *options, env=env)
    # 3 is the listing's own.
    assert server.wait_marks("descriptors") == ["0 1 2 3"]


# ---- ends ----


def test_workers_that_leave_at_import_are_not_started_in_a_hurry(serve):
    server = serve("edges:app")
    (old,) = wait_workers(server, 1)
    (server.state / "exit-at-import").touch()
    os.kill(old, signal.SIGKILL)
    server.wait_marks("imported", 3)
    time.sleep(1)
    assert len(server.marks("imported")) < 12
    (server.state / "exit-at-import").unlink()
    server.wait_ready()
    wait_for(lambda: server.get("/who").status == 200, "service")


def test_a_worker_that_dies_during_the_drain_delay_is_replaced(serve):
    """Balancers still send requests."""
    server = serve("ops:app", "--drain-delay", "60")
    (old,) = wait_workers(server, 1)
    server.send_signal(signal.SIGTERM)
    server.wait_log("Still accepting")
    os.kill(old, signal.SIGKILL)
    wait_workers(server, 1, without=[old])
    assert server.get("/who").status == 200
    server.send_signal(signal.SIGHUP)  # Too late for that.
    assert server.stop(signal.SIGINT, timeout=5) == 0
    assert "Reload" not in server.log()
